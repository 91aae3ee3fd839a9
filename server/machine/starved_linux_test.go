package machine

import (
	"testing"
	"time"
)

// TestStarved reads what kernels tell, and nothing else.
func TestStarved(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"some avg10=1.53 avg60=0.35 avg300=0.11 total=4242\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n": 4242 * time.Microsecond,
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n":                                                    0,
		"": -1, "full avg10=0.00 total=7\n": -1, "some avg10=0.00\n": -1, "some total=x\n": -1,
	} {
		if got, ok := starvedIn([]byte(text)); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %t", text, got, ok)
		}
	}
}
