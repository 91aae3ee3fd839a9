package upkeep

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

// Sweeper remembers which partitions may hold a key that expires, so that the
// others cost nothing.
type Sweeper struct {
	b     Base
	views Views
	may   []atomic.Bool // by partition; true until a whole walk has found none
}

// NewSweeper returns a sweeper of a store with so many partitions.
func NewSweeper(b *Base, views Views, partitions int) *Sweeper {
	w := &Sweeper{b: *b, views: views, may: make([]atomic.Bool, partitions)}
	for i := range w.may {
		w.may[i].Store(true) // the store may hold anything
	}
	return w
}

// Storing looks at what a lane is about to store.
func (w *Sweeper) Storing(b *replica.Batch) {
	for i := range b.Ops {
		o := &b.Ops[i]
		if o.Kind == replica.PutItem && int(o.Partition) < len(w.may) && !w.may[o.Partition].Load() && replica.ItemExpiry(o.Value) != 0 {
			w.may[o.Partition].Store(true)
		}
	}
}

// Run walks, again and again, until the server stops.
func (w *Sweeper) Run() {
	for wait.For(w.b.Context, sweepEvery) {
		v := w.views.View()
		for i := range v.Partitions {
			if v.Partitions[i].Primary() == w.b.Self && i < len(w.may) && w.may[i].Load() {
				if !w.walk(ring.PartitionID(i)) {
					return
				}
			}
		}
	}
}

// walk looks through one partition, page by page; false when the server stops.
func (w *Sweeper) walk(p ring.PartitionID) bool {
	w.may[p].Store(false) // before looking: what is stored meanwhile says so itself
	expiring := false
	from, more := replica.Cursor{}, true
	for more {
		var expired []replica.Key
		keys := 0
		now := w.b.Now().Wall
		var err error
		from, more, err = w.b.Store.Heads(p, from, func(key replica.Key, expiry int64) bool {
			keys++
			if expiry != 0 {
				expiring = true
				if expiry <= now {
					expired = append(expired, key)
				}
			}
			return keys < sweepPageKeys
		})
		if err != nil {
			expiring = true // the rest was not seen; the scrub says what is wrong
		}
		if len(expired) > 0 {
			w.b.Lanes.Expired(p, expired)
		}
		if keys > 0 && !wait.For(w.b.Context, sweepPause) {
			return false
		}
	}
	if expiring {
		w.may[p].Store(true)
	}
	return true
}
