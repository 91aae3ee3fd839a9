package membership

import (
	"cmp"
	"context"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

const (
	requestsMax  = 64 << 10               // of each kind, waiting for the view leader
	handoffEvery = 100 * time.Millisecond // between those that can wait for others, where nothing else is said: each view costs every server a sync and a look at all partitions
)

// Queue is the leader queue: it passes the cores' requests on to the view leader, many in
// one: changes by one goroutine, confirmations by another, for reads wait for those.
type Queue struct {
	m              *Member
	lanes          Lanes
	every          func() time.Duration
	changes, confs waiting
}

// waiting gathers requests while the ones before are under way.
type waiting struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		requests []asked // guarded by mu
		urgent   bool    // guarded by mu; one of them can't wait for others
	}
}

// asked is a core's request and whose it is.
type asked struct {
	lane int
	replica.LeaderRequest
}

// NewQueue returns a queue that has the lanes told of confirmations. every says how long it is
// between handoffs that can wait for others; 0: as usual.
func NewQueue(m *Member, lanes Lanes, every func() time.Duration) *Queue {
	q := &Queue{m: m, lanes: lanes, every: every}
	q.changes.wake, q.confs.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return q
}

// Ask takes requests of a lane, and never waits. A change that finds no room is dropped, and its core repeats it; a
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
	q.mu.urgent = q.mu.urgent || !r.CanWait
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // told already
	}
	return true
}

// take waits for requests; nil when ctx ended. Those that can wait are given out when due
// comes, or with the first that can't.
func (q *waiting) take(ctx context.Context, untilDue func() time.Duration) []asked {
	var due <-chan time.Time // nil: nothing lingers
	for {
		select {
		case <-q.wake:
		case <-due:
			return q.takeAll()
		case <-ctx.Done():
			return nil
		}
		q.mu.Lock()
		some, urgent := len(q.mu.requests) > 0, q.mu.urgent
		q.mu.Unlock()
		switch {
		case urgent:
			return q.takeAll()
		case some && due == nil:
			timer := time.NewTimer(untilDue())
			defer timer.Stop()
			due = timer.C
		}
	}
}

func (q *waiting) takeAll() []asked {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.mu.requests
	q.mu.requests, q.mu.urgent = nil, false
	return taken
}

// changeKinds names what a core asks as the view leader knows it.
var changeKinds = map[replica.LeaderRequestKind]wire.ChangeKind{
	replica.AskHandoff: wire.ChangeHandoff, replica.AskEject: wire.ChangeEject, replica.AskRestore: wire.ChangeRestore,
}

// untilDue is how long a handoff waits for others. Servers ask at the same times.
func (q *Queue) untilDue() time.Duration {
	return wait.Until(q.m.c.Now().Mono, cmp.Or(q.every(), handoffEvery))
}

// RunChanges sends handoffs, ejects and offers, until the server stops. What comes of them shows in the views.
func (q *Queue) RunChanges() {
	self := ring.Incarnated{ID: q.m.id, Incarnation: q.m.c.Store.Identity().Incarnation}
	for {
		requests := q.changes.take(q.m.c.Context, q.untilDue)
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
		requests := q.confs.take(q.m.c.Context, nil) // none of them can wait
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
