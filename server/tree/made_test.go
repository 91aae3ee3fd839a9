package tree

import (
	"testing"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// TestMade: a change of one node tells the node that it made, without its value, and nothing else
// does.
func TestMade(t *testing.T) {
	m := newMemory()
	made := func(items ...wire.TreeItem) *wire.TreeNode {
		t.Helper()
		var r replica.Request
		out := Fill(&wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Number: 1, Items: items}, &r)
		m.carryOut(&r)
		if m.wrong != "" {
			t.Fatal(m.wrong)
		}
		return out.Node
	}
	n := made(node(wire.TreeCreate, "a", "value"))
	if n == nil || n.Name != "a" || n.ID != n.Modified || n.ValueBytes != 5 || n.Value != nil {
		t.Errorf("created: %+v", n)
	}
	id := n.ID
	if n = made(node(wire.TreeSet, "a", "other")); n == nil || n.ID != id || n.Modified == id || n.DataVersion != 1 {
		t.Errorf("set: %+v", n)
	}
	if n = made(node(wire.TreeSequential, "s", "")); n == nil || n.Name != "s0000000000" {
		t.Errorf("numbered: %+v", n)
	}
	for what, n := range map[string]*wire.TreeNode{
		"refused": made(node(wire.TreeCreate, "a", "")), "checked": made(node(wire.TreeCheck, "a", "")), "removed": made(node(wire.TreeRemove, "a", "")),
		"two": made(node(wire.TreeCreate, "b", ""), node(wire.TreeCreate, "c", "")),
	} {
		if n != nil {
			t.Errorf("%s: %+v", what, n)
		}
	}
}
