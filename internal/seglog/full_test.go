package seglog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestBackgroundFailures lets checkpoints, and removals of files, fail for a while: the store
// goes on, and makes up for it when the disk is well.
func TestBackgroundFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
		var mu sync.Mutex
		failed := make(map[string]int)
		d.Watch(func(st crashdisk.Step) error {
			mu.Lock()
			defer mu.Unlock()
			switch ckp := strings.HasPrefix(st.Name, "checkpoint"); {
			case ckp && st.Kind == crashdisk.Write:
				failed["checkpoint"]++
				return syscall.ENOSPC
			case st.Kind == crashdisk.Change && strings.HasPrefix(st.Name, "segment-") && st.Gone:
				failed["removal"]++
				return syscall.EIO
			}
			return nil
		})
		s := mustOpen(t, d, seglog.Options{SegmentBytes: 64 << 10, CheckpointBytes: 128 << 10})
		fill := func(from int) {
			for n := range 100 {
				if err := putSync(s, 1, fmt.Sprintf("key%d", n%20), 4000+from); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill(0)
		<-time.After(10 * time.Minute)
		mu.Lock()
		tries := failed["checkpoint"]
		if tries < 3 || tries > 40 || failed["removal"] == 0 {
			t.Errorf("failed in 10 minutes: %v", failed)
		}
		mu.Unlock()
		if s.Err() != nil || s.Stats().Checkpoints > 0 {
			t.Fatalf("%v, %+v", s.Err(), s.Stats())
		}
		fill(1)
		d.Watch(nil)
		<-time.After(5 * time.Minute)
		if st := s.Stats(); st.Checkpoints == 0 || st.Freed == 0 {
			t.Errorf("when the disk is well: %+v", st)
		}
		if n := len(files(d, "segment-")); n != s.Stats().Segments {
			t.Errorf("%d files of %d segments", n, s.Stats().Segments)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDisk fills the disk: a batch that adds is refused before anything of it is done,
// while deletions, a checkpoint and collection have space, and with what they give back
// there is space again.
func TestFullDisk(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	const capacity = 2 << 20
	d.Bound(capacity)
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	s := mustOpen(t, d, opts)
	var n int
	for ; ; n++ {
		err := putSync(s, 1, fmt.Sprintf("key%d", n), 4000)
		if errors.Is(err, seglog.ErrFull) {
			break
		}
		if err != nil || n > 1000 {
			t.Fatalf("key %d: %v", n, err)
		}
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	if _, ok, err := s.Get(1, fmt.Appendf(nil, "key%d", n)); ok || err != nil {
		t.Errorf("a part of the batch that was refused is there: %v, %v", ok, err)
	}
	if err := s.Checkpoint(); err != nil {
		t.Error(err)
	}
	for i := range n * 3 / 4 {
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Delete, Part: 1, Key: fmt.Appendf(nil, "key%d", i)}})
		if errors.Is(err, seglog.ErrFull) { // what is left is for this
			if freed, err := s.Collect(); err != nil || freed == 0 {
				t.Fatalf("collected %d: %v", freed, err)
			}
			wait, err = s.Apply([]seglog.Op{{Kind: seglog.Delete, Part: 1, Key: fmt.Appendf(nil, "key%d", i)}})
		}
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatalf("delete %d of %d: %v", i, n, err)
		}
	}
	if freed, err := s.Collect(); err != nil || freed == 0 {
		t.Fatalf("collected %d: %v", freed, err)
	}
	for i := range n / 4 {
		if err := putSync(s, 1, fmt.Sprintf("again%d", i), 4000); err != nil {
			t.Fatalf("when there is space again: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, d, opts)
	if st := s.Stats(); st.Keys != n-n*3/4+n/4 || st.Damage > 0 {
		t.Errorf("%d were written: %+v", n, st)
	}
	_ = s.Close() // only read
}

// TestNoSpaceWithin lets a write of a frame find no space, as on a disk that is thin: the store
// ends, and what was acknowledged is there when it starts again.
func TestNoSpaceWithin(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	s := mustOpen(t, d, opts)
	left := 7
	d.Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.WriteSync && st.At > 0 {
			if left--; left < 0 {
				return syscall.ENOSPC
			}
		}
		return nil
	})
	n := 0
	for ; putSync(s, 1, fmt.Sprintf("key%d", n), 4000) == nil; n++ {
	}
	if !errors.Is(s.Err(), syscall.ENOSPC) {
		t.Fatalf("after %d keys: %v", n, s.Err())
	}
	_ = s.Close() // it has failed
	d.Watch(nil)
	s = mustOpen(t, d.Kill(), opts)
	for i := range n {
		if _, ok, err := s.Get(1, fmt.Appendf(nil, "key%d", i)); !ok || err != nil {
			t.Errorf("key%d of %d: %v, %v", i, n, ok, err)
		}
	}
	if err := errors.Join(putSync(s, 1, "more", 4000), s.Close()); err != nil || n == 0 {
		t.Error(n, err)
	}
}
