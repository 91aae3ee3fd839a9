package route

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/tests/fake"
)

// downView returns a view in which the first server is down and acts alone, and
// the others are up and hold nothing.
func downView(epoch uint64, minCopies uint8, addrs ...string) *ring.View {
	v := fake.View(epoch, addrs...)
	v.Members[0].Up = false
	v.Partitions[0] = ring.Partition{Term: 1, MinCopies: minCopies, Acting: []ring.ServerID{1}, Writable: []ring.ServerID{1}}
	return v
}

// soon bounds what has to fail at once: far below the 30 s of a command, far
// above what a busy machine needs.
const soon = 5 * time.Second

// When the last replica is down, reads and writes fail at once and say why.
func TestUnservedFailsAtOnce(t *testing.T) {
	other := fake.Start(t)
	other.View = downView(2, 1, freeAddr(t), other.Addr)
	other.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) { t.Error("a server that holds nothing was asked") }
	c := openSeeded(t, other.Addr)
	began := time.Now()
	_, err := c.Get(t.Context(), "k")
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "partition 0 was held last by s1") {
		t.Errorf("Get: %v", err)
	}
	if _, err = c.Set(t.Context(), "k", nil); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("Set: %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("they took %v", took)
	}
}

// The same, when the client's view is older: it learns the newer one first.
func TestUnservedByANewerView(t *testing.T) {
	other, gone := fake.Start(t), freeAddr(t)
	other.View = downView(2, 1, gone, other.Addr)
	other.View.Members[0].Up, other.View.Epoch = true, 1
	c := openSeeded(t, other.Addr)
	other.Lock()
	other.View = downView(2, 1, gone, other.Addr)
	other.Unlock()
	began := time.Now()
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, ErrUnavailable) || time.Since(began) > soon {
		t.Errorf("Get: %v after %v", err, time.Since(began))
	}
}

// A write that the last replica may have taken before it died is unknown; it is
// so at once, although nobody cuts the connection.
func TestUnservedAfterSending(t *testing.T) {
	t.Parallel()
	last, other := fake.Start(t), fake.Start(t)
	asked := make(chan struct{})
	last.Answer = func(int, wire.DoRequest, *wire.Writer) { last.Mute = true; close(asked) }
	last.View = fake.View(1, last.Addr)
	c := openSeeded(t, last.Addr, other.Addr)
	result := make(chan error, 1)
	go func() {
		_, err := c.Set(t.Context(), "k", []byte("v"))
		result <- err
	}()
	<-asked
	down := downView(2, 1, last.Addr, other.Addr)
	other.Lock()
	other.View = down
	other.Unlock()
	if err := c.views.adopt(down); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Set: %v", err)
		}
	case <-time.After(soon):
		t.Error("Set still waits")
	}
}

// Two witnesses are wanted: a view leader that was cut off takes all for dead.
func TestServedAlthoughTakenForDead(t *testing.T) {
	f := fake.Start(t)
	f.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) { fake.OK(w, wire.DoReply{Status: wire.DoOK}) }
	f.View = downView(2, 1, f.Addr)
	c := openSeeded(t, f.Addr)
	if _, err := c.Set(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}

// Nobody alive says that the view stands: it may be old, so it is not believed.
func TestUnservedNeedsAWitness(t *testing.T) {
	t.Parallel()
	other := fake.Start(t)
	other.View = downView(2, 1, freeAddr(t), other.Addr)
	c := openSeeded(t, other.Addr)
	other.Lock()
	other.Mute = true
	other.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*leaderPatience)
	defer cancel()
	if _, err := c.Get(ctx, "k"); err == nil || ctx.Err() == nil {
		t.Errorf("Get gave up: %v", err)
	}
}

// With Persist, and when a server of the last set returns, they work.
func TestPersist(t *testing.T) {
	other, back := fake.Start(t), fake.Start(t)
	other.View = downView(2, 1, freeAddr(t), other.Addr)
	back.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) { fake.OK(w, wire.DoReply{Status: wire.DoOK}) }
	opened, err := Open(t.Context(), Options{Servers: []string{other.Addr}, ViewCache: NoViewCache, Persist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	c := library{opened}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, "k"); err == nil || ctx.Err() == nil {
		t.Errorf("Get gave up: %v", err)
	}
	up := fake.View(3, back.Addr, other.Addr)
	up.Partitions[0].Acting = []ring.ServerID{1}
	back.Lock()
	back.View = up
	back.Unlock()
	if err := c.views.adopt(up); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "k"); err != nil {
		t.Errorf("after the return: %v", err)
	}
}

// A write below min-copies fails at once when the missing copies are on servers
// that are down, and waits while they are being made.
func TestTooFewCopies(t *testing.T) {
	for _, upThere := range []bool{false, true} {
		f := fake.Start(t)
		f.Answer = func(n int, q wire.DoRequest, w *wire.Writer) {
			if q.Op == wire.DoGet || n > 3 {
				fake.OK(w, wire.DoReply{Status: wire.DoOK})
				return
			}
			w.WriteError("NOTENOUGHCOPIES 1 of 2")
		}
		f.View = fake.View(2, f.Addr, freeAddr(t))
		f.View.Members[1].Up = upThere
		f.View.Partitions[0] = ring.Partition{Term: 2, MinCopies: 2, Acting: []ring.ServerID{1}, Writable: []ring.ServerID{1, 2}}
		c := openSeeded(t, f.Addr)
		if _, err := c.Get(t.Context(), "k"); err != nil {
			t.Errorf("Get: %v", err)
		}
		_, err := c.Set(t.Context(), "k", nil)
		if upThere {
			if err != nil {
				t.Errorf("Set while a copy is made: %v", err)
			}
			continue
		}
		if !errors.Is(err, ErrTooFewCopies) || !strings.Contains(err.Error(), "1 of the 2 copies") || !strings.Contains(err.Error(), "s2") {
			t.Errorf("Set: %v", err)
		}
		if n := len(f.Requests()); n != 2 {
			t.Errorf("%d tries", n)
		}
	}
}

// Whose time ends while a primary that should be down is asked whether it is was told
// nothing: the primary may only be slow.
func TestUnservedTimeEnds(t *testing.T) {
	t.Parallel()
	slow, other := fake.Start(t), fake.Start(t)
	down := downView(2, 1, slow.Addr, other.Addr)
	slow.View, slow.Mute, other.View = down, true, down
	c := openSeeded(t, other.Addr)
	ctx, cancel := context.WithTimeout(t.Context(), probeTimeout/5)
	defer cancel()
	if _, err := c.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v", err)
	}
}
