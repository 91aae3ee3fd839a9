package seglog_test

import (
	"strings"
	"testing"
	"time"

	"viewring/internal/disk"
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
		case <-time.After(2 * time.Minute):
			t.Error("who asks how the store stands waits for who writes")
		}
	})
}

// watchedFS tells of the files that are removed.
type watchedFS struct {
	disk.FS
	removed func(name string)
}

func (w *watchedFS) Remove(name string) error {
	w.removed(name)
	return w.FS.Remove(name)
}

// TestStatsSayWhatGoesOn: a collection removes a segment before it ends, a checkpoint the
// one before it.
func TestStatsSayWhatGoesOn(t *testing.T) {
	var s *seglog.Store
	segments, checkpoints := 0, 0
	fs := &watchedFS{FS: crashdisk.Mem()}
	fs.removed = func(name string) {
		st := s.Stats()
		switch {
		case strings.HasPrefix(name, "segment-"):
			if segments++; !st.Collecting || st.Checkpointing {
				t.Errorf("while a segment is collected the store says %+v", st)
			}
		case strings.HasPrefix(name, "checkpoint-"):
			if checkpoints++; !st.Checkpointing || st.Collecting {
				t.Errorf("while a checkpoint is written the store says %+v", st)
			}
		}
	}
	s, err := seglog.Open(fs, seglog.Options{SegmentBytes: 64 << 10, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	put := func() {
		t.Helper()
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: 7, Key: []byte("key"), Value: make([]byte, 30<<10)}})
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		put()
		if _, err := s.Collect(); err != nil {
			t.Fatal(err)
		}
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); st.Collecting || st.Checkpointing || segments == 0 || checkpoints == 0 {
		t.Errorf("%d segments and %d checkpoints were removed, now the store says %+v", segments, checkpoints, st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
