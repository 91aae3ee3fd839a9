package store

import (
	"errors"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
	"viewring/server/replica"
)

// TestThrottle: what an operator set outlives a power cut, is not among the names that a
// server stores, and one that can't be read is as good as none.
func TestThrottle(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	if got, set := s.Throttle(); set {
		t.Errorf("a new store has %+v", got)
	}
	want := Throttle{Paused: true, Rated: true, Rate: 10 << 20}
	for _, t1 := range []Throttle{{Rated: true, Rate: 1}, want} {
		if err := s.SetThrottle(t1); err != nil {
			t.Fatal(err)
		}
	}
	after := powerCut(fs)
	mustClose(t, s)
	s = mustOpen(t, after)
	if got, set := s.Throttle(); !set || got != want {
		t.Errorf("after a power cut %+v, %v", got, set)
	}
	if _, err := s.Names(nil, 10, func(local bool, name string) { t.Errorf("it shows as the name %q, local %v", name, local) }); err != nil {
		t.Error(err)
	}
	if err := s.rewriteNode(); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{{throttleFormat + 1}, {throttleFormat, 1}} {
		if err := s.write(replica.StoreOp{Kind: replica.PutItem, Partition: nodePartition, Key: throttleKey, Value: bad}); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		s = mustOpen(t, after)
		if got, set := s.Throttle(); set {
			t.Errorf("%x is read as %+v", bad, got)
		}
	}
	defer mustClose(t, s)
	if err := s.rewriteNode(); err != nil {
		t.Fatal(err)
	}
	if b, found, err := s.log.Get(uint16(nodePartition), bytesOf(throttleKey)); found || err != nil {
		t.Errorf("a damaged one is still there after it was rewritten: %x, %v", b, err)
	}
}

func TestDecodeThrottle(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": {}, "short": {throttleFormat}, "no rate": {throttleFormat, 1, 1}, "more": {throttleFormat, 1, 1, 5, 0},
		"negative": {throttleFormat, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if got, err := decodeThrottle(b); !errors.Is(err, seglog.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := decodeThrottle([]byte{9, 0, 0}); !errors.Is(err, errThrottleFormat) || errors.Is(err, seglog.ErrCorrupt) {
		t.Errorf("another format: %v", err)
	}
}
