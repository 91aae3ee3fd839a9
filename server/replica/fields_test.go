package replica

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// brokenFields returns which of the invariants do not hold that stand beside the fields of
// a core's parts, primaries, readers, learners and repairers. A rig looks after each turn.
func brokenFields(c *Core) (broken []string) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	check(slices.IsSortedFunc(c.marks, func(a, b mark) int { return int(a.number) - int(b.number) }), "marks out of order")
	check(len(c.turns) <= turnsMax, "%d turns", len(c.turns))
	for _, p := range c.parts {
		if p.view == nil {
			continue
		}
		head := p.log.last.Seq
		check(p.commit <= head && p.floor <= head && p.durable <= head, "commit %d, floor %d, durable %d of a log of %d", p.commit, p.floor, p.durable, head)
		check(p.resetTerm <= p.view.ResetTerm, "reset term %d, the view has %d", p.resetTerm, p.view.ResetTerm)
		unsynced := 0
		for _, k := range c.marks {
			if k.p == p {
				unsynced++
			}
		}
		check(p.unsynced == unsynced, "unsynced %d, there are %d marks", p.unsynced, unsynced)
		check(p.dirty == slices.Contains(c.dirty, p), "dirty %v", p.dirty)
		check(p.sending == slices.Contains(c.toSend, p), "sending %v", p.sending)
		check(p.term == p.view.Term && p.role == p.roleIn(), "term %d, role %d, the view has %d, %d", p.term, p.role, p.view.Term, p.roleIn())
		check(p.lead == nil || p.role == rolePrimary, "a primary in role %d", p.role)
		check(p.learn == nil || p.role == roleLearner, "a learner in role %d", p.role)
		check(!p.fedOpen || c.feeding && p.lead != nil, "the feed says that role %d serves", p.role)
		check(p.fedOpen || !c.feeding || p.lead == nil || p.lead.phase != active, "the feed does not say that the primary serves")
		check(len(p.held) <= heldPagesMax, "%d pages held", len(p.held))
		check(slices.IsSortedFunc(p.waiting, func(a, b waitingWrite) int { return int(a.seq) - int(b.seq) }), "waiting writes out of order")
		check(len(p.waiting) == 0 || p.isActing() && p.waiting[len(p.waiting)-1].seq <= head, "%d answers are owed in role %d, at a log of %d", len(p.waiting), p.role, head)
		repairs := len(p.repairer.repairs)
		check(repairs == 0 || repairs <= repairsMax && p.state == whole && p.isActing(), "%d repairs, the copy is %v, role %d", repairs, p.state, p.role)
		for k, rp := range p.repairer.repairs {
			check((rp.answer != nil) == (rp.phase == repairHolding), "the repair of %v is %v, answer %v", k, rp.phase, rp.answer)
			check(len(rp.waiting) == 0 || p.lead != nil, "%d requests wait for %v at a backup", len(rp.waiting), k)
		}
		if p.lead != nil {
			brokenPrimary(p.lead, check)
		}
		if l := p.learn; l != nil {
			check(l.phase != copying || l.log == &p.log, "a learner that is copying, elsewhere")
			check(l.phase != staging || l.log == &l.stagedLog, "a learner that is staging, elsewhere")
		}
	}
	return broken
}

// brokenPrimary is brokenFields for a primary and its reader.
func brokenPrimary(l *primary, check func(ok bool, format string, args ...any)) {
	p := l.part
	ordered := slices.IsSortedFunc(l.followers, func(a, b *follower) int { return int(a.id) - int(b.id) })
	acting := 0
	for _, f := range l.followers {
		if f.acting() {
			acting++
		}
		if l.phase != reconciling {
			tail := !f.acting() && !p.enoughCopies()
			check((f.match < f.next || tail) && f.next <= p.log.last.Seq+1 && f.told <= p.commit, "%v has %d, gets %d next and knows commit %d", f.id, f.match, f.next, f.told)
			check(!f.acting() || f.state != nil, "%v acts, and its State is not known", f.id)
		}
		check(f.acting() || l.serves(), "a learner follows a primary that is %v", l.phase)
		check(!l.serves() || !f.joint() || f.match+1 >= l.windowFirst || l.phase == mute, "%v needs what is before the window", f.id)
	}
	check(ordered && acting == len(p.view.Acting)-1, "%d acting followers, in order: %v", acting, ordered)
	bytes, flight := 0, 0
	for i, e := range l.window {
		check(e.Version.Seq == l.windowFirst+uint64(i), "entry %v at %d of a window from %d on", e.Version, i, l.windowFirst)
		bytes += e.size()
		if e.Version.Seq > p.commit {
			flight += e.size()
		}
	}
	check(len(l.window) == 0 || l.windowFirst+uint64(len(l.window)) == p.log.last.Seq+1, "a window of %d from %d on, the log ends at %d", len(l.window), l.windowFirst, p.log.last.Seq)
	check(l.windowBytes == bytes && l.flightBytes == flight, "bytes in the window %d and in flight %d, of %d and %d", l.windowBytes, l.flightBytes, bytes, flight)
	for k, seq := range l.pending {
		check(p.commit < seq && seq <= p.log.last.Seq, "%v pends at %d, commit %d, log %d", k, seq, p.commit, p.log.last.Seq)
	}
	check(!l.serves() || l.records != nil, "a primary that serves without records")
	brokenWatchers(&l.watchers, check)
	rd := &l.reads
	check(len(rd.asks) == 0 || len(rd.question) > 0, "%d reads ask, and there is no question", len(rd.asks))
	for k, waiting := range rd.blocked {
		for _, r := range waiting {
			check(r.after > p.commit && r.phase == readBlocked, "a read of %v waits for %d, %d is committed", k, r.after, p.commit)
		}
	}
}

