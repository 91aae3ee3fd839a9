package zk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"viewring/server/zk/jute"
)

// TestErrors: what makes no sense is refused by the code that ZooKeeper's clients know, and nothing
// is lost.
func TestErrors(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	for _, path := range []string{"/bad", "/bad/full", "/bad/full/child"} {
		c.create(path, jute.Persistent)
	}
	c.create("/bad/mine", jute.Ephemeral)
	large := make([]byte, 1<<20+1)
	for _, tt := range []struct {
		what string
		q    jute.Request
		want jute.Code
	}{
		{"create without a parent", jute.Request{Op: jute.OpCreate, Path: "/bad/no/child", ACL: jute.Open}, jute.NoNode},
		{"create what exists", jute.Request{Op: jute.OpCreate, Path: "/bad", ACL: jute.Open}, jute.NodeExists},
		{"create the root", jute.Request{Op: jute.OpCreate, Path: "/", ACL: jute.Open}, jute.NodeExists},
		{"create below a session's node", jute.Request{Op: jute.OpCreate, Path: "/bad/mine/x", ACL: jute.Open}, jute.NoChildrenForEphemerals},
		{"create with other flags", jute.Request{Op: jute.OpCreate, Path: "/bad/x", ACL: jute.Open, Flags: 9}, jute.BadArguments},
		{"create with a time to live", jute.Request{Op: jute.OpCreateTTL, Path: "/bad/x", ACL: jute.Open, Flags: 5}, jute.Unimplemented},
		{"create without a list", jute.Request{Op: jute.OpCreate, Path: "/bad/x"}, jute.InvalidACL},
		{"create with another list", jute.Request{Op: jute.OpCreate, Path: "/bad/x", ACL: []jute.ACL{{Perms: 1, Scheme: "world", ID: "anyone"}}}, jute.InvalidACL},
		{"create with a bad name", jute.Request{Op: jute.OpCreate, Path: "/bad/../x", ACL: jute.Open}, jute.BadArguments},
		{"create too large a node", jute.Request{Op: jute.OpCreate, Path: "/bad/x", ACL: jute.Open, Data: large}, jute.BadArguments},
		{"remove the root", jute.Request{Op: jute.OpDelete, Path: "/", Version: -1}, jute.BadArguments},
		{"remove what is absent", jute.Request{Op: jute.OpDelete, Path: "/bad/no", Version: -1}, jute.NoNode},
		{"remove what has children", jute.Request{Op: jute.OpDelete, Path: "/bad/full", Version: -1}, jute.NotEmpty},
		{"remove at another version", jute.Request{Op: jute.OpDelete, Path: "/bad/full/child", Version: 7}, jute.BadVersion},
		{"set at another version", jute.Request{Op: jute.OpSetData, Path: "/bad", Version: 7}, jute.BadVersion},
		{"set at no version", jute.Request{Op: jute.OpSetData, Path: "/bad", Version: -2}, jute.BadVersion},
		{"set what is absent", jute.Request{Op: jute.OpSetData, Path: "/bad/no", Version: -1}, jute.NoNode},
		{"set below what is absent", jute.Request{Op: jute.OpSetData, Path: "/no/no", Version: -1}, jute.NoNode},
		{"set too large a value", jute.Request{Op: jute.OpSetData, Path: "/bad", Version: -1, Data: large}, jute.BadArguments},
		{"get what is absent", jute.Request{Op: jute.OpGetData, Path: "/bad/no"}, jute.NoNode},
		{"get by a bad path", jute.Request{Op: jute.OpGetData, Path: "bad"}, jute.BadArguments},
		{"list what is absent", jute.Request{Op: jute.OpGetChildren, Path: "/bad/no"}, jute.NoNode},
		{"list what is absent, with its Stat", jute.Request{Op: jute.OpGetChildren2, Path: "/bad/no"}, jute.NoNode},
		{"a list of what is absent", jute.Request{Op: jute.OpGetACL, Path: "/bad/no"}, jute.NoNode},
		{"set another list", jute.Request{Op: jute.OpSetACL, Path: "/bad", Version: -1, ACL: []jute.ACL{{Perms: 31, Scheme: "digest", ID: "a:b"}}}, jute.InvalidACL},
		{"set a list at another version", jute.Request{Op: jute.OpSetACL, Path: "/bad", Version: 3, ACL: jute.Open}, jute.BadVersion},
		{"sync by a bad path", jute.Request{Op: jute.OpSync, Path: "/x/"}, jute.BadArguments},
		{"a watch of another mode", jute.Request{Op: jute.OpAddWatch, Path: "/bad", Mode: 2}, jute.BadArguments},
		{"remove a watch that is not there", jute.Request{Op: jute.OpRemoveWatches, Path: "/bad", Mode: jute.WatchersAny}, jute.NoWatcher},
		{"remove a watch of another kind", jute.Request{Op: jute.OpRemoveWatches, Path: "/bad", Mode: 9}, jute.BadArguments},
		{"look for a watch that is not there", jute.Request{Op: jute.OpCheckWatches, Path: "/bad", Mode: jute.WatchersData}, jute.NoWatcher},
		{"an unknown type", jute.Request{Op: 77}, jute.Unimplemented},
		{"reconfig", jute.Request{Op: 16}, jute.Unimplemented},
		{"check by itself", jute.Request{Op: jute.OpCheck, Path: "/bad"}, jute.Unimplemented},
		{"changes of two parents", jute.Request{Op: jute.OpMulti, Ops: []jute.Request{{Op: jute.OpCheck, Path: "/bad", Version: -1}, {Op: jute.OpCheck, Path: "/bad/full", Version: -1}}}, jute.Unimplemented},
		{"too many changes", jute.Request{Op: jute.OpMulti, Ops: slices.Repeat([]jute.Request{{Op: jute.OpCheck, Path: "/bad", Version: -1}}, 101)}, jute.BadArguments},
		{"a read among changes", jute.Request{Op: jute.OpMulti, Ops: []jute.Request{{Op: jute.OpGetData, Path: "/bad"}}}, jute.BadArguments},
	} {
		if p := c.do(tt.q); p.Err != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, p.Err, tt.want)
		}
	}
	c.xid++
	c.write(append(jute.AppendInt(jute.AppendInt(nil, c.xid), int32(jute.OpGetData)), 0, 0, 0, 99))
	if p, _, err := c.next(); err != nil || p.Err != jute.MarshallingError {
		t.Errorf("a request that ends too soon: %v, %v", p.Err, err)
	}
	if got := c.children("/bad", false); fmt.Sprint(slices.Sorted(slices.Values(got))) != "[full mine]" {
		t.Errorf("after all that: %q", got)
	}
}

