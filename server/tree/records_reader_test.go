package tree

import (
	"math/rand/v2"
	"testing"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// TestRecordReaderWaits: a reader does not pass a chunk that is reserved and was not opened yet, and
// passes one that never will be.
func TestRecordReaderWaits(t *testing.T) {
	s := newScroll(rand.New(rand.NewPCG(1, 1)))
	f := s.file(atOnce)
	extend := func(n int) {
		t.Helper()
		q := about(wire.TreeExtend, s.of.Version, n)
		if q.Records.Number = int64(n-1) * 10; s.ask(q).Code != wire.TreeOK {
			t.Fatal("not extended")
		}
	}
	head := s.head(0)
	head.State = wire.RecordIsClosed
	key := recordKey(&wire.Chunk{Content: s.of}, wire.RecordHeadPart, 0)
	s.items[key] = replica.Item{Version: replica.Version{Term: 1, Seq: 9}, Value: wire.AppendRecordHead(nil, head)}
	extend(2)
	r := f.Reader(0, 0)
	for range 3 {
		if e, err := r.Next(); err != nil || !e.Nothing() || r.At().Index != 1 {
			t.Errorf("%+v, %v, in chunk %d", e, err, r.At().Index)
		}
	}
	extend(3)
	if e, err := r.Next(); err != nil || !e.Nothing() || r.At().Index != 2 {
		t.Errorf("%+v, %v, in chunk %d", e, err, r.At().Index)
	}
	if k, err := f.OpenTail(); err != nil || k != 2 {
		t.Errorf("chunk %d is opened, %v", k, err)
	}
	if e, err := r.Next(); err != nil || !e.Lost || e.From != 0 || e.To != 20 {
		t.Errorf("%+v, %v", e, err)
	}
}
