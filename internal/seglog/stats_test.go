package seglog_test

import (
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestStatsWaitForNobody: heartbeats ask how the store stands, also while a batch, or a
// collection, has it to itself.
func TestStatsWaitForNobody(t *testing.T) {
	s, err := seglog.Open(crashdisk.Mem(), seglog.Options{SegmentBytes: 64 << 10, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: 7, Key: []byte("key"), Value: []byte("value")}, {Kind: seglog.Put, Part: 8, Key: []byte("other")}})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan seglog.Stats, 1)
	s.Alone(func() {
		go func() { told <- s.Stats() }()
		select {
		case st := <-told:
			if st.Keys != 2 || st.Segments != 1 || st.DiskBytes != 64<<10 || st.LiveBytes == 0 {
				t.Errorf("the store says %+v", st)
			}
		case <-time.After(30 * time.Second):
			t.Error("who asks how the store stands waits for who writes")
		}
	})
}
