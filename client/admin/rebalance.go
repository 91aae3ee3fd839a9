package admin

import (
	"context"
	"strconv"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
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
	return Rebalancing(r), nil
}
