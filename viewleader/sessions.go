package viewleader

import (
	"strconv"
	"sync"
	"time"

	"viewring/internal/session"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// sessions knows when the clients of sessions were heard last: in memory, like the
// heartbeats of servers. The roster learns only of a session's end. A client counts
// from when it sent what was heard: so one that is no head any more must not answer.
type sessions struct {
	s *Service

	mu struct {
		sync.Mutex
		watch session.Watch
	}
}

func (ss *sessions) init(s *Service) {
	ss.s = s
	ss.begin(nil, s.opts.Now())
}

// begin starts anew, at a start or as the new head. The Raft loop calls it.
func (ss *sessions) begin(states []roster.SessionState, now time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.mu.watch.Begin(now)
	for _, st := range states {
		ss.mu.watch.Open(st.ID, st.TTL, now)
	}
}

// keep notes that a session's client lives; false when it is over.
func (ss *sessions) keep(id uint64) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.mu.watch.Keep(id, ss.s.opts.Now())
}

func (ss *sessions) opened(id uint64, ttl time.Duration) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.mu.watch.Open(id, ttl, ss.s.opts.Now())
}

// ended forgets sessions, and those who wait in them are told. The Raft loop calls
// it.
func (ss *sessions) ended(ids ...uint64) {
	ss.mu.Lock()
	for _, id := range ids {
		ss.mu.watch.Ended(id)
	}
	ss.mu.Unlock()
	ss.s.lockQueues.sessionsEnded(ids...)
}

// tick ends sessions that were silent for too long. The Raft loop calls it.
func (ss *sessions) tick(now time.Time) {
	ss.mu.Lock()
	silent := ss.mu.watch.Silent(now)
	ss.mu.Unlock()
	if len(silent) == 0 {
		return
	}
	ss.s.opts.Logger.Warn("sessions fell silent", "sessions", silent)
	ss.s.group.enqueue(proposal{cmd: roster.Command{Kind: roster.KindSessionExpire, Sessions: silent}, done: func(_ roster.Result, err error) {
		if err == nil {
			ss.ended(silent...)
		}
	}})
}

func (c *conn) session(r *reply, args [][]byte) {
	verb := string(args[0])
	if verb == wire.SessionOpen && len(args) == 3 {
		ttl, err := milliseconds(args[1])
		delay, derr := milliseconds(args[2])
		if err != nil || derr != nil {
			r.fail(wire.CodeErr, "want a time to live and a lock delay in milliseconds")
			return
		}
		cmd := roster.Command{Kind: roster.KindSessionOpen, TTL: ttl.Milliseconds(), Delay: delay.Milliseconds()}
		c.s.command(r, cmd, func(res roster.Result) {
			c.s.sessions.opened(res.Session, ttl)
			r.finish(func(w *wire.Writer) { w.WriteInt(int64(res.Session)) })
		})
		return
	}
	id, err := wire.ParseSession(args[1])
	if err != nil || len(args) != 2 || verb != wire.SessionKeep && verb != wire.SessionEnd {
		r.fail(wire.CodeErr, "want OPEN with two times in milliseconds, KEEP or END with a session")
		return
	}
	ok := func(w *wire.Writer) { w.WriteSimple("OK") }
	if verb == wire.SessionEnd {
		c.s.command(r, roster.Command{Kind: roster.KindSessionEnd, Session: id}, func(roster.Result) {
			c.s.sessions.ended(id)
			r.finish(ok)
		})
		return
	}
	c.s.ask(func(_ *roster.State, err error) {
		switch {
		case err != nil:
			failed(r, err)
		case !c.s.sessions.keep(id):
			r.fail(wire.CodeNoSession, "session "+strconv.FormatUint(id, 10)+" has ended")
		default:
			r.finish(ok)
		}
	})
}
