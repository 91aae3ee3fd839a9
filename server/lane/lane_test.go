package lane

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
)

// oneStore is a store in memory whose batches are durable at once, until it fails.
type oneStore struct {
	rows
	broken atomic.Bool
}

var errBroken = errors.New("broken")

func (s *oneStore) Scan(ring.PartitionID, replica.Cursor, func(replica.Key, []byte) bool) error {
	return nil
}
func (s *oneStore) Index(ring.PartitionID, uint64, func(uint64, []byte) bool) error { return nil }
func (s *oneStore) Metas(func(ring.PartitionID, []byte) bool) error                 { return nil }

func (s *oneStore) ApplyBatch(b *replica.Batch) (func() error, error) {
	if s.broken.Load() {
		return nil, errBroken
	}
	s.apply(b)
	return func() error { return nil }, nil
}

// alone is a server without others.
type alone struct{}

func (alone) Send(ring.ServerID, *frame.Messages)      {}
func (alone) ServesFrom(*ring.View)                    {}
func (alone) Fetch(ring.ServerID, *replica.Message)    {}
func (alone) Whole(ring.PartitionID)                   {}
func (alone) HandoffEvery() time.Duration              { return 0 }
func (alone) Paged(ring.ServerID, *replica.Message)    {}
func (alone) Ask(lane int, rs []replica.LeaderRequest) {}
func (alone) note(*replica.Batch)                      {}

// oneCall is a call that tells of its answer.
type oneCall struct {
	read     bool
	request  replica.Request
	look     func(*replica.Core) (a replica.Answer, ok bool)
	answers  chan replica.Answer
	notified atomic.Int64
}

func (c *oneCall) ToRead() (Read, bool)                             { return Read{Key: c.request.Key}, c.read }
func (c *oneCall) ToWrite() *replica.Request                        { return &c.request }
func (c *oneCall) Look() func(*replica.Core) (replica.Answer, bool) { return c.look }
func (c *oneCall) Complete(a replica.Answer)                        { c.answers <- a }
func (c *oneCall) Client() Client                                   { return c }
func (c *oneCall) Notify()                                          { c.notified.Add(1) }

// startAlone starts one lane of a server that acts for everything alone, and stops it with the
// test. failed gets what ends it.
func startAlone(t *testing.T, st *oneStore) (ls Lanes, failed <-chan error) {
	t.Helper()
	began := time.Now()
	now := func() replica.Instant {
		return replica.Instant{Mono: time.Since(began), Wall: time.Now().UnixMilli()}
	}
	ls, err := New(&Config{Self: 1, Incarnation: 1, Lanes: 1, Fresh: true, ValueBytesMax: 100, Store: st,
		ItemBytes: func() int64 { return 1 << 20 }, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	v := &ring.View{Epoch: 1, LeaseTTL: time.Second, MinCopies: 1,
		Members:    []ring.Member{{ID: 1, Incarnation: 1, Status: ring.In, Up: true}},
		Partitions: []ring.Partition{{Term: 1, MinCopies: 1, Acting: []ring.ServerID{1}, Writable: []ring.ServerID{1}}}}
	table, err := ring.TableOf(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	ls.Adopt(v, table, nil)
	ends := make(chan error, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, run := range ls.Begin(ctx, Outward{Peers: alone{}, Mover: alone{}, Leader: alone{},
		Stopped: func([]time.Duration) {}, Storing: alone{}.note, Stored: alone{}.note, Fail: func(err error) { ends <- err }}) {
		running.Go(run)
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return ls, ends
}

// set writes a key by way of the lane, without waiting for the answer.
func set(ls Lanes, key replica.Key, value string) *oneCall {
	c := &oneCall{answers: make(chan replica.Answer, 1)}
	c.request = replica.Request{Key: key, Op: replica.OpSet, Value: []byte(value)}
	ls.Put(0, Asked(c))
	return c
}

// TestLane: a lane writes and reads; a round that fails ends it, and from then on nobody reads
// in its turn what may be half done.
func TestLane(t *testing.T) {
	st := &oneStore{rows: rows{items: make(map[string][]byte)}}
	ls, failed := startAlone(t, st)
	key := replica.MakeKey(0, replica.SpaceUser, "k")
	c := set(ls, key, "v")
	if a := <-c.answers; a.Status != replica.StatusOK {
		t.Fatalf("%+v", a)
	}
	r := &oneCall{read: true, request: replica.Request{Key: key}, answers: make(chan replica.Answer, 1)}
	ls.Put(0, Asked(r))
	if a := <-r.answers; string(a.Value) != "v" {
		t.Errorf("read by the loop: %+v", a)
	}
	for { // but in the middle of a tick's round
		if a, ok := ls[0].ReadNow(0, key, nil); ok {
			if string(a.Value) != "v" {
				t.Errorf("read in the lane's turn: %+v", a)
			}
			break
		}
		runtime.Gosched()
	}
	st.broken.Store(true)
	set(ls, replica.MakeKey(0, replica.SpaceUser, "other"), "w")
	if err := <-failed; !errors.Is(err, errBroken) {
		t.Errorf("the lane ended with %v", err)
	}
	if a, ok := ls[0].ReadNow(0, key, nil); ok {
		t.Errorf("after a round that failed %+v was read", a)
	}
	again := Asked(&oneCall{read: true, request: replica.Request{Key: key}, answers: make(chan replica.Answer, 1)})
	if n := ls[0].ReadFirst([]Event{again}); n != 0 {
		t.Error("after a round that failed a pipeline was read")
	}
}

// TestBulkWaits: whoever comes with many pages, or behind them, does not wait for them; and all have their round.
func TestBulkWaits(t *testing.T) {
	const pages = 100
	ls, _ := startAlone(t, &oneStore{rows: rows{items: make(map[string][]byte)}})
	left := 0
	look := func() Event {
		c := &oneCall{answers: make(chan replica.Answer, 1)}
		c.look = Only(func(*replica.Core) { left = len(ls[0].bulk) })
		return Looked(c)
	}
	var events []Event
	for range pages {
		events = append(events, Message(2, &replica.Message{Type: replica.MsgFetch}), Message(2, &replica.Message{Type: replica.MsgPage}))
	}
	last := look()
	ls.Put(0, append(events, last)...)
	<-last.call.(*oneCall).answers
	if left < pages {
		t.Errorf("%d of %d wait when the call behind them is answered", left, 2*pages)
	}
	for left > 0 {
		again := look()
		ls.Put(0, again)
		<-again.call.(*oneCall).answers
	}
}
