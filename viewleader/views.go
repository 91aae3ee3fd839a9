package viewleader

import (
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// viewsWaitMax bounds how long a VL.VIEW may wait.
const viewsWaitMax = 10 * time.Minute

// views answers those who wait for a newer view. A delta is encoded once for
// all who have the same epoch.
type views struct {
	mu struct {
		sync.Mutex
		view    *ring.View
		encoded map[uint64][]byte // by the epoch that the receiver has
		waiting map[*viewWaiter]bool
	}
}

type viewWaiter struct {
	since uint64
	until time.Time
	reply *reply
}

func (v *views) init() {
	v.mu.waiting = make(map[*viewWaiter]bool)
}

// publish answers everyone whose view is older.
func (v *views) publish(view *ring.View) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.view = view
	v.mu.encoded = make(map[uint64][]byte)
	for w := range v.mu.waiting {
		if w.since < view.Epoch {
			delete(v.mu.waiting, w)
			w.reply.bulk(v.encode(w.since))
		}
	}
}

// encode returns the view for someone who has the one of epoch since. The
// caller holds mu.
func (v *views) encode(since uint64) []byte {
	b, ok := v.mu.encoded[since]
	if !ok {
		b = ring.AppendView(nil, v.mu.view, since)
		v.mu.encoded[since] = b
	}
	return b
}

// whole returns the encoded view and its epoch.
func (v *views) whole() ([]byte, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.encode(0), v.mu.view.Epoch
}

// wait answers r as soon as there is a view newer than since.
func (v *views) wait(r *reply, since uint64, wait time.Duration, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case since < v.mu.view.Epoch || (since == 0 && wait == 0):
		r.bulk(v.encode(since))
	case wait <= 0:
		r.finish(func(w *wire.Writer) { w.WriteNil() })
	default:
		w := &viewWaiter{since: since, until: now.Add(min(wait, viewsWaitMax)), reply: r}
		v.mu.waiting[w] = true
		if !r.onEnd(func(bool) { v.forget(w) }) {
			delete(v.mu.waiting, w)
		}
	}
}

func (v *views) forget(w *viewWaiter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.mu.waiting, w)
}

// tick answers those whose time is over.
func (v *views) tick(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for w := range v.mu.waiting {
		if !now.Before(w.until) {
			delete(v.mu.waiting, w)
			w.reply.finish(func(w *wire.Writer) { w.WriteNil() })
		}
	}
}
