package play

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestMeter: what ended while it was read is counted, and what stands still shows.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		pass := func(d time.Duration) { <-time.After(d) }
		m.begin()(nil) // before
		r, other := m.read(), m.read()
		for i := range 100 {
			end := m.begin()
			pass(time.Duration(i+1) * time.Millisecond)
			end(nil)
		}
		m.begin()(errors.New("broken"))
		stuck := m.begin()
		pass(950 * time.Millisecond)
		f := m.end(r)
		if f.count != 100 || f.failed != 1 || f.p50 != 50 || f.p99 != 99 || f.max != 950 || f.isEmpty || rounded(f.ops) != "16.7" {
			t.Errorf("%+v", f)
		}
		stuck(nil)
		if f := m.end(other); f.count != 101 || f.max != 950 || rounded(f.p99) != "100" {
			t.Errorf("the other: %+v", f)
		}
		r = m.read()
		stuck = m.begin()
		pass(time.Second)
		if f := m.end(r); f.count != 0 || f.p50 != 1000 || f.isEmpty {
			t.Errorf("while all stands still: %+v", f)
		}
		stuck(nil)
		r = m.read()
		pass(time.Second)
		if f := m.end(r); !f.isEmpty {
			t.Errorf("while nothing is done: %+v", f)
		}
	})
}

func TestRounded(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 0.01234: "0.0123", 1: "1.00", 9.876: "9.88", 54.321: "54.3", 999: "999", 123456.7: "123457"} {
		if got := rounded(f); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}

func TestSizeOf(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "100B": 100, "4KiB": 4096, "16MiB": 16 << 20, "16777216": 16 << 20, "0": 0, "17MiB": 0, "1.5KiB": 0, "KiB": 0, "-1": 0, "1kb": 0, "99999999999MiB": 0} {
		if got, err := sizeOf(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
}
