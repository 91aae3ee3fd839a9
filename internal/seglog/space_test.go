package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestCollectEnds collects stores whose values fill segments badly: it ends, and moves
// nothing where nothing can be won.
func TestCollectEnds(t *testing.T) {
	for _, seg := range []int64{32 << 10, 64 << 10} {
		for _, part := range []float64{0.05, 0.26, 0.35, 0.4, 0.51, 0.7, 0.95, 1.5} {
			t.Run(fmt.Sprintf("%d,%v", seg, part), func(t *testing.T) {
				n := int(float64(seg) * part)
				d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
				opts := seglog.Options{SegmentBytes: seg, Manual: true}
				s := mustOpen(t, d, opts)
				for i := range 40 {
					if err := putSync(s, 1, fmt.Sprintf("key%d", i), n); err != nil {
						t.Fatal(err)
					}
				}
				// Once what the small frames waste is won, nothing is left to win.
				if _, err := s.Collect(); err != nil {
					t.Fatal(err)
				}
				before := s.Stats()
				freed, err := s.Collect()
				if err != nil || freed > 1 {
					t.Errorf("%d segments were collected, and none of them had to be: %v", freed, err)
				}
				if max := 40 * int64(n+8192) * 16 / 10; before.DiskBytes > max+2*seg && seg > 32<<10 {
					t.Errorf("%d bytes on the disk for %d of values", before.DiskBytes, 40*n)
				}
				// With each overwritten once, about as much is won again.
				for i := range 40 {
					if err := putSync(s, 1, fmt.Sprintf("key%d", i), n); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := s.Collect(); err != nil {
					t.Fatal(err)
				}
				if after := s.Stats(); after.DiskBytes > before.DiskBytes+before.DiskBytes/2+4*seg {
					t.Errorf("%d bytes on the disk where %d were before the overwriting", after.DiskBytes, before.DiskBytes)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, d, opts)
				if st := s.Stats(); st.Damage > 0 || st.Keys != 40 {
					t.Errorf("after a start: %+v", st)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
