package seglog_test

import (
	"errors"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestClosed asks a closed store: it never says that something is not there.
func TestClosed(t *testing.T) {
	s := mustOpen(t, crashdisk.Mem(), seglog.Options{SegmentBytes: 64 << 10, Manual: true})
	ops := []seglog.Op{{Kind: seglog.Put, Part: 1, Key: []byte("key"), Value: []byte("value")}, {Kind: seglog.PutRow, Part: 1, Seq: 1}}
	if _, err := s.Apply(ops); err != nil {
		t.Fatal(err)
	}
	inScan := make(chan error, 1)
	if err := s.Scan(1, seglog.Cursor{}, func(_, _ []byte) bool {
		inScan <- s.Close()
		return true
	}); err != nil && !errors.Is(err, seglog.ErrClosed) {
		t.Errorf("a scan meanwhile: %v", err)
	}
	if err := <-inScan; err != nil {
		t.Fatal(err)
	}
	for part := range uint16(3) { // also of those that it has nothing of
		_, _, get := s.Get(part, []byte("key"))
		scan := s.Scan(part, seglog.Cursor{}, func(_, _ []byte) bool { return true })
		rows := s.Rows(part, 0, func(uint64, []byte) bool { return true })
		_, apply := s.Apply(ops)
		for what, err := range map[string]error{"get": get, "scan": scan, "rows": rows, "apply": apply, "checkpoint": s.Checkpoint(), "close": s.Close()} {
			if !errors.Is(err, seglog.ErrClosed) {
				t.Errorf("%s of partition %d: %v", what, part, err)
			}
		}
		if _, err := s.Collect(); !errors.Is(err, seglog.ErrClosed) {
			t.Errorf("collect: %v", err)
		}
	}
	if n := s.Stats().Damage; n > 0 {
		t.Errorf("%d times damage", n)
	}
}
