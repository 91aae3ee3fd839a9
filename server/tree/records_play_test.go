package tree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// scroll is a memory with one record file, and what is known of it.
type scroll struct {
	*memory
	rng   *rand.Rand
	of    wire.Content
	life  map[uint16]uint64
	late  []func() // steps that take effect once nobody waits for them
	story []string

	landed map[string]int64 // place of each producer's sequence, while it is in the file or was retired
	text   map[int64]string // record at each place
	chunk  map[int64]uint32 // that a place is in
	acked  map[int64]string
	fresh  []ack // not looked at yet
	gone   map[uint32]bool
	used   map[[16]byte]bool
	seen   map[wire.Chunk]int64 // batches looked at
	views  []*view
	resets int
	over   bool // the file was removed
	moved  bool // something may be another than when it was looked at
}

type ack struct {
	place int64
	text  string
}

// view is what a reader has read.
type view struct {
	due     int64
	skipped map[int64]bool
	read    map[int64]string
}

// hands are a scroll's calls, of somebody whose steps are carried out one by one.
type hands struct {
	s    *scroll
	do   func(func()) error
	life map[uint16]uint64 // of the view that it has
}

func (h *hands) Tree(q *wire.TreeRequest) (p wire.TreeReply, err error) {
	err = h.do(func() { p = h.s.ask(q) })
	return p, err
}

func (s *scroll) ask(q *wire.TreeRequest) wire.TreeReply {
	q.Number = 0
	if q.Op.Mutates() {
		q.Number = 1
	}
	s.moved = s.moved || q.Op.Mutates()
	p, err := s.memory.do(q)
	if err != nil && s.wrong == "" {
		s.wrong = err.Error()
	}
	s.tell("step %d limit %d %+v → %d %+v", q.Op, q.Limit, q.Records, p.Code, p.Content)
	return p
}

func (s *scroll) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("  "+format, args...))
}

func (h *hands) Record(q *wire.RecordRequest) (p wire.RecordReply, silent bool, err error) {
	twice := *q
	if h.s.rng.IntN(8) == 0 {
		silent = true
		h.s.late = append(h.s.late, func() { h.s.record(&twice) })
	}
	err = h.do(func() { p = h.s.record(&twice) })
	return p, silent, err
}

// record carries out a step in a chunk.
func (s *scroll) record(q *wire.RecordRequest) wire.RecordReply {
	slot := q.Chunk.Slot()
	var r replica.Request
	decoded, err := wire.DecodeRecordRequest(wire.AppendRecordRequest(nil, q))
	if err != nil {
		s.wrong = err.Error()
	}
	s.now += int64(s.rng.IntN(3))
	s.moved = true
	p := FillRecord(&decoded, 1, s.life[slot], &r)
	if q.Op == wire.RecordDelete {
		delete(s.items, r.Key)
		return *p
	}
	s.carryOut(&r)
	s.tell("record %d of chunk %d: sequence %d of %x, epoch %d %q → %+v", q.Op, q.Chunk.Index, q.Sequence, q.Producer[:2], q.Epoch, q.Records, *p)
	return *p
}

func (h *hands) Part(c wire.Chunk, part wire.RecordPart, index uint32) (b []byte, found bool, err error) {
	err = h.do(func() {
		it, ok := h.s.items[recordKey(&c, part, index)]
		b, found = bytes.Clone(it.Value), ok
	})
	return b, found, err
}

func (h *hands) Life(slot uint16) uint64 { return h.life[slot] }
func (h *hands) Yield() error            { return h.do(func() {}) }

// file is the record file in the hands of somebody who begins now.
func (s *scroll) file(do func(func()) error) *tree.Records {
	life := make(map[uint16]uint64)
	for k, v := range s.life {
		life[k] = v
	}
	if s.rng.IntN(10) == 0 {
		clear(life) // its view is old
	}
	return &tree.Records{Calls: &hands{s, do, life}, Of: s.of}
}

const playedProducers = 3

