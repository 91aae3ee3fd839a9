package seglog_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// content is what a partition has, as maps.
type content struct {
	items map[string]string
	rows  map[uint64]string
	meta  []byte
	floor uint64
	last  uint64
}

func (c *content) clone() *content {
	return &content{maps.Clone(c.items), maps.Clone(c.rows), c.meta, c.floor, c.last}
}

// model is what a store should have.
type model map[uint16]*content

func (m model) clone() model {
	out := make(model)
	for n, c := range m {
		out[n] = c.clone()
	}
	return out
}

func (m model) part(n uint16) *content {
	if m[n] == nil {
		m[n] = &content{items: make(map[string]string), rows: make(map[uint64]string)}
	}
	return m[n]
}

func (m model) apply(ops []seglog.Op) {
	for i := range ops {
		o := &ops[i]
		c := m.part(o.Part)
		switch o.Kind {
		case seglog.Put:
			c.items[string(o.Key)] = string(o.Value)
		case seglog.Delete:
			delete(c.items, string(o.Key))
		case seglog.PutRow:
			c.rows[o.Seq] = string(o.Value)
			c.last = max(c.last, o.Seq)
		case seglog.Trim:
			maps.DeleteFunc(c.rows, func(seq uint64, _ string) bool { return seq <= o.Seq })
			c.floor = max(c.floor, o.Seq)
		case seglog.Cut:
			maps.DeleteFunc(c.rows, func(seq uint64, _ string) bool { return seq > o.Seq })
			c.floor, c.last = min(c.floor, o.Seq), min(c.last, o.Seq)
		case seglog.PutMeta:
			c.meta = slices.Clone(o.Value)
		case seglog.Wipe:
			delete(m, o.Part)
		}
	}
}

// counterPart has the number of the last batch for a meta.
const counterPart = 7

const (
	modelSegment = 64 << 10 // bytes

	modelParts = 5
	modelKeys  = 60
)

func keyOf(n int) []byte {
	return append([]byte{0, byte(n % 3), byte(1 + n%2*5)}, fmt.Sprintf("key-%d-%s", n, bytes.Repeat([]byte("x"), n%7*n%40))...)
}

// draw makes an operation on a model that stands as the store does.
func draw(rng *rand.Rand, m model) seglog.Op {
	o := seglog.Op{Part: uint16(rng.IntN(modelParts))}
	c := m.part(o.Part)
	switch n := rng.IntN(100); {
	case n < 55:
		o.Kind, o.Key = seglog.Put, keyOf(rng.IntN(modelKeys))
		size := rng.IntN(300)
		switch rng.IntN(200) {
		case 0: // half a segment and more
			size = modelSegment/3 + rng.IntN(modelSegment)
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
			size = rng.IntN(6000)
		}
		o.Value = make([]byte, size)
		for i := range o.Value {
			o.Value[i] = byte(rng.Uint32())
		}
		if rng.IntN(8) == 0 {
			clear(o.Value) // zeros are what a sector that was not written has
		}
	case n < 72:
		o.Kind, o.Key = seglog.Delete, keyOf(rng.IntN(modelKeys))
	case n < 85:
		o.Kind, o.Seq, o.Value = seglog.PutRow, max(c.last, c.floor)+1, fmt.Appendf(nil, "row %d", rng.Uint32())
	case n < 92:
		o.Kind, o.Seq = seglog.Trim, c.floor+uint64(rng.IntN(4))
	case n < 94:
		o.Kind, o.Seq = seglog.Cut, c.last-min(c.last, uint64(rng.IntN(5)))
	case n < 99:
		o.Kind, o.Value = seglog.PutMeta, fmt.Appendf(nil, "meta %d", rng.Uint32())
	default:
		o.Kind = seglog.Wipe
	}
	if o.Key != nil && rng.IntN(2) == 0 {
		o.Known = seglog.KnownAbsent
		if _, ok := c.items[string(o.Key)]; ok {
			o.Known = seglog.KnownPresent
		}
	}
	return o
}

