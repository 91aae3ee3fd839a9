package tree

import (
	"errors"
	"strings"
	"testing"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// world is a memory that a test asks step by step.
type world struct {
	*memory
	t *testing.T
}

// does carries out a step that must come to code.
func (w world) does(code wire.TreeCode, q wire.TreeRequest) wire.TreeReply {
	w.t.Helper()
	p, err := w.do1(&q)
	if err != nil || p.Code != code {
		w.t.Fatalf("step %d of %q comes to %d, want %d: %v", q.Op, q.Dir, p.Code, code, err)
	}
	return p
}

func node(kind wire.TreeItemKind, name, value string) wire.TreeItem {
	return wire.TreeItem{Kind: kind, Name: name, Value: []byte(value), DataVersion: -1}
}

func (w world) change(code wire.TreeCode, dir string, items ...wire.TreeItem) wire.TreeReply {
	w.t.Helper()
	return w.does(code, wire.TreeRequest{Op: wire.TreeChange, Dir: dir, Items: items})
}

// directory creates a node and lets children in.
func (w world) directory(dir, name string) (id, birth wire.TreeVersion) {
	w.t.Helper()
	id = w.change(wire.TreeOK, dir, node(wire.TreeCreate, name, "")).Version
	path := tree.Join(dir, name)
	birth = w.does(wire.TreeOK, wire.TreeRequest{Op: wire.TreePrepare, Dir: path, Items: []wire.TreeItem{{ID: id}}}).Version
	w.does(wire.TreeOK, wire.TreeRequest{Op: wire.TreeMark, Dir: dir, Items: []wire.TreeItem{{Name: name, ID: id}}})
	w.does(wire.TreeOK, wire.TreeRequest{Op: wire.TreeActivate, Dir: path, Nonce: birth})
	return id, birth
}

// TestSteps: each step refuses what is not about it any more.
func TestSteps(t *testing.T) {
	about := func(op wire.TreeOp, dir string, it wire.TreeItem) wire.TreeRequest {
		return wire.TreeRequest{Op: op, Dir: dir, Items: []wire.TreeItem{it}}
	}
	with := func(op wire.TreeOp, dir string, nonce wire.TreeVersion) wire.TreeRequest {
		return wire.TreeRequest{Op: op, Dir: dir, Nonce: nonce}
	}
	w := world{newMemory(), t}
	id, birth := w.directory("/", "d")
	w.change(wire.TreeHasRecord, "/", node(wire.TreeRemove, "d", ""))
	w.change(wire.TreeOK, "/d", node(wire.TreeCreate, "c", ""))
	w.does(wire.TreeNotEmpty, about(wire.TreeClose, "/d", wire.TreeItem{ID: id}))
	w.change(wire.TreeOK, "/d", node(wire.TreeRemove, "c", ""))

	// A conditional removal, and a set in between.
	before := id
	closed := w.does(wire.TreeOK, about(wire.TreeClose, "/d", wire.TreeItem{ID: id, Modified: before})).Version
	w.does(wire.TreeClosed, about(wire.TreeClose, "/d", wire.TreeItem{ID: id}))
	w.change(wire.TreeClosed, "/d", node(wire.TreeCreate, "c", ""))
	w.change(wire.TreeOK, "/", node(wire.TreeSet, "d", "v"))
	w.does(wire.TreeBadVersion, about(wire.TreeFinish, "/", wire.TreeItem{Name: "d", ID: id, Modified: before}))
	w.does(wire.TreeStale, with(wire.TreeReopen, "/d", birth))
	w.does(wire.TreeOK, with(wire.TreeReopen, "/d", closed))
	w.does(wire.TreeStale, with(wire.TreeReopen, "/d", closed))
	w.does(wire.TreeStale, with(wire.TreeDrop, "/d", closed))
	w.does(wire.TreeStale, with(wire.TreeDrop, "/d", birth))
	w.does(wire.TreeBadVersion, about(wire.TreeFinish, "/", wire.TreeItem{Name: "d", ID: id, Modified: before}))

	// Removed, created again, and all late steps of the former node.
	closed = w.does(wire.TreeOK, about(wire.TreeClose, "/d", wire.TreeItem{ID: id})).Version
	w.does(wire.TreeClosed, with(wire.TreeActivate, "/d", birth))
	w.does(wire.TreeOK, about(wire.TreeFinish, "/", wire.TreeItem{Name: "d", ID: id}))
	next := w.change(wire.TreeOK, "/", node(wire.TreeCreate, "d", "")).Version
	w.does(wire.TreeNoNode, about(wire.TreeFinish, "/", wire.TreeItem{Name: "d", ID: id}))
	w.does(wire.TreeNoNode, about(wire.TreeMark, "/", wire.TreeItem{Name: "d", ID: id}))
	w.does(wire.TreeNoDirectory, about(wire.TreeClose, "/d", wire.TreeItem{ID: next}))
	again := w.does(wire.TreeOK, about(wire.TreePrepare, "/d", wire.TreeItem{ID: next})).Version
	w.does(wire.TreeStale, about(wire.TreePrepare, "/d", wire.TreeItem{ID: id}))
	w.does(wire.TreeStale, about(wire.TreeClose, "/d", wire.TreeItem{ID: id}))
	w.does(wire.TreeStale, with(wire.TreeActivate, "/d", birth))
	w.does(wire.TreeOK, about(wire.TreeMark, "/", wire.TreeItem{Name: "d", ID: next}))
	if p := w.does(wire.TreeOK, about(wire.TreePrepare, "/d", wire.TreeItem{ID: next})); p.Version != again || p.Number != int64(wire.TreePreparing) {
		t.Errorf("prepared twice: %+v", p)
	}
	w.does(wire.TreeOK, about(wire.TreeClose, "/d", wire.TreeItem{ID: next}))
	w.does(wire.TreeStale, with(wire.TreeDrop, "/d", closed))
	w.does(wire.TreeStale, with(wire.TreeDrop, "/d", again))
	w.does(wire.TreeClosed, with(wire.TreeActivate, "/d", again))
}

// TestNumbers: a sequential number is never given twice, also of several at a time, and where
// others took the name it is a higher one.
func TestNumbers(t *testing.T) {
	w := world{newMemory(), t}
	seq := node(wire.TreeSequential, "s", "")
	numbered := func(want int64, items ...wire.TreeItem) {
		t.Helper()
		if p := w.change(wire.TreeOK, "/", items...); p.Number != want || w.wrong != "" {
			t.Errorf("number %d, want %d: %s", p.Number, want, w.wrong)
		}
	}
	raised := func(to int, code wire.TreeCode, dir string) {
		t.Helper()
		w.does(code, wire.TreeRequest{Op: wire.TreeRaise, Dir: dir, Limit: to})
	}
	raised(5, wire.TreeNoDirectory, "/none")
	numbered(0, seq, node(wire.TreeCreate, "x", ""), seq)
	defer func() { // numbers that a restored directory had given are not given again, and none is taken back
		raised(1_000_000, wire.TreeOK, "/")
		raised(10, wire.TreeOK, "/")
		numbered(1_000_000, seq)
	}()
	w.change(wire.TreeOK, "/", node(wire.TreeRemove, "s0000000001", ""))
	w.change(wire.TreeOK, "/", node(wire.TreeCreate, "s0000000002", ""))
	numbered(3, node(wire.TreeSet, "x", ""), seq)
	w.change(wire.TreeOK, "/", node(wire.TreeRemove, "s0000000002", ""))
	numbered(4, seq)
	numbered(5, node(wire.TreeSequential, "", ""))
	w.change(wire.TreeBadName, "/", node(wire.TreeSequential, strings.Repeat("n", tree.NameBytesMax-9), ""))

	// Several are in a row.
	w.change(wire.TreeOK, "/", node(wire.TreeCreate, "s0000000007", ""), node(wire.TreeCreate, "s0000000008", ""))
	numbered(10, seq, seq)
	if p := w.change(wire.TreeNodeExists, "/", seq, node(wire.TreeCreate, "s0000000012", "")); p.Index != 1 {
		t.Errorf("%+v", p)
	}
	numbered(13, node(wire.TreeCreate, "s0000000012", ""), seq)
}

// TestNumbersOfNamesAmongOthers: changes that name what a sequential node among them is called.
func TestNumbersOfNamesAmongOthers(t *testing.T) {
	a, b := node(wire.TreeSequential, "a", "1"), node(wire.TreeSequential, "b", "2")
	for _, there := range []bool{false, true} {
		for _, items := range [][]wire.TreeItem{
			{a, b, node(wire.TreeSet, "a0000000000", "3")},
			{a, b, node(wire.TreeRemove, "b0000000001", "")},
			{a, node(wire.TreeRemove, "a0000000000", ""), a, b},
		} {
			w := world{newMemory(), t}
			if there {
				w.change(wire.TreeOK, "/", node(wire.TreeCreate, "a0000000000", ""))
				items = append([]wire.TreeItem{node(wire.TreeRemove, "a0000000000", "")}, items...)
			}
			w.change(wire.TreeOK, "/", items...)
			if why := w.broken(); why != "" {
				t.Errorf("%+v: %s", items, why)
			}
		}
	}
}

// TestNumbersTaken: of a long run of names that others took a number behind it is found, also
// for as many nodes as can be one change. Where none is found, nothing is done.
func TestNumbersTaken(t *testing.T) {
	w := world{newMemory(), t}
	for i := range int64(300) {
		w.change(wire.TreeOK, "/", node(wire.TreeCreate, tree.SequentialName("s", i), ""))
	}
	many := make([]wire.TreeItem, wire.TreeItemsMax)
	for i := range many {
		many[i] = node(wire.TreeSequential, "s", "")
	}
	p := w.change(wire.TreeOK, "/", many...)
	if p.Number < 300 || p.Number > 600 || w.wrong != "" {
		t.Errorf("%+v, %s", p, w.wrong)
	}
	next := p.Number + wire.TreeItemsMax
	for i := range numberTriesMax {
		w.change(wire.TreeOK, "/", node(wire.TreeCreate, tree.SequentialName("s", next+1<<i>>1), ""))
	}
	w.change(wire.TreeNodeExists, "/", many...)
	w.change(wire.TreeNodeExists, "/", many[0])
	w.change(wire.TreeOK, "/", node(wire.TreeRemove, tree.SequentialName("s", next+1<<(numberTriesMax-1)>>1), ""))
	if p := w.change(wire.TreeOK, "/", many[0]); p.Number != next+1<<(numberTriesMax-2) || w.broken() != "" {
		t.Errorf("%+v, %s", p, w.broken())
	}
}

// TestCheck: what no client of ours sends is refused before it is evaluated.
func TestCheck(t *testing.T) {
	one := []wire.TreeItem{{Name: "n"}}
	for _, q := range []wire.TreeRequest{
		{Op: wire.TreeChange, Dir: "/"},
		{Op: wire.TreeChange, Dir: "", Items: []wire.TreeItem{{Kind: wire.TreeRemove, Name: "/"}}},
		{Op: wire.TreeChange, Dir: "", Items: []wire.TreeItem{{Kind: wire.TreeCreate, Name: "/"}}},
		{Op: wire.TreeChange, Dir: "", Items: []wire.TreeItem{{Kind: wire.TreeSet, Name: "x"}}},
		{Op: wire.TreeChange, Dir: "relative", Items: one},
		{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{{Name: "a/b"}}},
		{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{{Name: "a\x00b"}}},
		{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{{Name: "n", Value: make([]byte, wire.TreeValueMax+1)}}},
		{Op: wire.TreeGet, Dir: "/"},
		{Op: wire.TreeGet, Dir: "/", Items: append(one, one...)},
		{Op: wire.TreeHead, Dir: "/"},
		{Op: wire.TreeHead, Dir: "", Items: one},
		{Op: wire.TreeNames, Dir: ""},
		{Op: wire.TreeNames, Dir: "/", Items: one},
		{Op: wire.TreeList, Dir: ""},
		{Op: wire.TreeList, Dir: "/", Items: one},
		{Op: wire.TreePrepare, Dir: "/", Items: one},
		{Op: wire.TreeClose, Dir: "/", Items: one},
		{Op: wire.TreeDrop, Dir: "/"},
		{Op: wire.TreeMark, Dir: "", Items: one},
	} {
		if err := Check(&q); err == nil {
			t.Errorf("%+.200v is taken", q)
		}
	}
	big := wire.TreeRequest{Op: wire.TreeChange, Dir: "/"}
	for range 5 {
		big.Items = append(big.Items, wire.TreeItem{Name: "n", Value: make([]byte, wire.TreeValueMax)})
	}
	if err := Check(&big); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if _, err := NewList(&wire.TreeRequest{Op: wire.TreeList, Dir: "/", Cursor: []byte("short")}); err == nil {
		t.Error("a cursor that no list gave is taken")
	}
}
