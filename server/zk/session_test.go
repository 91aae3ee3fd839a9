package zk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// leaderKnows reports whether the view leader has a session.
func leaderKnows(t *testing.T, f *Front, c *client) bool {
	t.Helper()
	err := f.opts.Client.Leader().SessionKeep(t.Context(), uint64(c.hello.Session))
	if err != nil && !wire.IsCode(err, wire.CodeNoSession) {
		t.Fatal(err)
	}
	return err == nil
}

// TestSessionMoves: a client that goes to another front, or to the same, has the same session
// there, with its nodes; its old connection at the same front is closed.
func TestSessionMoves(t *testing.T) {
	first, second := startFront(t, nil), startFront(t, nil)
	c := dial(t, first, nil)
	c.create("/moves", jute.Persistent)
	c.create("/moves/mine", jute.Ephemeral)
	again := dial(t, first, c)
	c.isClosed()
	there := dial(t, second, again)
	for _, moved := range []*client{again, there} {
		if moved.hello.Session != c.hello.Session || moved.hello.Timeout != c.hello.Timeout || string(moved.hello.Password) != string(c.hello.Password) || !moved.hello.HasReadOnly {
			t.Errorf("moved as %+v, not %+v", moved.hello, c.hello)
		}
	}
	if _, s := there.get("/moves/mine", false); s.Owner != c.hello.Session {
		t.Errorf("owned by %x", s.Owner)
	}
	if there.zxid < c.zxid {
		t.Errorf("zxid %x after %x", there.zxid, c.zxid)
	}
	there.ok(jute.Request{Op: jute.OpClose})
	there.isClosed()
	if leaderKnows(t, first, c) {
		t.Error("a session that was closed goes on")
	}
}

// TestExpired: who names a session that is over, or with another password, is told that it has
// expired.
func TestExpired(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	wrong := *c
	wrong.hello.Password = append([]byte(nil), c.hello.Password...)
	wrong.hello.Password[9] ^= 1
	other := *c
	other.hello.Session++
	longer := *c
	longer.hello.Password = append([]byte{1}, c.hello.Password[1:]...)
	short := *c
	short.hello.Password = c.hello.Password[:15]
	none := *c
	none.hello.Password = nil
	for what, of := range map[string]*client{"another password": &wrong, "another session": &other, "a longer time to live": &longer, "a short password": &short, "no password": &none} {
		got := dial(t, f, of)
		if got.hello.Session != 0 || got.hello.Timeout != 0 || len(got.hello.Password) != 16 {
			t.Errorf("%s: %+v", what, got.hello)
			continue
		}
		got.isClosed()
	}
	if v, _ := c.get("/", false); v != "" {
		t.Errorf("the session itself: %q", v)
	}
	c.ok(jute.Request{Op: jute.OpClose})
	if got := dial(t, f, c); got.hello.Session != 0 {
		t.Errorf("a session that was closed: %+v", got.hello)
	}
	if n := f.stats.expired.Load(); n != 6 {
		t.Errorf("%d are counted", n)
	}
}

// TestClose: with its session a client's nodes are gone, before it is answered; also where it hangs up
// at once.
func TestClose(t *testing.T) {
	f := startFront(t, nil)
	watcher, c, hasty := dial(t, f, nil), dial(t, f, nil), dial(t, f, nil)
	watcher.create("/close", jute.Persistent)
	for i := range 20 {
		c.create(fmt.Sprint("/close/", i), jute.Ephemeral)
	}
	c.create("/close/kept", jute.Persistent)
	c.ok(jute.Request{Op: jute.OpClose})
	if got := watcher.children("/close", false); fmt.Sprint(got) != "[kept]" {
		t.Errorf("there are %q", got)
	}
	c.isClosed()
	hasty.create("/close/hasty", jute.Ephemeral)
	watcher.exists("/close/hasty", true)
	hasty.send(jute.Request{Op: jute.OpClose})
	hasty.nc.Close()
	if got := watcher.await(1); got[0] != "2 /close/hasty" {
		t.Errorf("events: %q", got)
	}
}