// errWrong is wrapped where a store says what is not so.
var errWrong = errors.New("wrong")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errWrong, fmt.Errorf(format, args...))
}

// compare says how a store differs from a model.
func compare(s *seglog.Store, m model) error {
	for n := range uint16(modelParts) {
		c := m[n]
		if c == nil {
			c = &content{}
		}
		found, last := make(map[string]string), uint64(0)
		err := s.Scan(n, seglog.Cursor{}, func(key, value []byte) bool {
			found[string(key)] = string(value)
			return true
		})
		if err != nil {
			return wrong("partition %d: %w", n, err)
		}
		if !maps.Equal(found, c.items) {
			return wrong("partition %d has %s", n, difference(found, c.items))
		}
		rows := make(map[uint64]string)
		err = s.Rows(n, 0, func(seq uint64, row []byte) bool {
			if seq <= last {
				rows[0] = "order" // none has it
			}
			rows[seq], last = string(row), seq
			return true
		})
		if err != nil {
			return wrong("partition %d: %w", n, err)
		}
		if !maps.Equal(rows, c.rows) {
			return wrong("partition %d has rows %v, not %v", n, slices.Sorted(maps.Keys(rows)), slices.Sorted(maps.Keys(c.rows)))
		}
	}
	metas := make(map[uint16]string)
	for _, mt := range s.Metas() {
		metas[mt.Part] = string(mt.Value)
	}
	for n, c := range m {
		if string(c.meta) != metas[n] {
			return wrong("partition %d has meta %q, not %q", n, metas[n], c.meta)
		}
		delete(metas, n)
	}
	if len(metas) > 0 {
		return wrong("metas that nobody put: %v", metas)
	}
	return nil
}

func difference(found, want map[string]string) string {
	for k, v := range found {
		if w, ok := want[k]; !ok {
			return fmt.Sprintf("key %q that was deleted", k)
		} else if w != v {
			return fmt.Sprintf("another value of %d bytes for key %q, which should have %d", len(v), k, len(w))
		}
	}
	for k := range want {
		if _, ok := found[k]; !ok {
			return fmt.Sprintf("no key %q", k)
		}
	}
	return "nothing else"
}

// player plays random operations on a store and a model.
type player struct {
	rng     *rand.Rand
	disk    *crashdisk.FS
	opts    seglog.Options
	store   *seglog.Store
	model   model // all that was applied
	number  uint64
	acked   uint64
	ackedAt model // the model after the batch acked
	batches map[uint64][]seglog.Op
	waits   []func() error // of batches acked+1 …
	doing   string         // what is under way
	beside  bool           // others use the store at the same time
}

func newPlayer(seed uint64, sector int) *player {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &player{rng: rng, disk: crashdisk.New(sector, rng), model: make(model), ackedAt: make(model), batches: make(map[uint64][]seglog.Op)}
	p.opts = seglog.Options{SegmentBytes: modelSegment, Manual: true}
	p.opts.PartBytes(1)
	if rng.IntN(3) == 0 {
		p.opts.HashBits(3)
	}
	if rng.IntN(2) == 0 {
		p.opts.OpenFiles(1 + rng.IntN(3))
	}
	return p
}

func (p *player) open() (err error) {
	p.store, err = seglog.Open(p.disk, p.opts)
	return err
}

// batch applies a random batch.
func (p *player) batch() error {
	p.number++
	var ops []seglog.Op
	for range 1 + p.rng.IntN(8) {
		o := draw(p.rng, p.model)
		p.model.apply([]seglog.Op{o})
		ops = append(ops, o)
	}
	o := seglog.Op{Kind: seglog.PutMeta, Part: counterPart, Value: fmt.Append(nil, p.number)}
	p.model.apply([]seglog.Op{o})
	ops = append(ops, o)
	p.batches[p.number] = ops
	wait, err := p.store.Apply(ops)
	if err != nil {
		return err
	}
	p.waits = append(p.waits, wait)
	return p.awaitAcks(p.rng.IntN(4))
}

