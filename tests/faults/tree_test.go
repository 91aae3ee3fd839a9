package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"viewring/client/tree"
	"viewring/tests/harness"
	"viewring/tests/history"
)

// treeRun is what all clients of the tree share.
type treeRun struct {
	t     *testing.T
	c     *harness.Cluster
	began time.Time
	dirs  int

	mu     sync.Mutex
	ops    []history.TreeOp
	failed int // outcomes that nobody knows
}

// TestTreeHistory has clients work in a tree of paths while servers are killed, and looks for
// an order of each directory's operations that explains all they were told. Each client dies
// once, in the middle of an operation. VIEWRING_TREE_OPS=10000 is how many each of 20 does.
func TestTreeHistory(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	ops := int(harness.EnvUint(t, "VIEWRING_TREE_OPS", 500))
	const clients = 20
	c := harness.NewCluster(t, harness.Config{Servers: 5, LeaderFlags: []string{"--partitions", "16"}})
	c.WaitBalanced()
	r := &treeRun{t: t, c: c, began: time.Now(), dirs: 24}
	running := harness.Beside(t)
	over := make(chan struct{})
	for i := range clients {
		running.Go(func() { r.client(i, ops) })
	}
	go func() {
		running.Wait()
		close(over)
	}()
	kills := r.killUntil(over, clients*ops)
	took := time.Since(r.began)
	r.pass()
	checking := time.Now()
	why, tooHard := history.CheckTree(r.ops, 2*time.Minute)
	t.Logf("%d operations by %d clients in %v, %d servers killed, %d outcomes unknown; checked in %v, %d directories too hard",
		len(r.ops), clients, took.Round(time.Millisecond), kills, r.failed, time.Since(checking).Round(time.Millisecond), tooHard)
	if why != "" || kills == 0 || tooHard > 1 {
		t.Errorf("%s; %d kills, %d too hard", why, kills, tooHard)
	}
}

// killsMax is how often a server is killed: the view leader keeps one out for a while that
// fails more often.
const killsMax = 4

// killUntil kills servers at even distances in the work, until all clients are through.
func (r *treeRun) killUntil(over <-chan struct{}, wanted int) (kills int) {
	killed := make(map[*harness.Node]int)
	for looked := 0; ; {
		select {
		case <-over:
			return kills
		case <-time.After(50 * time.Millisecond):
		}
		if r.done() < kills*wanted/(4*killsMax) {
			continue
		}
		n := r.c.Acting(fmt.Sprint("/d", looked%r.dirs), 1)[0]
		if looked++; killed[n] == killsMax {
			continue
		}
		n.Kill()
		killed[n]++
		kills++
		r.c.WaitDown(n)
		n.Start()
		r.c.WaitBalanced()
	}
}

func (r *treeRun) done() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// client does its share, and dies once.
func (r *treeRun) client(id, ops int) {
	rng := rand.New(rand.NewPCG(uint64(id), 15))
	dies := rng.IntN(ops)
	t := r.open()
	for i := range ops {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
		if i == dies {
			cancel()
			ctx, cancel = context.WithTimeout(r.t.Context(), time.Duration(rng.IntN(4000))*time.Microsecond)
		}
		r.one(ctx, t, id, rng)
		cancel()
		if i == dies {
			_ = t.Close() // as its process would
			t = r.open()
		}
	}
	_ = t.Close()
}

func (r *treeRun) open() *tree.Tree {
	t, err := tree.Open(r.t.Context(), r.c.Options())
	return harness.Must(r.t, t, err)
}

