package tree

import (
	"testing"

	"viewring/internal/wire"
)

// FuzzRequest: whatever comes is refused, or is a step that leaves the tree whole as far as the
// step can see to: what it writes can be read again.
func FuzzRequest(f *testing.F) {
	for _, q := range []wire.TreeRequest{
		{Op: wire.TreeChange, Number: 1, Dir: "/", Items: []wire.TreeItem{node(wire.TreeSequential, "s", "v"), node(wire.TreeCreate, "a", "")}},
		{Op: wire.TreePrepare, Number: 1, Dir: "/a", Items: []wire.TreeItem{{ID: wire.TreeVersion{Term: 1, Seq: 1}}}},
		{Op: wire.TreeDrop, Number: 1, Dir: "/a", Nonce: wire.TreeVersion{Term: 1, Seq: 2}},
		{Op: wire.TreeChange, Number: 1, Items: []wire.TreeItem{node(wire.TreeSet, "/", "of the root")}},
		{Op: wire.TreeList, Dir: "/", Cursor: []byte("12345678key"), Limit: 3},
	} {
		f.Add(wire.AppendTreeRequest(nil, &q))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := wire.DecodeTreeRequest(b)
		if err != nil || Check(&q) != nil {
			return
		}
		w := world{newMemory(), t}
		w.directory("/", "a")
		if q.Op == wire.TreeList {
			if _, err := NewList(&q); err != nil {
				return
			}
		}
		if _, err := w.do(&q); err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if why := w.broken(); why != "" && q.Op == wire.TreeChange {
			t.Fatalf("%+v: %s", q, why)
		}
	})
}
