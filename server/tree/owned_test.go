package tree

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// The sessions of drawOwned. What the first creates comes late, all of it.
const (
	endedBefore = iota + 1
	endsAnyTime
	goesOn
)

// drawOwned is one of drawMixed, or creates and removes nodes of sessions.
func drawOwned(rng *rand.Rand) (string, func(ask tree.Ask) error) {
	path := []string{"/a", "/a/b", "/a/c"}[rng.IntN(3)]
	dir, name := tree.Split(path)
	it := wire.TreeItem{Kind: wire.TreeCreate, Name: name, Owner: uint64(endedBefore + rng.IntN(3)), DataVersion: -1}
	switch rng.IntN(6) {
	case 0:
		it.Kind = wire.TreeSequential
	case 1:
		it.Kind = wire.TreeRemove
	case 2, 3:
		return drawMixed(rng)
	}
	items := []wire.TreeItem{it}
	if rng.IntN(3) == 0 { // removed and created again by one change
		items = []wire.TreeItem{{Kind: wire.TreeRemove, Name: name, DataVersion: -1}, it, {Kind: wire.TreeSet, Name: name, DataVersion: -1}}
	}
	return fmt.Sprintf("%d of session %d: %s", it.Kind, it.Owner, path), func(ask tree.Ask) error {
		_, _, err := tree.Change(ask, dir, items)
		return err
	}
}

// ownerships are those of the sessions that want accepts.
func (m *memory) ownerships(want func(session uint64) bool) (owned []Ownership) {
	for k := range m.items {
		if k.Space() == replica.SpaceOwned {
			if o, ok := ParseOwnership(k); ok && want(o.Session) {
				owned = append(owned, o)
			}
		}
	}
	return owned
}

func (m *memory) reap(owned []Ownership) string {
	living := func(session uint64) bool { return session == goesOn }
	before := len(m.ownerships(living))
	for _, group := range Reapable(owned) {
		var r replica.Request
		FillReap(&r, group[0].Dir, group)
		if a := m.carryOut(&r); a.Status != replica.StatusOK {
			return fmt.Sprintf("nodes of ended sessions are not removed: %+v", a)
		}
	}
	if now := len(m.ownerships(living)); now != before {
		return fmt.Sprintf("of a session that goes on %d nodes are left of %d", now, before)
	}
	return m.broken()
}

// reapSome removes nodes of one ended session, now and then; and asks for what is gone already.
func (m *memory) reapSome(rng *rand.Rand) string {
	owned := m.ownerships(func(session uint64) bool { return session != goesOn })
	if len(owned) == 0 || rng.IntN(8) > 0 {
		return ""
	}
	slices.SortFunc(owned, func(a, b Ownership) int { return int(a.Session) - int(b.Session) })
	n := 1
	for n < len(owned) && owned[n].Session == owned[0].Session {
		n++
	}
	return m.reap(append(owned[:n:n], Ownership{Session: endedBefore, Dir: owned[0].Dir, Name: "gone"}))
}

// reapAll is what becomes of all ended sessions.
func (m *memory) reapAll() string {
	ended := func(session uint64) bool { return session != goesOn }
	if why := m.reap(m.ownerships(ended)); why != "" {
		return why
	}
	if left := m.ownerships(ended); len(left) > 0 {
		return fmt.Sprintf("left of ended sessions: %+v", left)
	}
	return ""
}

// TestOwned: a node of a session has no children, keeps its owner, and is removed by whoever may.
func TestOwned(t *testing.T) {
	w := world{newMemory(), t}
	mine := func(kind wire.TreeItemKind, name string, owner uint64) wire.TreeItem {
		it := node(kind, name, "")
		it.Owner = owner
		return it
	}
	w.directory("/", "d")
	id := w.change(wire.TreeOK, "/d", mine(wire.TreeCreate, "n", 7)).Version
	if p := w.does(wire.TreeOK, wire.TreeRequest{Op: wire.TreeGet, Dir: "/d", Items: []wire.TreeItem{{Name: "n"}}}); p.Node.Owner != 7 {
		t.Errorf("its owner is %d", p.Node.Owner)
	}
	about := []wire.TreeItem{{Name: "n", ID: id}}
	w.does(wire.TreeEphemeral, wire.TreeRequest{Op: wire.TreeMark, Dir: "/d", Items: about})
	w.does(wire.TreeEphemeral, wire.TreeRequest{Op: wire.TreeFinish, Dir: "/d", Items: about})
	if _, _, err := tree.Change(w.do1, "/d/n", []wire.TreeItem{node(wire.TreeCreate, "child", "")}); err != tree.ErrEphemeral {
		t.Errorf("a child of it: %v", err)
	}
	if _, ok := w.items[keyOf("/d/n", "")]; ok {
		t.Error("it has a record")
	}
	w.change(wire.TreeBadVersion, "/d", mine(wire.TreeSet, "n", 8))
	w.change(wire.TreeOK, "/d", mine(wire.TreeSet, "n", 7))
	w.change(wire.TreeBadVersion, "/d", mine(wire.TreeRemove, "n", 8))
	if why := w.broken() + w.reap([]Ownership{{8, "/d", "n"}, {7, "/d", "other"}}); why != "" {
		t.Error(why)
	}
	w.change(wire.TreeOK, "/d", mine(wire.TreeCheck, "n", 7))
	w.change(wire.TreeOK, "/d", node(wire.TreeRemove, "n", ""), mine(wire.TreeCreate, "n", 8), mine(wire.TreeSequential, "s", 8))
	if why := w.broken() + w.reap([]Ownership{{7, "/d", "n"}}); why != "" || len(w.ownerships(func(s uint64) bool { return s == 8 })) != 2 {
		t.Error(why, w.ownerships(func(uint64) bool { return true }))
	}
	if why := w.reap(w.ownerships(func(uint64) bool { return true })); why != "" {
		t.Error(why)
	}
	w.change(wire.TreeNoNode, "/d", node(wire.TreeCheck, "n", ""))
	if d := w.does(wire.TreeOK, wire.TreeRequest{Op: wire.TreeDirectory, Dir: "/d"}).Directory; d.Children != 0 {
		t.Errorf("%+v", d)
	}
	for _, k := range []replica.Key{replica.MakeKey(1, replica.SpaceOwned, "short"), replica.MakeKey(1, replica.SpaceOwned, "12345678/d\x00n"),
		replica.MakeKey(slotOf("/d"), replica.SpaceOwned, "12345678/d")} {
		if o, ok := ParseOwnership(k); ok {
			t.Errorf("%q is taken for %+v", k, o)
		}
	}
}

// TestReapable: what is removed as one is of one directory, and not too much.
func TestReapable(t *testing.T) {
	var owned []Ownership
	for i := range 2*ReapMax + 5 {
		owned = append(owned, Ownership{1, fmt.Sprintf("/%d", i%2), fmt.Sprint(i)})
	}
	seen := 0
	for _, group := range Reapable(owned) {
		seen += len(group)
		for _, o := range group {
			if o.Dir != group[0].Dir || len(group) > ReapMax {
				t.Errorf("a group of %d with %s and %s", len(group), o.Dir, group[0].Dir)
			}
		}
	}
	if seen != len(owned) {
		t.Errorf("%d of %d", seen, len(owned))
	}
}
