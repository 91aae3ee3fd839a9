package upkeep

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"viewring/internal/codec"
	"viewring/internal/disk/crashdisk"
	"viewring/rebalance"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/viewleader/vocab"
)

// moving is a mover, the time, and what it has sent.
type moving struct {
	*Mover
	now  time.Duration
	sent []*replica.Message
	to   []ring.ServerID
}

func move(t *testing.T) *moving {
	t.Helper()
	w := &moving{now: time.Second}
	s, err := store.Open("", crashdisk.Mem(), store.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	base := &Base{Self: 1, Store: s, Logger: slog.New(slog.DiscardHandler), Context: t.Context(), Lanes: &reaping{T: t},
		Now: func() replica.Instant { return replica.Instant{Mono: w.now} }}
	w.Mover = NewMover(base, nil, 0, func(to ring.ServerID, messages *frame.Messages) {
		var all bytes.Buffer
		for _, b := range messages.AppendTo(net.Buffers{}) {
			all.Write(b)
		}
		m, err := replica.DecodeMessage(codec.NewReader(all.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		w.sent, w.to = append(w.sent, m), append(w.to, to)
	}, func() bool { return false })
	w.observe(0)
	return w
}

// observe has the mover see what clients did in the last second.
func (w *moving) observe(commands uint64) {
	w.now += time.Second
	s := rebalance.Sample{At: w.now, Starved: -1}
	if commands > 0 {
		s.Ops = []rebalance.Op{{Kind: 1, Count: commands, Took: time.Duration(commands) * time.Millisecond}}
	}
	w.Observe(&s)
}

// page is a page to a server, and what it says.
func (w *moving) page(to ring.ServerID) uint64 {
	m := &replica.Message{Type: replica.MsgPage}
	w.Paged(to, m)
	return m.Bytes
}

// TestPaged: each page says what its receiver may ask for: anything while there are no clients, then
// its part of what clients leave. Changes of acting sets come seldom while that is so.
func TestPaged(t *testing.T) {
	w := move(t)
	if got := w.page(2); got != 0 || w.HandoffEvery() != 0 {
		t.Errorf("without clients: %d bytes/s, handoffs each %v", got, w.HandoffEvery())
	}
	w.observe(100)
	w.observe(100)
	whole := w.page(2)
	if whole == 0 || w.HandoffEvery() != handoffEveryHeld || !w.Copying() {
		t.Fatalf("with clients: %d bytes/s, handoffs each %v, copying %t", whole, w.HandoffEvery(), w.Copying())
	}
	if got := w.page(3); got != whole/2 {
		t.Errorf("one of two may ask for %d bytes/s of %d", got, whole)
	}
	if p := w.Pacing(); p.Gives != whole || p.Learners != 2 {
		t.Errorf("it says %+v", p)
	}
	w.now += learnsFor + time.Millisecond
	if w.HandoffEvery() != 0 || w.Copying() {
		t.Error("those that copy no more hold handoffs up")
	}
	if got := w.page(2); got != whole {
		t.Errorf("alone again it may ask for %d bytes/s of %d", got, whole)
	}
	w.observe(0)
	w.observe(0)
	if got := w.page(2); got != 0 {
		t.Errorf("%d bytes/s after the last client has gone", got)
	}
}

// lack gives the mover a view in which it lacks copies.
func (w *moving) lack(t *testing.T) {
	t.Helper()
	v := &ring.View{Epoch: 1, Partitions: make([]ring.Partition, 8)}
	for id := range ring.ServerID(4) {
		v.Members = append(v.Members, ring.Member{ID: id + 1, Status: ring.In, Up: true})
	}
	for i := range v.Partitions {
		v.Partitions[i].Acting = []ring.ServerID{2, 3, 4}
	}
	v.Partitions[5].Acting = []ring.ServerID{2}
	table, err := ring.TableOf(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.m.Adopt(v, table)
}

// TestOwnClients: what a server copies in is held back for its own clients, too, and it says so.
func TestOwnClients(t *testing.T) {
	w := move(t)
	w.lack(t)
	w.observe(100)
	w.observe(100)
	w.Arrived(2, &replica.Message{Type: replica.MsgPage})
	if p := w.Pacing(); p.By != vocab.HeldByOwn || p.Allowed == 0 {
		t.Errorf("beside its clients: %+v", p)
	}
	var said vocab.ServerStats
	if w.Report(&said); said.MoveHeld != vocab.HeldByOwn || said.MoveAllowed != w.Pacing().Allowed {
		t.Errorf("its heartbeat says %d, %d", said.MoveAllowed, said.MoveHeld)
	}
	w.observe(0)
	w.observe(0)
	if p := w.Pacing(); p.By != vocab.HeldByNobody || p.Allowed != 0 {
		t.Errorf("without clients: %+v", p)
	}
}

// TestFetchesHeld: a source that can take little is asked for short pages at its rate, one that
// can take anything at once; partitions that have lost copies come first.
func TestFetchesHeld(t *testing.T) {
	w := move(t)
	w.lack(t)
	w.Arrived(2, &replica.Message{Type: replica.MsgPage, Bytes: 1 << 20})
	w.Arrived(3, &replica.Message{Type: replica.MsgPage}) // of an earlier build, or without clients
	for p := range ring.PartitionID(8) {
		w.Fetch(2+ring.ServerID(p)/6, &replica.Message{Type: replica.MsgFetch, Partition: p, Bytes: 512 << 10})
	}
	wait, _ := w.sendFetches()
	if got := w.partitions(); got[0] != 5 || len(got) == 8 || wait <= 0 {
		t.Fatalf("%v are asked for, then it waits %v", got, wait)
	}
	for i, m := range w.sent {
		if want := map[ring.ServerID]uint64{2: 64 << 10, 3: 512 << 10}[w.to[i]]; m.Bytes != want {
			t.Errorf("%d bytes are asked of s%d, want %d", m.Bytes, w.to[i], want)
		}
	}
	if !slices.Contains(w.to, 3) {
		t.Error("who can take anything waits for who can't")
	}
	for len(w.sent) < 8 {
		if wait, _ = w.sendFetches(); wait <= 0 && len(w.sent) < 8 {
			t.Fatalf("%v are asked for, and nothing waits", w.partitions())
		}
		w.now += wait
	}
}

func (w *moving) partitions() (ps []ring.PartitionID) {
	for _, m := range w.sent {
		ps = append(ps, m.Partition)
	}
	return ps
}
