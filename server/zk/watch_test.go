package zk

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// TestWatches: each watch is told of what it is about, once, or again and again where it stays.
func TestWatches(t *testing.T) {
	f := startFront(t, nil)
	for i, tt := range []struct {
		what string
		set  func(c *client, at string)
		do   func(c *client, at string)
		want []string // events, of paths behind at
	}{
		{"data that is set", func(c *client, at string) { c.get(at+"/n", true) },
			func(c *client, at string) { c.set(at+"/n", "v"); c.set(at+"/n", "w") }, []string{"3 /n"}},
		{"data that is removed", func(c *client, at string) { c.get(at+"/n", true) },
			func(c *client, at string) { c.remove(at + "/n"); c.create(at+"/n", 0) }, []string{"2 /n"}},
		{"a node that is not there", func(c *client, at string) { c.exists(at+"/new", true) },
			func(c *client, at string) { c.create(at+"/new", 0); c.set(at+"/new", "v") }, []string{"1 /new"}},
		{"a node below what is not there", func(c *client, at string) { c.exists(at+"/new/below", true) },
			func(c *client, at string) { c.create(at+"/new", 0); c.create(at+"/new/below", 0) }, []string{"1 /new/below"}},
		{"a node that is there", func(c *client, at string) { c.exists(at+"/n", true) },
			func(c *client, at string) { c.create(at+"/n/child", 0); c.set(at+"/n", "v") }, []string{"3 /n"}},
		{"a child that comes", func(c *client, at string) { c.children(at, true) },
			func(c *client, at string) { c.set(at+"/n", "v"); c.create(at+"/new", 0); c.remove(at + "/new") }, []string{"4 "}},
		{"a child that goes", func(c *client, at string) { c.children(at, true) },
			func(c *client, at string) { c.remove(at + "/n") }, []string{"4 "}},
		{"children of a node that goes", func(c *client, at string) { c.children(at+"/n", true) },
			func(c *client, at string) { c.set(at+"/n", "v"); c.remove(at + "/n"); c.create(at+"/n", 0) }, []string{"2 /n"}},
		{"a node and its children, both watched", func(c *client, at string) { c.children(at+"/n", true); c.get(at+"/n", true) },
			func(c *client, at string) { c.remove(at + "/n") }, []string{"2 /n"}},
		{"a node and its parent's children", func(c *client, at string) { c.children(at, true); c.get(at+"/n", true) },
			func(c *client, at string) { c.remove(at + "/n") }, []string{"2 /n", "4 "}},
		{"a watch that was set twice", func(c *client, at string) { c.get(at+"/n", true); c.get(at+"/n", true) },
			func(c *client, at string) { c.set(at+"/n", "v") }, []string{"3 /n"}},
		{"a watch of what can't be read", func(c *client, at string) { c.do(jute.Request{Op: jute.OpGetData, Path: at + "/new", Watch: true}) },
			func(c *client, at string) { c.create(at+"/new", 0) }, nil},
		{"a watch that was removed", func(c *client, at string) {
			c.get(at+"/n", true)
			c.children(at, true)
			c.ok(jute.Request{Op: jute.OpCheckWatches, Path: at + "/n", Mode: jute.WatchersData})
			c.ok(jute.Request{Op: jute.OpRemoveWatches, Path: at + "/n", Mode: jute.WatchersData})
			c.ok(jute.Request{Op: jute.OpRemoveWatches, Path: at, Mode: jute.WatchersAny})
		}, func(c *client, at string) { c.set(at+"/n", "v"); c.create(at+"/new", 0) }, nil},
		{"a watch that stays", func(c *client, at string) {
			c.ok(jute.Request{Op: jute.OpAddWatch, Path: at + "/n", Mode: jute.WatchPersistent})
		}, func(c *client, at string) {
			c.set(at+"/n", "v")
			c.create(at+"/n/child", 0)
			c.set(at+"/n/child", "v")
			c.remove(at + "/n/child")
			c.remove(at + "/n")
			c.create(at+"/n", 0)
		}, []string{"1 /n", "2 /n", "3 /n", "4 /n", "4 /n"}},
		{"a watch of all below", func(c *client, at string) {
			c.ok(jute.Request{Op: jute.OpAddWatch, Path: at, Mode: jute.WatchPersistentRecursive})
			c.ok(jute.Request{Op: jute.OpAddWatch, Path: at + "/n", Mode: jute.WatchPersistentRecursive})
			c.get(at+"/n", true)
		}, func(c *client, at string) {
			c.set(at, "v")
			c.set(at+"/n", "v")
			c.create(at+"/n/child", 0)
			c.create(at+"x", 0)
			c.remove(at + "/n/child")
		}, []string{"1 /n/child", "2 /n/child", "3 ", "3 /n"}},
		{"changes that are one", func(c *client, at string) { c.children(at, true); c.get(at+"/n", true); c.exists(at+"/new", true) },
			func(c *client, at string) {
				c.ok(jute.Request{Op: jute.OpMulti, Ops: []jute.Request{{Op: jute.OpSetData, Path: at + "/n", Version: -1},
					{Op: jute.OpCreate, Path: at + "/new", ACL: jute.Open}, {Op: jute.OpCreate, Path: at + "/other", ACL: jute.Open}}})
			}, []string{"1 /new", "3 /n", "4 "}},
	} {
		at := fmt.Sprintf("/watches%d", i)
		watcher, doer := dial(t, f, nil), dial(t, f, nil)
		doer.create(at, 0)
		doer.create(at+"/n", 0)
		tt.set(watcher, at)
		tt.do(doer, at)
		watcher.children(at, false) // its answer comes behind all events of the directory
		watcher.exists(at+"/n", false)
		if watcher.exists(at, false) {
			watcher.children("/", false)
		}
		got := slices.Clone(watcher.events)
		for len(got) < len(tt.want) { // of another directory
			got = slices.Clone(watcher.await(len(got) + 1))
		}
		var want []string
		for _, e := range tt.want {
			want = append(want, e[:2]+at+e[2:])
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.what, got, want)
		}
	}
}

