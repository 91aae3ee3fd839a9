package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"viewring/ring"
)

// How long the cutter waits for more to cut out, and how long after it was in vain.
const (
	cutGather   = 250 * time.Millisecond
	cutAgainMin = time.Second
	cutAgainMax = time.Minute
)

// spot is where a partition was and is no more.
type spot struct {
	shelf byte
	p     ring.PartitionID
}

// cutter gets rid of the bytes of damaged partitions that have left their spots.
// A deletion alone would leave the bad blocks where they are, for compactions to
// fail on for ever: an excise takes the ranges out of the tables. It has to read
// what lies at both ends of its range, so a block with the rows of several
// partitions can only be cut out when all of them have left: neighbours are cut out
// together.
type cutter struct {
	mu     sync.Mutex
	left   map[spot]bool
	wake   chan struct{} // capacity 1: there is more to cut out
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
}

func newCutter() *cutter {
	c := &cutter{left: make(map[spot]bool), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// add tells of spots that were left, by a batch that has been applied.
func (c *cutter) add(spots ...spot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range spots {
		c.left[at] = true
	}
	select {
	case c.wake <- struct{}{}:
	default: // told already
	}
}

func (c *cutter) done(spots []spot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range spots {
		delete(c.left, at)
	}
}

// spots are those left, by shelf and partition.
func (c *cutter) spots() []spot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Keys(c.left), func(a, b spot) int {
		return int(a.shelf)<<16 + int(a.p) - int(b.shelf)<<16 - int(b.p)
	})
}

// stop ends the cutter; what is left is for the next start.
func (c *cutter) stop() {
	c.cancel()
	<-c.ended
}

// run cuts out what there is until stop is called. One for the whole store: damage
// that many partitions share costs one flush and one excise, not one for each.
func (c *cutter) run(s *Store) {
	defer close(c.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	again := cutAgainMin
	for {
		select {
		case <-c.wake:
			again = cutAgainMin
			timer.Reset(cutGather)
			continue
		case <-c.ctx.Done():
			return
		case <-timer.C:
		}
		if s.Err() == nil && !s.cutOut(c.spots()) {
			timer.Reset(again)
			again = min(2*again, cutAgainMax)
		}
	}
}

// cutOut excises what it can of these spots; it reports whether that was all. The
// flush makes durable that the partitions have left, so that no crash leaves a meta
// that speaks for items which are gone. It also empties the memtables: an excise
// that has to wait in line behind one, and then meets a bad block at the end of its
// range, would hold up all later flushes.
func (s *Store) cutOut(spots []spot) (all bool) {
	if len(spots) == 0 {
		return true
	}
	if err := s.db.Flush(); err != nil {
		s.logger.Warn("damaged ranges stay in the tables for now", "err", err)
		return false
	}
	var why error
	for len(spots) > 0 {
		n := 1
		for n < len(spots) && spots[n].shelf == spots[0].shelf && spots[n].p == spots[n-1].p+1 {
			n++
		}
		if err := s.excise(spots[0].shelf, spots[0].p, spots[n-1].p); err != nil {
			why = err
		} else {
			s.cutter.done(spots[:n])
			s.logger.Info("damaged ranges are cut out of the tables", "first", spots[0].p, "last", spots[n-1].p)
		}
		spots = spots[n:]
	}
	if why != nil {
		s.logger.Warn("damaged ranges stay in the tables until their neighbours leave them too", "err", why)
	}
	return why == nil
}

// excise takes partitions off a shelf.
func (s *Store) excise(shelf byte, first, last ring.PartitionID) error {
	for _, kind := range kinds {
		ns := namespace(kind, shelf)
		span := pebble.KeyRange{Start: appendPrefix(nil, ns, first), End: appendPrefixEnd(nil, ns, last)}
		err := s.readEnds(span)
		if err == nil {
			err = s.db.Excise(s.cutter.ctx, span)
		}
		if err != nil {
			return s.tell(err)
		}
	}
	return nil
}

// readEnds reads what lies next to a span in each table that is to be cut at it.
// Pebble does the same to find where the rest of the table begins and ends, but
// takes a block that it cannot read for the end of the table (as of v2.1.7:
// determineLeftTableBounds, determineRightTableBounds) and drops all beyond it.
func (s *Store) readEnds(span pebble.KeyRange) error {
	levels, err := s.db.SSTables()
	if err != nil {
		return err
	}
	for _, tables := range levels {
		for i := range tables {
			if err := s.readEndsIn(&tables[i], span); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) readEndsIn(t *pebble.SSTableInfo, span pebble.KeyRange) error {
	left := string(t.Smallest.UserKey) < string(span.Start) && string(t.Largest.UserKey) >= string(span.Start)
	right := string(t.Smallest.UserKey) < string(span.End) && string(t.Largest.UserKey) >= string(span.End)
	if !left && !right {
		return nil
	}
	r, err := s.openTable(s.cutter.ctx, tableName(t))
	if err != nil {
		return err
	}
	defer r.Close() // read only
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer it.Close() // its error is looked at
	if left && it.SeekLT(span.Start, 0) == nil && it.Error() != nil {
		return it.Error()
	}
	if right && it.SeekGE(span.End, 0) == nil && it.Error() != nil {
		return it.Error()
	}
	return nil
}
