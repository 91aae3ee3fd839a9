package viewleader

import (
	"slices"
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
	s    *Service
	ends sessionEnds

	mu struct {
		sync.Mutex
		watch session.Watch
	}
}

// sessionEnds answers those who wait until any session ends: servers then ask which.
type sessionEnds struct {
	waiters        // its mu guards what follows
	count   uint64 // of ends; each head begins with another number
}

// begin has all ask who waited for what this head does not know.
func (e *sessionEnds) begin(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count = uint64(now.UnixNano())
	e.answer(e.newer)
}

func (e *sessionEnds) add(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count += uint64(n)
	e.answer(e.newer)
}

// newer returns the count for someone who has another. The caller holds mu.
func (e *sessionEnds) newer(since uint64) []byte {
	if since == e.count {
		return nil
	}
	return strconv.AppendUint(nil, e.count, 10)
}

func (e *sessionEnds) wait(r *reply, since uint64, wait time.Duration, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiters.add(r, since, wait, now, e.newer)
}

func (ss *sessions) init(s *Service) {
	ss.s = s
	ss.ends.init()
	ss.begin(nil, s.opts.Now())
}

// begin starts anew, at a start or as the new head. The Raft loop calls it.
func (ss *sessions) begin(states []roster.SessionState, now time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.ends.begin(now)
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
	ss.mu.watch.Opened(id, ttl, ss.s.opts.Now())
}

// unheard are the sessions whose clients this head has not heard yet.
func (ss *sessions) unheard() []uint64 {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.mu.watch.Unheard()
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
	ss.ends.add(len(ids))
}

// tick ends sessions that were silent for too long. The Raft loop calls it.
func (ss *sessions) tick(now time.Time) {
	ss.ends.tick(now)
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
	switch verb := string(args[0]); {
	case verb == wire.SessionOpen && len(args) == 3:
		c.openSession(r, args[1], args[2])
	case verb == wire.SessionEnds && len(args) == 3:
		c.awaitEnds(r, args[1], args[2])
	case verb == wire.SessionEnded && len(args) == 2:
		c.tellEnded(r, args[1])
	case verb == wire.SessionKeep && len(args) == 2:
		c.ofSession(r, args[1], c.keepSession)
	case verb == wire.SessionEnd && len(args) == 2:
		c.ofSession(r, args[1], c.endSession)
	default:
		r.fail(wire.CodeErr, "want OPEN with two times in milliseconds, KEEP or END with a session, "+
			"ENDED with sessions, ENDS with a count and a time in milliseconds")
	}
}

func (c *conn) openSession(r *reply, ttlArg, delayArg []byte) {
	ttl, err := milliseconds(ttlArg)
	delay, derr := milliseconds(delayArg)
	if err != nil || derr != nil {
		r.fail(wire.CodeErr, "want a time to live and a lock delay in milliseconds")
		return
	}
	cmd := roster.Command{Kind: roster.KindSessionOpen, TTL: ttl.Milliseconds(), Delay: delay.Milliseconds()}
	c.s.command(r, cmd, func(res roster.Result) {
		c.s.sessions.opened(res.Session, ttl)
		r.finish(func(w *wire.Writer) { w.WriteInt(int64(res.Session)) })
	})
}

func (c *conn) ofSession(r *reply, arg []byte, fn func(*reply, uint64)) {
	id, err := wire.ParseSession(arg)
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	fn(r, id)
}

func sayOK(w *wire.Writer) { w.WriteSimple("OK") }

func (c *conn) endSession(r *reply, id uint64) {
	c.s.command(r, roster.Command{Kind: roster.KindSessionEnd, Session: id}, func(roster.Result) {
		c.s.sessions.ended(id)
		r.finish(sayOK)
	})
}

func (c *conn) keepSession(r *reply, id uint64) {
	c.s.ask(func(_ *roster.State, err error) {
		switch {
		case err != nil:
			failed(r, err)
		case !c.s.sessions.keep(id):
			r.fail(wire.CodeNoSession, "session "+strconv.FormatUint(id, 10)+" has ended")
		default:
			r.finish(sayOK)
		}
	})
}

// tellEnded answers which of some sessions are not open. An id is never given again, also by
// a recovered view leader: so they are not open for good.
func (c *conn) tellEnded(r *reply, arg []byte) {
	ids, err := wire.DecodeSessions(arg)
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	c.s.ask(func(state *roster.State, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		r.bulk(wire.AppendSessions(nil, slices.DeleteFunc(ids, state.SessionOpen)))
	})
}

func (c *conn) awaitEnds(r *reply, sinceArg, waitArg []byte) {
	since, err := strconv.ParseUint(string(sinceArg), 10, 64)
	wait, werr := milliseconds(waitArg)
	if err != nil || werr != nil {
		r.fail(wire.CodeErr, "want a count of ended sessions and a time in milliseconds")
		return
	}
	now := c.s.opts.Now()
	c.s.ask(func(_ *roster.State, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		c.s.sessions.ends.wait(r, since, wait, now)
	})
}
