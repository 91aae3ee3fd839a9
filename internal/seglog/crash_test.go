package seglog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// crash crashes the disk, opens the store again and compares it with what may be there.
func (p *player) crash() error {
	for {
		end := p.disk.Crash
		if p.rng.IntN(3) == 0 {
			end = p.disk.Kill
		}
		p.disk.Watch(nil)
		next := end()
		if p.store != nil {
			_ = p.store.Close() // the machine is dead: nobody learns of it
		}
		p.disk = next
		if p.rng.IntN(4) == 0 {
			for _, name := range files(p.disk, "checkpoint-") { // the log has all as well
				if err := p.disk.Remove(name); err != nil {
					return err
				}
			}
		}
		if p.rng.IntN(4) == 0 {
			p.disk.CrashAfter(p.rng.IntN(6)) // while it starts
		}
		err := p.open()
		if p.disk.Crashed() {
			continue
		}
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		p.disk.CrashAfter(-1)
		break
	}
	if p.store.LostAll() {
		return wrong("something is lost")
	}
	kept := uint64(0)
	for _, m := range p.store.Metas() {
		if m.Suspect {
			return wrong("partition %d is suspect", m.Part)
		}
		if m.Part == counterPart {
			if _, err := fmt.Sscan(string(m.Value), &kept); err != nil {
				return err
			}
		}
	}
	if kept < p.acked || kept > p.number {
		return wrong("batches up to %d are there; up to %d were acknowledged, up to %d made", kept, p.acked, p.number)
	}
	for n := p.acked + 1; n <= kept; n++ {
		p.ackedAt.apply(p.batches[n])
	}
	p.model, p.number, p.acked, p.waits = p.ackedAt.clone(), kept, kept, nil
	clear(p.batches)
	if err := p.store.Audit(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if d := p.store.Stats().Damage; d > 0 {
		return wrong("%d times damage where there is none", d)
	}
	return compare(p.store, p.model)
}

// within says what a crash interrupted.
func (p *player) within() (hit []string) {
	st := p.disk.CrashedIn()
	switch {
	case strings.HasPrefix(st.Name, "checkpoint"):
		hit = append(hit, "checkpoint")
	case strings.HasPrefix(st.Name, "STORE"):
		hit = append(hit, "first start")
	case st.Gone && strings.HasPrefix(st.Name, "segment-"):
		hit = append(hit, "removal of a segment")
	case st.Kind == crashdisk.Change && strings.HasPrefix(st.Name, "segment-"), strings.HasPrefix(st.Name, "segment."), strings.HasPrefix(st.Name, "spare"):
		hit = append(hit, "segment change")
	}
	if p.doing == "collection" && st.Kind == crashdisk.WriteSync {
		hit = append(hit, "collection")
	}
	return append(hit, p.doing)
}

// crashCounts is how often each kind of a crash was met.
type crashCounts map[string]int

// crashes plays a seed with crashes at random steps, or failures of the disk.
func crashes(seed uint64, count int, met crashCounts) error {
	sector := []int{512, 4096}[seed%2]
	p := newPlayer(seed, sector)
	p.disk.CrashAfter(p.rng.IntN(12)) // in or after the first start
	p.doing = "start"
	if err := p.open(); err != nil && !p.disk.Crashed() {
		return err
	}
	p.count(met)
	if err := p.crash(); err != nil {
		return fmt.Errorf("after the first start: %w", err)
	}
	for n := range count {
		failed := func() bool { return false }
		if seed%5 == 4 {
			failed = p.failOnce(p.rng.IntN(1 << p.rng.IntN(9)))
		} else {
			p.disk.CrashAfter(p.rng.IntN(1 << p.rng.IntN(9)))
		}
		var beside sync.WaitGroup
		if seed%4 > 1 {
			p.beside = true
			beside.Go(func() { tidyUntilCrash(p.store) })
		}
		for !p.disk.Crashed() && !failed() {
			if err := p.step(); err != nil {
				if !errors.Is(err, crashdisk.ErrCrashed) && !p.disk.Crashed() && !failed() {
					return wrong("before crash %d, on a sound disk: %w", n, err)
				}
				break
			}
		}
		if failed() && p.beside {
			_ = p.store.Close() // so that what is beside ends; it has failed, or lets nothing fail
		}
		beside.Wait()
		p.count(met)
		if err := p.crash(); err != nil {
			return fmt.Errorf("after crash %d: %w", n, err)
		}
	}
	return p.store.Close()
}

// failOnce lets the nth step from now on fail that changes the disk; failed says that it has.
func (p *player) failOnce(n int) (failed func() bool) {
	var mu sync.Mutex
	done := false
	p.disk.Watch(func(st crashdisk.Step) error {
		mu.Lock()
		defer mu.Unlock()
		if st.Kind == crashdisk.Read || done {
			return nil
		}
		if n--; n >= 0 {
			return nil
		}
		done = true
		return syscall.EIO
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return done
	}
}

func (p *player) count(met crashCounts) {
	if !p.disk.Crashed() {
		met["a failing disk"]++
		return
	}
	for _, what := range p.within() {
		met[what]++
	}
}

// tidyUntilCrash writes checkpoints and collects beside the batches.
func tidyUntilCrash(s *seglog.Store) {
	for {
		if s.Checkpoint() != nil {
			return
		}
		if s.CollectPaced() != nil {
			return
		}
		if _, err := s.Collect(); err != nil {
			return
		}
	}
}

// TestCrashes crashes at random points: nothing that was acknowledged is lost, nothing
// that was deleted is back, and a batch is there as a whole or not at all.
func TestCrashes(t *testing.T) {
	seeds := uint64(30)
	if raceDetector { // one goroutine does nearly all of it
		seeds = 6
	}
	if slow() {
		seeds = 400
	}
	const each = 30
	met := make(crashCounts)
	missing := func() (kinds []string) {
		for _, what := range []string{"first start", "segment change", "checkpoint", "collection", "removal of a segment", "batch", "a failing disk"} {
			if met[what] == 0 {
				kinds = append(kinds, what)
			}
		}
		return kinds
	}
	seed := uint64(0)
	// A seed's goroutines take turns as they like: a few more until each kind was met.
	for ; seed < seeds || len(missing()) > 0 && seed < seeds+100; seed++ {
		if err := crashes(seed, each, met); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for _, what := range missing() {
		t.Errorf("no crash was in: %s", what)
	}
	t.Logf("%d crashes: %v", seed*(each+1), met)
}
