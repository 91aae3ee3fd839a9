package play

import (
	"context"
	"slices"
	"sync"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// recorder follows the views and heartbeats and sums up what has moved.
type recorder struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	epochs uint64
	min    int // partition copies that had to move: what newcomers gain and what those who went held
	first  uint64
	last   *ring.View
	table  *ring.Table
	copied map[ring.Incarnated]uint64 // partitions copied whole, by server and start
	before uint64                     // of them, at the baseline
}

const recordInterval = 250 * time.Millisecond

// record starts following; the present members are the baseline.
func record(ctx context.Context, c *admin.Cluster) *recorder {
	ctx, stop := context.WithCancel(ctx)
	r := &recorder{stop: stop, copied: make(map[ring.Incarnated]uint64)}
	r.view(c.View())
	r.heartbeats(ctx, c)
	for _, n := range r.copied {
		r.before += n
	}
	r.running.Go(func() {
		for {
			v := c.View()
			r.view(v)
			select {
			case <-c.ViewChanged(v):
			case <-ctx.Done():
				return
			}
		}
	})
	r.running.Go(func() {
		tick := time.NewTicker(recordInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.heartbeats(ctx, c)
			case <-ctx.Done():
				return
			}
		}
	})
	return r
}

func (r *recorder) end() {
	r.stop()
	r.running.Wait()
}

// view takes a newer view into account.
func (r *recorder) view(v *ring.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.first = v.Epoch
	}
	r.epochs = v.Epoch - r.first
	old := r.last
	r.last = v
	if old != nil && slices.Equal(targetIDs(old), targetIDs(v)) {
		return
	}
	table, err := admin.TableOf(v)
	if err != nil {
		return // the servers can't place anything either, and say so
	}
	if old != nil && r.table != nil && table != nil {
		r.min += needed(r.table, table, targetIDs(old), targetIDs(v), len(v.Partitions))
	}
	r.table = table
}

func targetIDs(v *ring.View) []ring.ServerID {
	var ids []ring.ServerID
	for i := range v.Members {
		if v.Members[i].Target() {
			ids = append(ids, v.Members[i].ID)
		}
	}
	return ids
}

// needed counts the partition copies that a change of members moves at least:
// those that newcomers get, and those that the servers gone held, as far as
// somebody is left to take them over.
func needed(before, after *ring.Table, old, now []ring.ServerID, partitions int) int {
	n := 0
	for p := range ring.PartitionID(partitions) {
		b, a := before.Targets(p), after.Targets(p)
		gained := 0
		for _, id := range a {
			if !slices.Contains(old, id) {
				gained++
			}
		}
		lost := 0
		for _, id := range b {
			if !slices.Contains(now, id) {
				lost++
			}
		}
		n += max(gained, min(lost, lost+len(a)-len(b)))
	}
	return n
}

// heartbeats notes what servers say they have copied.
func (r *recorder) heartbeats(ctx context.Context, c *admin.Cluster) {
	st, err := c.Status(ctx)
	if err != nil {
		return // the view leader may be down; the next one tells
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range st.Servers {
		if m := st.View.Member(h.ID); m != nil && h.Heard {
			at := ring.Incarnated{ID: h.ID, Incarnation: m.Incarnation}
			r.copied[at] = max(r.copied[at], h.Stats.MovedPartitions)
		}
	}
}

// moved returns the partition copies made, the least that were needed, and how
// many slots a partition has.
func (r *recorder) moved() (copied, needed, slots int, epochs uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.copied {
		copied += int(n)
	}
	return copied - int(r.before), r.min, ring.Slots / len(r.last.Partitions), r.epochs
}