// produce appends some batches, as a process of a named producer, or as one that has no name.
func (s *scroll) produce(seq int) *doing {
	named := s.rng.IntN(3) > 0
	id := [16]byte{byte(1 + s.rng.IntN(playedProducers))}
	if !named {
		id = [16]byte{100, byte(seq), byte(seq >> 8)}
	}
	at, batches := uint32(s.rng.IntN(2)), 1+s.rng.IntN(4)
	return by(fmt.Sprintf("produce %x", id[:3]), func(do func(func()) error) {
		f := s.file(do)
		q := &wire.RecordRequest{Producer: id, Named: named}
		if named {
			p, err := f.Join(&at, id, uint64(seq)+1)
			if err != nil || p.Code != wire.RecordOK {
				return
			}
			if !p.Known && s.used[id] && s.resets > 0 {
				return // its user knows that it is not new
			}
			s.used[id] = true
			q.Epoch, q.Nonce, q.Sequence = p.Epoch, uint64(seq)+1, p.Next
		}
		for range batches {
			var texts []string
			q.Records = nil
			q.Count = int64(1 + s.rng.IntN(3))
			for i := range q.Count {
				texts = append(texts, fmt.Sprintf("%x:%d by %d", id[:3], q.Sequence+i, seq))
				q.Records = wire.AppendRecord(q.Records, []byte(texts[i]))
			}
			q.Sum = wire.RecordSum(q.Records)
			p, err := f.Append(&at, q)
			if err != nil || p.Code == wire.RecordFenced {
				return
			}
			if p.Code != wire.RecordOK && (p.Code != wire.RecordKnown || p.Place < 0) {
				if s.resets == 0 {
					s.wrong = fmt.Sprintf("an append of the only producer comes to %+v", p)
				}
				return
			}
			for i := range q.Count {
				s.fresh = append(s.fresh, ack{p.Place + i, texts[i]})
			}
			q.Sequence += q.Count
		}
	})
}

// read reads some of the file, from where it was.
func (s *scroll) read() *doing {
	v := &view{skipped: make(map[int64]bool), read: make(map[int64]string)}
	s.views = append(s.views, v)
	return by("read", func(do func(func()) error) {
		r := s.file(do).Reader(0, 0)
		for idle, most := 0, 5+s.rng.IntN(40); idle < most; {
			e, err := r.Next()
			if err != nil {
				return
			}
			if e.Nothing() {
				idle++
			}
			s.note(v, &e)
		}
	})
}

// note notes what a reader was told, and whether it may be so.
func (s *scroll) note(v *view, e *tree.RecordEvent) {
	if e.Nothing() {
		return
	}
	if e.From != v.due || e.To <= e.From {
		s.wrong = fmt.Sprintf("R3: a reader is at %d, and is told of %d to %d", v.due, e.From, e.To)
	}
	v.due = e.To
	if e.Lost {
		for n := range s.text {
			if e.From <= n && n < e.To {
				v.skipped[n] = true
			}
		}
		return
	}
	for i, b := range e.Batch.All() {
		if n := e.Batch.First + i; n >= e.From {
			v.read[n] = string(b)
		}
	}
}

// retire is the janitor, which keeps but some chunks.
func (s *scroll) retire() *doing {
	return by("retire", func(do func(func()) error) {
		f := s.file(do)
		c, err := f.Look()
		if err != nil {
			return
		}
		first := max(c.Records.First, c.Reserved-2-int64(s.rng.IntN(2)))
		trim := func(first, swept int64) bool {
			ok := false
			return do(func() {
				ok = s.ask(&wire.TreeRequest{Op: wire.TreeTrim, Home: s.of.Home, Nonce: s.of.Version, Records: wire.TreeRecords{First: first, Swept: swept}}).Code == wire.TreeOK
			}) == nil && ok
		}
		if first <= 0 || !trim(first, c.Records.Swept) {
			return
		}
		for k := c.Records.Swept; k < first; k++ {
			if s.wipe(f, uint32(k), false) != nil {
				return
			}
		}
		trim(first, first)
	})
}