// brokenWatchers is brokenFields for the watches of a primary.
func brokenWatchers(ws *watchers, check func(ok bool, format string, args ...any)) {
	waiting, live, listed := 0, 0, 0
	for token, w := range ws.all {
		check(token == w.Token && w.phase != watchOver, "watch %d is %v", token, w.phase)
		check(w.told <= ws.part.commit || w.phase != watchReplays, "watch %d was told %d, %d is committed", token, w.told, ws.part.commit)
		check(w.said <= ws.part.commit || w.phase == watchWaiting, "watch %d was said %d, %d is committed", token, w.said, ws.part.commit)
		check(len(w.group) == 0, "watch %d is being told of an entry", token)
		switch w.phase {
		case watchWaiting:
			waiting++
		case watchLive:
			live++
		}
	}
	for _, list := range ws.byKey {
		listed += len(list)
	}
	if ws.byPrefix != nil {
		ws.byPrefix.Walk(func(_ string, list any) bool {
			listed += len(list.([]*watcher))
			return false
		})
	}
	ordered := 0
	for _, w := range ws.order {
		if w.phase == watchOver {
			continue
		}
		ordered++
	}
	check(ordered == len(ws.all), "%d watches in order, there are %d", ordered, len(ws.all))
	check(waiting == ws.waiting && live == listed, "%d watches wait and %d are live, counted %d and listed %d", waiting, live, ws.waiting, listed)
}

// TestFieldsAreChecked: a field that breaks its invariant is found.
func TestFieldsAreChecked(t *testing.T) {
	for what, spoil := range map[string]func(p *part){
		"commit":        func(p *part) { p.commit = p.log.last.Seq + 1 },
		"durable":       func(p *part) { p.durable = p.log.last.Seq + 1 },
		"reset term":    func(p *part) { p.resetTerm = 7 },
		"unsynced":      func(p *part) { p.unsynced++ },
		"dirty":         func(p *part) { p.dirty = true },
		"sending":       func(p *part) { p.sending = true },
		"marks out":     func(p *part) { p.core.marks = []mark{{number: 2}, {number: 1}} },
		"term":          func(p *part) { p.term++ },
		"a learner in":  func(p *part) { p.learn = &learner{} },
		"repairs":       func(p *part) { p.state, p.repairer.repairs = absent, map[Key]*repair{"k": {}} },
		"acting follow": func(p *part) { p.lead.followers = nil },
		"window":        func(p *part) { p.lead.windowFirst++ },
		"are owed":      func(p *part) { p.waiting[0].seq = p.log.last.Seq + 1 },
		"in flight":     func(p *part) { p.lead.flightBytes++ },
		"pends":         func(p *part) { p.lead.pending["k"] = p.commit },
		"records":       func(p *part) { p.lead.records = nil },
		"is over":       func(p *part) { p.lead.watchers.all[7].phase = watchOver },
		"in order":      func(p *part) { p.lead.watchers.order = nil },
		"watches wait":  func(p *part) { p.lead.watchers.waiting++ },
		"was told":      func(p *part) { w := p.lead.watchers.all[7]; w.phase, w.told = watchReplays, p.commit+1 },
		"was said":      func(p *part) { p.lead.watchers.all[7].said = p.commit + 1 },
		"ask":           func(p *part) { p.lead.reads.asks = make([]Read, 1) },
		"waits for":     func(p *part) { p.lead.reads.blocked["k"] = make([]Read, 1) },
	} {
		r := acting(t, 2, 1)
		r.drop = lost(MsgAck)
		r.watch(1, Watch{Token: 7, Now: true, Space: SpaceUser, Prefix: "k"})
		r.write(1, Request{Op: OpSet, Key: name("k")})
		r.run()
		c := r.host(1).core
		if broken := brokenFields(c); broken != nil {
			t.Fatalf("%q before", broken)
		}
		spoil(c.part(0))
		if broken := brokenFields(c); !strings.Contains(strings.Join(broken, "\n"), what) {
			t.Errorf("%s: found %q", what, broken)
		}
	}
}
