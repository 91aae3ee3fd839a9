package server

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// keyPage asks a server for a page.
func keyPage(t *testing.T, s *Server, q wire.KeyPageRequest) wire.KeyPage {
	t.Helper()
	v, err := ask(t, dial(t, s.Addr()), wire.CmdKeyPage, string(wire.AppendKeyPageRequest(nil, &q)))
	if err != nil {
		t.Fatal(err)
	}
	page, err := wire.DecodeKeyPage(v.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestKeyPage reads all keys of all partitions in pages of any size, by whoever is the primary: each comes once, with its
// version, value and expiry. What has expired by this server's clock alone comes too.
func TestKeyPage(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 4, 2)
	want := map[string]string{"": "empty"} // in slot 0
	for i := range 60 {
		want[fmt.Sprint("k", i)], want[fmt.Sprint("{big}", i)] = fmt.Sprint("v", i), strings.Repeat("x", i)
	}
	for k, v := range want {
		c.set(k, v)
	}
	for _, bytes := range []int{1, 200, wire.KeyPageBytesMax} {
		got := map[string]string{}
		for p := range ring.PartitionID(4) {
			s := c.primaryOf(p)
			q := wire.KeyPageRequest{Partition: p, Bytes: bytes, Term: s.views.View().Partitions[p].Term}
			for last := (replica.Version{}); ; {
				page := keyPage(t, s, q)
				now := replica.Version{Term: page.Term, Seq: page.Seq}
				if page.Stale || now.Compare(last) <= 0 {
					t.Fatalf("a page at %v, after %v", now, last)
				}
				last = now
				for _, k := range page.Keys {
					if v := (replica.Version{Term: k.Term, Seq: k.Seq}); v.IsZero() || v.Compare(now) >= 0 {
						t.Errorf("%q at %v is told at %v", k.Name, v, now)
					}
					if _, twice := got[string(k.Name)]; twice {
						t.Errorf("%q comes twice", k.Name)
					}
					got[string(k.Name)] = string(k.Value)
				}
				if !page.More {
					break
				}
				q.After = page.Next
			}
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("pages of %d bytes: %q is %q, want %q", bytes, k, got[k], v)
			}
		}
		if len(got) != len(want) {
			t.Errorf("pages of %d bytes: %d keys, want %d", bytes, len(got), len(want))
		}
	}
}