// wipe deletes all of a chunk, but for its head unless that goes, too.
func (s *scroll) wipe(f *tree.Records, k uint32, all bool) error {
	p, _, err := f.Calls.Record(&wire.RecordRequest{Op: wire.RecordErase, Chunk: f.Chunk(k)})
	del := func(part wire.RecordPart, index uint32) {
		if err == nil {
			_, _, err = f.Calls.Record(&wire.RecordRequest{Op: wire.RecordDelete, Chunk: f.Chunk(k), Part: part, Index: index})
		}
	}
	for n := p.Batches - 1; n >= 0; n-- {
		del(wire.RecordBatchPart, uint32(n))
	}
	for b := range uint32(wire.RecordBuckets) {
		del(wire.RecordBucketPart, b)
	}
	if all {
		del(wire.RecordHeadPart, 0)
	}
	return err
}

// chunks are the indexes of those that are reserved.
func (s *scroll) chunks() int64 {
	c, _ := decodeContent(s.items[contentKey(s.of.Home, s.of.Version)].Value)
	if c == nil {
		return 0
	}
	return c.Reserved
}

// reset is an operator who gives up the partition of a chunk.
func (s *scroll) reset() {
	k := uint32(s.rng.Int64N(max(1, s.chunks())))
	slot := (&wire.Chunk{Content: s.of, Index: k}).Slot()
	if slot == s.of.Home {
		return
	}
	s.life[slot]++
	s.resets++
	s.moved = true
	s.tell("the partition of chunk %d is given up", k)
	for key := range s.items {
		if key.Slot() == slot {
			delete(s.items, key)
		}
	}
	for i := range uint32(s.chunks()) {
		if (&wire.Chunk{Content: s.of, Index: i}).Slot() == slot {
			s.lose(i)
		}
	}
}

// lose notes that what was in a chunk is gone, by an operator's word.
func (s *scroll) lose(k uint32) {
	s.gone[k] = true
	for n, c := range s.chunk {
		if c != k {
			continue
		}
		id, _, _ := strings.Cut(s.text[n], " ")
		delete(s.landed, id)
		delete(s.acked, n)
	}
}

// head is that of a chunk, nil for none.
func (s *scroll) head(k uint32) *wire.RecordHead {
	it, ok := s.items[recordKey(&wire.Chunk{Content: s.of, Index: k}, wire.RecordHeadPart, 0)]
	if !ok {
		return nil
	}
	h, err := wire.DecodeRecordHead(it.Value)
	if err != nil {
		s.wrong = err.Error()
	}
	return &h
}

// broken says which promise is.
func (s *scroll) broken() string {
	if !s.moved && len(s.fresh) == 0 {
		return ""
	}
	s.moved = false
	end, last := int64(0), int64(0)
	var before *wire.RecordHead
	for k := range uint32(s.chunks()) {
		h := s.head(k)
		if h == nil {
			before = nil
			continue
		}
		switch {
		case s.gone[k]:
			return fmt.Sprintf("R1: chunk %d was lost, and is there again", k)
		case h.First < end, before != nil && h.First != end:
			return fmt.Sprintf("R1: chunk %d begins with %d, and that before ends at %d", k, h.First, end)
		case before != nil && before.State == wire.RecordIsOpen:
			return fmt.Sprintf("R1: chunk %d has a head, and that before is open", k)
		case h.Batches > 0 && h.LastTime < last:
			return fmt.Sprintf("times of chunk %d go back", k)
		}
		if why := s.batches(k, h); why != "" {
			return why
		}
		before, end, last = h, h.First+h.Records, max(last, h.LastTime)
	}
	for _, a := range s.fresh {
		if got := s.text[a.place]; got != a.text {
			return fmt.Sprintf("R2: %q was answered with place %d, where %q is", a.text, a.place, got)
		}
		if !s.gone[s.chunk[a.place]] {
			s.acked[a.place] = a.text
		}
	}
	s.fresh = nil
	for n := range s.acked {
		k := s.chunk[n]
		if h := s.head(k); !s.over && (h == nil || n < h.First || n >= h.First+h.Records) {
			return fmt.Sprintf("R3: %d was acknowledged in chunk %d, which is %+v", n, k, h)
		}
	}
	return ""
}

