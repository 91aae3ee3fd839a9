package replica

import (
	"testing"
	"time"
)

// TestLatePromise: a promise counts from when it was asked for, however late it comes,
// and for as long as its giver meant, by the view that the giver had.
func TestLatePromise(t *testing.T) {
	for _, late := range []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 790 * time.Millisecond} {
		r := acting(t, 2, 2)
		r.set(1, "k", "v")
		r.mono += 2 * r.view.LeaseTTL // earlier promises are over
		asked := r.mono
		primary, giver := r.host(1), r.host(2)
		promise := giver.node.OnPing(giver.at(), 1, primary.node.Ping(primary.at()))
		r.mono = asked + late
		pr, ok := primary.node.OnPromise(primary.at(), 2, promise)
		if !ok {
			t.Fatal("refused")
		}
		primary.core.Promised(primary.at(), pr)
		for _, c := range []struct {
			after  time.Duration
			leased bool
		}{{late, true}, {799 * time.Millisecond, true}, {800 * time.Millisecond, false}, {900 * time.Millisecond, false}} {
			r.mono = asked + c.after
			if got := primary.core.Leased(primary.at(), 0); got != c.leased {
				t.Errorf("a promise that came %v late: leased %v after it was asked for: %v", late, c.after, got)
			}
		}
	}
}

// TestShorterLease: when the lease gets shorter, what was promised for longer before
// binds on; and who was promised it counts on no more than that.
func TestShorterLease(t *testing.T) {
	r := acting(t, 2, 2)
	r.mono += 2 * r.view.LeaseTTL
	at, giver, primary := r.mono, r.host(2), r.host(1)
	longer := giver.node.OnPing(giver.at(), 1, primary.node.Ping(primary.at()))
	short := 100 * time.Millisecond
	if _, ok := giver.node.Raise(r.view.Epoch+1, short); !ok {
		t.Fatal("not raised")
	}
	r.mono += 50 * time.Millisecond
	shorter := giver.node.OnPing(giver.at(), 1, primary.node.Ping(primary.at()))
	if longer.Granted != r.view.LeaseTTL || shorter.Granted != short {
		t.Errorf("granted %v, then %v", longer.Granted, shorter.Granted)
	}
	promised, ok := giver.node.Raise(r.view.Epoch+2, short)
	if want := at + r.view.LeaseTTL; !ok || promised[1] != want {
		t.Errorf("promised until %v, want %v", promised[1], want)
	}
	if pr, _ := primary.node.OnPromise(primary.at(), 2, shorter); pr.Until != r.mono+short*8/10 {
		t.Errorf("counts on a short promise until %v, asked for at %v", pr.Until, r.mono)
	}
}