// TestWatchesSetAgain: a client that comes back is told of all that may have changed, also at another
// front, and then of what changes.
func TestWatchesSetAgain(t *testing.T) {
	f := startFront(t, nil)
	doer, c := dial(t, f, nil), dial(t, f, nil)
	for _, path := range []string{"/again", "/again/gone", "/again/set", "/again/same", "/again/parent"} {
		doer.create(path, 0)
	}
	c.exists("/again/same", false)
	c.nc.Close()
	doer.remove("/again/gone")
	doer.set("/again/set", "v")
	doer.create("/again/new", 0)
	doer.create("/again/parent/child", 0)
	back := dial(t, startFront(t, nil), c)
	p := back.ok(jute.Request{Xid: jute.SetWatchesXid, Op: jute.OpSetWatches2, Zxid: c.zxid, Watches: jute.Watches{
		Data: []string{"/again/gone", "/again/set"}, Exist: []string{"/again/new", "/again/not"}, Children: []string{"/again/parent"},
		Persistent: []string{"/again/parent"}, Recursive: []string{"/again/same"}}})
	slices.Sort(back.events)
	if got := fmt.Sprint(back.events); p.Xid != jute.SetWatchesXid || got != "[1 /again/new 2 /again/gone 3 /again/set 4 /again/parent]" {
		t.Errorf("%d: %s", p.Xid, got)
	}
	back.events = nil
	doer.create("/again/not", 0)
	doer.create("/again/parent/other", 0)
	doer.create("/again/same/below", 0)
	if got := slices.Sorted(slices.Values(back.await(3))); fmt.Sprint(got) != "[1 /again/not 1 /again/same/below 4 /again/parent]" {
		t.Errorf("%q", got)
	}
}

