package tree

import (
	"bytes"
	"strings"
	"testing"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// sheet is one chunk of a record file, at one server.
type sheet struct {
	*memory
	t     *testing.T
	chunk wire.Chunk
	life  uint64
	term  uint64
}

func newSheet(t *testing.T) *sheet {
	return &sheet{newMemory(), t, wire.Chunk{Content: wire.Content{Home: 7, Version: wire.TreeVersion{Term: 1, Seq: 1}}}, 0, 1}
}

// does carries out a step that must come to code.
func (s *sheet) does(code wire.RecordCode, q wire.RecordRequest) wire.RecordReply {
	s.t.Helper()
	q.Chunk = s.chunk
	got, err := wire.DecodeRecordRequest(wire.AppendRecordRequest(nil, &q))
	if err != nil {
		s.t.Fatal(err)
	}
	var r replica.Request
	p := FillRecord(&got, s.term, s.life, &r)
	if r.Op == replica.OpDelete {
		delete(s.items, r.Key)
		return *p
	}
	if a := s.carryOut(&r); a.Status != replica.StatusOK || s.wrong != "" {
		s.t.Fatalf("%+v: %+v %s", q, a, s.wrong)
	}
	if p.Code != code {
		s.t.Fatalf("step %d comes to %+v, want %d", q.Op, *p, code)
	}
	return *p
}

func batchOf(producer byte, sequence int64, records ...string) wire.RecordRequest {
	q := wire.RecordRequest{Op: wire.RecordAppend, Producer: [16]byte{producer}, Sequence: sequence, Count: int64(len(records))}
	for _, r := range records {
		q.Records = wire.AppendRecord(q.Records, []byte(r))
	}
	q.Sum = wire.RecordSum(q.Records)
	return q
}

func (s *sheet) head() wire.RecordHead {
	s.t.Helper()
	h, err := wire.DecodeRecordHead(s.items[recordKey(&s.chunk, wire.RecordHeadPart, 0)].Value)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

var opens = wire.RecordRequest{Op: wire.RecordOpen, Head: wire.RecordHead{State: wire.RecordIsOpen, ChunkBytes: 4096, First: 100}}

// TestRecordSteps: what each step in a chunk refuses, and in which order.
func TestRecordSteps(t *testing.T) {
	s := newSheet(t)
	join := wire.RecordRequest{Op: wire.RecordJoin, Producer: [16]byte{1}, Nonce: 1}
	erase := wire.RecordRequest{Op: wire.RecordErase}
	s.does(wire.RecordNone, batchOf(1, 0, "a"))
	s.does(wire.RecordNone, join)
	s.does(wire.RecordNone, erase)
	s.life = 3
	s.does(wire.RecordLost, opens)
	s.life, s.term = 0, 2
	s.does(wire.RecordAgain, opens)
	s.term = 1
	s.does(wire.RecordOK, opens)
	s.life = 3
	if p := s.does(wire.RecordOK, opens); p.State != wire.RecordIsOpen {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordOK, join); p.Epoch != 1 || p.Known || p.Next != 0 {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordOK, join); p.Epoch != 1 {
		t.Errorf("joined again: %+v", p)
	}
	quarter := strings.Repeat("x", 1024)
	if p := s.does(wire.RecordTooLarge, batchOf(2, 0, quarter, "x")); p.Next != 1024 {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordOK, batchOf(2, 5, quarter, "")); p.Place != 100 || p.Next != 7 {
		t.Errorf("%+v", p)
	}
	first := batchOf(1, 0, "a", "b")
	s.does(wire.RecordFenced, first)
	first.Epoch, first.Nonce = 1, 1
	if p := s.does(wire.RecordOK, first); p.Place != 102 || p.Next != 2 {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordKnown, first); p.Place != 102 || p.Next != 2 {
		t.Errorf("%+v", p)
	}
	with := func(sequence int64, records ...string) wire.RecordRequest {
		q := batchOf(1, sequence, records...)
		q.Epoch, q.Nonce = 1, 1
		return q
	}
	if p := s.does(wire.RecordKnown, with(1, "b")); p.Place != -1 {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordGap, with(3, "d")); p.Next != 2 {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordOverlap, with(1, "b", "c")); p.Next != 2 {
		t.Errorf("%+v", p)
	}
	join.Nonce = 2
	if p := s.does(wire.RecordOK, join); p.Epoch != 2 || !p.Known || p.Next != 2 || p.Place != 102 {
		t.Errorf("%+v", p)
	}
	if p := s.does(wire.RecordFenced, first); p.Epoch != 2 { // though it is known
		t.Errorf("%+v", p)
	}
	lost := with(0, "a", "b")
	lost.Epoch = 9 // joined in a chunk that is lost
	s.does(wire.RecordFenced, lost)
	lost.Epoch = 2 // the same, as it is counted there
	s.does(wire.RecordFenced, lost)
	s.does(wire.RecordOK, batchOf(3, 0, quarter))
	s.does(wire.RecordOK, batchOf(4, 0, quarter))
	if h := s.head(); h.Records != 6 || h.Batches != 4 {
		t.Errorf("%+v", h)
	}
	s.does(wire.RecordClosed, batchOf(5, 0, quarter))
	s.does(wire.RecordClosed, batchOf(5, 0, "small"))
	s.does(wire.RecordKnown, batchOf(4, 0, quarter)) // before closed
	if p := s.does(wire.RecordOK, join); p.Epoch != 2 {
		t.Errorf("%+v", p)
	}
	join.Nonce = 3
	s.does(wire.RecordClosed, join)
	if p := s.does(wire.RecordOK, opens); p.State != wire.RecordIsClosed {
		t.Errorf("%+v", p)
	}
	for range 2 {
		if p := s.does(wire.RecordOK, erase); p.Batches != 4 {
			t.Errorf("%+v", p)
		}
	}
	s.does(wire.RecordNone, batchOf(4, 0, quarter))
	s.does(wire.RecordNone, join)
	if p := s.does(wire.RecordOK, opens); p.State != wire.RecordIsErased {
		t.Errorf("%+v", p)
	}
}

// TestRecordBounds: what closes a chunk, and how many producers it knows.
func TestRecordBounds(t *testing.T) {
	for name, change := range map[string]func(*wire.RecordHead){
		"batches": func(h *wire.RecordHead) { h.Batches = wire.RecordBatchesMax },
		"records": func(h *wire.RecordHead) { h.Batches, h.Records = 1, wire.RecordsInChunkMax },
		"bytes":   func(h *wire.RecordHead) { h.Batches, h.Bytes = 1, h.ChunkBytes-wire.RecordBatchHeadMax-1 },
		"time":    func(h *wire.RecordHead) { h.Batches, h.FirstTime, h.ClosesIn = 1, 1000, 5 },
	} {
		s := newSheet(t)
		s.does(wire.RecordOK, opens)
		h := s.head()
		change(&h)
		key := recordKey(&s.chunk, wire.RecordHeadPart, 0)
		it := s.items[key]
		it.Value = wire.AppendRecordHead(nil, &h)
		s.items[key] = it
		s.now = 1005
		if name == "time" {
			s.does(wire.RecordOK, batchOf(9, 0, "still"))
			s.now++
		}
		s.does(wire.RecordClosed, batchOf(1, 0, "a"))
	}
	s := newSheet(t)
	s.does(wire.RecordOK, opens)
	for i := range 2000 { // of one bucket
		q := batchOf(0, 0, "a")
		q.Producer = [16]byte{byte(i), byte(i >> 8), 1}
		if wire.RecordBucketOf(q.Producer) != 5 {
			continue
		}
		var r replica.Request
		q.Chunk = s.chunk
		p := FillRecord(&q, 1, 0, &r)
		if s.carryOut(&r); p.Code == wire.RecordClosed {
			break
		}
	}
	old := s.items[recordKey(&s.chunk, wire.RecordBucketPart, 5)].Value
	if all, err := decodeBucket(old); err != nil || len(all) != bucketUnnamedMax {
		t.Errorf("%d producers, %v", len(all), err)
	}
	if h := s.head(); h.State != wire.RecordIsClosed || h.Buckets != 1<<5 {
		t.Errorf("%+v", h)
	}
	named := make([]producer, bucketNamedMax)
	for i := range named {
		named[i] = producer{id: [16]byte{9, byte(i), byte(i >> 8)}, named: true}
	}
	all, _ := decodeBucket(old)
	q := opens
	q.Head.Buckets, q.Buckets = 1<<5, [][]byte{encodeBucket(append(named, all...))}
	s.chunk.Index = 1
	s.does(wire.RecordOK, q)
	carried, err := decodeBucket(s.items[recordKey(&s.chunk, wire.RecordBucketPart, 5)].Value)
	if err != nil || len(carried) != bucketNamedMax+bucketCarried || carried[len(carried)-1] != all[len(all)-1] || carried[bucketNamedMax] != all[len(all)-bucketCarried] {
		t.Errorf("%d producers are carried, %v", len(carried), err)
	}
	for i := range byte(255) {
		j := wire.RecordRequest{Op: wire.RecordJoin, Producer: [16]byte{200, i}, Nonce: 1}
		if wire.RecordBucketOf(j.Producer) == 5 {
			s.does(wire.RecordTooMany, j)
			b := batchOf(0, 0, "a")
			b.Producer, b.Named = j.Producer, true
			s.does(wire.RecordTooMany, b)
			return
		}
	}
}

// TestRecordsUnreadable: nothing is written over what another build wrote.
func TestRecordsUnreadable(t *testing.T) {
	s := newSheet(t)
	s.does(wire.RecordOK, opens)
	s.does(wire.RecordOK, batchOf(1, 0, "a"))
	for part, index := range map[wire.RecordPart]uint32{wire.RecordHeadPart: 0, wire.RecordBucketPart: wire.RecordBucketOf([16]byte{1}), wire.RecordBatchPart: 1} {
		key := recordKey(&s.chunk, part, index)
		before := s.items[key]
		s.items[key] = replica.Item{Version: replica.Version{Term: 1, Seq: 1}, Value: []byte{99}}
		s.does(wire.RecordUnreadable, batchOf(1, 1, "b"))
		if s.items[key] = before; before.Version.IsZero() {
			delete(s.items, key)
		}
	}
	q := opens
	q.Head.Buckets, q.Buckets = 1, [][]byte{{99}}
	s.chunk.Index = 9
	s.does(wire.RecordUnreadable, q)
	q.Buckets = nil
	s.does(wire.RecordUnreadable, q)
	s.does(wire.RecordOK, opens)
}

// TestRecordHome: what the steps of a record file refuse in its home.
func TestRecordHome(t *testing.T) {
	w := world{newMemory(), t}
	begin := wire.TreeRequest{Op: wire.TreeBeginRecords, Home: depotHome, Records: wire.TreeRecords{ChunkBytes: 4096, RetainAge: 7, RetainBytes: 9, First: 3, Number: 8}}
	for _, n := range []int64{0, recordChunkMin - 1, wire.RecordChunkMax + 1} {
		q := begin
		q.Records.ChunkBytes = n
		if Check(&q) == nil {
			t.Errorf("chunks of %d bytes are taken", n)
		}
	}
	v := w.does(wire.TreeOK, begin).Version
	extend := func(code wire.TreeCode, n int, number int64) {
		t.Helper()
		q := about(wire.TreeExtend, v, n)
		q.Records = wire.TreeRecords{Number: number, Before: 2 * number, Life: 5}
		w.does(code, *q)
	}
	trim := func(code wire.TreeCode, first, swept int64) {
		t.Helper()
		q := about(wire.TreeTrim, v, 0)
		q.Records = wire.TreeRecords{First: first, Swept: swept}
		w.does(code, *q)
	}
	state := func() wire.TreeContentRecord { return *w.does(wire.TreeOK, *about(wire.TreeContent, v, 0)).Content }
	if c := state(); c.Reserved != 0 || *c.Records != (wire.TreeRecords{ChunkBytes: 4096, RetainAge: 7, RetainBytes: 9}) {
		t.Errorf("%+v %+v", c, c.Records)
	}
	w.does(wire.TreeNoContent, *about(wire.TreeTouch, v, 5))
	extend(wire.TreeOK, 1, 0)
	extend(wire.TreeNoContent, 2, 0) // nothing names it yet
	trim(wire.TreeNoContent, 0, 0)
	file := func(kind wire.TreeItemKind, name string, v wire.TreeVersion, owners ...wire.TreeVersion) wire.TreeItem {
		it := node(kind, name, "")
		it.File, it.Content, it.Owners = true, v, owners
		return it
	}
	plain := w.does(wire.TreeOK, *about(wire.TreeBegin, wire.TreeVersion{}, 1)).Version
	w.change(wire.TreeIsRecords, "/", file(wire.TreeCreate, "r", v, plain))
	w.change(wire.TreeOK, "/", file(wire.TreeCreate, "r", v))
	w.change(wire.TreeIsRecords, "/", file(wire.TreeCreate, "copy", v))
	w.change(wire.TreeIsRecords, "/", file(wire.TreeCreate, "copy", plain, v))
	w.change(wire.TreeIsRecords, "/", file(wire.TreeSet, "r", plain))
	w.change(wire.TreeIsRecords, "/", file(wire.TreeSet, "r", wire.TreeVersion{}))
	w.change(wire.TreeIsFile, "/", node(wire.TreeSet, "r", "plain"))
	does := w.does(wire.TreeOK, *about(wire.TreeTouch, v, 99))
	if does.Number != 1 {
		t.Errorf("%+v", does)
	}
	extend(wire.TreeInUse, 3, 10)
	extend(wire.TreeOK, 2, 10)
	extend(wire.TreeOK, 2, 11) // was before: the content tells
	extend(wire.TreeInUse, 3, 9)
	if c := state(); c.Reserved != 2 || c.Records.Number != 10 || c.Records.Before != 20 || c.Records.Life != 5 {
		t.Errorf("%+v %+v", c, c.Records)
	}
	trim(wire.TreeInUse, 1, 0)
	extend(wire.TreeOK, 3, 20)
	extend(wire.TreeOK, 4, 30)
	trim(wire.TreeInUse, 1, 2)
	trim(wire.TreeOK, 2, 1)
	trim(wire.TreeInUse, 1, 1)
	trim(wire.TreeInUse, 2, 0)
	trim(wire.TreeInUse, 3, 1)
	w.change(wire.TreeOK, "/", node(wire.TreeRemove, "r", ""))
	extend(wire.TreeNoContent, 5, 40)
	w.does(wire.TreeNoContent, *about(wire.TreeTouch, v, 0))
	end := about(wire.TreeEnd, v, 0)
	end.Idle = state().Idle
	w.does(wire.TreeOK, *end)
	extend(wire.TreeNoContent, 5, 40)
	extendPlain := about(wire.TreeExtend, plain, 1)
	w.does(wire.TreeNoContent, *extendPlain)
}

// FuzzRecordRequest: whatever comes is refused, or is a step that leaves the chunk readable.
func FuzzRecordRequest(f *testing.F) {
	b := batchOf(1, 0, "a", "")
	f.Add(wire.AppendRecordRequest(nil, &b))
	for _, q := range []wire.RecordRequest{opens, {Op: wire.RecordJoin, Producer: [16]byte{1}, Nonce: 4}, {Op: wire.RecordErase}, {Op: wire.RecordDelete, Part: wire.RecordBatchPart, Index: 3}} {
		f.Add(wire.AppendRecordRequest(nil, &q))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := wire.DecodeRecordRequest(b)
		if err != nil || q.Op == wire.RecordGet {
			return
		}
		if again := wire.AppendRecordRequest(nil, &q); len(again) > len(b) {
			t.Fatalf("%x becomes %x", b, again)
		}
		s := newSheet(t)
		s.chunk = q.Chunk
		s.does(wire.RecordOK, opens)
		var r replica.Request
		if p := FillRecord(&q, 1, 0, &r); r.Op == replica.OpEvaluate {
			s.carryOut(&r)
			if again, err := wire.DecodeRecordReply(wire.AppendRecordReply(nil, p)); err != nil || again != *p {
				t.Fatalf("%+v: %v", p, err)
			}
		}
		for k, it := range s.items {
			switch name := k.Name(); len(name) {
			case 22:
				_, err = wire.DecodeRecordHead(it.Value)
			case 23:
				_, err = decodeBucket(it.Value)
			default:
				_, err = wire.DecodeRecordBatch(it.Value)
			}
			if err != nil {
				t.Fatalf("%x: %v", k, err)
			}
		}
	})
}

// FuzzRecordValues: what is stored is read, or refused.
func FuzzRecordValues(f *testing.F) {
	f.Add(wire.AppendRecordHead(nil, &opens.Head))
	f.Add(encodeBucket([]producer{{named: true, epoch: 7}}))
	f.Add(encodeBucket([]producer{{id: [16]byte{1}, named: true, fresh: true, first: 5, records: 3, place: 1 << 40, time: 1 << 41}, {id: [16]byte{2}, nonce: 1 << 60, first: 1}}))
	f.Add(wire.AppendRecordBatch(nil, &wire.RecordBatch{Count: 1, Records: []byte{0}, Sum: wire.RecordSum([]byte{0})}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := wire.DecodeRecordHead(b); err == nil {
			if again, err := wire.DecodeRecordHead(wire.AppendRecordHead(nil, &h)); err != nil || again != h {
				t.Fatalf("%+v, %v", again, err)
			}
		}
		if all, err := decodeBucket(b); err == nil && len(b) > 0 {
			if again, err := decodeBucket(encodeBucket(all)); err != nil || len(again) != len(all) {
				t.Fatalf("%+v, %v", again, err)
			}
			told, err := wire.DecodeRecordProducers(b) // what clients make of it; they know bounds
			for i := 0; err == nil && i < len(all); i++ {
				if p := &all[i]; told[i] != (wire.RecordProducer{ID: p.id, Named: p.named, Next: p.next()}) {
					t.Fatalf("%+v is told as %+v", p, told[i])
				}
			}
		} else if told, err := wire.DecodeRecordProducers(b); err == nil {
			t.Fatalf("no bucket is told as %+v", told)
		}
		if x, err := wire.DecodeRecordBatch(b); err == nil {
			again, err := wire.DecodeRecordBatch(wire.AppendRecordBatch(nil, &x))
			if err != nil || !bytes.Equal(again.Records, x.Records) || again.First != x.First {
				t.Fatalf("%+v, %v", again, err)
			}
		}
	})
}
