package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/viewleader/vocab"
)

// A view leader that has lost its data asks for reports, and makes a new roster of
// them (viewleader/roster/DESIGN.md). A report binds: from then on this server adopts
// no view of the history that it has reported on, wherever it comes from.

// reportEvery is how often a server reports anew: the view leader drops old reports.
const reportEvery = time.Second

// bond is what a report has promised.
type bond struct {
	mu     sync.Mutex    // held over each adoption: a report is made before it or after it
	epoch  atomic.Uint64 // reported; 0: nothing is
	at     time.Time     // of the last report
	token  uint64        // the highest of any lock, once it was looked for
	looked bool
}

// frees reports whether a view of that epoch, or a view leader at it, is of another
// history than the one reported on.
func (b *bond) frees(epoch uint64) bool {
	reported := b.epoch.Load()
	return reported == 0 || epoch >= reported+ring.RecoveryJump
}

// goesOn notes the epoch of a view leader that answered what was asked after the
// report. One that is below the recovered epochs has not lost its data after all. It
// does not wait for an adoption, which the disk may hold up.
func (b *bond) goesOn(epoch uint64) {
	if !b.frees(epoch) {
		b.epoch.Store(0)
	}
}

// answerRecovery reports when err is the word of a view leader that asks for it. It is
// called by one goroutine at a time, which asks the view leader nothing meanwhile.
func (s *Server) answerRecovery(leader *wire.Leader, err error) {
	if !wire.IsCode(err, wire.CodeRecovering) || time.Since(s.bond.at) < reportEvery || s.store.Identity().Server == 0 {
		return
	}
	first := s.bond.at.IsZero()
	s.bond.at = time.Now()
	q := s.makeReport()
	if first {
		s.logger.Warn("the view leader has lost its data and is being recovered: reporting", "epoch", q.Epoch, "err", err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, leaderTimeout)
	defer cancel()
	if err := leader.Report(ctx, q); err != nil && s.ctx.Err() == nil {
		s.logger.Debug("no report", "err", err)
	}
}

func (s *Server) makeReport() wire.Report {
	s.bond.mu.Lock()
	id, view := s.store.Identity(), s.store.View()
	s.bond.epoch.Store(id.Epoch)
	s.bond.mu.Unlock()
	if !s.bond.looked { // later ones are within what the view leader leaves out
		s.bond.token, s.bond.looked = s.highestToken(view), true
	}
	return wire.Report{Register: s.registration(&id), View: view, Epoch: id.Epoch, Token: s.bond.token}
}

func (s *Server) highestToken(view []byte) uint64 {
	v, err := ring.DecodeView(view, nil)
	if err != nil {
		return 0 // there is none, or a later program's
	}
	token, err := replica.HighestFence(s.store, len(v.Partitions))
	if err != nil {
		s.logger.Warn("not all tokens of locks could be read", "err", err)
	}
	return token
}

// registration is this start as the view leader is told of it.
func (s *Server) registration(id *store.Identity) vocab.Register {
	return vocab.Register{
		Cluster: id.Cluster, ID: id.Server, Store: id.Store, Instance: s.instance, Previous: id.Previous, Incarnation: id.Incarnation,
		Addr: s.addr, Zone: s.opts.Zone, Weight: 1, Whole: s.store.Corruptions() == 0, Starts: id.Starts,
	}
}

// errBehind is what is wrong with a view leader that is at a lower epoch than this
// server.
func errBehind(theirs, ours uint64) error {
	return fmt.Errorf("the view leader is at epoch %d, this server has seen %d: its data was lost or rolled back. "+
		"Stop it, move its data folder away, and start it once with --recover: it goes on from what the servers report", theirs, ours)
}