// TestNothingLeft: watches that have fired, and clients that have left, leave no listening behind, and
// then no stream.
func TestNothingLeft(t *testing.T) {
	f := startFront(t, nil)
	c, leaver := dial(t, f, nil), dial(t, f, nil)
	c.create("/left", 0)
	c.create("/left/n", 0)
	for _, w := range []*client{c, leaver} {
		w.get("/left/n", true)
		w.children("/left/n", true)
		w.exists("/left/none", true)
		w.do(jute.Request{Op: jute.OpGetData, Path: "/left/none", Watch: true})
	}
	leaver.ok(jute.Request{Op: jute.OpAddWatch, Path: "/left", Mode: jute.WatchPersistentRecursive})
	later := time.Now().Add(time.Hour)
	f.hub.endIdle(later)
	if n := f.hub.count(); n != 4 { // the children of /, /left and /left/n, and all below /left
		t.Errorf("%d streams are there", n)
	}
	leaver.ok(jute.Request{Op: jute.OpClose})
	c.create("/left/n/child", 0) // fires the watch of the children
	c.remove("/left/n/child")
	c.set("/left/n", "v")
	c.create("/left/none", 0)
	c.exists("/", false) // tidies
	c.until("the streams end", func() bool {
		f.hub.endIdle(later)
		return f.hub.count() == 0
	})
	if n := f.stats.watches.Load(); n != 0 || len(c.events) != 3 {
		t.Errorf("%d watches are left; events: %q", n, c.events)
	}
	c.get("/left/n", true)
	c.set("/left/n", "w")
	if len(c.events) != 4 {
		t.Errorf("events: %q", c.events)
	}
}

// TestAnew: when servers do not know any more what was changed, who watches is told of what is not as
// it was, and of nothing else; whom reading does not help has to connect anew.
func TestAnew(t *testing.T) {
	f := startFront(t, nil)
	c, stays, below := dial(t, f, nil), dial(t, f, nil), dial(t, f, nil)
	c.create("/anew", 0)
	for _, path := range []string{"/anew/set", "/anew/gone", "/anew/same"} {
		c.create(path, 0)
		c.get(path, true)
	}
	c.children("/anew", true)
	c.exists("/anew/never", true)
	stays.ok(jute.Request{Op: jute.OpAddWatch, Path: "/anew/set", Mode: jute.WatchPersistent})
	below.ok(jute.Request{Op: jute.OpAddWatch, Path: "/anew", Mode: jute.WatchPersistentRecursive})
	f.mu.Lock()
	here := f.mu.sessions[uint64(c.hello.Session)]
	f.mu.Unlock()
	ws := &here.watches
	ws.mu.Lock() // as if it had been told less than was done
	ws.mu.paths["/anew/set"].node.Seq--
	ws.mu.paths["/anew"].children.Seq--
	ws.mu.paths["/anew/none"] = &watched{armed: ofData, exists: true, node: ws.mu.paths["/anew/gone"].node}
	ws.mu.Unlock()
	s, err := f.hub.get(t.Context(), streamKey{path: "/anew"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	s.add(here, "none")
	s.add(here, "never")
	if !s.anew() {
		t.Fatal("the stream is over")
	}
	c.exists("/anew", false)
	if slices.Sort(c.events); fmt.Sprint(c.events) != "[2 /anew/none 3 /anew/set 4 /anew]" {
		t.Errorf("events: %q", c.events)
	}
	stays.isClosed()
	all, err := f.hub.get(t.Context(), streamKey{path: "/anew", below: true})
	if err != nil {
		t.Fatal(err)
	}
	defer all.release()
	all.anew()
	below.isClosed()
}

// hammer changes nodes of a directory until the test has seen enough.
func hammer(t *testing.T, f *Front, change func(c *client, i int)) (stop func()) {
	t.Helper()
	c := dial(t, f, nil)
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			default:
				change(c, i)
			}
		}
	})
	return func() {
		close(over)
		running.Wait()
	}
}

