package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// leader is a simulated view leader: a roster with a failure detector.
type leader struct {
	w       *world
	up      bool
	state   *roster.State
	heard   map[ring.ServerID]time.Duration
	pending []proposal
	tables  map[uint64]*ring.Table
	views   map[uint64]*ring.View // all there ever were, by epoch

	recovery *recovery // nil: it has its data
}

type proposal struct {
	cmd  roster.Command
	then func(roster.Result, *ring.View)
}

// table returns the ring of a view; servers compute the same.
func (l *leader) table(v *ring.View) *ring.Table {
	if t := l.tables[v.Epoch]; t != nil {
		return t
	}
	t := tableOf(v.Members, len(v.Partitions))
	l.tables[v.Epoch] = t
	return t
}

// rings keeps the tables of all worlds: the same few members make most of them,
// and a table takes long to build.
var rings sync.Map

func tableOf(members []ring.Member, partitions int) *ring.Table {
	key := fmt.Appendf(nil, "%d", partitions)
	for i := range members {
		m := &members[i]
		key = fmt.Appendf(key, " %d %s %d %t", m.ID, m.Zone, m.Weight, m.Target())
	}
	if t, ok := rings.Load(string(key)); ok {
		return t.(*ring.Table)
	}
	t, err := ring.NewTable(members, partitions)
	invariant.Check(err == nil, "ring", "%v", err)
	rings.Store(string(key), t)
	return t
}

// propose adds a command to the batch that is applied next.
func (l *leader) propose(cmd roster.Command, then func(roster.Result, *ring.View)) {
	if !l.up {
		return
	}
	cmd.At = l.w.wall()
	l.pending = append(l.pending, proposal{cmd, then})
	if len(l.pending) == 1 {
		pace := l.w.between(time.Millisecond, 8*time.Millisecond)
		if l.w.chance(0.05) && !l.w.calm {
			pace = l.w.between(100*time.Millisecond, l.w.slowest(2*time.Second)) // its disk hangs, or another takes over
		}
		l.w.after(pace, l.apply)
	}
}

// restore gives a new head the state that it has from a snapshot.
func (l *leader) restore() {
	snapshot := l.state.AppendSnapshot(nil)
	state, err := roster.Restore(snapshot)
	invariant.Check(err == nil, "roster", "restore: %v", err)
	invariant.Check(bytes.Equal(snapshot, state.AppendSnapshot(nil)), "roster", "a restored state is another one")
	l.state = state
}

func (l *leader) apply() {
	batch := l.pending
	l.pending = nil
	cmds := make([]roster.Command, len(batch))
	for i := range batch {
		cmds[i] = batch[i].cmd
	}
	before := l.state.View()
	results := l.state.Apply(cmds)
	v := l.state.View()
	l.w.coverRoster(before, v, cmds, results)
	l.w.checkCommands(before, v, cmds, results)
	l.spring(v, cmds, results)
	for i, r := range results {
		l.w.note(int(cmds[i].Partition), "roster: kind %d %v: code %d %s", cmds[i].Kind, cmds[i].Who, r.Code, r.Reason)
		if batch[i].then != nil {
			batch[i].then(r, v)
		}
	}
	if v.Epoch == before.Epoch {
		return
	}
	l.w.note(global, "epoch %d: %s%v", v.Epoch, memberList(v), v.Partitions)
	l.w.count("epochs")
	l.views[v.Epoch] = v
	l.w.checkActing(v)
	l.w.wrongClocks()
	for _, s := range l.w.servers {
		l.push(s, v)
	}
}

// spring cuts a primary off in the moment in which it is no longer one, by its own
// handoff: it does not learn of it, and its clients may still ask it.
func (l *leader) spring(v *ring.View, cmds []roster.Command, results []roster.Result) {
	for i, c := range cmds {
		if l.w.ambush.cutOff && c.Kind == roster.KindHandoff && results[i].Code == roster.Done && v.Partitions[c.Partition].Primary() != c.From.ID {
			l.w.ambush.cutOff = false
			l.w.isolate(l.w.byID(c.From.ID))
		}
	}
}