// TestNodePage reads all nodes of all partitions in pages of any size: each comes once, as it is, and directories that gave
// numbers tell the next. Keys do not come, and no page of keys has nodes.
func TestNodePage(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	c.set("key", "value")
	want := map[string]string{"/\x00": "1", "/\x00s0000000000": ""}
	change := func(dir string, it wire.TreeItem) {
		t.Helper()
		q := wire.TreeRequest{Op: wire.TreeChange, Dir: dir, Items: []wire.TreeItem{it}}
		s := c.primaryOf(ring.PartitionOf(q.Slot(), 4))
		q.Number, q.Client = uint64(len(want)+1), [16]byte{1}
		q.Born, q.Mark = time.Now().UnixMilli(), q.Number
		v, err := ask(t, dial(t, s.Addr()), wire.CmdTree, string(wire.AppendTreeRequest(nil, &q)))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := wire.DecodeTreeReply(v.Bytes); err != nil || p.Code != wire.TreeOK {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	for i := range 40 {
		name, value := fmt.Sprint("n", i), strings.Repeat("x", i)
		change("/", wire.TreeItem{Kind: wire.TreeCreate, Name: name, Value: []byte(value)})
		want["/\x00"+name] = value
	}
	change("/", wire.TreeItem{Kind: wire.TreeSequential, Name: "s"})
	for _, bytes := range []int{1, 200, wire.KeyPageBytesMax} {
		got := map[string]string{}
		for p := range ring.PartitionID(4) {
			s := c.primaryOf(p)
			q := wire.KeyPageRequest{Partition: p, Bytes: bytes, Term: s.views.View().Partitions[p].Term, Nodes: true}
			for more := true; more; {
				page := keyPage(t, s, q)
				for _, k := range page.Keys {
					value, name := string(k.Value), string(k.Name)
					if n, err := wire.DecodeTreeNode(k.Value); err == nil {
						value = string(n.Value)
					} else if next, size := binary.Varint(k.Value); size == len(k.Value) {
						value = fmt.Sprint(next)
					}
					if _, twice := got[name]; twice {
						t.Errorf("%q comes twice", name)
					}
					got[name] = value
				}
				more, q.After = page.More, page.Next
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("pages of %d bytes: %q", bytes, got)
		}
	}
}

// TestKeyPageOfPrefix: pages have names that begin as the request says, and without values if it says so. A page whose
// keys all begin otherwise goes on.
func TestKeyPageOfPrefix(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	want := map[string]bool{}
	for i := range 40 {
		c.set(fmt.Sprint("{x}no", i), "value")
		c.set(fmt.Sprint("{x}yes", i), "value")
		want[fmt.Sprint("{x}yes", i)] = true
	}
	c.set("{y}yes", "value")
	p := partitionOf("{x}")
	s := c.primaryOf(p)
	q := wire.KeyPageRequest{Partition: p, Bytes: 1, Term: s.views.View().Partitions[p].Term, Prefix: []byte("{x}yes"), NamesOnly: true}
	for {
		page := keyPage(t, s, q)
		for _, k := range page.Keys {
			if !want[string(k.Name)] || len(k.Value) > 0 || k.Seq != 0 {
				t.Errorf("told: %+v", k)
			}
			delete(want, string(k.Name))
		}
		if !page.More {
			break
		}
		q.After = page.Next
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

// TestKeyPageTerm: a page of another term than its request's has no keys, and neither has a barrier.
func TestKeyPageTerm(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	c.set("a", "1")
	p := partitionOf("a")
	s := c.primaryOf(p)
	term := s.views.View().Partitions[p].Term
	for what, tt := range map[string]struct {
		q     wire.KeyPageRequest
		stale bool
		keys  int
	}{
		"of the term":     {wire.KeyPageRequest{Partition: p, Bytes: 100, Term: term}, false, 1},
		"of another term": {wire.KeyPageRequest{Partition: p, Bytes: 100, Term: term - 1}, true, 0},
		"a barrier":       {wire.KeyPageRequest{Partition: p}, false, 0},
	} {
		if page := keyPage(t, s, tt.q); page.Stale != tt.stale || len(page.Keys) != tt.keys || page.Term != term || page.Seq == 0 {
			t.Errorf("%s: %+v", what, page)
		}
	}
}

// TestKeyPageRefused: what makes no sense is refused, and who is not the primary names it.
func TestKeyPageRefused(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	c.set("a", "1")
	p := partitionOf("a")
	other := ring.PartitionID(0)
	if p == 0 {
		other = 1
	}
	s := c.primaryOf(p)
	conn := dial(t, s.Addr())
	request := func(p ring.PartitionID, after string) string {
		return string(wire.AppendKeyPageRequest(nil, &wire.KeyPageRequest{Partition: p, After: []byte(after), Bytes: 100}))
	}
	for what, text := range map[string]string{
		"garbage":                        "garbage",
		"no partition":                   request(4, ""),
		"half a key":                     request(p, "\x00"),
		"a key of another partition":     request(other, string(replica.MakeKey(ring.SlotOf("a"), replica.SpaceUser, "a"))),
		"a key that is not users'":       request(p, string(replica.MakeKey(ring.SlotOf("a"), replica.SpaceSystem, "a"))),
		"a slot that there is not":       request(p, "\xff\xff\x01a"),
		"more than a page may have":      string(wire.AppendKeyPageRequest(nil, &wire.KeyPageRequest{Partition: p, Bytes: wire.KeyPageBytesMax + 1})),
		"a partition that can not be":    string(wire.AppendKeyPageRequest(nil, &wire.KeyPageRequest{Partition: ring.Slots})),
		"a format that is not this":      "\x09" + request(p, "")[1:],
		"more than the request":          request(p, "") + "x",
		"less than that":                 request(p, "")[:2],
		"nothing":                        "",
		"an overlong length of a cursor": "\x01\x00\xff\xff\xff\xff\x0f",
	} {
		if v, err := ask(t, conn, wire.CmdKeyPage, text); err == nil {
			t.Errorf("%s: %+v", what, v)
		}
	}
	for _, elsewhere := range c.servers {
		if elsewhere == s {
			continue
		}
		if _, err := ask(t, dial(t, elsewhere.Addr()), wire.CmdKeyPage, request(p, "")); !wire.IsCode(err, wire.CodeMoved) {
			t.Errorf("at another server: %v", err)
		}
	}
	if held := s.frontend.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// TestKeyPageDamaged: a key whose bytes are damaged is named, and the others are told.
func TestKeyPageDamaged(t *testing.T) {
	c := startClusterKeeping(t, 3, 4, 2, 1) // in memory nothing gets corrupt
	for i := range 20 {
		c.set(fmt.Sprint("{x}", i), "value")
	}
	p := partitionOf("{x}0")
	s := c.primaryOf(p)
	corruptItem(t, s, "{x}7")
	page := keyPage(t, s, wire.KeyPageRequest{Partition: p, Bytes: wire.KeyPageBytesMax, Term: s.views.View().Partitions[p].Term})
	if len(page.Keys) != 20 {
		t.Errorf("%d keys", len(page.Keys))
	}
	for _, k := range page.Keys {
		if damaged := string(k.Name) == "{x}7"; k.Damaged != damaged || (string(k.Value) == "value") == damaged {
			t.Errorf("%q: damaged %v, %q", k.Name, k.Damaged, k.Value)
		}
	}
}
