package seglog_test

import (
	"fmt"
	"testing"
)

// TestCollisions plays with keys of which many have the same bound, and starts from the log
// alone again and again: what was deleted stays so, in whatever order records were moved.
func TestCollisions(t *testing.T) {
	seeds := uint64(15)
	if raceDetector { // one goroutine does nearly all of it
		seeds = 3
	}
	if slow() {
		seeds = 400
	}
	for seed := range seeds {
		if err := collisions(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func collisions(seed uint64) error {
	p := newPlayer(seed, 512)
	p.opts.HashBits(3)
	if err := p.open(); err != nil {
		return err
	}
	for n := range 600 {
		if err := p.step(); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
		if n%25 < 24 {
			continue
		}
		if err := p.awaitAcks(0); err != nil {
			return err
		}
		if err := p.store.Close(); err != nil {
			return err
		}
		if n%2 == 0 {
			p.disk = withoutCheckpoint(p.disk)
		}
		if err := p.open(); err != nil {
			return err
		}
		if err := compare(p.store, p.model); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
	}
	return p.store.Close()
}
