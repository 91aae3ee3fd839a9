package meter

import (
	"testing"
	"time"

	"viewring/client/admin"
)

// TestRates: two answers make a rate, percentiles are those of the last Window, and a start begins anew.
func TestRates(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	times := func(fast, slow uint64) (t admin.Times) {
		t[7], t[13] = fast, slow // up to 128 µs, and up to 8,192 µs
		return t
	}
	o := &meter{}
	for _, tt := range []struct {
		second      int
		calls, usec float64
		took        admin.Times
		ok          bool
		want        Work
	}{
		{0, 1000, 50_000, times(0, 1000), false, Work{}},
		{1, 1100, 60_000, times(100, 1000), true, Work{100, 100, 128, 128}},
		{2, 1100, 60_000, times(100, 1000), true, Work{0, 0, 128, 128}},
		{4, 1300, 100_000, times(100, 1200), true, Work{100, 200, 8192, 8192}},
		{12, 1301, 100_100, times(101, 1200), true, Work{0.125, 100, 8192, 8192}},
		{14, 1302, 100_200, times(102, 1200), true, Work{0.5, 100, 128, 128}}, // what was slow is past
		{15, 10, 100, times(10, 0), false, Work{}},                            // it was started again
		{16, 20, 200, times(20, 0), true, Work{10, 10, 128, 128}},
	} {
		w, ok := o.add(counts{start.Add(time.Duration(tt.second) * time.Second), tt.calls, tt.usec, tt.took})
		if w != tt.want || ok != tt.ok {
			t.Errorf("after %d s: %+v %v, want %+v %v", tt.second, w, ok, tt.want, tt.ok)
		}
	}
	if n := len(o.counts); n > 4 {
		t.Errorf("%d answers are kept", n)
	}
}

// TestWork: questions like those of Meters are no work of clients.
func TestWork(t *testing.T) {
	calls, usec := sum(map[string]string{"cmdstat_get": "calls=10,usec=100,usec_per_call=10.00", "cmdstat_info": "calls=5,usec=5", "cmdstat_latency|histogram": "calls=5,usec=5",
		"cmdstat_vr.do": "calls=2,usec=3", "cmdstat_odd": "calls=x", "other": "calls=7"})
	if calls != 12 || usec != 103 {
		t.Errorf("%v calls, %v µs", calls, usec)
	}
}