// one does one operation.
func (r *treeRun) one(ctx context.Context, t *tree.Tree, id int, rng *rand.Rand) {
	dir := fmt.Sprint("/d", rng.IntN(r.dirs))
	path := dir + []string{"", "", "/s", "/x", "/y", "/s/x", "/s/y"}[rng.IntN(7)]
	op := history.TreeOp{Client: id, Path: path, Version: -1, Value: fmt.Sprintf("%d.%d", id, rng.Int64())}
	when := tree.Always()
	if rng.IntN(4) == 0 {
		op.Version = rng.Int64N(3)
		when = tree.IfVersion(op.Version)
	}
	switch k := rng.IntN(20); {
	case k < 7:
		op.Kind, op.Version = history.TreeCreate, -1
		r.do(op, func(op *history.TreeOp) error {
			_, err := t.Create(ctx, path, []byte(op.Value))
			return err
		})
	case k < 9:
		r.numbered(ctx, t, op, dir)
	case k < 12:
		op.Kind = history.TreeSet
		r.do(op, func(op *history.TreeOp) (err error) {
			op.Number, err = t.Set(ctx, path, []byte(op.Value), when)
			return err
		})
	case k < 14:
		op.Kind, op.Version = history.TreeGet, -1
		r.do(op, func(op *history.TreeOp) error {
			n, err := t.Get(ctx, path)
			op.Value, op.Number = string(n.Value), n.Stat.Version
			return err
		})
	case k < 18:
		op.Kind = history.TreeRemove
		r.do(op, func(*history.TreeOp) error { return t.Remove(ctx, path, when) })
	default:
		op.Kind, op.Path = history.TreeList, dir
		r.list(ctx, t, op)
	}
}

// numbered creates a sequential node, and removes it: a directory does not fill up.
func (r *treeRun) numbered(ctx context.Context, t *tree.Tree, op history.TreeOp, dir string) {
	op.Kind, op.Path, op.Version = history.TreeSequential, dir+"/n-", -1
	var path string
	err := r.do(op, func(op *history.TreeOp) (err error) {
		if path, err = t.Create(ctx, op.Path, []byte(op.Value), tree.Sequential); err == nil {
			_, err = fmt.Sscanf(path[len(op.Path):], "%d", &op.Number)
		}
		return err
	})
	if err == nil {
		r.do(history.TreeOp{Client: op.Client, Kind: history.TreeRemove, Path: path, Version: -1},
			func(*history.TreeOp) error { return t.Remove(ctx, path, tree.Always()) })
	}
}

func (r *treeRun) list(ctx context.Context, t *tree.Tree, op history.TreeOp) {
	r.do(op, func(op *history.TreeOp) error {
		for c, err := range t.List(ctx, op.Path) {
			if err != nil {
				return err
			}
			op.Names = append(op.Names, c.Name)
		}
		return nil
	})
}

// do notes an operation with what came of it.
func (r *treeRun) do(op history.TreeOp, do func(op *history.TreeOp) error) error {
	op.Call = time.Since(r.began)
	err := do(&op)
	op.Return = time.Since(r.began)
	switch {
	case err == nil:
		op.Result = history.TreeDone
	case errors.Is(err, tree.ErrNoNode):
		op.Result = history.TreeNoNode
	case errors.Is(err, tree.ErrNoParent):
		op.Result = history.TreeNoParent
	case errors.Is(err, tree.ErrNodeExists):
		op.Result = history.TreeExists
	case errors.Is(err, tree.ErrNotEmpty):
		op.Result = history.TreeNotEmpty
	case errors.Is(err, tree.ErrBadVersion):
		op.Result = history.TreeBadVersion
	default:
		op.Return = history.Never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if op.Result == history.TreeUnknown {
		r.failed++
		r.t.Logf("%s %d: %v", op.Path, op.Kind, err)
	}
	r.ops = append(r.ops, op)
	return err
}

// pass comes to each directory once all is quiet, and checks that all that is told of can be
// opened, and counted.
func (r *treeRun) pass() {
	t := r.open()
	defer t.Close()
	ctx := r.t.Context()
	for i := range r.dirs {
		for _, dir := range []string{fmt.Sprintf("/d%d/s", i), fmt.Sprintf("/d%d", i), "/"} {
			r.list(ctx, t, history.TreeOp{Client: 99, Kind: history.TreeList, Path: dir, Version: -1})
		}
	}
	var all []string
	for c, err := range t.Walk(ctx, "/") {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, c.Path)
	}
	for _, path := range slices.Concat([]string{"/"}, all) {
		s, err := t.Stat(ctx, path)
		count := int64(0)
		for _, err := range t.List(ctx, path) {
			if err != nil {
				r.t.Errorf("%s is told of, and its list: %v", path, err)
			}
			count++
		}
		if err != nil || s.Children != count {
			r.t.Errorf("%s is told of, with %d children: %+v, %v", path, count, s, err)
		}
	}
	if err := t.RemoveAll(ctx, "/d0", nil); err != nil && !errors.Is(err, tree.ErrNoNode) {
		r.t.Error(err)
	}
}
