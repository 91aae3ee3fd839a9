package sim

import (
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
)

const lockName = "lock"

// locks is what the world knows of the lock that clients think they hold.
type locks struct {
	granted uint64 // the highest token
	noted   []note // by partition
}

// note is the highest token whose operation a partition has answered, and when.
type note struct {
	token uint64
	since time.Duration
}

// drawFence lets some operations carry the token that the client was granted last, as
// far as it noticed; others may have been granted newer ones since, for it was paused, cut off or
// just slow.
func (c *client) drawFence() uint64 {
	if c.w.chance(0.1) {
		lockers := c.w.lockHead.lockers
		c.token = lockers[int(c.id)%len(lockers)].token
	}
	if c.w.chance(0.1) {
		return c.token
	}
	return 0
}

// checkFence is what a fence promises: once an operation with a token was answered,
// none with a lower one that begins later does anything. And who is refused is so
// for a token that was granted.
func (w *world) checkFence(p ring.PartitionID, rec *record, a *replica.Answer) {
	token := rec.in.token
	if token == 0 {
		invariant.Check(a.Status != replica.StatusFenced, "fence", "partition %d: %+v carries no token and is refused", p, rec.in)
		return
	}
	n := &w.locks.noted[p]
	switch a.Status {
	case replica.StatusFenced:
		invariant.Check(uint64(a.Number) > token && uint64(a.Number) <= w.locks.granted, "fence",
			"partition %d: token %d is refused for %d, the newest is %d", p, token, a.Number, w.locks.granted)
	case replica.StatusOK, replica.StatusNotFound, replica.StatusCondFailed:
		invariant.Check(token >= n.token || rec.call <= n.since, "fence",
			"partition %d: an operation with token %d is done, one with token %d was answered before it began", p, token, n.token)
		if token > n.token {
			*n = note{token, w.now}
		}
	}
}
