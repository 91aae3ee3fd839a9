package roster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"viewring/viewleader/vocab"
)

// Cycle is a deadlock: each waits for the next, the last for the first.
type Cycle []vocab.LockWait

// String tells a cycle in words.
func (c Cycle) String() string {
	steps := make([]string, len(c))
	for i, w := range c {
		how := "held by"
		if w.Behind {
			how = "after"
		}
		steps[i] = fmt.Sprintf("%q waits for %q %s %q", w.Client, w.Lock, how, w.For)
	}
	return strings.Join(steps, ", ")
}

// Deadlocks returns the cycles that there are: those of waiters that wait although they
// closed one.
func (s *State) Deadlocks() [][]vocab.LockWait {
	var cycles [][]vocab.LockWait
	known := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(s.locks.held)) {
		for pos, w := range s.locks.held[name].Waiters {
			if !w.WaitInDeadlock {
				continue
			}
			cycle := s.locks.cycle(name, w.owner, w.Shared, pos)
			if cycle == nil {
				continue // somebody gave way
			}
			steps := strings.Split(cycle.String(), ", ")
			slices.Sort(steps)
			if key := strings.Join(steps, ", "); !known[key] {
				known[key] = true
				cycles = append(cycles, cycle)
			}
		}
	}
	return cycles
}

// search walks the wait-for graph (Holt 1972), breadth first. It looks at each place of
// each queue once, so that long queues cost no more than their length.
type search struct {
	t      *lockTable
	goal   owner
	steps  []searchStep
	seen   map[owner]bool
	queues map[string]*searched
}

// searchStep is somebody who is waited for, and by whom.
type searchStep struct {
	who    owner
	by     int // index in steps
	lock   string
	behind bool
	pos    int // of who in the queue of lock, where behind
}

// searched says how far a lock's queue was looked at.
type searched struct {
	holders        bool
	all, exclusive int // places
}

// cycle returns how me would wait for itself if it waited at place pos of the queue
// of a lock; nil when it would not. A writer waits for the holders of the lock and for
// everyone before it in the queue; a reader only for the writers among them. Edges appear
// only with a new waiter: a grant only makes a holder of a waiter for whom others waited
// already.
func (t *lockTable) cycle(name string, me owner, shared bool, pos int) Cycle {
	if !t.inTheWay(me) {
		return nil
	}
	s := &search{t: t, goal: me, steps: []searchStep{{who: me}}, seen: make(map[owner]bool), queues: make(map[string]*searched)}
	if c := s.look(0, name, pos, shared); c != nil {
		return c
	}
	for i := 1; i < len(s.steps); i++ {
		who := s.steps[i].who
		for _, name := range t.waiting[who] {
			queue, pos := t.held[name].Waiters, s.steps[i].pos
			if !s.steps[i].behind || s.steps[i].lock != name {
				pos = slices.IndexFunc(queue, func(w waiter) bool { return w.owner == who })
			}
			if c := s.look(i, name, pos, queue[pos].Shared); c != nil {
				return c
			}
		}
	}
	return nil
}

// inTheWay reports whether somebody may wait for o: most waiters hold nothing that others
// want.
func (t *lockTable) inTheWay(o owner) bool {
	for name := range t.holds[o] {
		if len(t.held[name].Waiters) > 0 {
			return true
		}
	}
	return len(t.waiting[o]) > 0
}

// look adds those for whom step i waits at a place in a queue.
func (s *search) look(i int, name string, pos int, shared bool) Cycle {
	l, queue := s.t.held[name], s.queues[name]
	if queue == nil {
		queue = &searched{}
		s.queues[name] = queue
	}
	if !queue.holders && (!shared || !l.Shared) {
		queue.holders = true
		for _, h := range l.Holders {
			if c := s.add(searchStep{who: h.owner, by: i, lock: name}, h.Lost); c != nil {
				return c
			}
		}
	}
	from := &queue.all
	if shared {
		from = &queue.exclusive
	}
	for ; *from < pos; *from++ {
		w := &l.Waiters[*from]
		if c := s.add(searchStep{who: w.owner, by: i, lock: name, behind: true, pos: *from}, shared && w.Shared); c != nil {
			return c
		}
	}
	return nil
}

// add goes on from a step, once; it returns the cycle when the step is the last.
func (s *search) add(step searchStep, skip bool) Cycle {
	switch {
	case skip || s.seen[step.who]:
		return nil
	case step.who != s.goal:
		s.seen[step.who] = true
		s.steps = append(s.steps, step)
		return nil
	}
	var cycle Cycle
	for {
		by := s.steps[step.by]
		cycle = append(cycle, vocab.LockWait{Client: by.who.Client, Session: by.who.Session, Lock: step.lock, For: step.who.Client, Behind: step.behind})
		if step.by == 0 {
			slices.Reverse(cycle)
			return cycle
		}
		step = by
	}
}