// TestMulti: changes of one parent are one, and their results are ZooKeeper's.
func TestMulti(t *testing.T) {
	c := dial(t, startFront(t, nil), nil)
	c.create("/multi", jute.Persistent)
	c.create("/multi/full", jute.Persistent)
	c.create("/multi/full/child", jute.Persistent)
	c.create("/multi/had", jute.Persistent)
	c.create("/multi/had/child", jute.Persistent)
	c.remove("/multi/had/child")
	for _, tt := range []struct {
		what string
		ops  []jute.Request
		want string
	}{
		{"nothing", nil, ""},
		{"all kinds", []jute.Request{
			{Op: jute.OpCreate, Path: "/multi/a", ACL: jute.Open, Data: []byte("v")},
			{Op: jute.OpCreate2, Path: "/multi/s-", ACL: jute.Open, Flags: jute.EphemeralSequential},
			{Op: jute.OpSetData, Path: "/multi/a", Data: []byte("value"), Version: 0},
			{Op: jute.OpCheck, Path: "/multi/a", Version: 1},
			{Op: jute.OpSetData, Path: "/multi/a", Data: []byte("values"), Version: -1},
			{Op: jute.OpCreate, Path: "/multi/b", ACL: jute.Open},
			{Op: jute.OpDelete, Path: "/multi/b", Version: 0},
		}, "create /multi/a; create2 /multi/s-0000000000 0 owned; set 1 5; check; set 2 6; create /multi/b; delete; "},
		{"one that fails", []jute.Request{
			{Op: jute.OpCreate, Path: "/multi/x", ACL: jute.Open},
			{Op: jute.OpDelete, Path: "/multi/full", Version: -1},
			{Op: jute.OpCreate, Path: "/multi/y", ACL: jute.Open},
		}, "error ok; error not empty; error runtime inconsistency; "},
		{"a node that had children, among others", []jute.Request{
			{Op: jute.OpCreate, Path: "/multi/x", ACL: jute.Open},
			{Op: jute.OpDelete, Path: "/multi/had", Version: -1},
		}, "error ok; error unimplemented; "},
		{"a node that had children, alone", []jute.Request{{Op: jute.OpDelete, Path: "/multi/had", Version: -1}}, "delete; "},
		{"a node that has children, alone", []jute.Request{{Op: jute.OpDelete, Path: "/multi/full", Version: -1}}, "error not empty; "},
		{"a bad path", []jute.Request{{Op: jute.OpCheck, Path: "/multi/a", Version: -1}, {Op: jute.OpDelete, Path: "/multi//", Version: -1}}, "error ok; error bad arguments; "},
		{"a check that fails", []jute.Request{{Op: jute.OpCheck, Path: "/multi/a", Version: 9}, {Op: jute.OpCreate, Path: "/multi/x", ACL: jute.Open}}, "error bad version; error runtime inconsistency; "},
		{"no parent", []jute.Request{{Op: jute.OpCreate, Path: "/none/x", ACL: jute.Open}}, "error no node; "},
	} {
		if got := showMulti(c.ok(jute.Request{Op: jute.OpMulti, Ops: tt.ops}).body); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
	if got := fmt.Sprint(slices.Sorted(slices.Values(c.children("/multi", false)))); got != "[a full s-0000000000]" {
		t.Errorf("after all that: %s", got)
	}
	p := c.ok(jute.Request{Op: jute.OpMultiRead, Ops: []jute.Request{{Op: jute.OpGetData, Path: "/multi/a"}, {Op: jute.OpGetData, Path: "/no"}, {Op: jute.OpGetChildren, Path: "/multi/full"}}})
	if got := showMulti(p.body); got != "data values 2; error no node; children [child]; " {
		t.Errorf("reads: %q", got)
	}
}

// showMulti is the answer to a multi as people read it.
func showMulti(r *jute.Reader) string {
	var b strings.Builder
	for {
		op, done, _ := r.MultiHeader()
		switch {
		case r.Err() != nil || done:
			if r.Err() != nil || r.Left() > 0 {
				fmt.Fprintf(&b, "%v, %d bytes are left", r.Err(), r.Left())
			}
			return b.String()
		case op == jute.OpCreate:
			fmt.Fprintf(&b, "create %s; ", r.String())
		case op == jute.OpCreate2:
			path, s := r.String(), r.Stat()
			owned := map[bool]string{true: "owned", false: "free"}[s.Owner != 0]
			fmt.Fprintf(&b, "create2 %s %d %s; ", path, s.Version, owned)
		case op == jute.OpSetData:
			s := r.Stat()
			fmt.Fprintf(&b, "set %d %d; ", s.Version, s.DataLength)
		case op == jute.OpCheck:
			b.WriteString("check; ")
		case op == jute.OpDelete:
			b.WriteString("delete; ")
		case op == jute.OpGetData:
			value, s := r.String(), r.Stat()
			fmt.Fprintf(&b, "data %s %d; ", value, s.Version)
		case op == jute.OpGetChildren:
			fmt.Fprintf(&b, "children %v; ", r.Strings())
		default:
			fmt.Fprintf(&b, "error %v; ", jute.Code(r.Int()))
		}
	}
}

// TestStats: what a node is told to be, through all that is done with it.
func TestStats(t *testing.T) {
	c := dial(t, startFront(t, nil), nil)
	p := c.ok(jute.Request{Op: jute.OpCreate2, Path: "/stats", ACL: jute.Open, Data: []byte("one")})
	if path := p.body.String(); path != "/stats" {
		t.Fatal(path)
	}
	made := p.body.Stat()
	if got := c.ok(jute.Request{Op: jute.OpExists, Path: "/stats"}).body.Stat(); got != made || made.Created == 0 || made.CreatedAt == 0 || made.DataLength != 3 || made.ChildrenChanged != made.Created {
		t.Errorf("created as %+v, is %+v", made, got)
	}
	set := c.set("/stats", "three")
	if set.Version != 1 || set.Modified <= made.Modified || set.Created != made.Created || set.DataLength != 5 {
		t.Errorf("set: %+v", set)
	}
	c.create("/stats/a", jute.Ephemeral)
	c.create("/stats/b", jute.Container)
	c.remove("/stats/b")
	p = c.ok(jute.Request{Op: jute.OpGetChildren2, Path: "/stats"})
	names, s := p.body.Strings(), p.body.Stat()
	if fmt.Sprint(names) != "[a]" || s.ChildrenCount != 1 || s.ChildrenVersion != 3 || s.Modified != set.Modified || s.ChildrenChanged == made.ChildrenChanged {
		t.Errorf("%q, %+v", names, s)
	}
	value, got := c.get("/stats", false)
	if value != "three" || got != s {
		t.Errorf("%q, %+v, want %+v", value, got, s)
	}
	if _, a := c.get("/stats/a", false); a.Owner != c.hello.Session {
		t.Errorf("owned by %x, not %x", a.Owner, c.hello.Session)
	}
	p = c.ok(jute.Request{Op: jute.OpGetACL, Path: "/stats"})
	if b := jute.AppendStat(jute.AppendACL(nil, jute.Open), &s); p.body.Left() != len(b) {
		t.Errorf("%d bytes of a list, want %d", p.body.Left(), len(b))
	}
	if got := c.ok(jute.Request{Op: jute.OpSetACL, Path: "/stats", ACL: jute.Open, Version: -1}).body.Stat(); got != s {
		t.Errorf("after the list was set: %+v", got)
	}
	if got := c.ok(jute.Request{Op: jute.OpSync, Path: "/stats"}).body.String(); got != "/stats" {
		t.Error(got)
	}
	if _, root := c.get("/", false); root.ChildrenCount == 0 {
		t.Errorf("the root: %+v", root)
	}
}

// TestPages: a directory of several pages is listed whole, and a front with many watchers of one
// directory has one stream of it.
func TestPages(t *testing.T) {
	f := startFront(t, nil)
	c := dial(t, f, nil)
	c.create("/pages", 0)
	const pages, each = 23, 100
	for p := range pages {
		var ops []jute.Request
		for i := range each {
			ops = append(ops, jute.Request{Op: jute.OpCreate, Path: fmt.Sprintf("/pages/%d-%d", p, i), ACL: jute.Open})
		}
		c.ok(jute.Request{Op: jute.OpMulti, Ops: ops})
	}
	reply := c.ok(jute.Request{Op: jute.OpGetChildren2, Path: "/pages"})
	names, s := reply.body.Strings(), reply.body.Stat()
	slices.Sort(names)
	if len(slices.Compact(names)) != pages*each || s.ChildrenCount != pages*each {
		t.Errorf("%d names, %+v", len(names), s)
	}
	for i, name := range names[:200] {
		watcher := c
		if i%20 == 0 {
			watcher = dial(t, f, nil)
		}
		watcher.get("/pages/"+name, true)
	}
	if n := f.hub.count(); n != 1 {
		t.Errorf("%d streams", n)
	}
	if n := f.stats.watches.Load(); n != 200 {
		t.Errorf("%d watches", n)
	}
}

// TestInOrder: what is asked without waiting is answered in its order, and pings at any time.
func TestInOrder(t *testing.T) {
	c := dial(t, startFront(t, nil), nil)
	c.create("/order", jute.Persistent)
	const n = 300 // more than wait in line
	go func() {
		for i := range n {
			c.send(jute.Request{Op: jute.OpSetData, Path: "/order", Data: fmt.Append(nil, i), Version: int32(i)})
			c.send(jute.Request{Op: jute.OpGetData, Path: "/order"})
			if i%50 == 0 {
				c.send(jute.Request{Xid: jute.PingXid, Op: jute.OpPing})
			}
		}
	}()
	pings := 0
	for want := int32(2); want < 2*n+2; {
		p, ok, err := c.next()
		switch {
		case err != nil || !ok || p.Err != jute.OK:
			t.Fatalf("at %d: %v, %v", want, p.Err, err)
		case p.Xid == jute.PingXid:
			pings++
			continue
		case p.Xid != want:
			t.Fatalf("an answer to %d, not %d", p.Xid, want)
		}
		if want%2 == 1 && p.body.String() != fmt.Sprint(want/2-1) {
			t.Fatalf("%d shows another state", want)
		}
		want++
	}
	if pings != n/50 {
		t.Errorf("%d pings are answered", pings)
	}
}
