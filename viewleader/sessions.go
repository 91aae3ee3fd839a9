package viewleader

import (
	"strconv"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// sessions knows when the clients of sessions were heard last: in memory, like the
// heartbeats of servers. The roster learns only of a session's end. A new head gives
// each session all of its time, and so does one that stood still. A client counts
// from when it sent what was heard: so one that is no head any more must not answer.
type sessions struct {
	s      *Service
	looked time.Time // the Raft loop's

	mu struct {
		sync.Mutex
		open map[uint64]*sessionBeat
	}
}

// sessionBeat is an open session as it was heard.
type sessionBeat struct {
	ttl    time.Duration
	heard  time.Time
	ending bool // its end is under way
}

// stoodStill is a gap between two looks at the sessions that tells that this
// process was paused or starved, and heard nobody.
const stoodStill = 10 * tickEvery

func (ss *sessions) init(s *Service) {
	ss.s = s
	ss.begin(nil, s.opts.Now())
}

// begin starts anew, at a start or as the new head. The Raft loop calls it.
func (ss *sessions) begin(states []roster.SessionState, now time.Time) {
	ss.looked = now
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.mu.open = make(map[uint64]*sessionBeat)
	for _, st := range states {
		ss.mu.open[st.ID] = &sessionBeat{ttl: st.TTL, heard: now}
	}
}

// keep notes that a session's client lives; false when it is over.
func (ss *sessions) keep(id uint64) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	b := ss.mu.open[id]
	if b == nil || b.ending {
		return false
	}
	b.heard = ss.s.opts.Now()
	return true
}

func (ss *sessions) opened(id uint64, ttl time.Duration) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.mu.open[id] = &sessionBeat{ttl: ttl, heard: ss.s.opts.Now()}
}

// ended forgets sessions, and those who wait in them are told. The Raft loop calls
// it.
func (ss *sessions) ended(ids ...uint64) {
	ss.mu.Lock()
	for _, id := range ids {
		delete(ss.mu.open, id)
	}
	ss.mu.Unlock()
	ss.s.lines.sessionsEnded(ids...)
}

// tick ends sessions that were silent for too long. The Raft loop calls it.
func (ss *sessions) tick(now time.Time) {
	gap := now.Sub(ss.looked)
	ss.looked = now
	var silent []uint64
	ss.mu.Lock()
	for id, b := range ss.mu.open {
		if gap >= stoodStill {
			b.heard = now
		}
		if !b.ending && now.Sub(b.heard) >= b.ttl {
			b.ending = true
			silent = append(silent, id)
		}
	}
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
