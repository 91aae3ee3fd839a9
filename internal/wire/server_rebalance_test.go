package wire

import (
	"testing"
	"time"
)

func TestRebalanceReport(t *testing.T) {
	for _, want := range []RebalanceReport{
		{TimeLeft: -1},
		{Paused: true, Limit: 1, Left: 2, Running: 3, Bytes: 4, Rate: 5, LeftBytes: 6, TimeLeft: 7 * time.Second},
	} {
		b := AppendRebalanceReport(nil, &want)
		if got, err := DecodeRebalanceReport(b); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if got, err := DecodeRebalanceReport(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are read as %+v", n, len(b), got)
			}
		}
	}
	if _, err := DecodeRebalanceReport([]byte{9}); err == nil {
		t.Error("another format is read")
	}
}
