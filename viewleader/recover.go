package viewleader

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// A view leader that has lost its data makes a new roster from what the servers report
// (roster/DESIGN.md). Until it has one, it answers everything else with the list of
// servers that are missing.

const (
	recoverLook     = 200 * time.Millisecond
	reportAge       = 5 * time.Second  // after which a report counts no more
	recoverLogEvery = 15 * time.Second // between words on what is waited for
)

// RecoverOptions are for a view leader that has lost its data.
type RecoverOptions struct {
	// Wanted starts on a new data folder by asking the servers.
	Wanted bool
	// Without are members of the cluster that are not waited for.
	Without []ring.ServerID
	// Unchanged: the operator vouches that since the newest reported view no other server
	// joined, and min-copies was lowered nowhere.
	Unchanged bool
	// AcceptLoss goes on without them even if acknowledged writes may be lost.
	AcceptLoss bool
	// QuietFor is how long nothing new must have been reported; default 5 s.
	QuietFor time.Duration
}

// recovery gathers reports.
type recovery struct {
	s *Service

	mu       sync.Mutex
	reports  map[ring.ServerID]*reported
	rivals   error     // two processes as one server
	changed  time.Time // when something new was reported
	findings string
}

type reported struct {
	roster.Report
	at time.Time
}

func newRecovery(s *Service) *recovery {
	return &recovery{s: s, reports: make(map[ring.ServerID]*reported), changed: time.Now(), findings: "no server has reported yet"}
}

// answer is what every other command is answered meanwhile.
func (v *recovery) answer() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return "this view leader has lost its data and is being recovered from what the servers report: " + v.findings
}

// report takes a server's report.
func (c *conn) report(r *reply, args [][]byte) {
	v := c.s.recovery.Load()
	if v == nil {
		r.fail(wire.CodeRefused, "this view leader is not being recovered")
		return
	}
	q, err := wire.DecodeReport(args[0])
	report := roster.Report{Register: q.Register, Epoch: q.Epoch, Token: q.Token}
	if err == nil && len(q.View) > 0 {
		report.View, err = ring.DecodeView(slices.Clone(q.View), nil)
	}
	if err == nil && q.ID == 0 {
		err = errors.New("a server without an id has nothing to report")
	}
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	v.take(&report)
	r.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
}

func (v *recovery) take(o *roster.Report) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.reports[o.ID]
	if was != nil && was.Instance != o.Instance && o.Incarnation <= was.Incarnation && now.Sub(was.at) < reportAge {
		v.rivals, v.changed = fmt.Errorf("%v reports as two processes, at %s and %s: stop one of them", o.ID, was.Addr, o.Addr), now
		return
	}
	if was == nil || was.Epoch != o.Epoch || was.Instance != o.Instance {
		v.changed = now
		v.s.opts.Logger.Info("a server has reported", "server", o.ID, "addr", o.Addr, "incarnation", o.Incarnation, "epoch", o.Epoch)
	}
	v.reports[o.ID] = &reported{*o, now}
}

// state is what the reports come to; quiet when nothing new has come for a while.
func (v *recovery) state() (rec *roster.Recovery, found *roster.Findings, quiet bool) {
	opts, now := &v.s.opts, time.Now()
	rec = &roster.Recovery{Without: opts.Recover.Without, Unchanged: opts.Recover.Unchanged, AcceptLoss: opts.Recover.AcceptLoss, At: opts.Now().UnixMilli()}
	v.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(v.reports)) {
		if o := v.reports[id]; now.Sub(o.at) < reportAge {
			rec.Reports = append(rec.Reports, o.Report)
		} else {
			delete(v.reports, id)
			v.changed = now
		}
	}
	quiet = now.Sub(v.changed) >= opts.Recover.QuietFor
	rivals := v.rivals
	if quiet {
		v.rivals = nil
	}
	v.mu.Unlock()
	found = rec.Survey()
	if found.Err == nil && found.View != nil && len(found.View.Partitions) != opts.newPartitions() {
		found.Err = fmt.Errorf("the cluster has %d partitions, not %d: start with --partitions %[1]d", len(found.View.Partitions), opts.newPartitions())
	}
	if found.Err == nil {
		found.Err = rivals
	}
	v.mu.Lock()
	if v.findings = found.String(); found.Complete() {
		v.findings += fmt.Sprintf("; all are there: it goes on when nothing new has come for %v", opts.Recover.QuietFor)
	}
	v.mu.Unlock()
	return rec, found, quiet
}

// recover waits until there are enough reports, founds a group on the roster that they
// come to, and goes on as its view leader.
func (s *Service) recover() error {
	v := s.recovery.Load()
	said, told := "", time.Now()
	for {
		rec, found, quiet := v.state()
		if found.Complete() && quiet {
			state, err := rec.Recover(roster.Config{})
			if err != nil {
				return err
			}
			return s.goOnWith(state, found)
		}
		if text := found.String(); text != said || time.Since(told) > recoverLogEvery {
			said, told = text, time.Now()
			s.opts.Logger.Warn("recovering the view leader from what the servers report", "so far", text)
		}
		if !wait.For(s.ctx, recoverLook) {
			return nil
		}
	}
}

// goOnWith founds the group on a recovered roster. Its one member has an id above all
// that the lost group gave out, so a member that is left of that group is told that it
// was removed.
func (s *Service) goOnWith(state *roster.State, found *roster.Findings) error {
	if err := foundGroup(s.disk, state, state.Epoch(), s.advertised(), s.opts.peers()); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := s.startGroup(); err != nil {
		return err
	}
	if s.group.startedAlone {
		select {
		case <-s.group.ready:
			if err := s.configure(); err != nil {
				return err
			}
		case <-s.ctx.Done():
			return nil
		}
	}
	s.recovery.Store(nil)
	s.opts.Logger.Warn("the view leader is recovered: earlier locks, sessions and events are lost; start it without --recover from now on",
		"epoch", state.Epoch(), "from epoch", found.View.Epoch, "servers", len(state.View().Members))
	return nil
}

// mayRecover refuses to recover over data, unless that is what a recovery has made.
func (s *Service) mayRecover() error {
	if !s.opts.Recover.Wanted {
		return nil
	}
	if s.group.state != nil && s.group.state.Epoch() >= ring.RecoveryJump {
		s.opts.Logger.Warn("--recover is ignored: the data folder has a roster that was recovered before", "data", s.opts.Data, "epoch", s.group.state.Epoch())
		return nil
	}
	return fmt.Errorf("--recover is for a view leader whose data is lost, and %s has some: "+
		"start without --recover to go on with it, or move the folder away and start on an empty one", s.opts.Data)
}

// overtaken stops a view leader that hears of an epoch above its own: its data was put
// back to an earlier state, and if it went on it would make epochs a second time. A view
// leader that is one of several may only be late, because a majority made that epoch.
func (s *Service) overtaken(h *wire.Heartbeat, epoch uint64) {
	if len(s.groupStatus.Load().members.members) > 1 {
		return
	}
	s.fail(fmt.Errorf("%v has seen epoch %d, this view leader is at %d: its data in %s was rolled back. "+
		"Move the folder away, and start once with --recover on an empty one: it goes on from what the servers report", h.ID, h.Epoch, epoch, s.opts.Data))
}
