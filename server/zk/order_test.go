package zk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/server/zk/jute"
)

// breaker fails what a front sends to servers that has a mark in it, while it is on.
type breaker struct {
	mark   string
	on     atomic.Bool
	failed atomic.Int64
}

type breakingConn struct {
	net.Conn
	b *breaker
}

func (c breakingConn) Write(p []byte) (int, error) {
	if c.b.on.Load() && bytes.Contains(p, []byte(c.b.mark)) {
		c.b.failed.Add(1)
		_ = c.Close()
		return 0, errors.New("broken by the test")
	}
	return c.Conn.Write(p)
}

// startBreaking starts a front whose connections a breaker has.
func startBreaking(t *testing.T, b *breaker, change func(*Options)) *Front {
	t.Helper()
	o := route.Options(cluster().Options())
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return breakingConn{nc, b}, nil
	}
	rc, err := route.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rc.Close() })
	return startFront(t, func(o *Options) {
		o.Client = rc
		if change != nil {
			change(o)
		}
	})
}

// TestEarlierWriteFirst: what a client has asked for on one connection takes effect before what it asks for on its
// next one at the same front, also where the servers can't be told the first for a while.
func TestEarlierWriteFirst(t *testing.T) {
	b := &breaker{mark: "EARLIER"}
	f, other := startBreaking(t, b, nil), startFront(t, nil)
	c, observer := dial(t, f, nil), dial(t, other, nil)
	c.create("/earlier", 0)
	b.on.Store(true)
	c.send(jute.Request{Op: jute.OpSetData, Path: "/earlier", Data: []byte("EARLIER"), Version: -1})
	observer.until("the earlier write is held up", func() bool { return b.failed.Load() > 0 })
	again := dial(t, f, c)
	again.send(jute.Request{Op: jute.OpSetData, Path: "/earlier", Data: []byte("later"), Version: -1})
	for range 100 { // enough for the later one to be made, if nothing holds it
		if v, _ := observer.get("/earlier", false); v != "" {
			t.Errorf("there is %q before the earlier write", v)
			break
		}
	}
	b.on.Store(false)
	if p, _, err := again.next(); err != nil || p.Err != jute.OK {
		t.Fatalf("the later write: %v, %v", p.Err, err)
	}
	if v, s := observer.get("/earlier", false); v != "later" || s.Version != 2 {
		t.Errorf("there is %q at version %d", v, s.Version)
	}
}

// TestOlderConnection: a connection that was accepted before its session's present one does not take the session
// from that.
func TestOlderConnection(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	older := dialRaw(t, f.Addr())
	if _, err := older.nc.Write([]byte{0}); err != nil { // half a length: it is accepted before the next
		t.Fatal(err)
	}
	c.until("the older connection is accepted", func() bool { return f.stats.connected.Load() == 2 })
	newer := dial(t, f, c)
	hello := jute.AppendBytes(nil, jute.AppendConnect(nil, &jute.Connect{Timeout: 30_000, Session: c.hello.Session, Password: c.hello.Password}))
	if _, err := older.nc.Write(hello[1:]); err != nil {
		t.Fatal(err)
	}
	older.isClosed()
	newer.exists("/", false)
}

// TestGhosts: who creates a node whose session is over is not told that it exists, alone or among others.
func TestGhosts(t *testing.T) {
	f := startFront(t, nil)
	for i := range 10 {
		gone, c := dial(t, f, nil), dial(t, f, nil)
		gone.create("/ghost", jute.Ephemeral)
		gone.create("/ghost2", jute.Ephemeral)
		if p := c.do(jute.Request{Op: jute.OpCreate, Path: "/ghost", ACL: jute.Open}); p.Err != jute.NodeExists {
			t.Errorf("round %d: created a node of a session that goes on: %v", i, p.Err)
		}
		if err := f.opts.Client.Leader().SessionEnd(t.Context(), uint64(gone.hello.Session)); err != nil {
			t.Fatal(err)
		}
		if p := c.do(jute.Request{Op: jute.OpCreate, Path: "/ghost", ACL: jute.Open, Flags: jute.Ephemeral}); p.Err != jute.OK {
			t.Errorf("round %d: %v", i, p.Err)
		}
		p := c.do(jute.Request{Op: jute.OpMulti, Ops: []jute.Request{{Op: jute.OpCheck, Path: "/ghost", Version: 0},
			{Op: jute.OpCreate, Path: "/ghost2", ACL: jute.Open, Flags: jute.Ephemeral}}})
		if got := showMulti(p.body); got != "check; create /ghost2; " {
			t.Errorf("round %d: %s", i, got)
		}
		c.remove("/ghost")
		c.remove("/ghost2")
	}
}

