package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// runHeartbeats tells the view leader that this server lives: that its lanes do,
// not only this goroutine.
func (s *Server) runHeartbeats(leader *wire.Leader) {
	silent := false
	for wait.For(s.ctx, s.untilNext(time.Duration(s.beatEvery.Load()))) {
		if lane := s.hungLane(); lane >= 0 {
			if !silent {
				s.logger.Error("a lane is stalled: no heartbeats until it goes on", "lane", lane)
			}
			silent = true
			continue
		}
		silent = false
		if err := s.heartbeat(leader); err != nil && s.ctx.Err() == nil {
			s.logger.Debug("no heartbeat", "err", err)
		}
	}
}

func (s *Server) heartbeat(leader *wire.Leader) error {
	ctx, cancel := context.WithTimeout(s.ctx, leaderTimeout)
	defer cancel()
	seen := s.views.current().view.Epoch
	reply, err := leader.Heartbeat(ctx, wire.Heartbeat{
		ID: s.id, Instance: s.instance, Incarnation: s.store.Identity().Incarnation, Epoch: s.done(), Stats: s.stats(),
	})
	if err != nil {
		s.answerRecovery(leader, err)
		return err
	}
	s.setBeat(reply.Every)
	s.bond.goesOn(reply.Epoch)
	if reply.Epoch < seen && !s.behind {
		s.logger.Error(errBehind(reply.Epoch, seen).Error())
	}
	if s.behind = reply.Epoch < seen; s.behind {
		return errBehind(reply.Epoch, seen) // and what it says of this server is of the past, too
	}
	if reply.Known {
		return nil
	}
	// It took this server for dead. The process lost nothing, so the same start
	// registers again and goes on where it still acts.
	s.logger.Warn("the view leader had taken this server for dead: registering again")
	_, err = s.register(leader)
	if refusal(err) {
		s.fail(err)
	}
	return err
}

// setBeat takes up the interval that the view leader wants, unless one was given.
func (s *Server) setBeat(wanted time.Duration) {
	every := heartbeatDefault
	switch {
	case s.opts.HeartbeatEvery > 0:
		every = s.opts.HeartbeatEvery
	case wanted > 0:
		every = wanted
	}
	s.beatEvery.Store(int64(every))
}

// hungLane returns a lane that has not moved for long, or -1.
func (s *Server) hungLane() int {
	now := s.opts.Now().Mono
	for i, l := range s.lanes {
		if now-time.Duration(l.movedAt.Load()) > hungAfter {
			return i
		}
	}
	return -1
}

// register tells the view leader of this start; any number of times.
func (s *Server) register(leader *wire.Leader) (wire.Registered, error) {
	ctx, cancel := context.WithTimeout(s.ctx, registerTimeout)
	defer cancel()
	id := s.store.Identity()
	r, err := leader.Register(ctx, s.registration(&id))
	if err != nil {
		s.answerRecovery(leader, err)
		return r, fmt.Errorf("join the cluster: %w", err)
	}
	s.setBeat(r.Every)
	return r, nil
}

// refusal reports whether the view leader said no, rather than nothing.
func refusal(err error) bool { return wire.IsCode(err, wire.CodeRefused) || wire.IsLockedOut(err) }

// asker passes the cores' requests on to the view leader, many in one: changes by
// one goroutine, confirmations by another, for reads wait for those.
type asker struct {
	s              *Server
	changes, confs askQueue
}

// askQueue gathers requests while the ones before are under way.
type askQueue struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		waiting []asked
		urgent  bool // one of them can't wait for others
	}
}

// canWait reports whether a request loses nothing by waiting for others: a handoff that
// leaves the primary where it is, so that no write waits for the view. Each view costs
// every server a sync and a look at all partitions.
func (r *asked) canWait(self ring.ServerID) bool {
	return r.Kind == replica.AskHandoff && r.Acting[0].ID == self
}

// asked is a core's request and whose it is.
type asked struct {
	lane int
	replica.LeaderRequest
}

func newAsker(s *Server) *asker {
	a := &asker{s: s}
	a.changes.wake, a.confs.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return a
}

