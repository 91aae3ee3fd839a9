package viewleader

import (
	"sync"
	"time"

	"viewring/internal/wire"
)

// waitMax bounds how long a question for what is newer may wait.
const waitMax = 10 * time.Minute

// waiters are those who wait for something newer than they have. Their mutex
// guards what they wait for as well.
type waiters struct {
	mu struct {
		sync.Mutex
		waiting map[*waiter]bool
	}
}

type waiter struct {
	since uint64
	until time.Time
	reply *reply
}

func (ws *waiters) init() { ws.mu.waiting = make(map[*waiter]bool) }

// answer gives everyone what is newer, where newer has something. The caller
// holds mu.
func (ws *waiters) answer(newer func(since uint64) []byte) {
	for w := range ws.mu.waiting {
		if b := newer(w.since); b != nil {
			delete(ws.mu.waiting, w)
			w.reply.bulk(b)
		}
	}
}

// add answers r at once, or has it wait. The caller holds mu.
func (ws *waiters) add(r *reply, since uint64, wait time.Duration, now time.Time, newer func(since uint64) []byte) {
	if b := newer(since); b != nil {
		r.bulk(b)
		return
	}
	if wait <= 0 {
		r.finish(func(w *wire.Writer) { w.WriteNil() })
		return
	}
	w := &waiter{since: since, until: now.Add(min(wait, waitMax)), reply: r}
	ws.mu.waiting[w] = true
	if !r.onEnd(func(bool) { ws.forget(w) }) {
		delete(ws.mu.waiting, w)
	}
}

func (ws *waiters) forget(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.mu.waiting, w)
}

// tick answers those whose time is over.
func (ws *waiters) tick(now time.Time) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.mu.waiting {
		if !now.Before(w.until) {
			delete(ws.mu.waiting, w)
			w.reply.finish(func(w *wire.Writer) { w.WriteNil() })
		}
	}
}

// dismiss answers everyone with what elsewhere says.
func (ws *waiters) dismiss(elsewhere func(*reply)) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.mu.waiting {
		delete(ws.mu.waiting, w)
		elsewhere(w.reply)
	}
}
