package tree

import (
	"testing"

	"viewring/internal/wire"
)

// TestContentSteps: each step refuses what is not about the content as it is.
func TestContentSteps(t *testing.T) {
	w := world{newMemory(), t}
	does := func(code wire.TreeCode, op wire.TreeOp, v wire.TreeVersion, limit int) wire.TreeReply {
		t.Helper()
		return w.does(code, *about(op, v, limit))
	}
	state := func(v wire.TreeVersion) *wire.TreeContentRecord {
		t.Helper()
		return does(wire.TreeOK, wire.TreeContent, v, 0).Content
	}
	end := func(code wire.TreeCode, v, idle wire.TreeVersion) {
		t.Helper()
		q := about(wire.TreeEnd, v, 0)
		q.Idle = idle
		w.does(code, *q)
	}
	file := func(name string, v wire.TreeVersion, owners ...wire.TreeVersion) wire.TreeItem {
		it := node(wire.TreeCreate, name, "")
		it.File, it.Content, it.Owners, it.Size = true, v, owners, 7
		return it
	}
	begun := does(wire.TreeOK, wire.TreeBegin, wire.TreeVersion{}, 5000)
	if begun.Number != ContentAhead {
		t.Errorf("reserved %d", begun.Number)
	}
	v := begun.Version
	if p := does(wire.TreeOK, wire.TreeTouch, v, 1500); p.Number != 1500 {
		t.Errorf("reserved %d", p.Number)
	}
	if p := does(wire.TreeOK, wire.TreeTouch, v, 5000); p.Number != 1500+ContentAhead {
		t.Errorf("reserved %d", p.Number)
	}
	does(wire.TreeInUse, wire.TreeShrink, v, 0)
	does(wire.TreeInUse, wire.TreeGone, v, 0)
	end(wire.TreeInUse, v, begun.Version) // it was touched since
	other := does(wire.TreeOK, wire.TreeBegin, wire.TreeVersion{}, 1).Version
	w.change(wire.TreeNoContent, "/", file("f", v, other)) // which is not whole
	w.change(wire.TreeOK, "/", file("f", v))
	w.change(wire.TreeOK, "/", file("g", v))
	if p := w.does(wire.TreeOK, wire.TreeRequest{Op: wire.TreeGet, Dir: "/", Items: []wire.TreeItem{{Name: "f"}}}); !p.Node.File || p.Node.Content != v || p.Node.Size != 7 {
		t.Errorf("%+v", p.Node)
	}
	if p := does(wire.TreeOK, wire.TreeAbort, v, 0); p.Number != int64(wire.ContentWhole) {
		t.Errorf("the state was %d", p.Number)
	}
	w.change(wire.TreeIsFile, "/", node(wire.TreeSet, "f", "plain"))
	before := state(v)
	does(wire.TreeOK, wire.TreeTouch, v, 0)
	if c := state(v); c.State != wire.ContentWhole || c.Refs != 2 || c.Idle != before.Idle {
		t.Errorf("%+v", c)
	}
	end(wire.TreeInUse, v, wire.TreeVersion{})
	w.change(wire.TreeOK, "/", file("h", other, v)) // uses its chunks
	w.change(wire.TreeOK, "/", node(wire.TreeRemove, "f", ""), node(wire.TreeRemove, "g", ""))
	if c := state(v); c.Refs != 1 || c.Idle != (wire.TreeVersion{}) {
		t.Errorf("%+v", c)
	}
	w.change(wire.TreeOK, "/", node(wire.TreeRemove, "h", ""))
	idle := state(other).Idle
	does(wire.TreeOK, wire.TreeTouch, other, 0) // by a reader
	end(wire.TreeInUse, other, idle)
	end(wire.TreeOK, other, state(other).Idle)
	end(wire.TreeOK, other, idle)
	does(wire.TreeNoContent, wire.TreeTouch, other, 0)
	w.change(wire.TreeNoContent, "/", file("f", other))
	does(wire.TreeInUse, wire.TreeGone, other, 0)
	does(wire.TreeOK, wire.TreeShrink, other, 0)
	does(wire.TreeOK, wire.TreeGone, other, 0)
	for _, op := range []wire.TreeOp{wire.TreeContent, wire.TreeTouch, wire.TreeAbort, wire.TreeEnd, wire.TreeShrink, wire.TreeGone} {
		does(wire.TreeNoContent, op, other, 0)
	}
	end(wire.TreeOK, v, state(v).Idle)
	if p := does(wire.TreeOK, wire.TreeAbort, v, 0); p.Number != int64(wire.ContentEnded) {
		t.Errorf("the state was %d", p.Number)
	}
	third := does(wire.TreeOK, wire.TreeBegin, wire.TreeVersion{}, 1).Version
	if p := does(wire.TreeOK, wire.TreeAbort, third, 0); p.Number != int64(wire.ContentWriting) {
		t.Errorf("the state was %d", p.Number)
	}
	w.change(wire.TreeNoContent, "/", file("f", third))
}

// TestContentRequests: what makes no sense is refused.
func TestContentRequests(t *testing.T) {
	v, o := wire.TreeVersion{Term: 1, Seq: 1}, wire.TreeVersion{Term: 1, Seq: 2}
	item := func(kind wire.TreeItemKind, v wire.TreeVersion, owners ...wire.TreeVersion) wire.TreeItem {
		return wire.TreeItem{Kind: kind, Name: "f", File: true, Content: v, Owners: owners}
	}
	change := func(items ...wire.TreeItem) wire.TreeRequest {
		return wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Items: items}
	}
	fewer := *about(wire.TreeTouch, v, -1)
	named := *about(wire.TreeTouch, v, 0)
	named.Dir = "/"
	root := wire.TreeItem{Kind: wire.TreeSet, Name: "/", File: true}
	for _, q := range []wire.TreeRequest{fewer, named, *about(wire.TreeTouch, wire.TreeVersion{}, 0), *about(wire.TreeBegin, v, 1),
		change(item(wire.TreeRemove, v)), change(item(wire.TreeCheck, v)), change(item(wire.TreeCreate, wire.TreeVersion{}, o)),
		change(wire.TreeItem{Kind: wire.TreeCreate, Name: "f", Attributes: []byte("a")}),
		change(wire.TreeItem{Kind: wire.TreeCreate, Name: "f", File: true, Attributes: make([]byte, wire.TreeAttributesMax+1)}),
		change(item(wire.TreeCreate, v, v)), change(item(wire.TreeCreate, v, o, o)), change(item(wire.TreeCreate, v, o), item(wire.TreeSet, v)),
		{Op: wire.TreeChange, Items: []wire.TreeItem{root}}} {
		if Check(&q) == nil {
			t.Errorf("%+v is taken", q)
		}
	}
	if q := change(item(wire.TreeCreate, v, o)); Check(&q) != nil {
		t.Error(Check(&q))
	}
}
