package upkeep

import (
	"context"
	"errors"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
)

// A scrub reads everything that the store has, once a cycle or when
// asked to, and tells the lanes of what is corrupt.
const (
	scrubRate      = 16 << 20  // bytes/s of a cycle's own scrub
	scrubRateAsked = 128 << 20 // of one that somebody waits for
	scrubChunk     = 1 << 20   // read between two pauses
	scrubFoundMax  = 10_000    // keys that one scrub follows up; the next finds the others
	scrubRepeat    = 500 * time.Millisecond
	scrubPatience  = 30 * time.Second // for what was found to be repaired
)

// Scrubber runs the scrubs, one at a time.
type Scrubber struct {
	b     Base
	views Views
	every time.Duration // between two; 0: when asked to
	wake  chan struct{} // capacity 1: one is wanted now

	mu struct {
		sync.Mutex
		report wire.ScrubReport // of the last
		asked  uint64           // the scrub that somebody waits for
	}
}

// NewScrubber returns a scrubber that scrubs every so often; 0: when asked to.
func NewScrubber(b *Base, views Views, every time.Duration) *Scrubber {
	return &Scrubber{b: *b, views: views, every: every, wake: make(chan struct{}, 1)}
}

// Ask wants a scrub that begins after now and returns its number.
func (s *Scrubber) Ask() uint64 {
	s.mu.Lock()
	s.mu.asked = s.mu.report.Number + 1
	number := s.mu.asked
	s.mu.Unlock()
	s.Start()
	return number
}

// Start wants a scrub soon.
func (s *Scrubber) Start() {
	select {
	case s.wake <- struct{}{}:
	default: // told already
	}
}

// Report says how the last one went, or goes.
func (s *Scrubber) Report() wire.ScrubReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.report
}

func (s *Scrubber) change(edit func(r *wire.ScrubReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(&s.mu.report)
}

// Run begins a scrub whenever one is due, until the server stops.
func (s *Scrubber) Run() {
	var due <-chan time.Time // never, unless a cycle is set
	if s.every > 0 {
		cycle := time.NewTicker(s.every)
		defer cycle.Stop()
		due = cycle.C
	}
	for {
		select {
		case <-due:
		case <-s.wake:
		case <-s.b.Context.Done():
			return
		}
		s.scrub()
	}
}

func (s *Scrubber) scrub() {
	rate := scrubRate
	s.mu.Lock()
	s.mu.report = wire.ScrubReport{Number: s.mu.report.Number + 1, Running: true}
	if s.mu.asked >= s.mu.report.Number {
		rate = scrubRateAsked
	}
	s.mu.Unlock()
	found := &scrubFound{keys: make(map[corruptKey]bool), parts: make(map[ring.PartitionID]bool)}
	err := s.read(found, rate)
	if err == nil && found.count() > 0 {
		err = s.followUp(found)
	}
	s.change(func(r *wire.ScrubReport) {
		r.Running = false
		r.Unrepairable = r.Corrupt - r.Repaired
		if err != nil {
			r.Failed = err.Error()
		}
	})
	if r := s.Report(); r.Corrupt > 0 || err != nil && s.b.Context.Err() == nil {
		s.b.Logger.Warn("scrubbed", "items", r.Items, "bytes", r.Bytes, "corrupt", r.Corrupt, "repaired", r.Repaired, "err", err)
	}
}

// corruptKey is a key whose item fails its checksum.
type corruptKey struct {
	p   ring.PartitionID
	key replica.Key
}

// scrubFound is what a scrub found and is not repaired yet.
type scrubFound struct {
	keys  map[corruptKey]bool
	parts map[ring.PartitionID]bool // have a range that cannot be read
}

func (f *scrubFound) count() int { return len(f.keys) + len(f.parts) }

// pacer returns a pace: told of bytes that were read, it rests so that they come at a rate,
// and passes on how many there were.
func (s *Scrubber) pacer(rate int, done func(bytes int)) func(n int) error {
	bytes := 0
	return func(n int) error {
		if bytes += n; bytes < scrubChunk {
			return nil
		}
		pause := time.Duration(bytes) * time.Second / time.Duration(rate)
		done(bytes)
		bytes = 0
		if !wait.For(s.b.Context, pause) { // traffic goes first
			return context.Cause(s.b.Context)
		}
		return nil
	}
}

// read looks at everything.
func (s *Scrubber) read(found *scrubFound, rate int) error {
	items, bytes := 0, 0
	tell := func(int) {
		s.change(func(r *wire.ScrubReport) {
			r.Items += uint64(items)
			r.Bytes += uint64(bytes)
		})
		items, bytes = 0, 0
	}
	pace := s.pacer(rate, tell)
	err := s.b.Store.Scrub(s.b.Context, &store.Scrub{
		Pace: func(n int) error {
			bytes += n
			return pace(n)
		},
		Item: func() { items++ },
		Found: func(f store.Finding) {
			if f.Key == "" {
				if int(f.Partition) < len(s.views.View().Partitions) {
					found.parts[f.Partition] = true
				}
				return
			}
			// What has been overwritten since, or wiped, is nobody's any more.
			if _, err := s.b.Store.Get(f.Partition, f.Key); isCorrupt(err) && len(found.keys) < scrubFoundMax {
				found.keys[corruptKey{f.Partition, f.Key}] = true
			}
		},
	})
	tell(0)
	return err
}

// followUp tells the lanes of what was found, until it is repaired or nobody
// expects it any more. A partition with an unreadable range is copied anew where
// others can do without this copy meanwhile.
func (s *Scrubber) followUp(found *scrubFound) error {
	total := uint64(found.count())
	s.change(func(r *wire.ScrubReport) { r.Corrupt = total })
	for end := s.b.Now().Mono + scrubPatience; found.count() > 0 && s.b.Now().Mono < end; {
		var again []ring.PartitionID
		for k := range found.keys {
			s.tell(k.p, k.key)
		}
		for p := range found.parts {
			again = append(again, p)
			s.tell(p, "")
		}
		if !wait.For(s.b.Context, scrubRepeat) {
			return context.Cause(s.b.Context)
		}
		for k := range found.keys {
			if _, err := s.b.Store.Get(k.p, k.key); !isCorrupt(err) {
				delete(found.keys, k)
			}
		}
		for _, p := range again {
			err := s.b.Store.Verify(p, s.pacer(scrubRateAsked, func(int) {}))
			if err == nil {
				delete(found.parts, p)
			} else if !isCorrupt(err) {
				return err
			}
		}
		s.change(func(r *wire.ScrubReport) { r.Repaired = total - min(total, uint64(found.count())) })
	}
	return nil
}

// tell lets the partition's lane know of a corrupt key, or of a range.
func (s *Scrubber) tell(p ring.PartitionID, key replica.Key) {
	if key == "" {
		s.b.Lanes.Corrupt(p)
		return
	}
	s.b.Lanes.Corrupt(p, key)
}

func isCorrupt(err error) bool { return errors.Is(err, replica.ErrCorrupt) }
