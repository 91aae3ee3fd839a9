package rings

import (
	"testing"

	"viewring/ring"
)

// TestJoin: the ring moves hardly more than the least, and mod N most of all.
func TestJoin(t *testing.T) {
	for _, servers := range []int{1, 2, 3, 4, 10} {
		m, err := Join(servers, 1024, 3000, ring.Chosen)
		if err != nil {
			t.Fatal(err)
		}
		if m.Ring < m.Minimum || m.Ring > m.Minimum*1.1 || m.Minimum > 1.2*100/float64(servers+1) {
			t.Errorf("%d servers: the ring moves %.1f %%, the least is %.1f %%", servers, m.Ring, m.Minimum)
		}
		if servers > 3 && m.ModN < 1.5*m.Ring {
			t.Errorf("%d servers: mod N moves %.1f %%, the ring %.1f %%", servers, m.ModN, m.Ring)
		}
	}
}

// TestBalance: more points are more even, and bounds hold what few points do not.
func TestBalance(t *testing.T) {
	few, err := Balance(10, 1024, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	many, err := Balance(10, 1024, 128, 2)
	if err != nil {
		t.Fatal(err)
	}
	if few.Plain < 1.5 || many.Plain > 1.2 || few.Bounded > ring.Chosen.CopiesLoad+0.01 || few.BoundedMoved < many.BoundedMoved {
		t.Errorf("1 point: %+v, 128 points: %+v", few, many)
	}
}

func TestCost(t *testing.T) {
	small, err := Cost(3, 1024)
	if err != nil {
		t.Fatal(err)
	}
	large, err := Cost(100, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if large.View < 2*small.View || large.Delta > 200 || small.Table <= 0 {
		t.Errorf("3 servers: %+v, 100: %+v", small, large)
	}
}
