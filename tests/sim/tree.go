package sim

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	servertree "viewring/server/tree"
	"viewring/tests/history"
)

// Clients of the tree of paths run the steps of internal/tree, as the client library does.
// Each step is an operation of a client like any other, with all that may happen to it; and now
// and then a client dies between two steps, or with one under way.

const (
	walkersFew     = 2
	walkedChance   = 0.25 // of worlds with clients of the tree
	firstWalkerID  = 100
	lastWalkerID   = 250
	finalWalkerID  = 98
	walkerDies     = 0.02 // a step
	treePatience   = 20 * time.Second
	treeThinkMax   = 150 * time.Millisecond
	treeSeedStream = 0x74726565
)

// Where walkers meet.
var (
	treeDirs  = []string{"/a/x", "/a", "/b", "/"}
	treePaths = []string{"/a", "/a", "/b", "/a/x", "/a/x", "/a/y", "/b/y", "/a/x/y", "/a/x/z"}
)

// forest is what the world knows of its tree.
type forest struct {
	rng     *rand.Rand
	walkers []*client
	ids     int
	ops     []*treeOp
	final   *client
}

// treeOp is an operation with the requests of its steps that change something.
type treeOp struct {
	history.TreeOp
	steps []requestName
}

// walker is what a client does in the tree.
type walker struct {
	c       *client
	ask     func() (*wire.TreeRequest, bool) // goes on to the next step; nil: no operation is under way
	stop    func()
	reply   wire.TreeReply
	err     error
	dead    bool
	serial  int
	op      *treeOp // the last that it noted
	passing bool    // the last one, once all is quiet
	over    bool
}

var (
	errStepUnknown = errors.New("outcome unknown")
	errStepRefused = errors.New("refused")
	errWalkerDead  = errors.New("dead")
)

// plantTree lets some worlds have clients of the tree. What is about them is drawn from a
// source of its own.
func (w *world) plantTree() {
	w.tree.rng = rand.New(rand.NewPCG(w.seed, treeSeedStream))
	n := w.opt.Walkers
	if n == 0 && w.tree.rng.Float64() < walkedChance {
		n = walkersFew
	}
	if w.loss != nil || w.valueMax < 1000 {
		n = 0 // what an operator gives up is not asked for; and a node needs some room
	}
	for range n {
		c := w.newWalker(0)
		w.tree.walkers = append(w.tree.walkers, c)
		w.after(time.Duration(w.tree.rng.Int64N(int64(100*time.Millisecond))), c.next)
	}
}

func (w *world) newWalker(id byte) *client {
	if id == 0 {
		id = byte(firstWalkerID + w.tree.ids)
		w.tree.ids++
	}
	c := newClient(w, id)
	c.walker = &walker{c: c}
	return c
}

// next goes on with the operation under way, or begins another.
func (k *walker) next() {
	if k.over {
		return
	}
	if k.ask == nil {
		k.begin()
	} else {
		k.reply, k.err = k.c.stepReply()
	}
	q, more := k.ask()
	if !more {
		k.ask = nil
		k.over = k.passing
		k.c.w.after(k.think(), k.c.next)
		return
	}
	in := input{key: q.Dir, step: q}
	if q.Dir == "" {
		in.key = tree.Root
	}
	if q.Op.Mutates() {
		in.op = replica.OpEvaluate
	}
	k.c.begin(in)
	if q.Op.Mutates() {
		k.op.steps = append(k.op.steps, requestName{k.c.id, k.c.number})
	}
	if w := k.c.w; !k.passing && w.tree.rng.Float64() < walkerDies && w.tree.ids < lastWalkerID-firstWalkerID {
		w.count("walkers died")
		k.stop()
		k.c.tries++ // what it has asked for is under way
		k.over = true
		heir := w.newWalker(0)
		w.tree.walkers = append(w.tree.walkers, heir)
		w.after(k.think(), heir.next)
	}
}

func (k *walker) think() time.Duration {
	return time.Millisecond + time.Duration(k.c.w.tree.rng.Int64N(int64(treeThinkMax)))
}

