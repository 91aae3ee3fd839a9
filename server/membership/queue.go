package membership

import (
	"context"
	"sync"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// requestsMax is how many requests of each kind wait for the view leader.
const requestsMax = 64 << 10

// Queue is the leader queue: it passes the cores' requests on to the view leader, many in
// one: changes by one goroutine, confirmations by another, for reads wait for those.
type Queue struct {
	m              *Member
	lanes          Lanes
	changes, confs waiting
}

// waiting gathers requests while the ones before are under way.
type waiting struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		requests []asked // guarded by mu
	}
}

// asked is a core's request and whose it is.
type asked struct {
	lane int
	replica.LeaderRequest
}

// NewQueue returns a queue that has the lanes told of confirmations.
func NewQueue(m *Member, lanes Lanes) *Queue {
	q := &Queue{m: m, lanes: lanes}
	q.changes.wake, q.confs.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return q
}

// Ask takes requests of a lane, and never waits. A change that finds no room is dropped, its core repeats it; a
// question is answered with no.
func (q *Queue) Ask(lane int, requests []replica.LeaderRequest) {
	for _, r := range requests {
		to := &q.changes
		if r.Kind == replica.AskConfirm {
			to = &q.confs
		}
		if !to.add(asked{lane, r}) && r.Kind == replica.AskConfirm {
			q.lanes.Confirmed(lane, r.Token, false)
		}
	}
}

func (q *waiting) add(r asked) bool {
	q.mu.Lock()
	if len(q.mu.requests) >= requestsMax {
		q.mu.Unlock()
		return false
	}
	q.mu.requests = append(q.mu.requests, r)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // told already
	}
	return true
}

// take waits for requests; nil when ctx ended.
func (q *waiting) take(ctx context.Context) []asked {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return nil
		}
		q.mu.Lock()
		taken := q.mu.requests
		q.mu.requests = nil
		q.mu.Unlock()
		if len(taken) > 0 {
			return taken
		}
	}
}

// changeKinds names what a core asks as the view leader knows it.
var changeKinds = map[replica.LeaderRequestKind]wire.ChangeKind{
	replica.AskHandoff: wire.ChangeHandoff, replica.AskEject: wire.ChangeEject, replica.AskRestore: wire.ChangeRestore,
}

// RunChanges sends handoffs, ejects and offers, until the server stops. What comes of them shows in the views.
func (q *Queue) RunChanges() {
	self := ring.Incarnated{ID: q.m.id, Incarnation: q.m.c.Store.Identity().Incarnation}
	for {
		requests := q.changes.take(q.m.c.Context)
		if requests == nil {
			return
		}
		changes := make([]wire.Change, len(requests))
		for i, r := range requests {
			changes[i] = wire.Change{Kind: changeKinds[r.Kind], From: self, Partition: r.Partition, Term: r.Term, Acting: r.Acting}
		}
		ctx, cancel := context.WithTimeout(q.m.c.Context, leaderTimeout)
		results, err := q.m.leader.Change(ctx, changes)
		cancel()
		if err != nil && q.m.c.Context.Err() == nil {
			q.m.c.Logger.Debug("changes not asked for", "count", len(changes), "err", err)
			continue
		}
		for i, r := range results {
			if !r.Done {
				q.m.c.Logger.Debug("change refused", "partition", changes[i].Partition, "term", changes[i].Term, "reason", r.Reason)
			}
		}
	}
}

// RunConfirms asks whether terms still stand, until the server stops. A question goes out after the reads
// that it is for have arrived, because the core asks only then.
func (q *Queue) RunConfirms() {
	for {
		requests := q.confs.take(q.m.c.Context)
		if requests == nil {
			return
		}
		confirms := make([]wire.Confirm, len(requests))
		for i, r := range requests {
			confirms[i] = wire.Confirm{Partition: r.Partition, Term: r.Term}
		}
		ctx, cancel := context.WithTimeout(q.m.c.Context, leaderTimeout)
		stands, err := q.m.confirms.Confirm(ctx, confirms)
		cancel()
		if err != nil && q.m.c.Context.Err() == nil {
			q.m.c.Logger.Debug("terms not confirmed", "count", len(confirms), "err", err)
		}
		for i, r := range requests {
			ok := err == nil && i < len(stands) && stands[i]
			q.lanes.Confirmed(r.lane, r.Token, ok)
		}
	}
}
