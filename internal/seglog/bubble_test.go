package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestSlowDiskInBubble runs the store on a virtual clock on which each write takes its time,
// with checkpoints and collection at the same time from several sides: that ends, so nothing
// waits for a write in a way that a bubble does not see.
func TestSlowDiskInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 9))
		d := crashdisk.New(512, rng)
		d.Watch(func(st crashdisk.Step) error {
			if st.Kind != crashdisk.Read {
				<-time.After(3 * time.Millisecond)
			}
			return nil
		})
		s := mustOpen(t, d, seglog.Options{SegmentBytes: 64 << 10, CheckpointBytes: 128 << 10})
		done := make(chan error, 3)
		go func() {
			for n := range 600 {
				if err := putSync(s, 1, fmt.Sprintf("key%d", n%20), 4000); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for range 2 {
			go func() {
				for range 10 {
					if err := s.Checkpoint(); err != nil {
						done <- err
						return
					}
					if _, err := s.Collect(); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Freed == 0 {
			t.Errorf("nothing was collected: %+v", st)
		}
	})
}
