package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// sessionRule is a set of bugs planted in how the two sides of a session go by its rule.
type sessionRule uint8

const (
	bugNewHeadHasty      sessionRule = 1 << iota // a new head counts silence from before it
	bugHeardWhenAnswered                         // a client counts from when it is answered
	bugPlaceTaken                                // who asks again just now is taken out of line
)

// fault is something that goes wrong with a client of locks.
func (l *locker) fault() {
	if l.w.calm || !l.alive || l.paused || l.cut {
		return
	}
	span := 50*time.Millisecond + l.h.upTo(5*time.Second)
	what := "pause"
	switch l.h.rng.IntN(3) {
	case 0:
		l.paused = true
		l.w.after(span, l.resume)
	case 1:
		what = "crash"
		l.crash()
		l.w.after(span, l.restart)
	default:
		what = "cut off"
		l.cut = true
		l.w.after(span, func() { l.cut = false })
	}
	l.w.count("fault lock client: " + what)
	l.w.note(global, "lock: %s: %s", l.name, what)
}

// resume goes on as if no time had passed: what it does under a lock, too.
func (l *locker) resume() {
	if !l.paused {
		return
	}
	l.paused = false
	stalled := l.stalled
	l.stalled = nil
	for _, do := range stalled {
		l.later(0, do)
	}
}

func (l *locker) crash() {
	l.life++
	l.alive = false
	l.giveUp()
	for _, h := range l.holds() {
		from := l.earliest()
		if h.place.session == 0 {
			from = h.over
		}
		l.lost(h, from)
	}
	l.held, l.session, l.stalled = nil, 0, nil
}

func (l *locker) restart() {
	l.alive = true
	l.name = fmt.Sprintf("c%d.%d", l.number, l.life)
	l.act()
}

// unconverged says what of locks is not over at the end.
func (h *lockHead) unconverged() string {
	for _, l := range h.lockers {
		if !l.idle {
			return fmt.Sprintf("%s is not done with its locks: session %d, %d held", l.name, l.session, len(l.held))
		}
	}
	if locks := h.w.leader.state.Locks(); len(locks) > 0 {
		return fmt.Sprintf("locks are left: %+v", locks)
	}
	return ""
}

// checkHistory is that each lock's operations have an order that explains them; beside
// what clients were told, there are the grants that nobody was told of.
func (h *lockHead) checkHistory() string {
	for _, token := range slices.Sorted(maps.Keys(h.shadow.untold)) {
		h.w.count("lock grants that nobody was told of")
		h.history.Add(*h.shadow.untold[token])
	}
	h.w.Counts["lock operations"] += h.history.Len()
	if err := h.history.Check(); err != nil {
		return err.Error()
	}
	return ""
}