// awaitAcks waits for batches until only so many are not acknowledged.
func (p *player) awaitAcks(rest int) error {
	for len(p.waits) > rest {
		if err := p.waits[0](); err != nil {
			return err
		}
		p.waits = p.waits[1:]
		p.acked++
		p.ackedAt.apply(p.batches[p.acked])
		delete(p.batches, p.acked)
	}
	return nil
}

// step does one thing of those that a store's life is made of.
func (p *player) step() error {
	switch n := p.rng.IntN(100); {
	case n < 88:
		p.doing = "batch"
		return p.batch()
	case n < 91:
		p.doing = "checkpoint"
		return p.store.Checkpoint()
	case n < 95:
		p.doing = "collection"
		_, err := p.store.Collect()
		return err
	case n < 97:
		if err := p.awaitAcks(0); err != nil {
			return err
		}
		if err := p.store.Audit(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		return compare(p.store, p.model)
	case p.beside:
		return p.batch()
	default:
		if err := p.awaitAcks(0); err != nil {
			return err
		}
		if err := p.store.Close(); err != nil {
			return err
		}
		if err := p.open(); err != nil {
			return err
		}
		return compare(p.store, p.model)
	}
}

// look gets a key.
func (p *player) look() error {
	n, key := uint16(p.rng.IntN(modelParts)), keyOf(p.rng.IntN(modelKeys))
	value, ok, err := p.store.Get(n, key)
	if err != nil {
		return err
	}
	want, there := p.model.part(n).items[string(key)]
	if ok != there || string(value) != want {
		return wrong("get %q of partition %d: %d bytes %v, not %d bytes %v", key, n, len(value), ok, len(want), there)
	}
	return lookPart(p.store, p.rng, n, key, want, there)
}

// lookPart gets a random part of a value.
func lookPart(s *seglog.Store, rng *rand.Rand, n uint16, key []byte, want string, there bool) error {
	head := rng.IntN(40)
	from := rng.IntN(len(want) + 1)
	to := from + rng.IntN(len(want)+1-from)
	pc, ok, err := s.GetPart(n, key, head, func(_ []byte, n int) (int, int) { return min(from, n), min(to, n) })
	if err != nil {
		return err
	}
	switch {
	case ok != there:
		return wrong("a part of %q of partition %d is there: %v, not %v", key, n, ok, there)
	case pc.Length != len(want):
		return wrong("a value of %d bytes, not %d", pc.Length, len(want))
	case pc.Whole && string(pc.Bytes) != want:
		return wrong("another value of %q: %d bytes", key, len(pc.Bytes))
	case there && !pc.Whole && (string(pc.Bytes) != want[from:to] || string(pc.Head) != want[:min(head, len(want))]):
		return wrong("bytes %d to %d of %q are %.40q after %.40q", from, to, key, pc.Bytes, pc.Head)
	}
	return nil
}

// slow reports whether the long plays are wanted: a million operations, 10,000 crashes,
// every byte flipped. They take a quarter of an hour of processor time, so they are not
// among those of VIEWRING_SLOW while no server uses the package.
func slow() bool { return os.Getenv("VIEWRING_SEGLOG_LONG") != "" }

// raceDetector reports whether the tests are built with it: what one goroutine does nearly
// alone is then played less.
var raceDetector bool

// plays plays random operations, restarts, checkpoints and collections on a store and
// a map.
func plays(seed uint64, steps int) error {
	p := newPlayer(seed, 512)
	if err := p.open(); err != nil {
		return err
	}
	for n := range steps {
		err := p.step()
		if err == nil {
			err = p.look()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
	}
	if err := p.awaitAcks(0); err != nil {
		return err
	}
	return p.store.Close()
}

func TestModel(t *testing.T) {
	seeds, steps := uint64(6), 1500
	if slow() {
		seeds, steps = 100, 2500 // a batch has five operations: 1.1 million in all
	}
	for seed := range seeds {
		if err := plays(seed, steps); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
