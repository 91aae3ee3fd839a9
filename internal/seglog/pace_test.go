package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestCheckpointPace looks how much checkpoints write beside the log, how much of it is synced
// at a time, and that a start which read much of the log soon writes one.
func TestCheckpointPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
		var mu sync.Mutex
		unsynced, most := 0, 0
		d.Watch(func(st crashdisk.Step) error {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(st.Name, "checkpoint") {
				switch st.Kind {
				case crashdisk.Write:
					unsynced += st.Len
				case crashdisk.Sync:
					most, unsynced = max(most, unsynced), 0
				}
			}
			return nil
		})
		const keys, every = 250_000, 1 << 20 // an index of 6 MiB
		opts := seglog.Options{SegmentBytes: 1 << 20, CheckpointBytes: every}
		s := mustOpen(t, d, opts)
		fill := func(from, to int) {
			var ops []seglog.Op
			for n := from; n < to; n++ {
				if ops = append(ops, seglog.Op{Kind: seglog.Put, Known: seglog.KnownAbsent, Part: 1, Key: fmt.Append(nil, n)}); len(ops) == 1000 || n == to-1 {
					wait, err := s.Apply(ops)
					if err == nil {
						err = wait()
					}
					if err != nil {
						t.Fatal(err)
					}
					ops = ops[:0]
				}
			}
		}
		fill(0, keys)
		<-time.After(time.Minute)
		before := s.Stats()
		for n := range 40 { // half a megabyte each
			fill(keys+n*7000, keys+(n+1)*7000)
			<-time.After(time.Second)
		}
		st := s.Stats()
		wrote, log := st.CheckpointLen-before.CheckpointLen, st.Written-before.Written
		if st.Checkpoints == before.Checkpoints || wrote > log*3/2 {
			t.Errorf("%d checkpoints of %d bytes for %d of log", st.Checkpoints-before.Checkpoints, wrote, log)
		}
		mu.Lock()
		if most > 6<<20 || most == 0 {
			t.Errorf("%d bytes of a checkpoint were synced at once", most)
		}
		mu.Unlock()
		next := d.Kill()
		_ = s.Close() // it is dead
		opts.CheckpointBytes = 1 << 10
		s = mustOpen(t, next, opts)
		<-time.After(time.Minute)
		if s.Stats().Checkpoints == 0 {
			t.Error("no checkpoint after a start that read more log than there is between two")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