// TestCloseAfterReturn: the nodes of a session are gone before its close is answered, also those that were
// created before its client came back to the front.
func TestCloseAfterReturn(t *testing.T) {
	f := startFront(t, nil)
	w := dial(t, f, nil)
	alone := func() bool { return f.stats.connected.Load() == 1 }
	for i := range 10 {
		c := dial(t, f, nil)
		c.create("/return", jute.Ephemeral)
		if i%2 == 0 { // else the front takes the session from the connection
			c.nc.Close()
			w.until("the first connection has ended", alone)
		}
		c = dial(t, f, c)
		c.ok(jute.Request{Op: jute.OpClose})
		if c.isClosed(); w.exists("/return", false) {
			t.Errorf("round %d: it is still there", i)
		}
		w.until("the connection has ended", alone)
	}
}

// TestFullLine: requests that wait do not keep the session of a client that says nothing more.
func TestFullLine(t *testing.T) {
	t.Parallel()
	b := &breaker{mark: "STALLED"}
	f := startBreaking(t, b, func(o *Options) { o.SessionMin, o.SessionMax = time.Second, time.Second })
	c, w := dial(t, f, nil), dial(t, startFront(t, nil), nil)
	c.create("/full-line", jute.Ephemeral)
	w.exists("/full-line", true)
	b.on.Store(true)
	for range queueMax + 3 {
		c.send(jute.Request{Op: jute.OpSetData, Path: "/full-line", Data: []byte("STALLED"), Version: -1})
	}
	if got := w.await(1); got[0] != "2 /full-line" {
		t.Errorf("events: %q", got)
	}
}

// TestSetWatchesRefused: watches that can't be set again do not send their client away again and again. Those
// that fire once have fired; of one that stays the client is told that it can't be.
func TestSetWatchesRefused(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	f.stats.watches.Add(watchesAll) // as if others had all
	defer f.stats.watches.Add(-watchesAll)
	c.ok(jute.Request{Xid: jute.SetWatchesXid, Op: jute.OpSetWatches, Watches: jute.Watches{Data: []string{"/refused"}, Exist: []string{"/refused/x"}, Children: []string{"/refused/y"}}})
	if len(c.events) != 3 || !strings.Contains(fmt.Sprint(c.events), "3 /refused") || !strings.Contains(fmt.Sprint(c.events), "1 /refused/x") || !strings.Contains(fmt.Sprint(c.events), "4 /refused/y") {
		t.Errorf("events: %q", c.events)
	}
	if p := c.do(jute.Request{Xid: jute.SetWatchesXid, Op: jute.OpSetWatches2, Watches: jute.Watches{Persistent: []string{"/refused"}}}); p.Err != jute.SystemError {
		t.Errorf("one that stays: %v", p.Err)
	}
	if p := c.do(jute.Request{Xid: jute.SetWatchesXid, Op: jute.OpSetWatches, Watches: jute.Watches{Data: []string{"refused"}}}); p.Err != jute.BadArguments {
		t.Errorf("one of no path: %v", p.Err)
	}
}