// batches looks at those of a chunk: each once at what is new, and whether all are there.
func (s *scroll) batches(k uint32, h *wire.RecordHead) string {
	chunk := wire.Chunk{Content: s.of, Index: k}
	for n := range h.Batches {
		it, ok := s.items[recordKey(&chunk, wire.RecordBatchPart, uint32(n))]
		if !ok && h.State == wire.RecordIsErased {
			continue
		}
		b, err := wire.DecodeRecordBatch(it.Value)
		if err != nil {
			return fmt.Sprintf("R3: batch %d of chunk %d, which has %d: %v", n, k, h.Batches, err)
		}
		if n < s.seen[chunk] {
			continue
		}
		s.seen[chunk] = n + 1
		for i, text := range b.All() {
			place := b.First + i
			if there, twice := s.text[place]; twice || place < h.First || place >= h.First+h.Records {
				return fmt.Sprintf("R1: %q has place %d, as has %q, in %+v", text, place, there, h)
			}
			id, _, _ := strings.Cut(string(text), " ")
			if other, twice := s.landed[id]; twice {
				return fmt.Sprintf("R2: %s is at %d and at %d", id, other, place)
			}
			s.landed[id], s.text[place], s.chunk[place] = place, string(text), k
		}
	}
	for k := h.Batches; k < h.Batches+2; k++ {
		if _, ok := s.items[recordKey(&chunk, wire.RecordBatchPart, uint32(k))]; ok {
			return fmt.Sprintf("R4: batch %d of chunk %d is behind its end", k, chunk.Index)
		}
	}
	return ""
}

// create makes the file.
func (s *scroll) create() {
	p := s.ask(&wire.TreeRequest{Op: wire.TreeBeginRecords, Home: depotHome, Records: wire.TreeRecords{ChunkBytes: recordChunkMin, RetainAge: int64(s.rng.IntN(2) * 50)}})
	s.of = wire.Content{Home: depotHome, Version: p.Version}
	f := s.file(func(step func()) error { step(); return nil })
	if _, err := f.OpenTail(); err != nil {
		s.wrong = err.Error()
	}
	s.ask(&wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{{Kind: wire.TreeCreate, Name: "r", File: true, Content: s.of.Version}}})
}

func (s *scroll) draw(began int) *doing {
	switch s.rng.IntN(12) {
	case 0, 1:
		return s.read()
	case 2:
		return s.retire()
	case 3:
		return by("open", func(do func(func()) error) { _, _ = s.file(do).OpenTail() })
	case 4:
		if s.rng.IntN(4) == 0 {
			s.reset()
		}
		return nil
	}
	return s.produce(began)
}

// run lets everybody do one step, in any order, until all are done.
func (s *scroll) run(steps int) string {
	var running []*doing
	for began := 0; began < steps || len(running)+len(s.late) > 0; {
		switch i := s.rng.IntN(len(running) + len(s.late) + 1); {
		case i == len(running)+len(s.late) || len(running) < 4 && began < steps:
			if began++; began <= steps {
				if d := s.draw(began); d != nil {
					running = append(running, d)
				}
			}
		case i >= len(running):
			if began < steps && s.rng.IntN(6) > 0 {
				continue // later still
			}
			step := s.late[i-len(running)]
			s.late = slices.Delete(s.late, i-len(running), i-len(running)+1)
			s.story = append(s.story, "late:")
			step()
		default:
			d := running[i]
			step, more := d.next()
			if !more {
				running = slices.Delete(running, i, i+1)
				break
			}
			s.story = append(s.story, d.name)
			if s.rng.IntN(40) == 0 { // it dies, and what it has asked for comes late
				s.late = append(s.late, step)
				d.stop()
				running = slices.Delete(running, i, i+1)
				continue
			}
			step()
		}
		if s.wrong != "" {
			return s.wrong
		}
		if why := s.broken(); why != "" {
			return why
		}
	}
	return ""
}

