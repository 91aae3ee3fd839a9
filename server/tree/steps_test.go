package tree

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// memory is a store whose slots have logs of their own: steps take effect one by one.
type memory struct {
	items map[replica.Key]replica.Item
	seqs  map[uint16]uint64
	now   int64

	given map[string]int64 // the last number that was given, by directory and record
	wrong string           // what an evaluation came to that no evaluation may
}

func newMemory() *memory {
	return &memory{items: make(map[replica.Key]replica.Item), seqs: make(map[uint16]uint64), given: make(map[string]int64)}
}

// do carries out a step as a server does: the evaluation, or the read.
func (m *memory) do(q *wire.TreeRequest) (wire.TreeReply, error) {
	if err := Check(q); err != nil {
		return wire.TreeReply{}, err
	}
	m.now++
	if q.Op == wire.TreeList {
		return m.list(q)
	}
	if !q.Op.Mutates() {
		it, ok := m.items[ReadKey(q)]
		if q.Op == wire.TreeHead {
			_, to := Head(len(it.Value))
			return HeadReply(q, ok, it.Value[:to], len(it.Value))
		}
		return ReadReply(q, ok, it.Value)
	}
	var r replica.Request
	Fill(q, &r)
	answer := m.carryOut(&r)
	if m.wrong != "" {
		return wire.TreeReply{}, errors.New(m.wrong)
	}
	p, ok := Reply(&answer)
	if !ok {
		m.wrong = fmt.Sprintf("%+v answers %+v", q, answer)
	}
	if q.Op == wire.TreeChange && p.Code == wire.TreeOK {
		m.checkNumbers(q, p.Number)
	}
	return p, nil
}

// carryOut evaluates a request, and makes its writes.
func (m *memory) carryOut(r *replica.Request) replica.Answer {
	m.seqs[r.Key.Slot()]++
	version := replica.Version{Term: 1, Seq: m.seqs[r.Key.Slot()]}
	out := m.evaluate(r, version)
	if m.wrong == "" {
		for _, w := range out.Writes {
			if delete(m.items, w.Key); !w.Delete {
				m.items[w.Key] = replica.Item{Version: version, Value: bytes.Clone(w.Value)}
			}
		}
	}
	return out.Answer
}

// evaluate shows an evaluation what it asks for, and sees to it that it keeps to what an
// Outcome may be: of a server it would be refused.
func (m *memory) evaluate(r *replica.Request, version replica.Version) replica.Outcome {
	keys := slices.Clone(r.Keys)
	for {
		found := make([]replica.Item, len(keys))
		for i, k := range keys {
			found[i] = m.items[k]
		}
		out := r.Evaluate(found, version, m.now)
		if keys = append(keys, out.More...); len(keys) > replica.BatchKeysMax {
			m.wrong = fmt.Sprintf("it asks for %d keys", len(keys))
			return replica.Outcome{}
		}
		if len(out.More) > 0 {
			continue
		}
		for i, w := range out.Writes {
			if !slices.Contains(keys, w.Key) || w.Key.Slot() != r.Key.Slot() || slices.ContainsFunc(out.Writes[:i], func(o replica.KeyWrite) bool { return o.Key == w.Key }) {
				m.wrong = fmt.Sprintf("it writes %q, which it has not seen, or twice", w.Key)
				return replica.Outcome{}
			}
		}
		return out
	}
}

// checkNumbers is that the numbers of sequential nodes rise, as long as their directory lives.
func (m *memory) checkNumbers(q *wire.TreeRequest, number int64) {
	n := int64(0)
	for i := range q.Items {
		if q.Items[i].Kind == wire.TreeSequential {
			n++
		}
	}
	if n == 0 {
		return
	}
	d, _ := decodeRecord(m.items[keyOf(q.Dir, "")].Value)
	of := fmt.Sprint(q.Dir, d.ID)
	if last, ok := m.given[of]; ok && number <= last {
		m.wrong = fmt.Sprintf("below %s the number %d is given, after %d", q.Dir, number, last)
	}
	m.given[of] = number + n - 1
}

