package admin

import (
	"context"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
)

// Scrub is how a server's reading and verifying of everything went, or goes.
type Scrub struct {
	Running      bool
	Items        uint64 // read: keys and what the server keeps beside them, older versions included
	Bytes        uint64
	Corrupt      uint64 // keys, and partitions with a range that cannot be read
	Repaired     uint64 // of these, from other servers
	Unrepairable uint64 // of these, once it has ended
	Failed       string // why it ended early
}

// scrubPoll is how often Scrub asks how it goes.
const scrubPoll = 100 * time.Millisecond

// Scrub makes the server read and verify everything that it stores, now, and have
// what is corrupt repaired by other servers. It tells how that goes, if told is not
// nil, and returns how it went.
func (s *Server) Scrub(ctx context.Context, told func(Scrub)) (Scrub, error) {
	v, err := s.do(ctx, wire.CmdScrub, wire.ScrubStart)
	if err != nil {
		return Scrub{}, err
	}
	number := uint64(v.Int)
	poll := time.NewTicker(scrubPoll)
	defer poll.Stop()
	for {
		v, err := s.do(ctx, wire.CmdScrub, wire.ScrubStatus)
		if err != nil {
			return Scrub{}, err
		}
		r, err := wire.DecodeScrubReport(v.Bytes)
		if err != nil {
			return Scrub{}, route.Failed(ctx, "scrub "+s.conn.Addr(), err)
		}
		now := Scrub{r.Running, r.Items, r.Bytes, r.Corrupt, r.Repaired, r.Unrepairable, r.Failed}
		if r.Number >= number && !r.Running {
			return now, nil
		}
		if r.Number >= number && told != nil {
			told(now)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return now, route.Failed(ctx, "scrub "+s.conn.Addr(), ctx.Err())
		}
	}
}
