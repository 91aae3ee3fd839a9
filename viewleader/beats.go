package viewleader

import (
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// hintShare is the part of DownAfter that a server gets whose heartbeat connection
// broke: time to connect again.
const hintShare = 3

// beats are the servers' heartbeats, in memory only.
type beats struct {
	opts *Options

	mu struct {
		sync.Mutex
		started time.Time
		warm    bool      // the servers were there when this began
		first   time.Time // when anybody was heard first; zero: nobody yet
		checked time.Time // when silence was looked at last
		last    map[ring.ServerID]*beat
		down    map[ring.ServerID]time.Time // since when, for those that are down
		stays   map[ring.ServerID]time.Time // since when, for those that act though down
	}
}

// beat is the last heartbeat of a server.
type beat struct {
	at       time.Time
	deadline time.Time // it is down when it is silent until then
	conn     *conn     // that it came on; nil when that broke
	who      ring.Incarnated
	instance uint64
	epoch    uint64
	stats    vocab.ServerStats
	real     bool // false: only a registration so far
}

func (b *beats) init(opts *Options) {
	b.opts = opts
	b.begin(opts.Now(), false)
}

// begin starts anew, at a start or as the new head: everyone gets a full timeout.
// It is warm when the servers were there, with another head, until just now.
func (b *beats) begin(now time.Time, warm bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.started, b.mu.checked, b.mu.warm, b.mu.first = now, now, warm, time.Time{}
	b.mu.last = make(map[ring.ServerID]*beat)
	b.mu.down = make(map[ring.ServerID]time.Time)
	b.mu.stays = make(map[ring.ServerID]time.Time)
}

// heard notes a heartbeat of a member's present process.
func (b *beats) heard(c *conn, h *wire.Heartbeat) {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.first.IsZero() {
		b.mu.first = now
	}
	b.mu.last[h.ID] = &beat{
		at: now, deadline: now.Add(b.opts.DownAfter), conn: c, real: true,
		who: ring.Incarnated{ID: h.ID, Incarnation: h.Incarnation}, instance: h.Instance, epoch: h.Epoch, stats: h.Stats,
	}
}

// registered counts a registration as a sign of life.
func (b *beats) registered(id ring.ServerID, q *vocab.Register) {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.mu.last[id]; old != nil && old.instance == q.Instance && old.who.Incarnation == q.Incarnation && old.real {
		old.deadline = now.Add(b.opts.DownAfter)
		return
	}
	if b.mu.first.IsZero() {
		b.mu.first = now
	}
	b.mu.last[id] = &beat{
		at: now, deadline: now.Add(b.opts.DownAfter), instance: q.Instance,
		who: ring.Incarnated{ID: id, Incarnation: q.Incarnation},
	}
}

// broke notes that a connection ended, which is a strong hint that its server did too.
func (b *beats) broke(c *conn) {
	soon := b.opts.Now().Add(b.opts.DownAfter / hintShare)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, last := range b.mu.last {
		if last.conn == c {
			last.conn = nil
			if soon.Before(last.deadline) {
				last.deadline = soon
			}
		}
	}
}

// signs returns what is known of a server's process: when it was last heard (zero:
// not since this start), and whether its connection is up.
func (b *beats) signs(m *roster.MemberState) (at time.Time, connected bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.mu.last[m.ID]
	if last == nil || last.instance != m.Instance || !last.real {
		return time.Time{}, false
	}
	return last.at, last.conn != nil
}

// status lists the members' last heartbeats.
func (b *beats) status(members []roster.MemberState) []wire.ServerStatus {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]wire.ServerStatus, 0, len(members))
	for i := range members {
		st := wire.ServerStatus{ID: members[i].ID, Age: -1}
		if last := b.mu.last[members[i].ID]; last != nil && last.real {
			st.Age, st.Epoch, st.Stats = max(0, now.Sub(last.at)), last.epoch, last.stats
		}
		if !members[i].Up {
			st.Down = time.UnixMilli(members[i].DownAt)
		}
		list = append(list, st)
	}
	return list
}

// verdict is what silence means for the roster.
type verdict struct {
	expire []ring.Incarnated
	out    []ring.ServerID
}

