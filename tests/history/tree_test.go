package history

import (
	"testing"
	"time"

	"viewring/internal/tree"
)

// TestCheckTree: histories that can be, and such that cannot.
func TestCheckTree(t *testing.T) {
	one := func(ops ...TreeOp) []TreeOp { // one after the other
		for i := range ops {
			ops[i].Call, ops[i].Return = time.Duration(2*i), time.Duration(2*i+1)
			if ops[i].Result == TreeUnknown {
				ops[i].Return = Never
			}
		}
		return ops
	}
	dir := TreeOp{Kind: TreeCreate, Path: "/d", Result: TreeDone}
	child := TreeOp{Kind: TreeCreate, Path: "/d/c", Value: "v", Result: TreeDone}
	gone := TreeOp{Kind: TreeRemove, Path: "/d/c", Version: -1, Result: TreeDone}
	next := func(n int64) TreeOp {
		return TreeOp{Kind: TreeSequential, Path: "/d/s", Number: n, Result: TreeDone}
	}
	taken := func(n int64) TreeOp {
		return TreeOp{Kind: TreeCreate, Path: tree.SequentialName("/d/s", n), Result: TreeDone}
	}
	list := func(names ...string) TreeOp {
		return TreeOp{Kind: TreeList, Path: "/d", Names: names, Result: TreeDone}
	}
	unknown := func(op TreeOp) TreeOp { op.Result = TreeUnknown; return op }
	failed := func(op TreeOp, r TreeResult) TreeOp { op.Result = r; return op }
	rmdir := TreeOp{Kind: TreeRemove, Path: "/d", Version: -1, Result: TreeDone}
	for _, c := range []struct {
		what string
		ops  []TreeOp
		ok   bool
	}{
		{"all in order", one(dir, child, list("c"), next(0), list("c", "s0000000000"), gone, next(1)), true},
		{"a child without a parent", one(child), false},
		{"refused without a parent", one(failed(child, TreeNoParent), dir, child), true},
		{"refused with a parent", one(dir, failed(child, TreeNoParent)), false},
		{"created twice", one(dir, child, child), false},
		{"a list without a child", one(dir, child, list()), false},
		{"a list of what was never there", one(dir, list("c")), false},
		{"a list of what may be there", one(dir, unknown(child), list("c")), true},
		{"a list of what may not be there", one(dir, unknown(child), list()), true},
		{"a number twice", one(dir, next(0), next(0)), false},
		{"a number left out", one(dir, next(0), next(2)), false},
		{"a number that was taken", one(dir, taken(0), taken(1), next(2), next(3)), true},
		{"a number that was not taken is left out", one(dir, taken(0), next(2)), false},
		{"a number that nobody was told of", one(dir, next(0), unknown(next(1)), next(2)), true},
		{"removed with a child", one(dir, child, rmdir), false},
		{"not empty without a child", one(dir, failed(rmdir, TreeNotEmpty)), false},
		{"removed, and made again", one(dir, next(0), TreeOp{Kind: TreeRemove, Path: "/d/s0000000000", Version: -1, Result: TreeDone}, rmdir, dir, next(0)), true},
		{"there after its removal", one(dir, child, gone, rmdir, list()), false},
		{"set without its condition", one(dir, child, TreeOp{Kind: TreeSet, Path: "/d/c", Version: 1, Number: 2, Result: TreeDone}), false},
		{"removed twice", one(dir, child, gone, gone), false},
		{"an old value", one(dir, child, TreeOp{Kind: TreeSet, Path: "/d/c", Value: "w", Version: -1, Number: 1, Result: TreeDone},
			TreeOp{Kind: TreeGet, Path: "/d/c", Value: "v", Version: -1, Result: TreeDone}), false},
	} {
		if why, _ := CheckTree(c.ops, time.Minute); (why == "") != c.ok {
			t.Errorf("%s: %q", c.what, why)
		}
	}
}