// TestSilence: the session of a client that says nothing ends, with its nodes, and that of one that
// pings goes on.
func TestSilence(t *testing.T) {
	t.Parallel()
	f := startFront(t, func(o *Options) { o.SessionMin = time.Second })
	hello := func(c *client) *client {
		c.greet(&jute.Connect{Timeout: 1, Password: make([]byte, 16)})
		if c.hello.Timeout != 1000 || c.hello.HasReadOnly {
			t.Errorf("%+v", c.hello)
		}
		return c
	}
	silent, lively := hello(dialRaw(t, f.Addr())), hello(dialRaw(t, f.Addr()))
	lively.create("/silence", jute.Ephemeral)
	silent.create("/silent", jute.Ephemeral)
	lively.exists("/silent", true)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ; len(lively.events) == 0; <-tick.C {
		if p, err := lively.try(jute.Request{Xid: jute.PingXid, Op: jute.OpPing}); err != nil || p.Xid != jute.PingXid {
			t.Fatalf("a ping: %v", err)
		}
	}
	silent.isClosed()
	if got := dial(t, f, silent); got.hello.Session != 0 || lively.events[0] != "2 /silent" {
		t.Errorf("it goes on: %+v; events: %q", got.hello, lively.events)
	}
	if _, s := lively.get("/silence", false); s.Owner != lively.hello.Session {
		t.Errorf("the node of a client that pings: %+v", s)
	}
	most := startFront(t, func(o *Options) { o.SessionMax = 20 * time.Second })
	if c := dial(t, most, nil); c.hello.Timeout != 20_000 {
		t.Errorf("%+v", c.hello)
	}
}

// TestEndedElsewhere: a session that the view leader has ended is over for its client, however lively
// that is.
func TestEndedElsewhere(t *testing.T) {
	f := startFront(t, func(o *Options) { o.SessionMax = time.Second; o.SessionMin = time.Second })
	c := dial(t, f, nil)
	if err := f.opts.Client.Leader().SessionEnd(t.Context(), uint64(c.hello.Session)); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; {
		_, err = c.try(jute.Request{Xid: jute.PingXid, Op: jute.OpPing})
	}
	if got := dial(t, f, c); got.hello.Session != 0 {
		t.Errorf("it goes on: %+v", got.hello)
	}
}

// way is a front's to the view leader, which can be cut.
type way struct {
	leader string
	mu     sync.Mutex
	cut    bool
	conns  []net.Conn
}

func (w *way) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addr == w.leader && w.cut {
		return nil, errors.New("cut")
	}
	nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil && addr == w.leader {
		w.conns = append(w.conns, nc)
	}
	return nc, err
}

func (w *way) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, nc := range w.conns {
		_ = nc.Close() // of a test
	}
	w.cut, w.conns = cut, nil
}

