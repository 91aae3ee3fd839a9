package viewleader

import (
	"strconv"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// events answers those who wait for what happens next.
type events struct {
	waiters
	kept []roster.Event // oldest first; never written to; guarded by waiters.mu
}

// publish answers everyone who waits for one of these.
func (e *events) publish(kept []roster.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = kept
	e.answer(e.after)
}

// after encodes the events that are newer than since; nil: there is none. The
// caller holds mu.
func (e *events) after(since uint64) []byte {
	var list []wire.Event
	for i := range e.kept {
		if v := &e.kept[i]; v.Number > since {
			list = append(list, wire.Event{Number: v.Number, Epoch: v.Epoch, At: time.UnixMilli(v.At),
				Kind: v.Kind.String(), Server: v.Server, Detail: v.Detail})
		}
	}
	if list == nil {
		return nil
	}
	return wire.AppendEvents(nil, list)
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
