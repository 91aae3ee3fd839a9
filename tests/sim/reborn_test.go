package sim

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

// TestReborn plays worlds in which, beside all other faults, every acting replica
// of a partition dies, an operator gives up what it held, and the dead return
// with their old copies. To the history that is a delete of all its keys; all
// checks stay, and nothing of the old copies may be seen again.
func TestReborn(t *testing.T) {
	seeds := envInt(t, "VIEWRING_SIM_SEEDS", 60)
	first := envInt(t, "VIEWRING_SIM_SEED_FIRST", 1)
	born := 0
	for seed := first; seed < first+seeds; seed++ {
		n, why := runReborn(seed)
		if born += n; why != "" {
			t.Errorf("seed %d: %s", seed, why)
		}
	}
	t.Logf("%d partitions were made anew in %d seeds", born, seeds)
	if born < int(seeds)/4 {
		t.Errorf("only %d partitions were made anew", born)
	}
}

// loss is an operator who gives up partitions of a world.
type loss struct {
	w    *world
	born int
	dead []*server // whose return this operator decides
}

func runReborn(seed uint64) (born int, violation string) {
	w := newWorld(seed, Options{Servers: 4 + int(seed%2), Once: true, Trace: os.Getenv("VIEWRING_SIM_TRACE") != ""})
	l := &loss{w: w}
	defer func() {
		if r := w.result(violation); w.opt.Trace {
			fmt.Println(r.Trace(anyPartition, 0))
		}
	}()
	defer func() {
		if r := recover(); r != nil {
			born, violation = l.born, fmt.Sprintf("%v\n%s", r, debug.Stack())
		}
	}()
	for range 3 {
		w.after(3*time.Second+time.Duration(w.rng.Int64N(int64(12*time.Second))), l.begin)
	}
	w.after(5*time.Second, l.sweep)
	w.run()
	switch {
	case !w.settled:
		return l.born, "not converged: " + w.unsettled()
	case w.queue.len() > 0:
		return l.born, "the last reads were not answered"
	}
	return l.born, w.checkHistory()
}

// begin kills whoever acts for a partition of a key, and then some operator's
// patience is put to the test.
func (l *loss) begin() {
	w := l.w
	if w.calm || len(l.dead) > 0 {
		return
	}
	p := w.partitionOf(hotKeys[w.rng.IntN(len(hotKeys))])
	for _, id := range w.leader.state.View().Partitions[p].Acting {
		if s := w.byID(id); s != nil && !s.gone {
			s.crash()
			l.dead = append(l.dead, s)
		}
	}
	l.await(p, w.now+6*time.Second)
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
	dead := !slices.ContainsFunc(v.Partitions[p].Acting, func(id ring.ServerID) bool { return w.byID(id).alive })
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
	asked, before := w.now, w.leader.state.View().Partitions[p].Reborn
	over := false
	look := func(refused bool) {
		reborn := w.leader.state.View().Partitions[p].Reborn
		if over || reborn == before && !refused {
			return
		}
		over = true
		if reborn > before {
			l.born++
			w.note(int(p), "partition %d is given up in term %d", p, reborn)
			l.forget(p, reborn, asked)
		}
		then(reborn > before)
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
		if l.w.leader.up && v.Partitions[p].Reborn > 0 && v.Unserved(p) && len(v.Holders(p)) == 0 {
			l.giveUp(p, func(bool) {})
		}
	}
	l.w.after(5*time.Second, l.sweep)
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
		if op.in.key == end.in.key && op.in.op != 0 && op.done == never && op.client < 100 {
			first = append(first, &record{client: 200 + l.born, in: op.in, call: op.call, done: end.done})
		}
	}
	return first
}

// forget makes the rebirth part of the history: the keys go at some time from
// when it was asked for until the new term is served.
func (l *loss) forget(p ring.PartitionID, term uint64, asked time.Duration) {
	w := l.w
	w.acked[p], w.agreed[p] = replica.Version{}, 0
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