// TestEventBeforeState: no answer shows a state before the event that led to it was told, whatever is
// read: data, its absence, the parent's children, or a sibling that was changed later.
func TestEventBeforeState(t *testing.T) {
	t.Parallel()
	f := startPausing(t, nil, slowed)
	c := dial(t, f, nil)
	c.create("/before", 0)
	c.create("/before/a", 0)
	c.create("/before/b", 0)
	stop := hammer(t, f, func(w *client, i int) {
		value := strconv.Itoa(i)
		w.create("/before/c", 0)
		w.set("/before/c", value)
		w.set("/before/a", value)
		w.set("/before/b", value)
		w.remove("/before/c")
		w.get("/before/b", true) // so it is no faster than what is told
	})
	defer stop()
	number := func(path string, watch bool) (n int) {
		p := c.do(jute.Request{Op: jute.OpGetData, Path: path, Watch: watch})
		if p.Err != jute.OK {
			return -1
		}
		n, _ = strconv.Atoi(p.body.String()) // "" is 0
		return n
	}
	// Each sets a watch, and returns what tells whether an answer shows that something has changed since; nil
	// where the moment is none for that.
	rounds := map[string]func() (changed func() bool){
		"data": func() func() bool {
			was := number("/before/a", true)
			return func() bool { return number("/before/a", false) != was }
		},
		"a sibling that was set later": func() func() bool {
			was := number("/before/a", true)
			return func() bool { return number("/before/b", false) > was }
		},
		"children": func() func() bool {
			was := len(c.children("/before", true))
			return func() bool { return len(c.children("/before", false)) != was }
		},
		"a node that goes or comes": func() func() bool {
			was := c.exists("/before/c", true)
			return func() bool { return c.exists("/before/c", false) != was }
		},
		"a sibling that is gone since": func() func() bool {
			if cycle := number("/before/c", false); cycle <= number("/before/b", true) {
				return nil // it was set in this cycle
			}
			return func() bool { return !c.exists("/before/c", false) }
		},
		"own writes": func() func() bool {
			c.children("/before", true)
			c.remove(c.create("/before/s-", jute.PersistentSequential))
			return func() bool { return true }
		},
	}
	for what, round := range rounds {
		for shown := 0; shown < 12; {
			c.events = nil
			changed := round()
			if changed == nil {
				continue
			}
			for !changed() {
			}
			if shown++; len(c.events) == 0 {
				t.Errorf("%s: an answer shows what no event has told", what)
				break
			}
		}
	}
}

// TestNoneMissed: a change is told however it falls between a read, its answer and the arming of the
// watch: each change comes when all readers have just read the one before.
func TestNoneMissed(t *testing.T) {
	t.Parallel()
	first, second := startPausing(t, nil, slowed), startFront(t, nil)
	const changes = 60
	w := dial(t, first, nil)
	w.create("/missed", 0)
	w.create("/missed/n", 0)
	looks := []func(c *client, k int) bool{ // with a watch: whether change k has come
		func(c *client, k int) bool { _, s := c.get("/missed/n", true); return int(s.Version) >= k },
		func(c *client, k int) bool {
			return slices.Contains(c.children("/missed", true), fmt.Sprint("c", k))
		},
		func(c *client, k int) bool { return c.exists(fmt.Sprint("/missed/c", k), true) },
	}
	saw := make(chan int, 2*len(looks)*(changes+1))
	var running sync.WaitGroup
	for i := range 2 * len(looks) {
		c := dial(t, []*Front{first, second}[i%2], nil)
		running.Go(func() {
			for k := 1; k <= changes; k++ {
				for !looks[i/2](c, k) {
					for c.events = nil; len(c.events) == 0; {
						if _, _, err := c.next(); err != nil {
							t.Errorf("client %d: change %d was missed: %v", i, k, err)
							saw <- -1
							return
						}
					}
				}
				saw <- i
			}
		})
	}
	defer running.Wait()
	for k := 1; k <= changes; k++ {
		w.set("/missed/n", strconv.Itoa(k))
		w.create(fmt.Sprint("/missed/c", k), 0)
		for range 2 * len(looks) {
			if <-saw < 0 {
				return
			}
		}
	}
}