// at once carries out steps one after the other.
func atOnce(step func()) error { step(); return nil }

// readAll is a reader that comes when nobody writes any more: it and those before have read the same, and all that was acknowledged.
func (s *scroll) readAll() string {
	v := &view{skipped: make(map[int64]bool), read: make(map[int64]string)}
	r := s.file(atOnce).Reader(0, 0)
	for {
		e, err := r.Next()
		if err != nil {
			return err.Error()
		}
		if e.Nothing() {
			break
		}
		s.note(v, &e)
	}
	c, _ := decodeContent(s.items[contentKey(s.of.Home, s.of.Version)].Value)
	for n, text := range s.acked {
		if v.read[n] != text && int64(s.chunk[n]) >= c.Records.First {
			return fmt.Sprintf("R3: %q was acknowledged at %d, and is read as %q, lost %v", text, n, v.read[n], v.skipped[n])
		}
	}
	for _, v := range append(s.views, v) {
		for n, text := range v.read {
			if s.text[n] != text {
				return fmt.Sprintf("R1: %q was read at %d, where %q is", text, n, s.text[n])
			}
		}
		for n, text := range s.acked {
			if n < v.due && v.read[n] != text && int64(s.chunk[n]) >= c.Records.First {
				return fmt.Sprintf("R3: a reader at %d has not read %d, %q, lost %v", v.due, n, text, v.skipped[n])
			}
		}
	}
	return s.wrong
}

// remove removes the file, and all that is left of it.
func (s *scroll) remove() string {
	s.over = true
	s.ask(&wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{{Kind: wire.TreeRemove, Name: "r", DataVersion: -1}}})
	state := func() *wire.TreeContentRecord {
		return s.ask(&wire.TreeRequest{Op: wire.TreeContent, Home: s.of.Home, Nonce: s.of.Version}).Content
	}
	end := about(wire.TreeEnd, s.of.Version, 0)
	c := state()
	if end.Idle = c.Idle; s.ask(end).Code != wire.TreeOK {
		return "the content can't be ended"
	}
	f := s.file(atOnce)
	if _, err := f.Look(); err != tree.ErrRemoved {
		return "the content is there still"
	}
	for k := c.Reserved - 1; k >= 0; k-- {
		if err := s.wipe(f, uint32(k), true); err != nil {
			return err.Error()
		}
		s.ask(about(wire.TreeShrink, s.of.Version, int(k)))
	}
	s.ask(about(wire.TreeGone, s.of.Version, 0))
	for len(s.late) > 0 {
		s.late[0]()
		s.late = s.late[1:]
	}
	for k := range s.items {
		if space := k.Space(); space == replica.SpaceChunk || space == replica.SpaceFile || space == replica.SpaceOwned {
			return fmt.Sprintf("R4: %q is left", k)
		}
	}
	return s.wrong
}

// newScroll has one record file.
func newScroll(rng *rand.Rand) *scroll {
	s := &scroll{memory: newMemory(), rng: rng, life: make(map[uint16]uint64), landed: make(map[string]int64), text: make(map[int64]string), chunk: make(map[int64]uint32),
		acked: make(map[int64]string), gone: make(map[uint32]bool), used: make(map[[16]byte]bool), seen: make(map[wire.Chunk]int64)}
	s.create()
	return s
}

func playRecords(seed uint64) (why string, story []string) {
	rng := rand.New(rand.NewPCG(seed, 25))
	s := newScroll(rng)
	if why = s.run(40); why == "" {
		why = s.readAll()
	}
	if why == "" {
		why = s.remove()
	}
	return why, s.story
}

// TestRecords plays producers that die and come back, readers, openers, janitors and operators whose steps
// come in any order, late and twice, in chunks of a few batches: R1 to R3 hold after each step, and R4 in the end.
func TestRecords(t *testing.T) {
	seeds := 300
	if os.Getenv("VIEWRING_SLOW") != "" {
		seeds = 1000
	}
	for seed := range uint64(seeds) {
		if why, story := playRecords(seed); why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, strings.Join(story, "\n"))
		}
	}
}
