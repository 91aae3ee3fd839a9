package viewleader

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// holderAndOther starts a view leader with two servers, of which the first alone
// holds everything.
func holderAndOther(t *testing.T, lease time.Duration) (l *wire.Leader, holder, other *server) {
	o := testOptions(t)
	o.LeaseTTL = lease
	s := start(t, o)
	holder, other = newServer(t, s.Addr(), 1), newServer(t, s.Addr(), 2)
	for _, v := range []*server{holder, other} {
		v.register()
		v.live()
	}
	return leaderOf(t, s), holder, other
}

// TestAcceptLoss: what the only holder held is given up after a whole lease, never
// sooner, and never while it is up; and that is told to who waits for events.
func TestAcceptLoss(t *testing.T) {
	const lease = 700 * time.Millisecond
	l, holder, other := holderAndOther(t, lease)
	// By the service, which does not wait out a lease first as for the roster's refusal.
	if _, err := l.AcceptLoss(t.Context(), []ring.PartitionID{3}); !wire.IsCode(err, wire.CodeRefused) || !strings.Contains(err.Error(), "not lost: one of") {
		t.Fatalf("while s1 is up: %v", err)
	}
	if _, err := l.AcceptLoss(t.Context(), []ring.PartitionID{16}); !wire.IsCode(err, wire.CodeRefused) {
		t.Fatalf("no partition: %v", err)
	}
	holder.kill()
	v := waitView(t, l, other.view, func(v *ring.View) bool { return v.Unserved(3) })
	st, err := l.Status(t.Context())
	if err != nil || st.Servers[0].Down.IsZero() || !st.Servers[1].Down.IsZero() {
		t.Errorf("%+v, %v", st.Servers, err)
	}
	told, err := l.Events(t.Context(), 0, 0)
	if err != nil || len(told) == 0 || told[len(told)-1].Kind != "down" || told[len(told)-1].Server != 1 {
		t.Fatalf("%+v, %v", told, err)
	}
	next := make(chan []vocab.Event, 1)
	go func() {
		events, _ := l.Events(t.Context(), told[len(told)-1].Number, 20*time.Second)
		next <- events
	}()
	began := time.Now()
	epoch, err := l.AcceptLoss(t.Context(), []ring.PartitionID{3, 4})
	if err != nil || epoch <= v.Epoch {
		t.Fatalf("epoch %d after %d, %v", epoch, v.Epoch, err)
	}
	if took := time.Since(began); took < lease {
		t.Errorf("given up after %v, the lease is %v", took, lease)
	}
	v = waitView(t, l, v, func(v *ring.View) bool { return v.Epoch >= epoch })
	if p := v.Partitions[3]; p.ResetTerm != epoch || !slices.Equal(p.Acting, []ring.ServerID{2}) || v.Partitions[5].ResetTerm != 0 {
		t.Errorf("%+v", v.Partitions)
	}
	if events := <-next; len(events) != 1 || events[0].Kind != "accepted-loss" || events[0].Detail != "2 partitions: 3-4" || events[0].Epoch != epoch {
		t.Errorf("%+v", events)
	}
}

// Whoever hangs up while the lease is waited out thought better of it.
func TestAcceptLossIsCancelled(t *testing.T) {
	l, holder, other := holderAndOther(t, 500*time.Millisecond)
	holder.kill()
	v := waitView(t, l, other.view, func(v *ring.View) bool { return v.Unserved(3) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.AcceptLoss(ctx, []ring.PartitionID{3}); err == nil {
		t.Fatal("given up at once")
	}
	if _, err := l.AcceptLoss(t.Context(), []ring.PartitionID{4}); err != nil {
		t.Fatal(err)
	}
	if v = waitView(t, l, v, func(v *ring.View) bool { return v.Partitions[4].ResetTerm > 0 }); v.Partitions[3].ResetTerm != 0 {
		t.Errorf("%+v", v.Partitions[3])
	}
}

// Events come through a restart of the view leader, with their numbers.
func TestEventsAfterRestart(t *testing.T) {
	o := testOptions(t)
	s := start(t, o)
	v := newServer(t, s.Addr(), 1)
	v.register()
	before, err := leaderOf(t, s).Events(t.Context(), 0, 0)
	if err != nil || len(before) != 2 || before[0].Kind != "made" || before[1].Kind != "joined" {
		t.Fatalf("%+v, %v", before, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, o)
	l := leaderOf(t, s)
	after, err := l.Events(t.Context(), 0, 0)
	if err != nil || !slices.Equal(after, before) {
		t.Errorf("%+v, %v; before %+v", after, err, before)
	}
	began := time.Now()
	if none, err := l.Events(t.Context(), 2, 100*time.Millisecond); err != nil || none != nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("%+v, %v", none, err)
	}
	if none, err := l.Events(t.Context(), 99, 0); err != nil || none != nil {
		t.Errorf("%+v, %v", none, err)
	}
}
