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
	cutting sync.Mutex // held by who cuts
	mu      sync.Mutex
	left    map[spot]bool
	wake    chan struct{} // capacity 1: there is more to cut out
	ctx     context.Context
	cancel  context.CancelFunc
	ended   chan struct{}
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
	s.cutter.cutting.Lock()
	defer s.cutter.cutting.Unlock()
	failed := make(map[spot]bool)
	var why error
	for _, c := range s.cuts(spots) {
		err := s.readEnds(c.span)
		if err == nil {
			err = s.db.Excise(s.cutter.ctx, c.span)
		}
		if err != nil {
			why = err
			for _, at := range c.spots {
				failed[at] = true
			}
		}
	}
	spots = slices.DeleteFunc(spots, func(at spot) bool { return failed[at] })
	s.cutter.done(spots)
	if len(spots) > 0 {
		s.logger.Info("damaged partitions are cut out of the tables", "partitions", len(spots))
	}
	if why != nil {
		s.logger.Warn("damaged partitions stay in the tables until their neighbours leave them too", "partitions", len(failed), "err", s.tell(why))
	}
	return why == nil
}

// cut is a span of store keys that several spots have in common.
type cut struct {
	span  pebble.KeyRange
	spots []spot
}

// cuts returns what to excise for spots: one span for neighbours. The last partition
// of a kind has the first one of the next kind for a neighbour, unless there may be
// local names between them, or it is not known how many partitions there are.
func (s *Store) cuts(spots []spot) (cuts []cut) {
	for begin := 0; begin < len(spots); {
		end := begin
		for end < len(spots) && spots[end].shelf == spots[begin].shelf {
			end++
		}
		for i, kind := range kinds {
			ns, next := namespace(kind, spots[begin].shelf), byte(nsNode)
			if i+1 < len(kinds) {
				next = namespace(kinds[i+1], spots[begin].shelf)
			}
			for _, at := range spots[begin:end] {
				span := pebble.KeyRange{Start: appendPrefix(nil, ns, at.p), End: appendPrefixEnd(nil, ns, at.p)}
				if at.p == 0 {
					span.Start = []byte{ns}
				}
				if int64(at.p)+1 == s.partitions.Load() && next > ns && (ns != nsItem || s.shelves.noLocal.Load()) {
					span.End = []byte{next}
				}
				if n := len(cuts); n > 0 && string(cuts[n-1].span.End) == string(span.Start) {
					cuts[n-1].span.End = span.End
					cuts[n-1].spots = append(cuts[n-1].spots, at)
				} else {
					cuts = append(cuts, cut{span, []spot{at}})
				}
			}
		}
		begin = end
	}
	return cuts
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
