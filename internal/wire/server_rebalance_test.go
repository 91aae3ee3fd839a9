package wire

import (
	"reflect"
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

func TestRebalanceWaiting(t *testing.T) {
	for _, want := range []RebalanceWaiting{
		{},
		{Done: 8, DoneBytes: 9, PausedBy: "10.0.0.1", PausedAt: time.UnixMilli(1 << 40),
			Waits: []RebalanceWait{{Why: 3, Copies: 10, Partition: 11}, {Why: 6, On: 12, Copies: 13, Partition: 14, For: 15 * time.Second}}},
	} {
		b := AppendRebalanceWaiting(nil, &want)
		if got, err := DecodeRebalanceWaiting(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if got, err := DecodeRebalanceWaiting(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are read as %+v", n, len(b), got)
			}
		}
	}
}

func TestRebalanceStops(t *testing.T) {
	for _, want := range []RebalanceStops{{}, {Count: 1, Longest: 2 * time.Second, Late: 3 * time.Millisecond}} {
		b := AppendRebalanceStops(nil, &want)
		if got, err := DecodeRebalanceStops(b); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if got, err := DecodeRebalanceStops(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are read as %+v", n, len(b), got)
			}
		}
	}
}

// TestRebalancePacing comes back as it was, is refused where it is cut, and may have more behind it.
func TestRebalancePacing(t *testing.T) {
	for _, want := range []RebalancePacing{{}, {Allowed: 1 << 40, By: 3, Gives: 1 << 20, Learners: 2}} {
		b := AppendRebalancePacing(nil, &want)
		if got, err := DecodeRebalancePacing(append(b, 9, 9)); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		for n := range len(b) {
			if got, err := DecodeRebalancePacing(b[:n]); err == nil {
				t.Errorf("%d bytes of it are %+v", n, got)
			}
		}
		b[0]++
		if _, err := DecodeRebalancePacing(b); err == nil {
			t.Error("another format is read")
		}
	}
}
