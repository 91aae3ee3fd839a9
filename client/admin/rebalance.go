package admin

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

// Rebalancing is how a server's copying in goes.
type Rebalancing struct {
	Paused    bool
	Limit     uint64        // bytes/s; 0: none
	Left      uint64        // copies of partitions that it should hold and does not yet
	Running   uint64        // of them, begun
	Bytes     uint64        // copied since its start
	Rate      uint64        // bytes/s, over the last seconds
	LeftBytes uint64        // a guess; 0: none yet
	TimeLeft  time.Duration // a guess; below 0: none yet
	Done      uint64        // copies made since it began to lack what is left; 0 from an earlier build
	DoneBytes uint64        // likewise
	PausedBy  string        // the address from which it was paused; "": it is not, or was before the server's start
	PausedAt  time.Time     // likewise zero
	Waits     []Wait        // why copies do not come, what most wait for first
	Stops     Stops         // none from an earlier build
	Allowed   uint64        // bytes/s that it may copy in now; 0: any, nothing is left, or it is of an earlier build
	HeldBy    uint8         // who holds that back: one of the Held constants
	Gives     uint64        // bytes/s that others may copy from it; 0: any
	Learners  uint64        // how many of them do
}

// Stops is how long partitions took no writes because their acting replicas changed, of those whose primary
// the server has been since.
type Stops struct {
	Count   uint64        // since the server's start
	Longest time.Duration // of them
	Late    time.Duration // the longest of the last ten seconds or so; 0: there was none
}

// Wait is why some copies do not come to a server.
type Wait struct {
	Why       uint8         // one of the Waiting constants
	On        ring.ServerID // who is waited for; 0: nobody in particular
	Copies    uint64
	Partition ring.PartitionID // of one of them
	For       time.Duration    // the longest; 0 where they have not begun
}

// Rebalancing asks how the server's copying in goes.
func (s *Server) Rebalancing(ctx context.Context) (Rebalancing, error) {
	return s.rebalance(ctx, wire.RebalanceStatus)
}

// PauseRebalancing has the server ask for no more pages until ResumeRebalancing, over
// restarts too. Copies that it already serves are not touched. While it is paused, partitions
// stay short of the copies that it should make.
func (s *Server) PauseRebalancing(ctx context.Context) (Rebalancing, error) {
	return s.rebalance(ctx, wire.RebalancePause)
}

// ResumeRebalancing ends PauseRebalancing.
func (s *Server) ResumeRebalancing(ctx context.Context) (Rebalancing, error) {
	return s.rebalance(ctx, wire.RebalanceResume)
}

// LimitRebalancing has the server copy in at most rate bytes/s, 0 for no limit, over restarts
// too.
func (s *Server) LimitRebalancing(ctx context.Context, rate int64) (Rebalancing, error) {
	return s.rebalance(ctx, wire.RebalanceRate, strconv.FormatInt(rate, 10))
}

func (s *Server) rebalance(ctx context.Context, args ...string) (Rebalancing, error) {
	v, err := s.do(ctx, wire.CmdRebalance, args...)
	if err != nil {
		return Rebalancing{}, err
	}
	r, err := wire.DecodeRebalanceReport(v.Bytes)
	if err != nil {
		return Rebalancing{}, route.Failed(ctx, "rebalance "+s.conn.Addr(), err)
	}
	out := Rebalancing{Paused: r.Paused, Limit: r.Limit, Left: r.Left, Running: r.Running, Bytes: r.Bytes, Rate: r.Rate,
		LeftBytes: r.LeftBytes, TimeLeft: r.TimeLeft}
	err = cmp.Or(
		further(ctx, s, wire.RebalanceWaits, wire.DecodeRebalanceWaiting, func(m wire.RebalanceWaiting) {
			out.Done, out.DoneBytes, out.PausedBy, out.PausedAt = m.Done, m.DoneBytes, m.PausedBy, m.PausedAt
			for _, w := range m.Waits {
				out.Waits = append(out.Waits, Wait(w))
			}
		}),
		further(ctx, s, wire.RebalanceStopped, wire.DecodeRebalanceStops, func(m wire.RebalanceStops) { out.Stops = Stops(m) }),
		further(ctx, s, wire.RebalancePace, wire.DecodeRebalancePacing, func(m wire.RebalancePacing) {
			out.Allowed, out.HeldBy, out.Gives, out.Learners = m.Allowed, m.By, m.Gives, m.Learners
		}),
	)
	return out, err
}

// further asks for a part of the report that was added later, and takes it up. A server of an earlier build does
// not know it, and one may just have gone: then there is none.
func further[T any](ctx context.Context, s *Server, part string, decode func([]byte) (T, error), take func(T)) error {
	v, err := s.do(ctx, wire.CmdRebalance, part)
	if err != nil {
		if ctx.Err() == nil {
			err = nil
		}
		return err
	}
	m, err := decode(v.Bytes)
	if err != nil {
		return route.Failed(ctx, "rebalance "+s.conn.Addr(), err)
	}
	take(m)
	return nil
}