func (m *memory) list(q *wire.TreeRequest) (wire.TreeReply, error) {
	l, err := NewList(q)
	if err != nil {
		return wire.TreeReply{}, err
	}
	var r replica.Request
	l.Fill(&r)
	r.Evaluate([]replica.Item{m.items[r.Key]}, replica.Version{}, 0)
	var keys []replica.Key
	for k := range m.items {
		if k != l.Range.Prefix && strings.HasPrefix(string(k), string(l.Range.Prefix)) && l.Range.From.Before(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, replica.ComparePlaces)
	for _, k := range keys {
		if l.Range.More = len(l.Range.Items) >= l.Range.ItemsMax; l.Range.More {
			break
		}
		l.Range.Items = append(l.Range.Items, replica.RangeItem{Key: k, Item: m.items[k]})
		l.Range.Next = replica.After(k)
	}
	return l.Reply()
}

// actor is a client in the middle of an operation.
type actor struct {
	name  string
	next  func() (*wire.TreeRequest, bool)
	stop  func()
	reply wire.TreeReply
	err   error
	dead  bool
	came  error // to what
}

var errCrashed = errors.New("crashed")

func newActor(name string, op func(ask tree.Ask) error) *actor {
	a := &actor{name: name}
	a.next, a.stop = iter.Pull(func(yield func(*wire.TreeRequest) bool) {
		a.came = op(func(q *wire.TreeRequest) (wire.TreeReply, error) {
			if a.dead || !yield(q) {
				a.dead = true
				return wire.TreeReply{}, errCrashed
			}
			return a.reply, a.err
		})
	})
	return a
}

// drawOperation is an operation on one of a few paths.
func drawOperation(rng *rand.Rand) (string, func(ask tree.Ask) error) {
	path := []string{"/a", "/a/b", "/a/b", "/a/b/c", "/a/b/d"}[rng.IntN(5)]
	dir, name := tree.Split(path)
	change := func(it wire.TreeItem) func(tree.Ask) error {
		return func(ask tree.Ask) error {
			_, _, err := tree.Change(ask, dir, []wire.TreeItem{it})
			return err
		}
	}
	switch rng.IntN(8) {
	case 0, 1, 2:
		return "create " + path, change(wire.TreeItem{Kind: wire.TreeCreate, Name: name})
	case 3:
		return "set " + path, change(wire.TreeItem{Kind: wire.TreeSet, Name: name, DataVersion: -1})
	case 4:
		v := rng.Int64N(2)
		return fmt.Sprintf("remove %s at %d", path, v), func(ask tree.Ask) error { return tree.Remove(ask, path, tree.Condition{DataVersion: v}) }
	case 5:
		return "list " + path, func(ask tree.Ask) error { _, _, err := tree.ListPage(ask, path, nil, 2); return err }
	}
	return "remove " + path, func(ask tree.Ask) error { return tree.Remove(ask, path, tree.Always) }
}

// drawChanges draws several changes as one: sequential nodes among others, of the names that
// they have, or will have.
func drawChanges(rng *rand.Rand) (string, func(ask tree.Ask) error) {
	dir := []string{"/", "/a", "/a/b"}[rng.IntN(3)]
	items := make([]wire.TreeItem, 1+rng.IntN(5))
	for i := range items {
		kinds := []wire.TreeItemKind{wire.TreeSequential, wire.TreeSequential, wire.TreeSequential, wire.TreeCreate, wire.TreeSet, wire.TreeRemove, wire.TreeCheck}
		items[i] = wire.TreeItem{Kind: kinds[rng.IntN(len(kinds))], Name: []string{"s", "t"}[rng.IntN(2)], DataVersion: -1}
		if items[i].Kind != wire.TreeSequential {
			items[i].Name = tree.SequentialName(items[i].Name, rng.Int64N(7))
		}
	}
	return fmt.Sprintf("change below %s", dir), func(ask tree.Ask) error {
		_, _, err := tree.Change(ask, dir, items)
		return err
	}
}

// drawMixed is one of drawChanges or of drawOperation.
func drawMixed(rng *rand.Rand) (string, func(ask tree.Ask) error) {
	if rng.IntN(2) == 0 {
		return drawChanges(rng)
	}
	return drawOperation(rng)
}

// broken says which promise the store breaks: each entry's parent is there and lets children
// in, each record that lets children in is that of a node that is there, counts are true, and just
// the nodes of sessions have an ownership beside them.
func (m *memory) broken() string {
	if m.wrong != "" {
		return m.wrong
	}
	counts, records := make(map[string]int64), make(map[string]*wire.TreeRecord)
	nodes := make(map[string]*entry)
	owned := 0
	for k, it := range m.items {
		if _, todo := ParseTodo(k); k.Space() == replica.SpaceFile || k.Space() == replica.SpaceOwned && todo {
			continue // contents have tests of their own
		}
		if k.Space() == replica.SpaceOwned {
			owned++
			o, ok := ParseOwnership(k)
			e, _ := decodeEntry(m.items[keyOf(o.Dir, o.Name)].Value)
			if !ok || e == nil || e.owner != o.Session {
				return fmt.Sprintf("the node of the ownership %+v is %+v", o, e)
			}
			continue
		}
		dir, name, _ := strings.Cut(k.Name(), separator)
		if name == "" {
			records[dir], _ = decodeRecord(it.Value)
			continue
		}
		if dir == "" {
			continue // the root
		}
		counts[dir]++
		nodes[tree.Join(dir, name)], _ = decodeEntry(it.Value)
	}
	for path, n := range nodes {
		if n.owner != 0 {
			owned--
		}
		if n.owner != 0 && n.flags&hasRecord != 0 {
			return fmt.Sprintf("%s goes with a session, and has a record", path)
		}
		dir, _ := tree.Split(path)
		if d := records[dir]; d == nil || d.State != wire.TreeOpen {
			return fmt.Sprintf("%s is there, and its parent's record is %+v", path, d)
		}
	}
	if owned != 0 {
		return fmt.Sprintf("there are %d ownerships more than nodes of sessions", owned)
	}
	for dir, d := range records {
		n := nodes[dir]
		if dir != tree.Root && d.State == wire.TreeOpen && (n == nil || n.id != d.ID || n.flags&hasRecord == 0) {
			return fmt.Sprintf("the record of %s is open, %+v, its node is %+v", dir, d, n)
		}
		if counts[dir] != d.Children {
			return fmt.Sprintf("%s has %d children, its record says %d", dir, counts[dir], d.Children)
		}
	}
	return ""
}

// leftover says what is half made or half removed.
func (m *memory) leftover() string {
	for k, it := range m.items {
		dir, name, _ := strings.Cut(k.Name(), separator)
		if k.Space() != replica.SpaceMeta || name != "" || dir == tree.Root {
			continue
		}
		d, _ := decodeRecord(it.Value)
		above, own := tree.Split(dir)
		e, ok := m.items[keyOf(above, own)]
		if !ok {
			return fmt.Sprintf("a record of %s, which is not there: %+v", dir, d)
		}
		if n, _ := decodeEntry(e.Value); n.id != d.ID || d.State == wire.TreeShut {
			return fmt.Sprintf("a record of %s: %+v, its node is %+v", dir, d, n)
		}
	}
	return ""
}

// TestAnyOrder plays operations whose steps take effect in any order, of clients that die at
// any moment while a step of theirs is still under way: the tree is whole after every step, and
// what is left half done is gone once somebody has come to each path.
func TestAnyOrder(t *testing.T) {
	seeds := 8000 // the rarest of the mutants needs 5,113
	if os.Getenv("VIEWRING_SLOW") != "" {
		seeds = 30_000
	}
	for seed := range uint64(seeds) {
		if why := playAnyOrder(seed, drawOperation); why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
	}
	for seed := range uint64(seeds / 4) {
		if why := playAnyOrder(seed, drawMixed); why != "" {
			t.Fatalf("seed %d, with several changes as one: %s", seed, why)
		}
	}
	for seed := range uint64(seeds / 4) {
		if why := playAnyOrder(seed, drawOwned); why != "" {
			t.Fatalf("seed %d, with nodes of sessions: %s", seed, why)
		}
	}
}

// operations is how many a play has.
const operations = 14

func playAnyOrder(seed uint64, draw func(*rand.Rand) (string, func(tree.Ask) error)) string {
	rng := rand.New(rand.NewPCG(seed, 15))
	m := newMemory()
	var running []*actor
	var late []*wire.TreeRequest // of clients that are no more
	var story []string
	began := 0
	for _, name := range []string{"a", "b", "c"}[:rng.IntN(4)] {
		dir := map[string]string{"a": "/", "b": "/a", "c": "/a/b"}[name]
		if _, _, err := tree.Change(m.do1, dir, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name}}); err != nil {
			return err.Error()
		}
	}
	step := func(q *wire.TreeRequest, who string) (p wire.TreeReply, why string, err error) {
		if q.Op.Mutates() {
			q.Number = 1
		}
		p, err = m.do(q)
		story = append(story, fmt.Sprintf("%s: step %d of %q %+v → %+v %v", who, q.Op, q.Dir, q.Items, p, err))
		if why = m.broken(); why != "" {
			why += "\n" + strings.Join(story, "\n")
		}
		return p, why, err
	}
	for began < operations || len(running)+len(late) > 0 {
		if why := m.reapSome(rng); why != "" {
			return why + "\n" + strings.Join(story, "\n")
		}
		switch i := rng.IntN(len(running) + len(late) + 1); {
		case i == len(running)+len(late) || len(running) < 2 && began < operations:
			if began++; began <= operations {
				name, op := draw(rng)
				running = append(running, newActor(fmt.Sprintf("%d %s", began, name), op))
			}
		case i >= len(running):
			if began < operations && rng.IntN(4) > 0 {
				continue // later still
			}
			q := late[i-len(running)]
			late = slices.Delete(late, i-len(running), i-len(running)+1)
			if _, why, _ := step(q, "late"); why != "" {
				return why
			}
		default:
			a := running[i]
			q, more := a.next()
			if !more {
				running = slices.Delete(running, i, i+1)
				continue
			}
			if rng.IntN(20) == 0 {
				if q.Op.Mutates() {
					late = append(late, q)
				}
				a.stop()
				running = slices.Delete(running, i, i+1)
				continue
			}
			var why string
			if a.reply, why, a.err = step(q, a.name); why != "" {
				return why
			}
		}
	}
	for _, path := range []string{"/a/b/c", "/a/b/d", "/a/b", "/a"} {
		if _, _, err := tree.ListPage(m.do1, path, nil, 10); err != nil && !errors.Is(err, tree.ErrNoNode) {
			return err.Error()
		}
	}
	if why := m.reapAll() + m.broken() + m.leftover(); why != "" {
		return why + "\n" + strings.Join(story, "\n")
	}
	return ""
}

// do1 is do for who needs no request ids.
func (m *memory) do1(q *wire.TreeRequest) (wire.TreeReply, error) {
	q.Number = 1
	return m.do(q)
}
