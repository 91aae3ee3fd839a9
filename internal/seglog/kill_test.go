package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestKillThenPowerLoss kills the process at any step, starts it again, and switches the
// machine off when that has acknowledged something, or has shown what was there: it must be
// there still. A process that dies leaves in the kernel's cache what no disk has yet.
func TestKillThenPowerLoss(t *testing.T) {
	kills := uint64(300)
	if slow() {
		kills = 5000
	}
	for seed := range kills {
		if err := killThenPowerLoss(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func killThenPowerLoss(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 9))
	d := crashdisk.New([]int{512, 4096}[seed%2], rng)
	opts := seglog.Options{SegmentBytes: 32 << 10, Manual: true}
	d.CrashAfter(rng.IntN(48))
	if s, err := seglog.Open(d, opts); err == nil {
		for i := 0; putSync(s, 1, fmt.Sprintf("key%d", i), 6000) == nil; i++ {
			if i%4 == 3 && s.Checkpoint() != nil {
				break
			}
		}
		_ = s.Close() // it is dead
	}
	d = d.Kill()
	s, err := seglog.Open(d, opts)
	if err != nil {
		return fmt.Errorf("open after the kill: %w", err)
	}
	seen := make(map[string]bool)
	note := func(key, _ []byte) bool { seen[string(key)] = true; return true }
	if err := s.Scan(1, seglog.Cursor{}, note); err != nil {
		return err
	}
	if rng.IntN(2) == 0 {
		if err := putSync(s, 1, "after", 100); err != nil {
			return err
		}
		seen["after"] = true
	}
	next := d.Crash()
	_ = s.Close() // the machine is dead
	if s, err = seglog.Open(next, opts); err != nil {
		return fmt.Errorf("open after the power loss: %w", err)
	}
	for key := range seen {
		if _, ok, err := s.Get(1, []byte(key)); !ok {
			return fmt.Errorf("%q was acknowledged or shown, and is gone: %w", key, err)
		}
	}
	if n := s.Stats().Damage; n > 0 {
		return fmt.Errorf("%d times damage where there is none", n)
	}
	return s.Close()
}
