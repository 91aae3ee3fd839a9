package viewleader

import (
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// groupStatus is what this view leader is in its group, for everyone but the Raft
// loop, which replaces it. Nothing is written to in place.
type groupStatus struct {
	self    uint64 // 0: in no group yet
	cluster [16]byte
	head    uint64 // 0: nobody, as far as is known
	serving bool   // the head, and it knows all that was decided before
	members *membership
	since   time.Time // when it began to follow a head; zero: it never did
}

// headAddr is where the head is; "" when this view leader does not know of one.
func (st *groupStatus) headAddr() string {
	if o := st.members.of(st.head); o != nil && st.head != st.self {
		return o.addr
	}
	return ""
}

// serves reports whether this view leader decides now.
func (s *Service) serves() bool { return s.groupStatus.Load().serving }

// setGroupStatus replaces the group status. The Raft loop calls it.
func (s *Service) setGroupStatus(set func(*groupStatus)) {
	st := *s.groupStatus.Load()
	set(&st)
	s.groupStatus.Store(&st)
}

// onMembers notes who belongs to the group, and who is its head. The Raft loop
// calls it.
func (s *Service) onMembers(m *membership, head uint64) {
	s.elections.compare(s.opts.Now(), s.groupStatus.Load(), m, head)
	s.setGroupStatus(func(st *groupStatus) {
		st.members, st.head = m, head
		if head != 0 && head != st.self && st.since.IsZero() {
			st.since = s.opts.Now()
		}
	})
	s.links.set(m, s.groupStatus.Load().self)
}

// onHead begins this view leader's time as the head, or ends it. What is in memory begins
// anew: all servers get a full timeout, and whoever waits asks the next head. The Raft
// loop calls it.
func (s *Service) onHead(state *roster.State, head bool) {
	if !head {
		s.setGroupStatus(func(st *groupStatus) { st.serving = false })
		s.opts.Logger.Warn("this view leader is not the head any more")
		s.dismiss()
		return
	}
	now := s.opts.Now()
	followed := s.groupStatus.Load().since
	// A member that followed a head for long knows that the servers were up until now.
	s.beats.begin(now, !followed.IsZero() && now.Sub(followed) >= s.opts.ColdGrace)
	s.lockQueues.begin(now)
	s.sessions.begin(state.Sessions(), now)
	s.setGroupStatus(func(st *groupStatus) { st.serving, st.cluster = true, state.Cluster() })
	s.opts.Logger.Info("this view leader is the head", "epoch", state.Epoch())
	s.running.Go(s.configureAsHead)
}

// dismiss sends everyone who waits to the next head.
func (s *Service) dismiss() {
	elsewhere := func(r *reply) { r.fail(wire.CodeNotHead, s.groupStatus.Load().headAddr()) }
	s.views.dismiss(elsewhere)
	s.events.dismiss(elsewhere)
	s.lockQueues.dismiss(elsewhere)
	s.sessions.ends.dismiss(elsewhere)
}

// configureAsHead applies this view leader's flags.
func (s *Service) configureAsHead() {
	if len(s.groupStatus.Load().members.members) < 2 {
		return // done at its start
	}
	if err := s.configure(); err != nil && s.ctx.Err() == nil {
		s.opts.Logger.Warn("cannot apply the flags of this view leader", "err", err)
	}
}
