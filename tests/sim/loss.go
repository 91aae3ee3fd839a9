package sim

import (
	"slices"
	"time"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

// loss is an operator who gives up partitions of a world: beside all other faults,
// every acting replica of a partition dies, what it held is given up, and the dead
// return with their old copies. To the history that is a delete of all its keys; all
// checks stay, and nothing of the old copies may be seen again.
type loss struct {
	w        *world
	born     int
	stranded ring.ServerID // who was its primary and has not heard of it
	dead     []*server     // whose return this operator decides
	over     time.Duration // when what began last is over, at the latest
}

// schedule plans what this operator lives through.
func (l *loss) schedule() {
	w := l.w
	w.after(time.Second+time.Duration(w.rng.Int64N(int64(time.Second))), l.begin) // logs are short then
	for range 2 {
		w.after(3*time.Second+time.Duration(w.rng.Int64N(int64(12*time.Second))), l.begin)
	}
	w.after(5*time.Second, l.sweep)
}

// begin kills whoever acts for a partition of a key, and then some operator's
// patience is put to the test.
func (l *loss) begin() {
	w := l.w
	if w.calm || len(l.dead) > 0 || l.over > w.now {
		return
	}
	l.over = w.now + 7*time.Second
	p := w.partitionOf(hotKeys[w.rng.IntN(len(hotKeys))])
	acting := w.leader.state.View().Partitions[p].Acting
	if len(acting) > 1 && w.chance(0.8) {
		if primary := w.byID(acting[0]); primary != nil && primary.alive {
			l.strand(primary)
			acting = acting[1:]
		}
	}
	w.after(w.between(0, 300*time.Millisecond), func() {
		for _, id := range acting {
			if s := w.byID(id); s != nil && !s.gone {
				s.crash()
				l.dead = append(l.dead, s)
			}
		}
		l.await(p, w.now+6*time.Second)
	})
}

// strand takes a primary for dead and lets it come back without a word of it: its
// heartbeats arrive, and no view. It may be who the new life begins with.
func (l *loss) strand(s *server) {
	w := l.w
	links := []link{{0, s.id()}}
	for _, o := range w.servers {
		links = append(links, link{s.id(), o.id()}, link{o.id(), s.id()})
	}
	w.cutFor(links, 4*time.Second)
	w.expire(s.id())
	l.stranded = s.id()
}

// await gives p up once it is out of service, and lets the dead return.
func (l *loss) await(p ring.PartitionID, until time.Duration) {
	w := l.w
	v := w.leader.state.View()
	if w.calm || w.now > until {
		l.release()
		return
	}
	// What an operator must make sure of: who acts is dead, not only cut off.
	dead := !slices.ContainsFunc(v.Partitions[p].Acting, func(id ring.ServerID) bool { s := w.byID(id); return s != nil && s.alive })
	if !v.Unserved(p) || !dead || !w.leader.up {
		w.after(100*time.Millisecond, func() { l.await(p, until) })
		return
	}
	l.giveUp(p, func(done bool) {
		if done {
			l.release()
		} else {
			w.after(100*time.Millisecond, func() { l.await(p, until) })
		}
	})
}

// giveUp proposes to give p up. The answer may be lost with a view leader that
// fails over, so the views are looked at, too.
func (l *loss) giveUp(p ring.PartitionID, then func(done bool)) {
	w := l.w
	asked, before := w.now, w.leader.state.View().Partitions[p].ResetTerm
	over := false
	look := func(refused bool) {
		reset := w.leader.state.View().Partitions[p].ResetTerm
		if over || reset == before && !refused {
			return
		}
		over = true
		if reset > before {
			l.born++
			w.count("partitions given up")
			if w.leader.state.View().Partitions[p].Primary() == l.stranded {
				w.count("partition begins anew where it was")
			}
			w.note(int(p), "partition %d is given up in term %d", p, reset)
			l.forget(p, reset, asked)
		}
		then(reset > before)
	}
	w.leader.propose(roster.Command{Kind: roster.KindAcceptLoss, Partitions: []ring.PartitionID{p}}, func(r roster.Result, _ *ring.View) {
		look(r.Code != roster.Done)
	})
	var again func()
	again = func() {
		look(w.now-asked > 4*time.Second)
		if !over {
			w.after(20*time.Millisecond, again)
		}
	}
	again()
}

// sweep gives up what nobody can bring back any more: the only replica of a new
// life came back without its data.
func (l *loss) sweep() {
	v := l.w.leader.state.View()
	for i := range v.Partitions {
		p := ring.PartitionID(i)
		if l.w.leader.up && v.Partitions[p].ResetTerm > 0 && v.Unserved(p) && len(v.Holders(p)) == 0 {
			l.giveUp(p, func(bool) {})
		}
	}
	l.w.after(5*time.Second, l.sweep)
}

// concede gives up, after the faults, what was lost while one copy was enough to
// acknowledge: its disk was rolled back, and the others failed before that was seen.
// The view leader took the dead one for the last that could write. Or the view leader's
// data was lost after such a disk: those that could be restored are not believed then.
func (w *world) concede() {
	v := w.leader.state.View()
	for i := range v.Partitions {
		p := ring.PartitionID(i)
		if !w.leader.up || !w.rolled[p] || !v.Unserved(p) {
			continue
		}
		if alone := v.Partitions[i].MinCopies == 1 && len(v.Holders(p)) == 0; !alone && !w.forsaken[p] {
			continue
		}
		if w.loss == nil {
			w.loss = &loss{w: w}
		}
		w.loss.giveUp(p, func(bool) {})
	}
	w.after(3*time.Second, w.concede)
}

func (l *loss) release() {
	for _, s := range l.dead {
		l.w.after(l.w.between(0, 5*time.Second), s.start)
	}
	l.dead = nil
}

// underWay lists what may have been done to a key before it was given up, by
// requests that are still without an answer: their records are gone with it, so
// a retry is done again. Once in each life is all that is promised.
func (l *loss) underWay(end *record) []*record {
	var first []*record
	for _, op := range l.w.history {
		if op.in.key == end.in.key && op.in.op != 0 && op.done == never && !op.refused && op.client < 100 {
			first = append(first, &record{client: 200 + l.born, in: op.in, call: op.call, done: end.done})
		}
	}
	return first
}

// forget makes the rebirth part of the history: the keys go at some time from
// when it was asked for until the new term is served.
func (l *loss) forget(p ring.PartitionID, term uint64, asked time.Duration) {
	w := l.w
	w.acked[p], w.agreed[p], w.locks.noted[p] = replica.Version{}, 0, note{}
	var ends []*record
	for _, key := range hotKeys {
		if w.partitionOf(key) == p {
			ends = append(ends, &record{client: 100 + l.born, in: input{op: replica.OpDelete, key: key}, call: asked, done: never})
		}
	}
	var served func()
	served = func() {
		if w.newest[p] < term {
			w.after(time.Millisecond, served)
			return
		}
		for _, end := range ends {
			end.done = w.now
			w.history = append(w.history, l.underWay(end)...)
			w.history = append(w.history, end)
		}
	}
	served()
}
