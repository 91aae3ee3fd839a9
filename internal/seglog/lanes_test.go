package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/seglog"
)

// lane writes to a partition of its own, as a server's lanes do, and looks at what it
// has written at once.
func lane(s *seglog.Store, part uint16, batches int) (map[string]string, error) {
	rng := rand.New(rand.NewPCG(uint64(part), 5))
	have := make(map[string]string)
	var waits []func() error
	for n := range batches {
		var ops []seglog.Op
		for range 4 {
			key := string(keyOf(rng.IntN(40)))
			if rng.IntN(5) == 0 {
				ops = append(ops, seglog.Op{Kind: seglog.Delete, Part: part, Key: []byte(key)})
				delete(have, key)
				continue
			}
			have[key] = fmt.Sprintf("%d of %d %0500d", n, part, rng.Uint32())
			ops = append(ops, seglog.Op{Kind: seglog.Put, Part: part, Key: []byte(key), Value: []byte(have[key])})
		}
		wait, err := s.Apply(ops)
		if err != nil {
			return nil, err
		}
		waits = append(waits, wait)
		for range 4 {
			key := string(keyOf(rng.IntN(40)))
			value, ok, err := s.Get(part, []byte(key))
			if want, there := have[key]; err != nil || ok != there || string(value) != want {
				return nil, fmt.Errorf("batch %d: get %q: %.20q %v %v, not %.20q", n, key, value, ok, err, want)
			}
		}
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// TestLanes lets several lanes write and read, with collection and checkpoints beside
// them, in a folder of the operating system.
func TestLanes(t *testing.T) {
	batches := 300
	if slow() {
		batches = 5000
	}
	fs := disk.Dir(t.TempDir())
	opts := seglog.Options{SegmentBytes: 256 << 10, CheckpointBytes: 1 << 20}
	s, err := seglog.Open(fs, opts)
	if err != nil {
		t.Fatal(err)
	}
	const lanes = 4
	var have [lanes]map[string]string
	var all, beside sync.WaitGroup
	stop := make(chan struct{})
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Collect(); err != nil {
				t.Error(err)
				return
			}
			if err := s.Checkpoint(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range lanes {
		all.Go(func() {
			var err error
			if have[n], err = lane(s, uint16(n), batches); err != nil {
				t.Errorf("lane %d: %v", n, err)
			}
		})
	}
	all.Wait()
	close(stop)
	beside.Wait()
	if _, err := s.Collect(); err != nil {
		t.Fatal(err)
	}
	if err := s.Audit(); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Freed == 0 || st.Checkpoints == 0 || st.Frames >= int64(lanes*batches) {
		t.Errorf("nothing was collected or written together: %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = seglog.Open(fs, opts); err != nil {
		t.Fatal(err)
	}
	defer s.Close() // only read
	for n := range lanes {
		found := make(map[string]string)
		if err := s.Scan(uint16(n), seglog.Cursor{}, func(key, value []byte) bool {
			found[string(key)] = string(value)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if d := difference(found, have[n]); d != "nothing else" {
			t.Errorf("lane %d: %s", n, d)
		}
	}
}
