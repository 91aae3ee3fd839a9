package backup

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

// modelEntry is one step of a partition's log.
type modelEntry struct {
	version Version
	writes  map[string]*modelItem // nil: deleted
	expired bool
}

type modelItem struct {
	version Version
	value   string
	expiry  int64
	damaged bool // no page can show it, and no watch tells it; a read repairs it
}

// model is a partition: a log, of which a part is committed, and the state at its head. Whenever somebody asks it for something
// a few things happen first. It is a source.
type model struct {
	rng    *rand.Rand
	term   uint64
	log    []modelEntry
	commit int // entries that are committed
	floor  int // entries that the index does not have
	calm   bool

	valueless, anew, stale, failovers int // how often they were played
}

var modelKeys = []string{"", "b", "c", "d", "e", "f", "g", "h"}

func (m *model) head() map[string]*modelItem { return m.state(len(m.log)) }

// state is that after the first n entries.
func (m *model) state(n int) map[string]*modelItem {
	s := make(map[string]*modelItem)
	for _, e := range m.log[:n] {
		for k, it := range e.writes {
			if it == nil {
				delete(s, k)
			} else {
				s[k] = it
			}
		}
	}
	return s
}

func (m *model) at(n int) Version {
	if n == 0 {
		return Version{}
	}
	return m.log[n-1].version
}

// place is how many entries there are up to a version; false where it is of no entry.
func (m *model) place(v Version) (int, bool) {
	if v == (Version{}) {
		return 0, true
	}
	i := slices.IndexFunc(m.log, func(e modelEntry) bool { return e.version == v })
	return i + 1, i >= 0
}

func (m *model) append(writes map[string]*modelItem) {
	v := Version{m.term, uint64(len(m.log) + 1)}
	for _, it := range writes {
		if it != nil {
			it.version = v
		}
	}
	m.log = append(m.log, modelEntry{version: v, writes: writes, expired: m.rng.IntN(4) == 0})
}

// steps lets a few things happen.
func (m *model) steps() {
	if m.calm {
		return
	}
	for range m.rng.IntN(3) {
		switch n := m.rng.IntN(40); {
		case n < 24:
			m.write()
		case n < 34:
			m.commit += m.rng.IntN(len(m.log) - m.commit + 1)
		case n < 36:
			m.floor = max(m.floor, m.commit-m.rng.IntN(12)) // rows are trimmed
		case n < 38: // a part of what is not committed is lost
			m.log = m.log[:m.commit+m.rng.IntN(len(m.log)-m.commit+1)]
			m.term += 1 + uint64(m.rng.IntN(2))
			m.failovers++
		default:
			m.commit = len(m.log)
		}
	}
}

// write changes some keys, as one.
func (m *model) write() {
	writes := make(map[string]*modelItem)
	there := m.head()
	for range 1 + m.rng.IntN(3)/2 {
		k := modelKeys[m.rng.IntN(len(modelKeys))]
		if m.rng.IntN(3) == 0 {
			if there[k] != nil {
				writes[k] = nil
			}
			continue
		}
		writes[k] = &modelItem{value: fmt.Sprint(m.rng.IntN(1000)), expiry: int64(m.rng.IntN(2) * m.rng.IntN(100)), damaged: m.rng.IntN(12) == 0}
	}
	m.append(writes)
}

// barrier is an entry that does nothing, committed with all before it.
func (m *model) barrier() Version {
	m.append(nil)
	m.commit = len(m.log)
	return m.at(m.commit)
}

// Page implements source.
func (m *model) Page(_ context.Context, q *wire.KeyPageRequest) (page wire.KeyPage, err error) {
	m.steps()
	serves := q.Term == m.term
	for i, k := range modelKeys {
		if q.Bytes == 0 || !serves || len(q.After) > 0 && i < int(q.After[0]) {
			continue
		}
		m.steps()
		if it := m.head()[k]; it != nil {
			one := wire.PageKey{Name: []byte(k), Damaged: it.damaged}
			if !it.damaged {
				one.Term, one.Seq, one.Expiry, one.Value = it.version.Term, it.version.Seq, it.expiry, []byte(it.value)
			}
			page.Keys = append(page.Keys, one)
		}
		if page.Next = []byte{byte(i + 1)}; m.rng.IntN(3) == 0 && i < len(modelKeys)-1 {
			page.More = true
			break
		}
	}
	m.steps()
	v := m.barrier()
	page.Term, page.Seq = v.Term, v.Seq
	if q.Bytes > 0 && (!serves || v.Term != q.Term) {
		m.stale++
		page = wire.KeyPage{Term: v.Term, Seq: v.Seq, Stale: true}
	}
	m.steps()
	return page, nil
}

