package replica

import (
	"bytes"
	"math"
	"testing"
	"time"

	"viewring/ring"
)

// oneServer is a core that is the only server of a cluster of one partition, on
// a store of maps: its writes commit as soon as they are synced.
type oneServer struct {
	t     *testing.T
	core  *Core
	at    Instant
	items map[Key][]byte
	token uint64
}

func (s *oneServer) Get(_ ring.PartitionID, key Key) ([]byte, error) { return s.items[key], nil }
func (s *oneServer) Scan(_ ring.PartitionID, from Cursor, fn func(Key, []byte) bool) error {
	for _, k := range sortedByPlace(s.items) {
		if from.Before(k) && !fn(k, s.items[k]) {
			break
		}
	}
	return nil
}
func (s *oneServer) ScanKeys(p ring.PartitionID, _ Key, from Cursor, fn func(Key) bool) error {
	return s.Scan(p, from, func(key Key, _ []byte) bool { return fn(key) })
}
func (s *oneServer) ScanInto(p ring.PartitionID, from Cursor, _ func(int) []byte, fn func(Key, []byte) bool) error {
	return s.Scan(p, from, fn)
}
func (s *oneServer) GetPart(_ ring.PartitionID, key Key, cut Cut) (pc Piece, item []byte, err error) {
	pc, err = CutItem(key, s.items[key], cut)
	return pc, s.items[key], err
}
func (s *oneServer) Index(ring.PartitionID, uint64, func(uint64, []byte) bool) error { return nil }
func (s *oneServer) Metas(func(ring.PartitionID, []byte) bool) error                 { return nil }

func newOneServer(t *testing.T) *oneServer {
	s := &oneServer{t: t, items: make(map[Key][]byte), at: Instant{Wall: 1_000_000_000}}
	core, err := NewCore(Config{Self: 1, Incarnation: 1, Lanes: 1, Fresh: true, ValueBytesMax: 100}, s, s.at)
	if err != nil {
		t.Fatal(err)
	}
	s.core = core
	v := &ring.View{Epoch: 1, LeaseTTL: time.Second, MinCopies: 1,
		Members:    []ring.Member{{ID: 1, Incarnation: 1, Status: ring.In, Up: true}},
		Partitions: []ring.Partition{{Term: 1, MinCopies: 1, Acting: []ring.ServerID{1}, Writable: []ring.ServerID{1}}}}
	table, err := ring.NewTable(v.Members, 1)
	if err != nil {
		t.Fatal(err)
	}
	core.Adopt(s.at, v, table, nil)
	s.runAll()
	return s
}

// runAll does what the core wants until it wants nothing more.
func (s *oneServer) runAll() (answers []Answer) {
	for {
		r, ok := s.core.Ready()
		if !ok {
			return answers
		}
		answers = append(answers, r.Answers...)
		if r.Batch == nil {
			continue
		}
		for _, o := range r.Batch.Ops {
			switch o.Kind {
			case PutItem:
				s.items[o.Key] = o.Value
			case DeleteItem:
				delete(s.items, o.Key)
			}
		}
		s.core.Synced(s.at, r.Batch.Number)
	}
}

func (s *oneServer) do(r Request) Answer {
	s.t.Helper()
	s.token++
	r.Token = s.token
	s.core.Propose(s.at, r)
	answers := s.runAll()
	if len(answers) != 1 || answers[0].Token != s.token {
		s.t.Fatalf("answers %+v", answers)
	}
	return answers[0]
}

func (s *oneServer) records() int {
	n := 0
	for k := range s.items {
		if k.Space() == SpaceSystem && k.Name() != horizonName {
			n++
		}
	}
	return n
}

