package upkeep

import (
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/tree"
)

// testBatchBytes is what a batch of records takes.
const testBatchBytes = 41

// records makes a record file of some chunks, with two batches in each.
func (w *tidying) records(chunks int, kept wire.TreeRecords) wire.TreeVersion {
	w.Helper()
	home := ring.SlotOf("/")
	v := w.step(&wire.TreeRequest{Op: wire.TreeBeginRecords, Home: home, Records: kept}).Version
	extend := func(n int) {
		w.step(&wire.TreeRequest{Op: wire.TreeExtend, Home: home, Nonce: v, Limit: n, Records: wire.TreeRecords{Number: int64(2 * (n - 1)), Before: int64(2 * (n - 1) * testBatchBytes)}})
	}
	extend(1)
	w.change(wire.TreeCreate, v)
	for i := range chunks {
		c := w.chunk(v, i)
		extend(i + 1)
		w.record(&wire.RecordRequest{Op: wire.RecordOpen, Chunk: c, Head: wire.RecordHead{ChunkBytes: 4096, First: int64(2 * i), Before: int64(2 * i * testBatchBytes)}})
		for n := range int64(2) {
			b := wire.AppendRecord(nil, []byte("record"))
			w.record(&wire.RecordRequest{Op: wire.RecordAppend, Chunk: c, Producer: [16]byte{byte(i)}, Sequence: n, Count: 1, Records: b, Sum: wire.RecordSum(b)})
		}
	}
	return v
}

func (w *tidying) record(q *wire.RecordRequest) {
	w.Helper()
	if p, _, err := w.Record(w.Context(), "", q); err != nil || p.Code != wire.RecordOK {
		w.Errorf("%+v: %+v, %v", q, p, err)
	}
}

// keys are how many are there beside the tree's nodes.
func (w *tidying) keys() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.items {
		if k.Space() != replica.SpaceMeta {
			n++
		}
	}
	return n
}

// TestJanitorOfRecords: a record file that is removed goes with all that it has, also where steps fail, and what
// can't be read keeps nothing else.
func TestJanitorOfRecords(t *testing.T) {
	for name, play := range map[string]func(w *tidying, v wire.TreeVersion) (files, batches int){
		"removed": func(*tidying, wire.TreeVersion) (int, int) { return 0, 0 },
		"not done at once": func(w *tidying, _ wire.TreeVersion) (int, int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.fails = 5
			return 0, 0
		},
		"a batch is corrupt": func(w *tidying, v wire.TreeVersion) (int, int) {
			c := w.chunk(v, 2)
			w.corrupt = map[replica.Key]bool{replica.MakeKey(c.Slot(), replica.SpaceChunk, c.PartName(wire.RecordBatchPart, 1)): true}
			return 0, 1
		},
		"a head is corrupt": func(w *tidying, v wire.TreeVersion) (int, int) {
			c := w.chunk(v, 2)
			w.corrupt = map[replica.Key]bool{replica.MakeKey(c.Slot(), replica.SpaceFile, c.Name()): true}
			return 2, 2 // the sweeper finds the others
		},
	} {
		t.Run(name, func(t *testing.T) {
			tidy(t, func(w *tidying) {
				v := w.records(4, wire.TreeRecords{ChunkBytes: 4096})
				w.after(time.Hour, 0, 1+2*4)
				files, batches := play(w, v)
				w.change(wire.TreeRemove, wire.TreeVersion{})
				before := w.keys()
				w.after(50*time.Second, 0, 1+2*4)
				w.after(2*time.Minute, 0, files)
				if n := w.keys(); n != files+batches || before != 1+1+4*(2+2) {
					w.Errorf("%d of %d keys are left, want %d", n, before, files+batches)
				}
			})
		})
	}
}

// TestRetention: chunks that are older, or lie further back, than what is kept go but for their heads, and never the last
// two; a chunk that can't be read keeps none from going.
func TestRetention(t *testing.T) {
	const batch, chunks = testBatchBytes, 6
	for name, x := range map[string]struct {
		kept    wire.TreeRecords
		soon    int // chunks that are whole after two minutes
		later   int // and after two hours
		corrupt bool
	}{
		"all":             {wire.TreeRecords{}, 6, 6, false},
		"by age":          {wire.TreeRecords{RetainAge: time.Hour.Milliseconds()}, 6, 2, false},
		"by bytes":        {wire.TreeRecords{RetainBytes: 8 * batch}, 4, 4, false},
		"a byte more":     {wire.TreeRecords{RetainBytes: 8*batch + 1}, 5, 5, false},
		"by both":         {wire.TreeRecords{RetainAge: time.Hour.Milliseconds(), RetainBytes: 6 * batch}, 3, 2, false},
		"the last stay":   {wire.TreeRecords{RetainBytes: 1}, 2, 2, false},
		"a corrupt chunk": {wire.TreeRecords{RetainBytes: 8 * batch}, 4 + 1, 4 + 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			tidy(t, func(w *tidying) {
				x.kept.ChunkBytes = 4096
				v := w.records(chunks, x.kept)
				if c := w.chunk(v, 1); x.corrupt {
					w.mu.Lock()
					w.corrupt = map[replica.Key]bool{replica.MakeKey(c.Slot(), replica.SpaceFile, c.Name()): true}
					w.mu.Unlock()
				}
				whole := func(want int) {
					w.Helper()
					if got := w.keys() - 1 - chunks; got-want*3 != 0 && got-want*3 != 1 { // but for the content, heads and a to-do
						w.Errorf("%d keys of chunks are there, want those of %d", got, want)
					}
				}
				pass := func(d time.Duration) {
					wait.For(w.Context(), d) // of the bubble's time
					synctest.Wait()
				}
				pass(2*time.Minute + 30*time.Second)
				whole(x.soon)
				pass(2 * time.Hour)
				whole(x.later)
				if n := w.janitor.Waiting(); n != 0 {
					w.Errorf("%d contents are said to end", n)
				}
				w.mu.Lock()
				w.corrupt = nil
				w.mu.Unlock()
				w.change(wire.TreeRemove, wire.TreeVersion{})
				w.after(3*time.Minute, 0, 0)
				if n := w.keys(); n != 0 {
					w.Errorf("%d keys are left", n)
				}
			})
		})
	}
}

// TestOrphanKeys: the sweeper knows all that is stored of chunks, and nothing else.
func TestOrphanKeys(t *testing.T) {
	c := wire.Chunk{Content: wire.Content{Home: 3, Version: wire.TreeVersion{Term: 1, Seq: 2}}, Index: 5}
	for _, want := range []orphan{{Chunk: c, record: true, part: wire.RecordHeadPart}, {Chunk: c, record: true, part: wire.RecordBucketPart, index: 3},
		{Chunk: c, record: true, part: wire.RecordBatchPart, index: 70}} {
		key := tree.RecordKey(&wire.RecordRequest{Chunk: c, Part: want.part, Index: want.index})
		if got, ok := orphanOf(key); !ok || got != want {
			t.Errorf("%q: %+v, want %+v", key, got, want)
		}
	}
	if got, ok := orphanOf(replica.MakeKey(c.Slot(), replica.SpaceChunk, c.Name())); !ok || got != (orphan{Chunk: c}) {
		t.Errorf("%+v", got)
	}
	if got, ok := orphanOf(replica.MakeKey(3, replica.SpaceFile, "0123456789abcdef")); ok {
		t.Errorf("a content is taken for %+v", got)
	}
}
