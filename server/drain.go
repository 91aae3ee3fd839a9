package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
)

// drainLinger is how long a drained server goes on telling clients where its
// partitions went: those that did not ask meanwhile would find nobody.
const drainLinger = 200 * time.Millisecond

// Drain takes the server out of service for a planned restart and returns when
// others serve what it served, or with the reason why that can't be had before ctx
// ends. The server runs on either way; Close ends it.
func (s *Server) Drain(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	leader := wire.NewLeader(s.opts.LeaderAddrs, s.opts.Dial) // its own: the others' calls may wait
	defer leader.Close()
	actx, done := context.WithTimeout(ctx, leaderTimeout)
	_, err := leader.Member(actx, wire.MemberDrain, s.id.String())
	done()
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if err := s.awaitRetired(ctx); err != nil {
		return err
	}
	wait.For(ctx, drainLinger)
	return nil
}

// awaitRetired waits for a view in which this server acts nowhere.
func (s *Server) awaitRetired(ctx context.Context) error {
	for {
		adopted := s.views.next()
		v := s.views.current().view
		left := actsFor(v, s.id)
		if left == 0 && s.done() >= v.Epoch {
			return nil
		}
		tick := time.NewTimer(busyTickEvery) // the lanes may be behind the view
		select {
		case <-adopted:
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("drain: %w: %d partitions still have this server among their acting replicas", errNotInTime, left)
		}
		tick.Stop()
	}
}

var errNotInTime = errors.New("not done in time")

// actsFor counts the partitions for which a server acts.
func actsFor(v *ring.View, id ring.ServerID) (n int) {
	for i := range v.Partitions {
		if v.Partitions[i].IsActing(id) {
			n++
		}
	}
	return n
}