// add never waits. A change that finds no room is dropped, its core repeats it; a
// question is answered with no.
func (a *asker) add(lane int, requests []replica.LeaderRequest) {
	for _, r := range requests {
		q := &a.changes
		if r.Kind == replica.AskConfirm {
			q = &a.confs
		}
		if !q.add(asked{lane, r}, a.s.id) && r.Kind == replica.AskConfirm {
			a.s.lanes[lane].inbox.force(event{kind: onConfirmed, n: r.Token})
		}
	}
}

func (q *askQueue) add(r asked, self ring.ServerID) bool {
	q.mu.Lock()
	if len(q.mu.waiting) >= leaderRequestsMax {
		q.mu.Unlock()
		return false
	}
	q.mu.waiting = append(q.mu.waiting, r)
	q.mu.urgent = q.mu.urgent || !r.canWait(self)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // told already
	}
	return true
}

// take waits for requests; nil when ctx ended. Those that can wait are given out when due
// comes, or with the first that can't.
func (q *askQueue) take(ctx context.Context, untilDue func() time.Duration) []asked {
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	lingers := false
	for {
		select {
		case <-q.wake:
		case <-due.C:
			return q.takeAll()
		case <-ctx.Done():
			return nil
		}
		q.mu.Lock()
		some, urgent := len(q.mu.waiting) > 0, q.mu.urgent
		q.mu.Unlock()
		switch {
		case urgent:
			return q.takeAll()
		case some && !lingers:
			lingers = true
			due.Reset(untilDue())
		}
	}
}

func (q *askQueue) takeAll() []asked {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.mu.waiting
	q.mu.waiting, q.mu.urgent = nil, false
	return taken
}

// changeKinds names what a core asks as the view leader knows it.
var changeKinds = map[replica.LeaderRequestKind]wire.ChangeKind{
	replica.AskHandoff: wire.ChangeHandoff, replica.AskEject: wire.ChangeEject, replica.AskRestore: wire.ChangeRestore,
}

// runChanges sends handoffs, ejects and offers. What comes of them shows in the views.
func (a *asker) runChanges(leader *wire.Leader) {
	self := ring.Incarnated{ID: a.s.id, Incarnation: a.s.store.Identity().Incarnation}
	for {
		requests := a.changes.take(a.s.ctx, func() time.Duration { return a.s.untilNext(handoffEvery) })
		if requests == nil {
			return
		}
		changes := make([]wire.Change, len(requests))
		for i, r := range requests {
			changes[i] = wire.Change{Kind: changeKinds[r.Kind], From: self, Partition: r.Partition, Term: r.Term, Acting: r.Acting}
		}
		ctx, cancel := context.WithTimeout(a.s.ctx, leaderTimeout)
		results, err := leader.Change(ctx, changes)
		cancel()
		if err != nil && a.s.ctx.Err() == nil {
			a.s.logger.Debug("changes not asked for", "count", len(changes), "err", err)
			continue
		}
		for i, r := range results {
			if !r.Done {
				a.s.logger.Debug("change refused", "partition", changes[i].Partition, "term", changes[i].Term, "reason", r.Reason)
			}
		}
	}
}

// runConfirms asks whether terms still stand. A question goes out after the reads
// that it is for have arrived, because the core asks only then.
func (a *asker) runConfirms(leader *wire.Leader) {
	for {
		requests := a.confs.take(a.s.ctx, nil)
		if requests == nil {
			return
		}
		confirms := make([]wire.Confirm, len(requests))
		for i, r := range requests {
			confirms[i] = wire.Confirm{Partition: r.Partition, Term: r.Term}
		}
		ctx, cancel := context.WithTimeout(a.s.ctx, leaderTimeout)
		stands, err := leader.Confirm(ctx, confirms)
		cancel()
		if err != nil && a.s.ctx.Err() == nil {
			a.s.logger.Debug("terms not confirmed", "count", len(confirms), "err", err)
		}
		for i, r := range requests {
			ok := err == nil && i < len(stands) && stands[i]
			a.s.lanes[r.lane].inbox.force(event{kind: onConfirmed, n: r.Token, ok: ok})
		}
	}
}
