package viewleader

import (
	"strconv"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// events answers those who wait for what happens next.
type events struct {
	mu struct {
		sync.Mutex
		kept    []roster.Event // oldest first; never written to
		waiting map[*eventWaiter]bool
	}
}

type eventWaiter struct {
	since uint64
	until time.Time
	reply *reply
}

func (e *events) init() { e.mu.waiting = make(map[*eventWaiter]bool) }

// publish answers everyone who waits for one of these.
func (e *events) publish(kept []roster.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.kept = kept
	for w := range e.mu.waiting {
		if b := e.after(w.since); b != nil {
			delete(e.mu.waiting, w)
			w.reply.bulk(b)
		}
	}
}

// after encodes the events that are newer than since; nil: there is none. The
// caller holds mu.
func (e *events) after(since uint64) []byte {
	var list []wire.Event
	for i := range e.mu.kept {
		if v := &e.mu.kept[i]; v.Number > since {
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
	if b := e.after(since); b != nil {
		r.bulk(b)
		return
	}
	if wait <= 0 {
		r.finish(func(w *wire.Writer) { w.WriteNil() })
		return
	}
	w := &eventWaiter{since: since, until: now.Add(min(wait, viewsWaitMax)), reply: r}
	e.mu.waiting[w] = true
	if !r.onEnd(func(bool) { e.forget(w) }) {
		delete(e.mu.waiting, w)
	}
}

func (e *events) forget(w *eventWaiter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.mu.waiting, w)
}

// tick answers those whose time is over.
func (e *events) tick(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.mu.waiting {
		if !now.Before(w.until) {
			delete(e.mu.waiting, w)
			w.reply.finish(func(w *wire.Writer) { w.WriteNil() })
		}
	}
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