// memberList is who is in a view, as traces show it.
func memberList(v *ring.View) string {
	var b strings.Builder
	for i := range v.Members {
		m := &v.Members[i]
		fmt.Fprintf(&b, "%v.%d %s up %t, ", m.ID, m.Incarnation, m.Status, m.Up)
	}
	return b.String()
}

// push sends a view to a server. Heartbeats bring the next one if it is lost.
func (l *leader) push(s *server, v *ring.View) {
	l.w.deliver(0, s.id(), func() {
		if s.alive && s.view != nil {
			s.later(0, func() { s.adopt(v) })
		}
	})
}

// heartbeat notes that a server lives, and brings it up again when it was taken
// for dead.
func (l *leader) heartbeat(s *server, reported uint64) {
	if l.recovery != nil {
		l.askReport(s)
	}
	if !l.up {
		return
	}
	v := l.state.View()
	m := v.Member(s.id())
	if m == nil || m.Incarnation > s.disk.incarnation || s.view == nil {
		return
	}
	l.heard[s.id()] = l.w.now
	if !m.Up || m.Incarnation < s.disk.incarnation { // or its registration went with the view leader's data
		l.propose(roster.Command{Kind: roster.KindRegister, Register: vocab.Register{ID: s.disk.id, Store: s.disk.store,
			Instance: s.instance, Incarnation: s.disk.incarnation, Addr: m.Addr, Whole: true, Starts: s.disk.starts}}, nil)
	}
	if reported != 0 {
		l.w.deliver(0, s.id(), func() { s.thaw(reported, v) })
	}
	if s.view.Epoch < v.Epoch {
		l.push(s, v)
	}
}

// watch expires who is silent, and puts out who was down too long.
func (l *leader) watch() {
	l.w.after(100*time.Millisecond, l.watch)
	if !l.up {
		return
	}
	var silent []ring.Incarnated
	for _, m := range l.state.View().Members {
		quiet := l.w.now - l.heard[m.ID]
		if _, ok := l.heard[m.ID]; !ok {
			l.heard[m.ID] = l.w.now
			continue
		}
		if quiet > 900*time.Millisecond && (m.Up || l.actsSomewhere(m.ID)) {
			silent = append(silent, ring.Incarnated{ID: m.ID, Incarnation: m.Incarnation})
		}
		if quiet > 8*time.Second && !m.Up && m.Target() {
			l.propose(roster.Command{Kind: roster.KindOut, ID: m.ID}, nil)
		}
	}
	if len(silent) > 0 {
		l.propose(roster.Command{Kind: roster.KindExpire, Who: silent}, nil)
	}
}

// actsSomewhere reports whether a member acts where somebody else does too.
func (l *leader) actsSomewhere(id ring.ServerID) bool {
	return slices.ContainsFunc(l.state.View().Partitions, func(p ring.Partition) bool {
		return len(p.Acting) > 1 && p.IsActing(id)
	})
}

// request serves what a core asks of the view leader.
func (l *leader) request(s *server, q replica.LeaderRequest, then func(ok bool)) {
	if !l.up {
		return
	}
	cmd := roster.Command{Partition: q.Partition, Term: q.Term,
		From: ring.Incarnated{ID: s.id(), Incarnation: s.disk.incarnation}}
	for _, a := range q.Acting {
		cmd.Who = append(cmd.Who, ring.Incarnated(a))
	}
	switch q.Kind {
	case replica.AskConfirm:
		then(l.state.View().Partitions[q.Partition].Term == q.Term)
		return
	case replica.AskHandoff:
		cmd.Kind = roster.KindHandoff
		l.w.count("handoffs asked")
	case replica.AskEject:
		cmd.Kind = roster.KindEject
		l.w.count("ejects asked")
	case replica.AskRestore:
		cmd.Kind = roster.KindRestore
		l.w.count("restores asked")
	}
	l.propose(cmd, func(roster.Result, *ring.View) { then(true) })
}