// TestLogged: what clients do wrong is not for who runs the front to read, and nobody's words fill the log.
func TestLogged(t *testing.T) {
	var log lockedBuffer
	f := startFront(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := dial(t, f, nil)
	if p := c.do(jute.Request{Op: jute.OpExists, Path: strings.Repeat("x", 4<<20)}); p.Err != jute.BadArguments {
		t.Errorf("a long path: %v", p.Err)
	}
	text := log.String()
	if len(text) > 2000 || !strings.Contains(text, "level=DEBUG") || strings.Contains(text, "level=INFO msg=\"a request") {
		t.Errorf("%d bytes are logged: %.3000s", len(text), text)
	}
}

// TestBytesOfAll: what a front holds of requests that wait, and of answers that nobody reads, is bounded for all
// its clients, others are served meanwhile, and it is given back.
func TestBytesOfAll(t *testing.T) {
	t.Parallel()
	const total, clients = 4 << 20, 8
	b := &breaker{mark: "STALLED"}
	f := startBreaking(t, b, func(o *Options) {
		o.Total = total
		o.Bounds.WriteTimeout = patience // who is cut off for not reading is not turned away
	})
	c := dial(t, f, nil)
	c.create("/bytes", 0)
	c.create("/bytes-read", 0) // of its own: the requests are carried out in the end, and their value is small
	c.set("/bytes-read", strings.Repeat("v", 1<<19))
	for _, tt := range []struct {
		what string
		q    jute.Request
	}{
		{"requests", jute.Request{Xid: 1, Op: jute.OpSetData, Path: "/bytes", Data: append([]byte("STALLED"), make([]byte, 40<<10)...), Version: -1}},
		{"answers", jute.Request{Xid: 1, Op: jute.OpGetData, Path: "/bytes-read"}},
	} {
		was, most := f.stats.turnedAway.Load(), int64(0)
		b.on.Store(true)
		message := jute.AppendBytes(nil, jute.AppendRequest(nil, &tt.q))
		var greedy []*client
		var running sync.WaitGroup
		for range clients {
			d := dial(t, f, nil)
			greedy = append(greedy, d)
			running.Go(func() {
				for err := error(nil); err == nil; {
					_, err = d.nc.Write(message)
				}
			})
		}
		c.until(tt.what+": clients are turned away", func() bool {
			most = max(most, f.stats.held.Load())
			return f.stats.turnedAway.Load() >= was+clients/2
		})
		if most > total+clients*(spare+int64(len(message))+1<<19) { // of each what it has for itself, and what is being refused
			t.Errorf("%s: %d bytes are held", tt.what, most)
		}
		for _, d := range greedy {
			d.nc.Close()
		}
		running.Wait()
		b.on.Store(false)
		c.until(tt.what+": all bytes are given back", func() bool {
			if held := f.stats.held.Load(); held < 0 {
				t.Fatalf("%s: %d bytes are held", tt.what, held)
			}
			return f.stats.held.Load() == 0
		})
	}
}

// TestWatchesOfAll: who is refused a watch because all have too many is not counted, and once others have
// left he gets it.
func TestWatchesOfAll(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	f.stats.watches.Add(watchesAll) // as if others had all
	for i := range 10 {
		if p := c.do(jute.Request{Op: jute.OpExists, Path: fmt.Sprint("/of-all/", i), Watch: true}); p.Err != jute.SystemError {
			t.Errorf("one more watch: %v", p.Err)
		}
	}
	f.stats.watches.Add(-watchesAll) // they leave
	if c.exists("/of-all/n", true); f.stats.watches.Load() != 1 {
		t.Errorf("%d watches are counted", f.stats.watches.Load())
	}
}

// TestGoneBeforeAbsence: no answer shows that a node is not there before the client was told of its removal, also
// where its directory is gone with it, or has come anew.
func TestGoneBeforeAbsence(t *testing.T) {
	var gate sync.RWMutex // streams tell while it is open
	f := startPausing(t, nil, func(what pause) {
		if what == beforeTelling {
			gate.RLock()
			defer gate.RUnlock()
		}
	})
	doer := dial(t, startFront(t, nil), nil)
	for i, tt := range []struct {
		what  string
		watch func(c *client, dir string)
		anew  bool // the directory comes again
	}{
		{"data", func(c *client, dir string) { c.get(dir+"/x", true) }, false},
		{"data, and the directory anew", func(c *client, dir string) { c.get(dir+"/x", true) }, true},
		{"children of it", func(c *client, dir string) { c.children(dir+"/x", true) }, false},
		{"children of the directory", func(c *client, dir string) { c.children(dir, true) }, false},
		{"a watch that stays", func(c *client, dir string) {
			c.ok(jute.Request{Op: jute.OpAddWatch, Path: dir + "/x", Mode: jute.WatchPersistent})
		}, false},
		{"a watch that stays, set before it came", func(c *client, dir string) {
			c.ok(jute.Request{Op: jute.OpAddWatch, Path: dir + "/y", Mode: jute.WatchPersistent})
			doer.create(dir+"/y", 0)
			c.await(1)
			doer.remove(dir + "/y")
			c.await(2)
			c.events = nil
			c.ok(jute.Request{Op: jute.OpAddWatch, Path: dir + "/x", Mode: jute.WatchPersistentRecursive})
		}, false},
	} {
		c, dir := dial(t, f, nil), fmt.Sprint("/absence", i)
		doer.create(dir, 0)
		doer.create(dir+"/x", 0)
		tt.watch(c, dir)
		gate.Lock()
		doer.remove(dir + "/x")
		doer.remove(dir)
		if tt.anew {
			doer.create(dir, 0)
			doer.do(jute.Request{Op: jute.OpMulti, Ops: []jute.Request{{Op: jute.OpCreate, Path: dir + "/z", ACL: jute.Open}, {Op: jute.OpCheck, Path: dir + "/none", Version: -1}}})
		}
		xid := c.send(jute.Request{Op: jute.OpExists, Path: dir + "/x"})
		for range 100 { // enough for it to be answered, if nothing holds it
			doer.exists("/", false)
		}
		gate.Unlock()
		for {
			p, ok, err := c.next()
			if err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
			if ok {
				if p.Xid != xid || p.Err != jute.NoNode || len(c.events) == 0 {
					t.Errorf("%s: %v after the events %q", tt.what, p.Err, c.events)
				}
				break
			}
		}
	}
}