// stepReply is what the last step came to.
func (c *client) stepReply() (wire.TreeReply, error) {
	switch q := c.op.in.step; {
	case c.op.refused:
		return wire.TreeReply{}, errStepRefused
	case c.op.done == never:
		return wire.TreeReply{}, errStepUnknown
	case lists(q.Op):
		return wire.DecodeTreeReply([]byte(c.op.out.value))
	case q.Op == wire.TreeHead:
		value := []byte(c.op.out.value)
		_, to := servertree.Head(len(value))
		return servertree.HeadReply(q, c.op.out.status == replica.StatusOK, value[:to], len(value))
	case !q.Op.Mutates():
		return servertree.ReadReply(q, c.op.out.status == replica.StatusOK, []byte(c.op.out.value))
	}
	p, ok := servertree.Reply(&replica.Answer{Status: c.op.out.status, Version: c.op.out.ver, Number: c.op.out.number})
	if !ok {
		c.w.violated("tree", "a step is answered %s", statusName(c.op.out.status))
	}
	return p, nil
}

// begin begins an operation, which runs as a coroutine from step to step.
func (k *walker) begin() {
	do := k.draw()
	if k.passing {
		do = k.pass
	}
	k.ask, k.stop = iter.Pull(func(yield func(*wire.TreeRequest) bool) {
		do(func(q *wire.TreeRequest) (wire.TreeReply, error) {
			if k.dead || !yield(q) {
				k.dead = true
				return wire.TreeReply{}, errWalkerDead
			}
			return k.reply, k.err
		})
	})
}

// draw decides what to do.
func (k *walker) draw() func(ask tree.Ask) {
	rng := k.c.w.tree.rng
	path, dir := treePaths[rng.IntN(len(treePaths))], treeDirs[rng.IntN(len(treeDirs))]
	version := int64(-1)
	if rng.IntN(3) == 0 {
		version = rng.Int64N(3)
	}
	switch r := rng.IntN(20); {
	case r < 6:
		return func(ask tree.Ask) { k.create(ask, path, false) }
	case r < 8:
		return func(ask tree.Ask) { k.create(ask, tree.Join(dir, "s-"), true) }
	case r < 11:
		return func(ask tree.Ask) { k.set(ask, path, version) }
	case r < 13:
		return func(ask tree.Ask) { k.get(ask, path) }
	case r < 16:
		return func(ask tree.Ask) { _ = k.remove(ask, path, version) }
	case r < 17 && dir != tree.Root:
		return func(ask tree.Ask) { k.removeAll(ask, dir, 0) }
	}
	return func(ask tree.Ask) { _, _ = k.list(ask, dir) }
}

// told notes what an operation came to.
func (k *walker) told(op *treeOp, err error) {
	results := []struct {
		err    error
		result history.TreeResult
	}{
		{tree.ErrNoNode, history.TreeNoNode}, {tree.ErrNoParent, history.TreeNoParent}, {tree.ErrNodeExists, history.TreeExists},
		{tree.ErrNotEmpty, history.TreeNotEmpty}, {tree.ErrBadVersion, history.TreeBadVersion},
	}
	if err == nil {
		op.Result = history.TreeDone
	}
	for _, r := range results {
		if errors.Is(err, r.err) {
			op.Result = r.result
		}
	}
	w := k.c.w
	w.note(global, "client %d: %+v: %v", k.c.id, op.TreeOp, err)
	switch {
	case op.Result != history.TreeUnknown:
		op.Return = w.now
		w.count("operations in the tree")
	case errors.Is(err, errWalkerDead):
	case errors.Is(err, tree.ErrOvertaken):
		w.count("removals overtaken")
	case !errors.Is(err, errStepUnknown) && !errors.Is(err, errStepRefused):
		w.violated("tree", "client %d: %+v: %v", k.c.id, op.TreeOp, err)
	}
}

// note begins to note an operation.
func (k *walker) note(op history.TreeOp) *treeOp {
	op.Client, op.Call, op.Return = int(k.c.id), k.c.w.now, history.Never
	k.op = &treeOp{TreeOp: op}
	k.c.w.tree.ops = append(k.c.w.tree.ops, k.op)
	return k.op
}

func (k *walker) unique() string {
	k.serial++
	return fmt.Sprintf("%d.%d", k.c.id, k.serial)
}

func (k *walker) create(ask tree.Ask, path string, sequential bool) {
	op := k.note(history.TreeOp{Kind: history.TreeCreate, Path: path, Value: k.unique(), Version: -1})
	item := wire.TreeItem{Kind: wire.TreeCreate, Value: []byte(op.Value)}
	if sequential {
		op.Kind, item.Kind = history.TreeSequential, wire.TreeSequential
	}
	var dir string
	dir, item.Name = tree.Split(path)
	p, _, err := tree.Change(ask, dir, []wire.TreeItem{item})
	op.Number = p.Number
	k.told(op, err)
}