// judge returns which servers have been silent for too long.
func (b *beats) judge(members []roster.MemberState) verdict {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgiveOwnSilence(now)
	b.forgetGone(members)
	var v verdict
	var overdue []ring.Incarnated
	heardLately, maybe := false, false
	for i := range members {
		m := &members[i]
		if !m.Up {
			b.judgeDown(m, now, &v)
			continue
		}
		delete(b.mu.down, m.ID)
		delete(b.mu.stays, m.ID)
		last := b.mu.last[m.ID]
		known := last != nil && last.who.Incarnation == m.Incarnation
		switch {
		case !now.Before(b.deadline(m)):
			overdue = append(overdue, ring.Incarnated{ID: m.ID, Incarnation: m.Incarnation})
		case known && now.Sub(last.at) <= 2*b.opts.Heartbeat+tickEvery && (last.conn != nil || !last.real):
			heardLately = true
		case known:
			maybe = true // silent too, but not for long enough
		}
	}
	// If no server is heard, it is more likely that this view leader is cut off. All
	// of them are then declared down together, which leaves the acting sets alone.
	if len(overdue) > 0 && (heardLately || !maybe) {
		v.expire = append(v.expire, overdue...)
	}
	return v
}

// forgiveOwnSilence gives every server a full timeout if this process did not look for
// long, because it was paused or starved.
func (b *beats) forgiveOwnSilence(now time.Time) {
	gap := now.Sub(b.mu.checked)
	b.mu.checked = now
	if gap < b.opts.DownAfter/3 {
		return
	}
	for _, last := range b.mu.last {
		if until := now.Add(b.opts.DownAfter); last.deadline.Before(until) {
			last.deadline = until
		}
	}
	for _, since := range []map[ring.ServerID]time.Time{b.mu.down, b.mu.stays} {
		for id := range since {
			since[id] = since[id].Add(gap)
		}
	}
}

// forgetGone drops what is kept of servers that are no members any more.
func (b *beats) forgetGone(members []roster.MemberState) {
	if len(b.mu.last) <= len(members) {
		return
	}
	ids := make(map[ring.ServerID]bool, len(members))
	for i := range members {
		ids[members[i].ID] = true
	}
	for id := range b.mu.last {
		if !ids[id] {
			delete(b.mu.last, id)
			delete(b.mu.down, id)
			delete(b.mu.stays, id)
		}
	}
}

// deadline is when a member that is up must have been heard. The caller holds mu.
func (b *beats) deadline(m *roster.MemberState) time.Time {
	last := b.mu.last[m.ID]
	if last != nil && last.who.Incarnation == m.Incarnation {
		return last.deadline
	}
	if b.mu.warm {
		return b.mu.started.Add(b.opts.DownAfter)
	}
	// Not heard since this start: after a power cut servers take their time.
	if b.mu.first.IsZero() {
		return b.mu.started.Add(b.opts.ColdGrace)
	}
	return b.mu.first.Add(max(b.opts.DownAfter, b.opts.ReturnGrace))
}

// judgeDown looks at a member that is down. The caller holds mu.
func (b *beats) judgeDown(m *roster.MemberState, now time.Time, v *verdict) {
	since, ok := b.mu.down[m.ID]
	if !ok {
		// It may be down since before this process started: its stamp tells, as
		// far as the clock can be trusted.
		since = now.Add(-min(b.opts.OutAfter, max(0, now.Sub(time.UnixMilli(m.DownAt)))))
		b.mu.down[m.ID] = since
	}
	if m.Target() && now.Sub(since) >= b.opts.OutAfter {
		v.out = append(v.out, m.ID)
	}
	if !m.Stays {
		delete(b.mu.stays, m.ID)
		return
	}
	// All acting replicas of some partition fell silent together, and another
	// one is back.
	if since, ok = b.mu.stays[m.ID]; !ok {
		b.mu.stays[m.ID] = now
	} else if now.Sub(since) >= b.opts.DownAfter {
		v.expire = append(v.expire, ring.Incarnated{ID: m.ID, Incarnation: m.Incarnation})
	}
}

// outLater puts off another try to declare a server out.
func (b *beats) outLater(id ring.ServerID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.down[id] = b.opts.Now().Add(5*b.opts.DownAfter - b.opts.OutAfter)
}

var processStart = time.Now()

// sinceStart is the process' clock, for what comes at intervals.
func sinceStart() time.Duration { return time.Since(processStart) }

// detect turns silence into commands until the service ends.
func (s *Service) detect() {
	every := min(tickEvery, s.opts.DownAfter/4)
	for wait.For(s.ctx, wait.Until(sinceStart(), every)) {
		if !s.serves() {
			continue
		}
		v := s.beats.judge(s.published.Load().members)
		if len(v.expire) > 0 {
			s.opts.Logger.Warn("servers are down", "servers", v.expire)
			if _, err := s.do(s.ctx, roster.Command{Kind: roster.KindExpire, Who: v.expire}); err != nil {
				s.opts.Logger.Warn("servers could not be declared down", "err", err)
			}
		}
		for _, id := range v.out {
			r, err := s.do(s.ctx, roster.Command{Kind: roster.KindOut, ID: id})
			if err == nil && r.Code == roster.Done {
				s.opts.Logger.Warn("server is out: others take over its copies", "server", id)
			} else {
				s.beats.outLater(id)
			}
		}
	}
}
