package membership

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

// fence is the recovery fence: what a report has promised.
type fence struct {
	mu     sync.Mutex    // held over each adoption: a report is made before it or after it
	epoch  atomic.Uint64 // reported; 0: nothing is
	at     time.Time     // of the last report; of whoever asks the view leader
	token  uint64        // the highest of any lock, once it was looked for; likewise
	looked bool          // likewise
}

// frees reports whether a view of that epoch, or a view leader at it, is of another
// history than the one reported on.
func (f *fence) frees(epoch uint64) bool {
	reported := f.epoch.Load()
	return reported == 0 || epoch >= reported+ring.RecoveryJump
}

// goesOn notes the epoch of a view leader that answered what was asked after the
// report. One that is below the recovered epochs has not lost its data after all. It
// does not wait for an adoption, which the disk may hold up.
func (f *fence) goesOn(epoch uint64) {
	if !f.frees(epoch) {
		f.epoch.Store(0)
	}
}

// answerRecovery reports when err is the word of a view leader that asks for it. It is
// called by one goroutine at a time, which asks the view leader nothing meanwhile.
func (m *Member) answerRecovery(err error) {
	if !wire.IsCode(err, wire.CodeRecovering) || time.Since(m.fence.at) < reportEvery || m.c.Store.Identity().Server == 0 {
		return
	}
	first := m.fence.at.IsZero()
	m.fence.at = time.Now()
	q := m.makeReport()
	if first {
		m.c.Logger.Warn("the view leader has lost its data and is being recovered: reporting", "epoch", q.Epoch, "err", err)
	}
	ctx, cancel := context.WithTimeout(m.c.Context, leaderTimeout)
	defer cancel()
	if err := m.leader.Report(ctx, q); err != nil && m.c.Context.Err() == nil {
		m.c.Logger.Debug("no report", "err", err)
	}
}

func (m *Member) makeReport() wire.Report {
	m.fence.mu.Lock()
	id, view := m.c.Store.Identity(), m.c.Store.View()
	m.fence.epoch.Store(id.Epoch)
	m.fence.mu.Unlock()
	if !m.fence.looked { // later ones are within what the view leader leaves out
		m.fence.token, m.fence.looked = m.highestToken(view), true
	}
	return wire.Report{Register: m.registration(&id), View: view, Epoch: id.Epoch, Token: m.fence.token}
}

func (m *Member) highestToken(view []byte) uint64 {
	v, err := ring.DecodeView(view, nil)
	if err != nil {
		return 0 // there is none, or a later program's
	}
	token, err := replica.HighestFence(m.c.Store, len(v.Partitions))
	if err != nil {
		m.c.Logger.Warn("not all tokens of locks could be read", "err", err)
	}
	return token
}

// registration is this start as the view leader is told of it.
func (m *Member) registration(id *store.Identity) vocab.Register {
	weight := uint32(0)
	if m.c.Weight > 0 {
		weight = m.c.Weight + 1
	}
	return vocab.Register{
		Cluster: id.Cluster, ID: id.Server, Store: id.Store, Instance: m.instance, Previous: id.Previous, Incarnation: id.Incarnation,
		Addr: m.c.Addr, Zone: m.c.Zone, Weight: weight, Whole: m.c.Store.Corruptions() == 0, Starts: id.Starts,
	}
}

// errBehind is what is wrong with a view leader that is at a lower epoch than this
// server.
func errBehind(theirs, ours uint64) error {
	return fmt.Errorf("the view leader is at epoch %d, this server has seen %d: its data was lost or rolled back. "+
		"Stop it, move its data folder away, and start it once with --recover: it goes on from what the servers report", theirs, ours)
}
