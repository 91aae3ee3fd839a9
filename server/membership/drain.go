package membership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// drainLookEvery is how often it is looked whether the lanes have caught up with the view.
const drainLookEvery = 25 * time.Millisecond

// Drain asks the view leader to take the server out of service and returns when others
// serve what it served, or with the reason why that can't be had before ctx ends.
func (m *Member) Drain(ctx context.Context, views *Views, lanes Lanes) error {
	leader := wire.NewLeader(m.c.LeaderAddrs, m.c.Dial) // its own: the others' calls may wait
	defer leader.Close()
	actx, done := context.WithTimeout(ctx, leaderTimeout)
	_, err := leader.Member(actx, wire.MemberDrain, m.id.String())
	done()
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return m.awaitRetired(ctx, views, lanes)
}

// awaitRetired waits for a view in which this server acts nowhere.
func (m *Member) awaitRetired(ctx context.Context, views *Views, lanes Lanes) error {
	for {
		adopted := views.Next()
		v := views.View()
		left := actsFor(v, m.id)
		if left == 0 && lanes.Done() >= v.Epoch {
			return nil
		}
		tick := time.NewTimer(drainLookEvery) // the lanes may be behind the view
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