// TestWithoutTheLeader: a front that can't ask the view leader whether a session goes on does not say so: it
// closes the connection before the session may have ended, and takes nobody in. Later it does.
func TestWithoutTheLeader(t *testing.T) {
	t.Parallel()
	w := &way{leader: cluster().Leader}
	o := route.Options(cluster().Options())
	o.Dialer = w.dial
	rc, err := route.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	f := startFront(t, func(o *Options) {
		o.Client = rc
		o.Patience = time.Second
		o.SessionMax, o.SessionMin = time.Second, time.Second
	})
	c := dial(t, f, nil)
	w.set(true)
	for err := error(nil); err == nil; {
		_, err = c.try(jute.Request{Xid: jute.PingXid, Op: jute.OpPing})
	}
	for _, session := range []*client{c, {}} {
		in := dialRaw(t, f.Addr())
		in.write(jute.AppendConnect(nil, &jute.Connect{Timeout: 1000, Session: session.hello.Session, Password: session.hello.Password}))
		if b, err := in.frame(); err == nil {
			t.Errorf("taken in: %x", b)
		}
	}
	w.set(false)
	for back := false; !back; {
		in := dialRaw(t, f.Addr())
		in.write(jute.AppendConnect(nil, &jute.Connect{Timeout: 1000, Password: make([]byte, 16)}))
		_, err := in.frame()
		back = err == nil
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// TestOtherProtocols: whatever comes to the port that is no client's, the connection is closed, and
// the front serves the others.
func TestOtherProtocols(t *testing.T) {
	f := startFront(t, nil)
	good := dial(t, f, nil)
	for what, text := range map[string]string{
		"HTTP":                 "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"RESP":                 "*1\r\n$4\r\nPING\r\n",
		"TLS":                  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"zeros":                strings.Repeat("\x00", 200),
		"ones":                 strings.Repeat("\xff", 200),
		"a short message":      "\x00\x00\x00\x04\x00\x00\x00\x00",
		"a message of 2 GiB":   "\x7f\xff\xff\xff",
		"a password of 2 GiB":  "\x00\x00\x00\x2c" + strings.Repeat("\x00", 24) + "\x7f\xff\xff\xff" + strings.Repeat("\x00", 16),
		"half a message":       "\x00\x00\x00\x2c\x00\x00",
		"half a length":        "\x00\x00",
		"a word that is known": "ruo",
	} {
		c := dialRaw(t, f.Addr())
		if _, err := io.WriteString(c.nc, text); err != nil {
			t.Fatal(err)
		}
		if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c.nc); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	for what, frame := range map[string][]byte{
		"no header": {1, 2, 3}, "an empty message": {},
	} {
		c := dial(t, f, nil)
		c.write(frame)
		c.isClosed()
		t.Log(what)
	}
	long := dial(t, f, nil)
	if _, err := long.nc.Write(jute.AppendInt(nil, frameMax+1)); err != nil {
		t.Fatal(err)
	}
	long.isClosed()
	if _, err := good.try(jute.Request{Op: jute.OpExists, Path: "/"}); err != nil {
		t.Errorf("another client: %v", err)
	}
	good.until("what the others have sent is given back", func() bool { return f.stats.held.Load() == 0 })
}

// TestWords: the four-letter words are answered as tools read them.
func TestWords(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	c.exists("/words", true)
	for text, want := range map[string]string{
		"ruok": "imok", "isro": "rw", "envi": "Environment:\nzookeeper.version=3.6.0-viewring, built on ",
		"srvr": "Zookeeper version: 3.6.0-viewring, built on 01/01/2020 00:00 UTC\nLatency min/avg/max: 0/",
		"stat": "Zookeeper version: 3.6.0-viewring, built on 01/01/2020 00:00 UTC\nClients:\n /127.0.0.1:",
		"mntr": "zk_version\t3.6.0-viewring",
	} {
		if got := word(t, f, text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
	mntr := word(t, f, "mntr")
	for !strings.Contains(mntr, "zk_outstanding_requests\t0\n") { // a request is counted until after its answer
		mntr = word(t, f, "mntr")
	}
	for _, line := range []string{"zk_watch_count\t1\n", "zk_global_sessions\t1\n", "zk_viewring_streams\t1\n", "zk_packets_received\t1\n"} {
		if !strings.Contains(mntr+"\n", line) {
			t.Errorf("mntr has no %q:\n%s", line, mntr)
		}
	}
}

// TestPassword: where the cluster has a password, clients say it by addauth before all else.
func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := startFront(t, func(o *Options) {
		var err error
		if o.Secure, err = secure.Load(secure.Files{Password: file}); err != nil {
			t.Fatal(err)
		}
	})
	auth := func(scheme, token string) jute.Request {
		return jute.Request{Xid: jute.AuthXid, Op: jute.OpAuth, Scheme: scheme, Data: []byte(token)}
	}
	c := dial(t, f, nil)
	if p := c.do(auth("digest", "anyone:secret")); p.Err != jute.OK {
		t.Errorf("the password: %v", p.Err)
	}
	c.ok(jute.Request{Op: jute.OpGetData, Path: "/"})
	for _, wrong := range []jute.Request{auth("digest", "anyone:wrong"), auth("digest", "secret"), auth("sasl", "anyone:secret")} {
		c := dial(t, f, nil)
		if p := c.do(wrong); p.Err != jute.AuthFailed {
			t.Errorf("%s %s: %v", wrong.Scheme, wrong.Data, p.Err)
		}
		c.isClosed()
	}
	c = dial(t, f, nil)
	c.ok(auth("ip", "")) // it is well, and good for nothing
	if p := c.do(jute.Request{Op: jute.OpGetData, Path: "/"}); p.Err != jute.NoAuth {
		t.Errorf("without the password: %v", p.Err)
	}
	c.isClosed()
	for leaderKnows(t, f, c) { // the front ends it
	}
	if got := word(t, f, "mntr"); strings.Contains(got, "zk_") {
		t.Errorf("a stranger is told %q", got)
	}
	open := dial(t, startFront(t, nil), nil)
	open.ok(auth("digest", "any:thing"))
	if p := open.do(auth("kerberos", "")); p.Err != jute.AuthFailed {
		t.Errorf("a scheme that nobody knows: %v", p.Err)
	}
}

// TestFlap: the session of a client that has said the password goes on when a connection of its ends before it
// could say it again; one that a stranger has opened ends with its connection.
func TestFlap(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := secure.Load(secure.Files{Password: file})
	if err != nil {
		t.Fatal(err)
	}
	f := startFront(t, func(o *Options) { o.Secure = conf })
	known, stranger := dial(t, f, nil), dial(t, f, nil)
	known.ok(jute.Request{Xid: jute.AuthXid, Op: jute.OpAuth, Scheme: "digest", Data: []byte("any:secret")})
	dial(t, f, known).nc.Close() // before it has said the password
	stranger.nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for f.stats.connected.Load() > 0 {
		if leaderKnows(t, f, known); ctx.Err() != nil {
			t.Fatal("the connections do not end")
		}
	}
	if !leaderKnows(t, f, known) || leaderKnows(t, f, stranger) {
		t.Errorf("goes on: of who has said the password %v, of a stranger %v", leaderKnows(t, f, known), leaderKnows(t, f, stranger))
	}
}

// TestCrowd: beyond its connections a front turns clients away, and one that leaves makes room.
func TestCrowd(t *testing.T) {
	f := startFront(t, func(o *Options) { o.Bounds.Connections = 2 })
	first, second := dial(t, f, nil), dial(t, f, nil)
	if b, err := io.ReadAll(dialRaw(t, f.Addr()).nc); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%q, %v", b, err)
	}
	first.ok(jute.Request{Op: jute.OpClose})
	second.exists("/", false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for { // the front learns of it
		if ctx.Err() != nil {
			t.Fatal("the one that has left makes no room")
		}
		c := dialRaw(t, f.Addr())
		c.write(jute.AppendConnect(nil, &jute.Connect{Timeout: 10_000, Password: make([]byte, 16)}))
		if _, err := c.frame(); err == nil {
			return
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// TestNotReading: a client that does not read what it is told is cut off, and others are served.
func TestNotReading(t *testing.T) {
	t.Parallel()
	f := startFront(t, func(o *Options) {
		o.Bounds.Buffered = 64 << 10
		o.Bounds.WriteTimeout = time.Second
	})
	c, other := dial(t, f, nil), dial(t, f, nil)
	path := c.create("/not-reading", jute.Persistent)
	c.set(path, strings.Repeat("v", 1<<20))
	for range 200 {
		c.send(jute.Request{Op: jute.OpGetData, Path: path})
	}
	other.until("it is cut off", func() bool { return f.stats.connected.Load() == 1 })
}

// TestOpening: a front opens no more than so many sessions at once, and takes sessions up all the same.
func TestOpening(t *testing.T) {
	var o opening
	now := time.Now()
	opened := func(tries int) (n int) {
		for range tries {
			if o.may(now) {
				n++
			}
		}
		return n
	}
	if n := opened(2 * sessionsBurst); n != sessionsBurst {
		t.Errorf("%d at once", n)
	}
	now = now.Add(2 * time.Second)
	if n := opened(sessionsBurst); n != 2*sessionsRate {
		t.Errorf("%d after 2 s", n)
	}
	now = now.Add(-time.Hour) // clocks
	if n := opened(10); n != 0 {
		t.Errorf("%d in the past", n)
	}
	f := startFront(t, nil)
	c := dial(t, f, nil)
	f.opening.mu.Lock()
	f.opening.spent, f.opening.at = sessionsBurst, time.Now().Add(time.Hour)
	f.opening.mu.Unlock()
	one := dialRaw(t, f.Addr())
	one.write(jute.AppendConnect(nil, &jute.Connect{Timeout: 10_000, Password: make([]byte, 16)}))
	if b, err := one.frame(); err == nil {
		t.Errorf("one more: %x", b)
	}
	if again := dial(t, f, c); again.hello.Session != c.hello.Session {
		t.Errorf("taken up as %x", again.hello.Session)
	}
}
