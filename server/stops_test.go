package server

import (
	"testing"
	"time"
)

// TestStopsOfLate: what is long ago is not of late, whatever came since.
func TestStopsOfLate(t *testing.T) {
	var s stops
	if r := s.report(time.Hour); r.Count != 0 || r.Longest != 0 || r.Late != 0 {
		t.Fatalf("%+v before there was one", r)
	}
	s.note(time.Hour, []time.Duration{3 * time.Millisecond, 90 * time.Millisecond})
	s.note(time.Hour+4*time.Second, []time.Duration{20 * time.Millisecond})
	for _, at := range []struct {
		after time.Duration
		late  time.Duration
	}{{4 * time.Second, 90 * time.Millisecond}, {9 * time.Second, 90 * time.Millisecond}, {12 * time.Second, 20 * time.Millisecond},
		{16 * time.Second, 0}, {time.Hour, 0}} {
		r := s.report(time.Hour + at.after)
		if r.Count != 3 || r.Longest != 90*time.Millisecond || r.Late != at.late {
			t.Errorf("after %v: %+v, want %v of late", at.after, r, at.late)
		}
	}
	s.note(2*time.Hour, []time.Duration{time.Millisecond})
	if r := s.report(2 * time.Hour); r.Late != time.Millisecond || r.Longest != 90*time.Millisecond {
		t.Errorf("%+v an hour later", r)
	}
}