func TestOperations(t *testing.T) {
	s := newOneServer(t)
	key := MakeKey(1, SpaceUser, "k")
	for i, c := range []struct {
		r      Request
		status Status
		number int64
	}{
		{Request{Op: OpDelete}, StatusNotFound, 0},
		{Request{Op: OpSet, Cond: CondPresent, Value: []byte("1")}, StatusCondFailed, 0},
		{Request{Op: OpSet, Cond: CondAbsent, Value: []byte("12")}, StatusOK, 0},
		{Request{Op: OpSet, Cond: CondAbsent, Value: []byte("13")}, StatusCondFailed, 0},
		{Request{Op: OpIncr, Delta: -2}, StatusOK, 10},
		{Request{Op: OpIncr, Delta: math.MaxInt64}, StatusNotInteger, 1},
		{Request{Op: OpAppend, Value: []byte("x")}, StatusOK, 3},
		{Request{Op: OpIncr, Delta: 1}, StatusNotInteger, 0},
		{Request{Op: OpAppend, Value: make([]byte, 98)}, StatusTooLarge, 0},
		{Request{Op: OpSet, Value: make([]byte, 101)}, StatusTooLarge, 0},
		{Request{Op: OpSet, Cond: CondVersion, Version: Version{Term: 1, Seq: 1}}, StatusCondFailed, 0},
		{Request{Op: OpDelete}, StatusOK, 0},
		{Request{Op: OpSet, Cond: CondVersion}, StatusOK, 0}, // version zero: absent
	} {
		c.r.Key = key
		if a := s.do(c.r); a.Status != c.status || a.Number != c.number {
			t.Errorf("step %d: %+v, want status %d and number %d", i, a, c.status, c.number)
		}
	}
}

func TestRetryAnswersWhatTheFirstTryAnswered(t *testing.T) {
	s := newOneServer(t)
	key := MakeKey(1, SpaceUser, "k")
	id := RequestID{Client: [16]byte{1}, Number: 1, Born: s.at.Wall}
	r := Request{ID: id, Op: OpAppend, Key: key, Value: []byte("ab")}
	first := s.do(r)
	again := s.do(r)
	again.Token = first.Token
	if first.Number != 2 || !bytes.Equal(first.Value, again.Value) || first.Version != again.Version || again.Number != 2 {
		t.Errorf("first %+v, again %+v", first, again)
	}
	r2 := Request{ID: RequestID{Client: id.Client, Number: 2, Born: s.at.Wall}, Mark: 1, Op: OpAppend, Key: key, Value: []byte("c")}
	if a := s.do(r2); a.Number != 3 {
		t.Errorf("the next operation: %+v", a)
	}
	if n := s.records(); n != 1 {
		t.Errorf("%d records after the client's mark passed one of two", n)
	}
	if a := s.do(r); a.Status != StatusExpiredID {
		t.Errorf("an id at the client's mark: %+v", a)
	}
}

func TestOldRecordsGoAndTheirIdsAreRefused(t *testing.T) {
	s := newOneServer(t)
	key := MakeKey(1, SpaceUser, "k")
	r := Request{ID: RequestID{Client: [16]byte{1}, Number: 1, Born: s.at.Wall}, Op: OpAppend, Key: key, Value: []byte("ab")}
	s.do(r)
	born := s.at.Wall
	s.at.Wall += 10 * recordTTL.Milliseconds() // a clock that jumps is not enough
	s.at.Mono += recordGCEvery
	s.core.Tick(s.at)
	s.runAll()
	if n := s.records(); n != 1 {
		t.Fatalf("%d records right after the clock jumped", n)
	}
	s.at.Mono += recordTTL + recordGCEvery
	s.core.Tick(s.at)
	s.runAll()
	if n := s.records(); n != 0 {
		t.Fatalf("%d records after their time", n)
	}
	s.at.Wall = born // and back again
	if a := s.do(r); a.Status != StatusExpiredID {
		t.Errorf("an id without its record, born before the horizon: %+v", a)
	}
	ahead := Request{ID: RequestID{Client: [16]byte{2}, Number: 1, Born: s.at.Wall + 2*bornAheadMax.Milliseconds()}, Op: OpSet, Key: key}
	if a := s.do(ahead); a.Status != StatusExpiredID {
		t.Errorf("an id from the future: %+v", a)
	}
}

// TestReadUnderAStreamOfWrites: a read is answered by the next commit on its
// key, also when more writes to it are under way by then.
func TestReadUnderAStreamOfWrites(t *testing.T) {
	s := newOneServer(t)
	key := MakeKey(1, SpaceUser, "k")
	s.core.Propose(s.at, Request{Token: 1, Op: OpSet, Key: key, Value: []byte("first")})
	s.core.Read(s.at, Read{Token: 2, Key: key})
	r, _ := s.core.Ready()
	s.core.Propose(s.at, Request{Token: 3, Op: OpSet, Key: key, Value: []byte("second")})
	if _, ok := s.core.Ready(); !ok || r.Batch == nil {
		t.Fatal("no batches")
	}
	s.core.Synced(s.at, r.Batch.Number)
	r, _ = s.core.Ready()
	if len(r.Answers) != 2 || r.Answers[0].Token != 1 || r.Answers[1].Token != 2 || string(r.Answers[1].Value) != "first" {
		t.Errorf("answers %+v", r.Answers)
	}
}