// Get implements source.
func (m *model) Get(_ context.Context, name []byte) (wire.DoReply, error) {
	m.steps()
	m.commit = len(m.log)
	it := m.head()[string(name)]
	if it == nil {
		return wire.DoReply{}, client.ErrNotFound
	}
	it.damaged = false
	m.steps()
	return wire.DoReply{Status: wire.DoOK, Term: it.version.Term, Seq: it.version.Seq, Expiry: it.expiry, Value: []byte(it.value)}, nil
}

// Term implements source.
func (m *model) Term(ring.PartitionID) uint64 { return m.term - uint64(m.rng.IntN(2)) }

// Watch implements source.
func (m *model) Watch(_ context.Context, _ ring.PartitionID, from *Version) (changes, error) {
	m.steps()
	w := &modelWatch{m: m}
	if from == nil {
		old := m.at(m.commit - m.rng.IntN(min(3, m.commit+1))) // of a primary that was replaced
		from = &old
	}
	n, ok := m.place(*from)
	if w.told = n; !ok || n < m.floor || n > m.commit {
		w.told, w.first = m.commit, wire.TellAnew
	} else {
		w.first = wire.TellBegun
	}
	return w, nil
}

// modelWatch is a watch of a model.
type modelWatch struct {
	m     *model
	first wire.TellKind // 0: it was told
	told  int           // entries
	said  int           // of them, what the client knows of
}

// Close implements changes.
func (w *modelWatch) Close() {}

// Try implements changes.
func (w *modelWatch) Try() (route.Told, bool) {
	w.m.steps()
	if w.first == 0 && w.m.rng.IntN(4) == 0 {
		return route.Told{}, false // it is on its way
	}
	return w.tell(false)
}

// Next implements changes.
func (w *modelWatch) Next(context.Context) (route.Told, error) {
	for {
		w.m.steps()
		if t, ok := w.tell(true); ok {
			return t, nil
		}
		if w.m.calm {
			return route.Told{}, io.ErrNoProgress
		}
	}
}

func (w *modelWatch) tell(caughtUp bool) (t route.Told, ok bool) {
	m := w.m
	if t.Kind = w.first; t.Kind != 0 {
		w.first, w.said = 0, w.told
		return w.told1(t), true
	}
	if w.told < m.commit && (w.told < m.floor && m.rng.IntN(3) == 0 || !m.calm && m.rng.IntN(200) == 0) {
		m.anew++
		t.Kind, w.told = wire.TellAnew, m.commit
		return w.told1(t), true
	}
	for w.told < m.commit {
		e := &m.log[w.told]
		w.told++
		if len(e.writes) == 0 {
			continue
		}
		t.Kind = wire.TellChanged
		head := m.head()
		for _, k := range slices.Sorted(maps.Keys(e.writes)) {
			t.Changes = append(t.Changes, w.change(e, k, head[k]))
		}
		return w.told1(t), true
	}
	if w.said < w.told && (caughtUp || m.rng.IntN(8) == 0) {
		t.Kind = wire.TellPassed
		return w.told1(t), true
	}
	return t, false
}

// told1 tells something of where the watch is.
func (w *modelWatch) told1(t route.Told) route.Told {
	v := w.m.at(w.told)
	t.Term, t.Seq, w.said = v.Term, v.Seq, w.told
	return t
}

// change tells of a key, whose item is now at the head.
func (w *modelWatch) change(e *modelEntry, k string, now *modelItem) wire.ToldChange {
	it := e.writes[k]
	c := wire.ToldChange{Change: wire.TellSet, Name: []byte(k)}
	switch {
	case it == nil && e.expired:
		c.Change = wire.TellExpired
	case it == nil:
		c.Change = wire.TellDeleted
	case it.damaged || now != it && w.m.rng.IntN(2) == 0:
		w.m.valueless++
	default:
		c.HasValue, c.Value, c.Expiry = true, []byte(it.value), it.expiry
	}
	return c
}

// plainFiles creates segments that nobody waits for to be on the disk.
func plainFiles(dir string) func(uint32) (io.WriteCloser, error) {
	return func(number uint32) (io.WriteCloser, error) { return os.Create(filepath.Join(dir, segmentName(number))) }
}