func (k *walker) set(ask tree.Ask, path string, version int64) {
	op := k.note(history.TreeOp{Kind: history.TreeSet, Path: path, Value: k.unique(), Version: version})
	dir, name := tree.Split(path)
	p, _, err := tree.Change(ask, dir, []wire.TreeItem{{Kind: wire.TreeSet, Name: name, Value: []byte(op.Value), DataVersion: version}})
	op.Number = p.Number
	k.told(op, err)
}

func (k *walker) get(ask tree.Ask, path string) {
	op := k.note(history.TreeOp{Kind: history.TreeGet, Path: path, Version: -1})
	n, err := tree.Get(ask, path)
	if err == nil {
		op.Value, op.Number = string(n.Value), n.DataVersion
	}
	k.told(op, err)
}

func (k *walker) remove(ask tree.Ask, path string, version int64) error {
	op := k.note(history.TreeOp{Kind: history.TreeRemove, Path: path, Version: version})
	err := tree.Remove(ask, path, tree.Condition{DataVersion: version})
	k.told(op, err)
	return err
}

func (k *walker) list(ask tree.Ask, dir string) ([]string, error) {
	op := k.note(history.TreeOp{Kind: history.TreeList, Path: dir, Version: -1})
	var next []byte
	var err error
	if k.c.w.tree.rng.IntN(2) > 0 {
		op.Names, _, next, err = tree.NamesPage(ask, dir, nil, 0)
	} else {
		var nodes []wire.TreeNode
		nodes, next, err = tree.ListPage(ask, dir, nil, 0)
		for i := range nodes {
			op.Names = append(op.Names, nodes[i].Name)
		}
	}
	if len(next) > 0 {
		k.c.w.violated("tree", "%d nodes are more than a page", len(op.Names))
	}
	k.told(op, err)
	return op.Names, err
}

// removeAll removes a directory and what is below it, from the bottom up.
func (k *walker) removeAll(ask tree.Ask, path string, depth int) {
	for range 3 {
		if !errors.Is(k.remove(ask, path, -1), tree.ErrNotEmpty) || depth > len(treeDirs) {
			return
		}
		names, err := k.list(ask, path)
		for _, name := range names {
			if !k.dead {
				k.removeAll(ask, tree.Join(path, name), depth+1)
			}
		}
		if err != nil || k.dead {
			return
		}
	}
}

// pass is what comes by once all is quiet: it comes to each directory, and reads everything.
func (k *walker) pass(ask tree.Ask) {
	for range 2 {
		for _, dir := range treeDirs {
			names, _ := k.list(ask, dir)
			for _, name := range names {
				k.get(ask, tree.Join(dir, name))
			}
		}
	}
}

// walkedThrough has the last client of the tree come by, and reports whether it has.
func (w *world) walkedThrough() bool {
	if len(w.tree.walkers) == 0 {
		return true
	}
	if w.tree.final == nil {
		w.tree.final = w.newWalker(finalWalkerID)
		w.tree.final.final, w.tree.final.walker.passing = true, true
		// A clock behind the others' would have it refused: partitions take no request that was born
		// before one whose record they have collected.
		w.tree.final.clock = clockAheadMax
		w.tree.final.next()
	}
	return w.tree.final.walker.over
}

// fell ends the coroutines of operations that nobody goes on with.
func (f *forest) fell() {
	for _, c := range f.walkers {
		if k := c.walker; k.ask != nil {
			k.stop()
		}
	}
	if f.final != nil && f.final.walker.ask != nil {
		f.final.walker.stop()
	}
}

// frees reports whether a step takes no room.
func frees(q *wire.TreeRequest) bool {
	var r replica.Request
	servertree.Fill(q, &r)
	return r.Frees
}

// fillStep makes r the request of a step in the tree.
func (in *input) fillStep(r *replica.Request) {
	switch {
	case in.step == nil:
	case in.op == 0:
		r.Key = servertree.ReadKey(in.step)
	default:
		id, mark := r.ID, r.Mark
		servertree.Fill(in.step, r)
		r.ID, r.Mark = id, mark
	}
}

// lists reports whether a step is answered by lane.list.
func lists(op wire.TreeOp) bool { return op == wire.TreeList || op == wire.TreeNames }

