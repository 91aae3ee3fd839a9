package server

import (
	"context"
	"errors"
	"strings"
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
	scrubPatience  = 30 * time.Second // for what was found to be mended
)

// scrubber runs the scrubs, one at a time.
type scrubber struct {
	s    *Server
	wake chan struct{} // capacity 1: one is wanted now

	mu struct {
		sync.Mutex
		report wire.ScrubReport
		asked  uint64 // the scrub that somebody waits for
	}
}

func newScrubber(s *Server) *scrubber { return &scrubber{s: s, wake: make(chan struct{}, 1)} }

// ask wants a scrub that begins after now and returns its number.
func (b *scrubber) ask() uint64 {
	b.mu.Lock()
	b.mu.asked = b.mu.report.Number + 1
	number := b.mu.asked
	b.mu.Unlock()
	b.start()
	return number
}

// start wants a scrub soon.
func (b *scrubber) start() {
	select {
	case b.wake <- struct{}{}:
	default: // told already
	}
}

func (b *scrubber) report() wire.ScrubReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.report
}

func (b *scrubber) change(edit func(r *wire.ScrubReport)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit(&b.mu.report)
}

// run begins a scrub whenever one is due.
func (b *scrubber) run() {
	every := b.s.opts.ScrubEvery
	var due <-chan time.Time // never, unless a cycle is set
	if every > 0 {
		cycle := time.NewTicker(every)
		defer cycle.Stop()
		due = cycle.C
	}
	for {
		select {
		case <-due:
		case <-b.wake:
		case <-b.s.ctx.Done():
			return
		}
		b.scrub()
	}
}

func (b *scrubber) scrub() {
	rate := scrubRate
	b.mu.Lock()
	b.mu.report = wire.ScrubReport{Number: b.mu.report.Number + 1, Running: true}
	if b.mu.asked >= b.mu.report.Number {
		rate = scrubRateAsked
	}
	b.mu.Unlock()
	found := &scrubFound{keys: make(map[corruptKey]bool), parts: make(map[ring.PartitionID]bool)}
	err := b.read(found, rate)
	if err == nil && found.count() > 0 {
		err = b.followUp(found)
	}
	b.change(func(r *wire.ScrubReport) {
		r.Running = false
		r.Unrepairable = r.Corrupt - r.Repaired
		if err != nil {
			r.Failed = err.Error()
		}
	})
	if r := b.report(); r.Corrupt > 0 || err != nil && b.s.ctx.Err() == nil {
		b.s.logger.Warn("scrubbed", "items", r.Items, "bytes", r.Bytes, "corrupt", r.Corrupt, "mended", r.Repaired, "err", err)
	}
}

// corruptKey is a key whose item fails its checksum.
type corruptKey struct {
	p   ring.PartitionID
	key replica.Key
}

// scrubFound is what a scrub found and is not mended yet.
type scrubFound struct {
	keys  map[corruptKey]bool
	parts map[ring.PartitionID]bool // have a range that cannot be read
}

func (f *scrubFound) count() int { return len(f.keys) + len(f.parts) }

// pacer returns a pace: told of bytes that were read, it rests so that they come at a rate,
// and passes on how many there were.
func (b *scrubber) pacer(rate int, done func(bytes int)) func(n int) error {
	bytes := 0
	return func(n int) error {
		if bytes += n; bytes < scrubChunk {
			return nil
		}
		pause := time.Duration(bytes) * time.Second / time.Duration(rate)
		done(bytes)
		bytes = 0
		if !wait.For(b.s.ctx, pause) { // traffic goes first
			return context.Cause(b.s.ctx)
		}
		return nil
	}
}

// read looks at everything.
func (b *scrubber) read(found *scrubFound, rate int) error {
	items, bytes := 0, 0
	tell := func(int) {
		b.change(func(r *wire.ScrubReport) {
			r.Items += uint64(items)
			r.Bytes += uint64(bytes)
		})
		items, bytes = 0, 0
	}
	pace := b.pacer(rate, tell)
	err := b.s.store.Scrub(b.s.ctx, &store.Scrub{
		Pace: func(n int) error {
			bytes += n
			return pace(n)
		},
		Item: func() { items++ },
		Found: func(f store.Finding) {
			if f.Key == "" {
				if int(f.Partition) < len(b.s.views.current().view.Partitions) {
					found.parts[f.Partition] = true
				}
				return
			}
			// What has been overwritten since, or wiped, is nobody's any more.
			if _, err := b.s.store.Get(f.Partition, f.Key); isCorrupt(err) && len(found.keys) < scrubFoundMax {
				found.keys[corruptKey{f.Partition, f.Key}] = true
			}
		},
	})
	tell(0)
	return err
}

// followUp tells the lanes of what was found, until it is mended or nobody
// expects it any more. A partition with an unreadable range is copied anew where
// others can do without this copy meanwhile.
func (b *scrubber) followUp(found *scrubFound) error {
	total := uint64(found.count())
	b.change(func(r *wire.ScrubReport) { r.Corrupt = total })
	for end := b.s.opts.Now().Mono + scrubPatience; found.count() > 0 && b.s.opts.Now().Mono < end; {
		var again []ring.PartitionID
		for k := range found.keys {
			b.tell(k.p, k.key)
		}
		for p := range found.parts {
			again = append(again, p)
			b.tell(p, "")
		}
		if !wait.For(b.s.ctx, scrubRepeat) {
			return context.Cause(b.s.ctx)
		}
		for k := range found.keys {
			if _, err := b.s.store.Get(k.p, k.key); !isCorrupt(err) {
				delete(found.keys, k)
			}
		}
		for _, p := range again {
			err := b.s.store.Verify(p, b.pacer(scrubRateAsked, func(int) {}))
			if err == nil {
				delete(found.parts, p)
			} else if !isCorrupt(err) {
				return err
			}
		}
		b.change(func(r *wire.ScrubReport) { r.Repaired = total - min(total, uint64(found.count())) })
	}
	return nil
}

// tell lets the partition's lane know of a corrupt key, or of a range.
func (b *scrubber) tell(p ring.PartitionID, key replica.Key) {
	f := &found{partition: p}
	if key != "" {
		f.keys = []replica.Key{key}
	}
	b.s.laneOf(p).inbox.put(event{kind: onCorrupt, found: f})
}

// runScrub starts a scrub, or says how the last one went.
func (c *conn) runScrub(args [][]byte) error {
	switch strings.ToLower(string(args[0])) {
	case wire.ScrubStart:
		number := c.s.scrubber.ask()
		c.reply(func(w *wire.Writer) { w.WriteInt(int64(number)) })
	case wire.ScrubStatus:
		r := c.s.scrubber.report()
		c.replyBulk(wire.AppendScrubReport(nil, &r))
	default:
		c.replyFailed(errors.New("start or status, not " + quote(args[0])))
	}
	return nil
}
