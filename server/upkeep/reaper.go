package upkeep

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/tree"
)

// Sessions is what the view leader knows of sessions. wire.Leader is one.
type Sessions interface {
	SessionsEnded(ctx context.Context, ids []uint64) ([]uint64, error)
	AwaitSessionEnds(ctx context.Context, since uint64, wait time.Duration) (uint64, error)
}

const (
	reapPause   = 50 * time.Millisecond  // between two rounds, so that ends come together
	reapAgain   = 250 * time.Millisecond // after what was not answered, or not done
	reapTimeout = 5 * time.Second        // of a question to the view leader
	reapWait    = time.Minute            // that one question waits for an end
	reapsMax    = 64                     // requests under way
)

// Reaper removes the nodes of sessions that have ended. It knows all ownerships that are in
// the store. Of those that this server is primary of it asks the view leader which of
// their sessions have ended: when it is told that some have, when a node comes of a session
// that it does not take for open, and when the view changes. A session's end is for good, so
// what it learns is never too old; and each removal compares the owner again, at the head of
// the log.
type Reaper struct {
	b        Base
	views    Views
	sessions Sessions

	unread unread
	look   chan struct{} // capacity 1: there is something to ask
	some   chan struct{} // capacity 1: there are ownerships

	mu struct {
		sync.Mutex
		owned map[uint64]map[replica.Key]ring.PartitionID // by session
		open  map[uint64]bool                             // sessions that were open when last asked about
		round uint64                                      // counts how often open was cleared
	}
}

// NewReaper returns a reaper, which has read the ownerships in the store, as far as they can be
// read. From then on it must be told of all that is stored.
func NewReaper(b *Base, views Views, sessions Sessions, partitions int) *Reaper {
	r := &Reaper{b: *b, views: views, sessions: sessions, look: make(chan struct{}, 1), some: make(chan struct{}, 1)}
	r.mu.owned = make(map[uint64]map[replica.Key]ring.PartitionID)
	r.mu.open = make(map[uint64]bool)
	r.unread = unread{b: &r.b, what: "nodes of sessions", add: r.add}
	r.unread.read(all(partitions))
	return r
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // told already
	}
}

func (r *Reaper) add(p ring.PartitionID, key replica.Key) {
	o, ok := tree.ParseOwnership(key)
	if !ok {
		return // another build's: it is for that to remove
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.mu.owned[o.Session]
	if keys == nil {
		keys = make(map[replica.Key]ring.PartitionID)
		r.mu.owned[o.Session] = keys
		wake(r.some)
	}
	keys[key] = p
	if !r.mu.open[o.Session] {
		wake(r.look)
	}
}

func (r *Reaper) remove(key replica.Key) {
	o, ok := tree.ParseOwnership(key)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if keys := r.mu.owned[o.Session]; keys != nil {
		if delete(keys, key); len(keys) == 0 {
			delete(r.mu.owned, o.Session)
		}
	}
}

func (r *Reaper) wiped(p ring.PartitionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for session, keys := range r.mu.owned {
		maps.DeleteFunc(keys, func(_ replica.Key, at ring.PartitionID) bool { return at == p })
		if len(keys) == 0 {
			delete(r.mu.owned, session)
		}
	}
}

// Run removes what is to be removed, until the server stops.
func (r *Reaper) Run() {
	for wait.For(r.b.Context, reapPause) {
		adopted := r.views.Next()
		var again <-chan time.Time
		if r.unread.again() {
			again = time.After(unreadAgain)
		}
		if !r.round() {
			again = time.After(reapAgain)
		}
		select {
		case <-r.look:
		case <-adopted:
		case <-again:
		case <-r.b.Context.Done():
			return
		}
	}
}

// RunEnds waits for ends of sessions while there are nodes of any, until the server stops.
func (r *Reaper) RunEnds() {
	since := uint64(0)
	for {
		select {
		case <-r.some:
		case <-r.b.Context.Done():
			return
		}
		for r.any() {
			count, err := r.sessions.AwaitSessionEnds(r.b.Context, since, reapWait)
			if err == nil && count != since {
				since = count
				r.forgetOpen()
				wake(r.look)
			}
			if err != nil && !wait.For(r.b.Context, reapAgain) {
				return
			}
		}
	}
}

func (r *Reaper) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mu.owned) > 0
}

// forgetOpen has every session asked about again.
func (r *Reaper) forgetOpen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.mu.open)
	r.mu.round++
}

// round asks about sessions and removes the nodes of those that have ended. It is false where
// that has to be tried again.
func (r *Reaper) round() bool {
	ids, number := r.doubtful()
	whole := true
	for len(ids) > 0 {
		n := min(len(ids), wire.SessionsMax)
		ctx, cancel := context.WithTimeout(r.b.Context, reapTimeout)
		ended, err := r.sessions.SessionsEnded(ctx, ids[:n])
		cancel()
		if err != nil {
			r.b.Logger.Debug("which sessions have ended is not known", "err", err)
			return false
		}
		r.setOpen(number, ids[:n], ended)
		whole = r.reap(ended) && whole
		ids = ids[n:]
	}
	return whole
}

// doubtful are the sessions that have nodes here, as far as this server is primary, and may
// have ended; round is for setOpen.
func (r *Reaper) doubtful() (ids []uint64, round uint64) {
	v := r.views.View()
	r.mu.Lock()
	defer r.mu.Unlock()
	for session, keys := range r.mu.owned {
		if r.mu.open[session] {
			continue
		}
		for _, p := range keys {
			if r.primaryOf(v, p) {
				ids = append(ids, session)
				break
			}
		}
	}
	slices.Sort(ids)
	return ids, r.mu.round
}

func (r *Reaper) primaryOf(v *ring.View, p ring.PartitionID) bool {
	return int(p) < len(v.Partitions) && v.Partitions[p].Primary() == r.b.Self
}

// setOpen notes which sessions were open. What was asked in an earlier round may be about what
// has ended since, and is not noted.
func (r *Reaper) setOpen(round uint64, asked, ended []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if round != r.mu.round {
		return
	}
	for _, id := range asked {
		r.mu.open[id] = true
	}
	for _, id := range ended {
		delete(r.mu.open, id)
	}
}

// ownerships are those of some sessions, of the partitions that this server is primary of.
func (r *Reaper) ownerships(sessions []uint64) map[ring.PartitionID][]tree.Ownership {
	v := r.views.View()
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make(map[ring.PartitionID][]tree.Ownership)
	for _, session := range sessions {
		for key, p := range r.mu.owned[session] {
			if o, _ := tree.ParseOwnership(key); r.primaryOf(v, p) {
				found[p] = append(found[p], o)
			}
		}
	}
	return found
}

// reap removes nodes, and is false where some may be left.
func (r *Reaper) reap(sessions []uint64) (whole bool) {
	running, done := 0, make(chan bool, reapsMax)
	whole = true
	await := func() bool {
		select {
		case ok := <-done:
			running--
			whole = whole && ok
			return true
		case <-r.b.Context.Done():
			return false
		}
	}
	for p, owned := range r.ownerships(sessions) {
		for _, group := range tree.Reapable(owned) {
			if running == reapsMax && !await() {
				return false
			}
			running++
			request := &replica.Request{}
			tree.FillReap(request, group[0].Dir, group)
			r.b.Lanes.Propose(p, request, func(a replica.Answer) { done <- a.Status == replica.StatusOK })
		}
	}
	for running > 0 {
		if !await() {
			return false
		}
	}
	return whole
}
