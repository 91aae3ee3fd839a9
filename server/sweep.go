package server

import (
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/ring"
	"viewring/server/replica"
)

// Expired keys that nobody reads are found by a slow walk over the partitions that
// this server is primary of. What it finds it tells the lane, whose core looks
// again and logs the delete.
const (
	sweepEvery    = 2 * time.Second
	sweepPause    = 50 * time.Millisecond // after each page
	sweepPageKeys = 512
)

// sweeper remembers which partitions may hold a key that expires, so that the
// others cost nothing.
type sweeper struct {
	s   *Server
	may []atomic.Bool // by partition; true until a whole walk has found none
}

// found are keys of a partition that its lane should look at: what a page held of
// expired ones, or what a scrub met of corrupt ones.
type found struct {
	partition ring.PartitionID
	keys      []replica.Key
}

func newSweeper(s *Server, partitions int) *sweeper {
	w := &sweeper{s: s, may: make([]atomic.Bool, partitions)}
	for i := range w.may {
		w.may[i].Store(true) // the store may hold anything
	}
	return w
}

// note looks at what a lane is about to store.
func (w *sweeper) note(b *replica.Batch) {
	for i := range b.Ops {
		o := &b.Ops[i]
		if o.Kind == replica.PutItem && int(o.Partition) < len(w.may) && !w.may[o.Partition].Load() && replica.ItemExpiry(o.Value) != 0 {
			w.may[o.Partition].Store(true)
		}
	}
}

func (w *sweeper) run() {
	for wait.For(w.s.ctx, sweepEvery) {
		v := w.s.views.current().view
		for i := range v.Partitions {
			if v.Partitions[i].Primary() == w.s.id && i < len(w.may) && w.may[i].Load() {
				if !w.walk(ring.PartitionID(i)) {
					return
				}
			}
		}
	}
}

// walk looks through one partition, page by page; false when the server stops.
func (w *sweeper) walk(p ring.PartitionID) bool {
	w.may[p].Store(false) // before looking: what is stored meanwhile says so itself
	expiring := false
	from, more := replica.Cursor{}, true
	for more {
		f := &found{partition: p}
		keys := 0
		now := w.s.opts.Now().Wall
		var err error
		from, more, err = w.s.store.Heads(p, from, func(key replica.Key, expiry int64) bool {
			keys++
			if expiry != 0 {
				expiring = true
				if expiry <= now {
					f.keys = append(f.keys, key)
				}
			}
			return keys < sweepPageKeys
		})
		if err != nil {
			expiring = true // the rest was not seen; the scrub says what is wrong
		}
		if len(f.keys) > 0 {
			w.s.laneOf(p).inbox.put(event{kind: onExpired, found: f})
		}
		if keys > 0 && !wait.For(w.s.ctx, sweepPause) {
			return false
		}
	}
	if expiring {
		w.may[p].Store(true)
	}
	return true
}
