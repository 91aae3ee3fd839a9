package sim

import (
	"math/rand/v2"
	"time"

	"viewring/server/replica"
)

// What a server's front says before its core sees a request.
const (
	statusAtLimit   replica.Status = 200 + iota // it takes no more clients
	statusLockedOut                             // the client has not said the password that counts now
)

// crowd lets other clients fill servers, for a while each, and passwords change: some
// tries are turned away before they are looked at. It draws from a source of its own,
// so that worlds without it are what they were.
type crowd struct {
	w    *world
	rng  *rand.Rand      // nil: in this world nobody is turned away
	full map[any]crowded // by who is full: a *server, or the *lockHead
}

// crowded is how a server's front is until some time.
type crowded struct {
	until  time.Duration
	status replica.Status // 0: it has room
}

func (c *crowd) begin(w *world) {
	c.w, c.full = w, make(map[any]crowded)
	if rng := rand.New(rand.NewPCG(w.seed, 0x63726f7764)); rng.IntN(3) == 0 {
		c.rng = rng
	}
}

// turnsAway is what the front of a server or view leader says to a request; 0 when it
// lets it in.
func (c *crowd) turnsAway(s any) replica.Status {
	if c.rng == nil || c.w.calm {
		return 0
	}
	now := c.full[s]
	if c.w.now >= now.until {
		now = crowded{until: c.w.now + 50*time.Millisecond + time.Duration(c.rng.Int64N(int64(800*time.Millisecond)))}
		switch c.rng.IntN(20) {
		case 0, 1:
			now.status = statusAtLimit
		case 2:
			now.status, now.until = statusLockedOut, c.w.now+20*time.Millisecond
		}
		c.full[s] = now
	}
	return now.status
}