// table is a connection's watches with nobody at the other end.
func table(t *testing.T) *conn {
	t.Helper()
	f := &Front{ctx: t.Context()}
	f.opts.Bounds.Fill()
	f.opts.fill()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	c := newConn(f, here)
	c.out.mu.writing = true // nobody takes what is in line
	return c
}

// said takes the events in line, and nothing else.
func said(t *testing.T, c *conn) (events []string) {
	t.Helper()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	r := jute.NewReader(c.out.mu.waiting)
	for r.Left() > 0 {
		m := jute.NewReader(r.Bytes())
		if p := m.Reply(); p.Xid != jute.EventXid {
			t.Fatalf("an answer: %+v", p)
		}
		e, path := m.Event()
		events = append(events, fmt.Sprintf("%d %s", e, path))
	}
	c.out.mu.waiting = nil
	return events
}

// TestWatchTable: which events of what versions are told after what was read.
func TestWatchTable(t *testing.T) {
	at := func(n uint64) route.Position { return route.Position{Term: 1, Seq: n} }
	version := func(n uint64) wire.TreeVersion { return wire.TreeVersion(at(n)) }
	begin := func(c *conn, k kinds) { // prepare without streams
		w := &watched{}
		w.count(k, 1)
		c.watches.mu.paths["/d/n"] = w
	}
	there := seen{exists: true, node: version(5), id: version(3), children: version(7)}
	for _, tt := range []struct {
		what string
		do   func(c *conn)
		want string
		left int // paths that are watched
	}{
		{"a change that was read", func(c *conn) {
			begin(c, ofData)
			c.watches.arm("/d/n", ofData, there)
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(5))
		}, "[]", 1},
		{"a change after that, and one more", func(c *conn) {
			begin(c, ofData)
			c.watches.arm("/d/n", ofData, there)
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(6))
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(8))
		}, "[3 /d/n]", 0},
		{"what came before the answer was in line", func(c *conn) {
			begin(c, ofData)
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(5))
			c.watches.tellNode("/d/n", jute.NodeDeleted, at(6))
			c.watches.tellNode("/d/n", jute.NodeCreated, at(9))
			c.watches.arm("/d/n", ofData, there)
		}, "[2 /d/n]", 0},
		{"so much came that not all of it is kept", func(c *conn) {
			begin(c, ofData)
			for i := range uint64(missedMax + 5) {
				c.watches.tellNode("/d/n", jute.NodeDataChanged, at(i))
			}
			there := there
			there.node = version(missedMax + 3)
			c.watches.arm("/d/n", ofData, there)
		}, "[3 /d/n]", 0},
		{"a child came amid so much that not all of it is kept", func(c *conn) {
			begin(c, ofChildren)
			for i := range uint64(missedMax + 5) {
				c.watches.tellNode("/d/n", jute.NodeDataChanged, at(8+i))
			}
			c.watches.tellChildren("/d/n", at(50))
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(51))
			c.watches.arm("/d/n", ofChildren, there)
		}, "[4 /d/n]", 0},
		{"it was removed amid so many children that not all is kept", func(c *conn) {
			begin(c, ofData)
			for i := range uint64(missedMax + 5) {
				c.watches.tellChildren("/d/n", at(8+i))
			}
			c.watches.tellNode("/d/n", jute.NodeDeleted, at(50))
			c.watches.tellChildren("/d/n", at(51))
			c.watches.arm("/d/n", ofData, there)
		}, "[2 /d/n]", 0},
		{"nothing came of the read", func(c *conn) {
			begin(c, ofData)
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(6))
			c.watches.giveUp("/d/n", ofData)
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(7))
		}, "[]", 0},
		{"a removal of before, and a node that comes", func(c *conn) {
			begin(c, ofData)
			c.watches.arm("/d/n", ofData, seen{})
			c.watches.tellNode("/d/n", jute.NodeDeleted, at(4))
			c.watches.tellNode("/d/n", jute.NodeCreated, at(6))
		}, "[1 /d/n]", 0},
		{"children that came before and after", func(c *conn) {
			begin(c, ofChildren)
			c.watches.arm("/d/n", ofChildren, there)
			c.watches.tellChildren("/d/n", at(7))
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(9))
			c.watches.tellNode("/d/n", jute.NodeDeleted, at(3)) // a node of before
			c.watches.tellChildren("/d/n", at(8))
			c.watches.tellNode("/d/n", jute.NodeDeleted, at(10))
		}, "[4 /d/n]", 0},
		{"anew, and nothing has changed", func(c *conn) {
			begin(c, ofData|ofChildren)
			c.watches.arm("/d/n", ofData|ofChildren, there)
			c.watches.compareNode("/d/n", &wire.TreeNode{ID: version(3), Modified: version(5)})
			c.watches.compareChildren("/d/n", version(7))
		}, "[]", 1},
		{"anew, and it was set", func(c *conn) {
			begin(c, ofData|ofChildren)
			c.watches.arm("/d/n", ofData|ofChildren, there)
			c.watches.compareNode("/d/n", &wire.TreeNode{ID: version(3), Modified: version(6)})
			c.watches.compareChildren("/d/n", version(9))
		}, "[3 /d/n 4 /d/n]", 0},
		{"anew, and it is gone", func(c *conn) {
			begin(c, ofData|ofChildren)
			c.watches.arm("/d/n", ofData|ofChildren, there)
			c.watches.compareNode("/d/n", nil)
			c.watches.compareChildren("/d/n", wire.TreeVersion{})
		}, "[2 /d/n]", 0},
		{"anew, and it is another", func(c *conn) {
			begin(c, ofChildren)
			c.watches.arm("/d/n", ofChildren, there)
			c.watches.compareNode("/d/n", &wire.TreeNode{ID: version(6), Modified: version(6)})
		}, "[2 /d/n]", 0},
		{"anew, and it is another, whose data is watched too", func(c *conn) {
			begin(c, ofData|ofChildren)
			c.watches.arm("/d/n", ofData|ofChildren, there)
			c.watches.compareNode("/d/n", &wire.TreeNode{ID: version(6), Modified: version(6)})
		}, "[2 /d/n 3 /d/n]", 0},
		{"anew, and it has come", func(c *conn) {
			begin(c, ofData)
			c.watches.arm("/d/n", ofData, seen{})
			c.watches.compareNode("/d/n", nil)
			c.watches.compareNode("/d/n", &wire.TreeNode{ID: version(6), Modified: version(6)})
		}, "[1 /d/n]", 0},
		{"two streams that tell the same", func(c *conn) {
			begin(c, recursive)
			c.watches.arm("/d/n", recursive, seen{})
			c.watches.tellNode("/d/n", jute.NodeDataChanged, at(6))
			c.watches.tellBelow("/d/n", "/d/n/x", jute.NodeCreated, at(6))
			c.watches.tellBelow("/d/n", "/d/n/x", jute.NodeCreated, at(6))
			c.watches.tellBelow("/d/n", "/d/n/x", jute.NodeDataChanged, at(7))
		}, "[3 /d/n 1 /d/n/x 3 /d/n/x]", 1},
	} {
		c := table(t)
		tt.do(c)
		if got := fmt.Sprint(said(t, c)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
		if n := len(c.watches.mu.paths); n != tt.left {
			t.Errorf("%s: %d paths are watched, want %d", tt.what, n, tt.left)
		}
	}
}
