package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestCollectionBesideFullFrames: a writer that never finds its queue empty, because
// several write more than a frame takes, leaves no copies due, and each word that a segment
// is free waits behind others' frames. The log exceeds its bound by what is written until some
// segments are free, and no more, and checkpoints come.
func TestCollectionBesideFullFrames(t *testing.T) {
	t.Run("one value a segment", func(t *testing.T) { writeBeside(t, 8, 900<<10, 1) })
	t.Run("several", func(t *testing.T) { writeBeside(t, 64, 200<<10, 5) })
}

// writeBeside overwrites keys at random, by six writers that wait for each of their batches.
func writeBeside(t *testing.T, keys, valueBytes, batch int) {
	synctest.Test(t, func(t *testing.T) {
		const segment = 4 << 20
		d := crashdisk.Mem()
		d.Watch(func(st crashdisk.Step) error {
			if st.Kind != crashdisk.Read {
				<-time.After(3 * time.Millisecond)
			}
			return nil
		})
		s := mustOpen(t, d, seglog.Options{SegmentBytes: segment, CheckpointBytes: 16 << 20})
		var writing sync.WaitGroup
		lasts := 8 * time.Second
		if raceDetector { // it makes checksums dear
			lasts = 2 * time.Second
		}
		end := time.Now().Add(lasts)
		value := make([]byte, valueBytes)
		for w := range uint16(6) {
			rng := rand.New(rand.NewPCG(4, uint64(w)))
			writing.Go(func() {
				for time.Now().Before(end) {
					ops := make([]seglog.Op, batch)
					for i := range ops {
						ops[i] = seglog.Op{Kind: seglog.Put, Part: w, Key: fmt.Append(nil, "key", rng.IntN(keys)), Value: value}
					}
					wait, err := s.Apply(ops)
					if err == nil {
						err = wait()
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		worst := int64(0)
		for time.Now().Before(end) {
			<-time.After(50 * time.Millisecond)
			st := s.Stats()
			worst = max(worst, st.DiskBytes-int64(1.6*float64(st.LiveBytes))-2*segment)
		}
		writing.Wait()
		if st := s.Stats(); worst > 16*segment || st.Checkpoints == 0 || st.Freed == 0 {
			t.Errorf("%d bytes more on the disk than 1.6 times what lives and two segments: %+v", worst, st)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