// byTheLog is the length in the answer to a list that is an entry of the log: it is committed,
// and needs no lease.
const byTheLog = -1

// list reads a page of a directory, as a server does: on the spot, or at the head of the log.
func (l *lane) list(p ring.PartitionID, token uint64, q *wire.TreeRequest) {
	w := l.s.w
	page, err := servertree.NewList(q)
	if err != nil {
		w.violated("tree", "list %+v: %v", q, err)
	}
	encoded := func() []byte {
		reply, err := page.Reply()
		if err != nil {
			w.violated("tree", "list %s: %v", q.Dir, err)
		}
		return wire.AppendTreeReply(nil, &reply)
	}
	l.post(func(at replica.Instant, core *replica.Core) {
		if w.tree.rng.IntN(4) > 0 {
			if items, ok := core.ReadRange(at, p, page.Keys, &page.Range); ok {
				w.count("lists on the spot")
				page.Found = items
				a := replica.Answer{Token: token, Status: replica.StatusOK, Value: encoded()}
				w.mixAnswer(&a)
				l.s.answer(l, a)
				return
			}
		}
		then := l.s.asks[token]
		if then == nil {
			return
		}
		l.s.asks[token] = func(a replica.Answer) {
			if a.Status == replica.StatusOK {
				w.count("lists by the log")
				a.Value, a.Length = encoded(), byTheLog
			}
			then(a)
		}
		r := replica.Request{Token: token, Partition: p}
		page.Fill(&r)
		core.Propose(at, r)
	})
}

// checkTree is that each directory's operations have an order that explains them, and that in
// the end no node is without its parent, and nothing is half made or half removed.
func (w *world) checkTree() string {
	if len(w.tree.walkers) == 0 {
		return ""
	}
	var ops []history.TreeOp
	for _, op := range w.tree.ops {
		if op.Result != history.TreeUnknown || slices.ContainsFunc(op.steps, func(n requestName) bool { return w.sequenced[n] }) {
			ops = append(ops, op.TreeOp) // what was never in a log did nothing
		}
	}
	why, tooHard := history.CheckTree(ops, treePatience)
	w.Counts["directories too hard to check"] += tooHard
	if why != "" {
		return why
	}
	return w.checkForest()
}

// checkForest looks at what the primaries have.
func (w *world) checkForest() string {
	nodes, records := make(map[string]*wire.TreeNode), make(map[string]*wire.TreeRecord)
	v := w.leader.state.View()
	for p := range v.Partitions {
		d := w.byID(v.Partitions[p].Primary()).disk
		err := d.Scan(ring.PartitionID(p), replica.Cursor{}, func(key replica.Key, stored []byte) bool {
			if key.Space() != replica.SpaceMeta {
				return true
			}
			dir, name, _ := strings.Cut(key.Name(), "\x00")
			it, err := replica.DecodeItem(key, stored)
			if err != nil {
				return true // its bytes were flipped
			}
			q := &wire.TreeRequest{Op: wire.TreeDirectory, Dir: dir}
			if name != "" {
				q.Op, q.Items = wire.TreeGet, []wire.TreeItem{{Name: name}}
			}
			reply, err := servertree.ReadReply(q, true, it.Value)
			if err != nil {
				w.violated("tree", "%q: %v", key.Name(), err)
			}
			if name != "" {
				nodes[tree.Join(dir, name)] = reply.Node
			} else {
				records[dir] = reply.Directory
			}
			return true
		})
		if err != nil {
			return ""
		}
	}
	return unsound(nodes, records)
}

// unsound says what is wrong with a tree that nobody works at.
func unsound(nodes map[string]*wire.TreeNode, records map[string]*wire.TreeRecord) string {
	children := make(map[string]int64)
	for path := range nodes {
		dir, _ := tree.Split(path)
		children[dir]++
	}
	for dir, n := range children {
		if d := records[dir]; d == nil || d.State != wire.TreeOpen || d.Children != n {
			return fmt.Sprintf("%s has %d children, its record is %+v", dir, n, d)
		}
	}
	for dir, d := range records {
		n := nodes[dir]
		switch {
		case dir == tree.Root || !slices.Contains(treeDirs, dir): // nobody came to others
		case n == nil || n.ID != d.ID:
			return fmt.Sprintf("a record of %s stays, %+v, its node is %+v", dir, d, n)
		case d.State == wire.TreeShut:
			return fmt.Sprintf("%s is half removed: %+v", dir, d)
		}
	}
	return ""
}