// copied makes a run of the model, built upon others (the newest first).
func copied(t *testing.T, m *model, chain []*Run) *Run {
	t.Helper()
	run := &Run{Number: uint64(len(chain) + 1), Dir: t.TempDir(), Manifest: &Manifest{Partitions: make([]Part, 1)}}
	run.Manifest.ID[0] = byte(run.Number)
	w := &runWriter{run: run.Manifest.ID, create: plainFiles(run.Dir), full: segmentBytes}
	into := &segmentWriter{w: w}
	c := &collector{from: m, into: into, pages: 1, pace: func(context.Context, int) error { return nil },
		lack: func(ring.PartitionID, []byte) { t.Error("a key is missing") }}
	var base *Version
	if len(chain) > 0 {
		base = &chain[0].Manifest.Partitions[0].At
	}
	for {
		part, err := c.copyPartition(t.Context(), 0, base)
		if err != nil { // it had to begin anew too often
			m.calm = true
			continue
		}
		m.calm = false
		run.Manifest.Partitions[0] = part
		break
	}
	if err := into.finish(); err != nil {
		t.Fatal(err)
	}
	run.Manifest.segments = w.segments
	return run
}

// restored is what a chain of runs has of the model.
func restored(t *testing.T, chain []*Run) map[string]modelItem {
	t.Helper()
	r := &restorer{chain: chain}
	got := make(map[string]modelItem)
	err := states(r.section(sectionKeys, 0), func(x *record) error {
		if _, twice := got[string(x.name)]; twice {
			return fmt.Errorf("%q is told twice", x.name)
		}
		got[string(x.name)] = modelItem{version: x.version, value: string(x.value), expiry: x.expiry}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestAnyOrder copies a partition that changes all the while: each copy is what the log had at its version (K1), and so is each
// that is built upon others (K2).
func TestAnyOrder(t *testing.T) {
	var played model
	upon := 0
	for seed := range uint64(300) {
		m := &model{rng: rand.New(rand.NewPCG(seed, 17)), term: 1}
		var chain []*Run
		for range 1 + m.rng.IntN(4) {
			for range m.rng.IntN(4) {
				m.steps()
			}
			before := m.at(m.commit)
			run := copied(t, m, chain)
			chain = append([]*Run{run}, chain...)
			part := &run.Manifest.Partitions[0]
			if !part.Whole {
				upon++
			}
			n, ok := m.place(part.At)
			if !ok || n > m.commit || part.At.Before(before) {
				t.Fatalf("seed %d: copied at %v, committed are %v to %v", seed, part.At, before, m.at(m.commit))
			}
			want := make(map[string]modelItem)
			for k, it := range m.state(n) {
				want[k] = modelItem{version: it.version, value: it.value, expiry: it.expiry}
			}
			if got := restored(t, chain); !maps.Equal(got, want) {
				t.Fatalf("seed %d, run %d: at %v\n got %v\nwant %v", seed, run.Number, part.At, got, want)
			}
		}
		played.valueless += m.valueless
		played.anew += m.anew
		played.stale += m.stale
		played.failovers += m.failovers
	}
	if played.valueless < 50 || played.anew < 50 || played.stale < 50 || played.failovers < 50 || upon < 50 {
		t.Errorf("too little was played: %+v, %d upon others", played, upon)
	}
}

// hopeless is a model whose keys no server can read.
type hopeless struct{ *model }

func (hopeless) Get(context.Context, []byte) (wire.DoReply, error) {
	return wire.DoReply{}, client.ErrCorrupt
}

// TestLacking: a key that no server can read is named once, all others are there, and the run is no base.
func TestLacking(t *testing.T) {
	m := &model{rng: rand.New(rand.NewPCG(1, 1)), term: 1, calm: true}
	m.append(map[string]*modelItem{"a": {value: "1"}, "b": {value: "2", damaged: true}, "c": {value: "3"}})
	m.commit = len(m.log)
	dir := t.TempDir()
	w := &runWriter{create: plainFiles(dir), full: segmentBytes}
	into := &segmentWriter{w: w}
	var missing []string
	c := &collector{from: hopeless{m}, into: into, pages: 1, pace: func(context.Context, int) error { return nil },
		lack: func(_ ring.PartitionID, name []byte) { missing = append(missing, string(name)) }}
	part, err := c.copyPartition(t.Context(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := into.finish(); err != nil {
		t.Fatal(err)
	}
	run := &Run{Dir: dir, Manifest: &Manifest{Partitions: []Part{part}, segments: w.segments}}
	got := restored(t, []*Run{run})
	if !part.Lacking || !slices.Equal(missing, []string{"b"}) || got["a"].value != "1" || got["c"].value != "3" || len(got) != 2 {
		t.Errorf("lacking %v, missing %q, copied %v", part.Lacking, missing, got)
	}
}
