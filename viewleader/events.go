package viewleader

import (
	"slices"
	"sort"
	"strconv"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// events answers those who wait for what happens next.
type events struct {
	waiters
	kept []vocab.Event // oldest first; guarded by waiters.mu
}

// keptMax is how many events are kept here: a few times what the roster keeps, because the
// roster is asked for all of its events only when these are too many.
const keptMax = 4 * (roster.EventsMax + roster.LockEventsMax)

// publish answers everyone who waits for what is new.
func (e *events) publish(state *roster.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := uint64(0)
	if len(e.kept) > 0 {
		last = e.kept[len(e.kept)-1].Number
	}
	if e.kept = append(e.kept, state.Events(last)...); len(e.kept) > keptMax {
		e.kept = slices.Clone(state.Events(0))
	}
	e.answer(e.after)
}

// after encodes the events that are newer than since; nil: there is none. The
// caller holds mu.
func (e *events) after(since uint64) []byte {
	i := sort.Search(len(e.kept), func(i int) bool { return e.kept[i].Number > since })
	if i == len(e.kept) {
		return nil
	}
	return wire.AppendEvents(nil, e.kept[i:])
}

// wait answers r as soon as there is an event newer than since.
func (e *events) wait(r *reply, since uint64, wait time.Duration, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.add(r, since, wait, now, e.after)
}

func (c *conn) events(r *reply, args [][]byte) {
	since, err := strconv.ParseUint(string(args[0]), 10, 64)
	wait, werr := milliseconds(args[1])
	if err != nil || werr != nil {
		r.fail(wire.CodeErr, "want the number of an event and milliseconds")
		return
	}
	c.s.events.wait(r, since, wait, c.s.opts.Now())
}
