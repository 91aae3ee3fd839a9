package gateway

import "sync"

// queue is a session's commands without an answer, in order. The reading goroutine
// puts, waiting while there are too many; the writing one takes them one by one and
// says when each is over.
type queue struct {
	countMax int
	bytesMax int64

	mu    sync.Mutex
	more  sync.Cond // an item was put, or the queue ended
	room  sync.Cond // an item is over
	items []item
	head  int
	bytes int64
	ended bool
}

func newQueue(countMax int, bytesMax int64) *queue {
	q := &queue{countMax: countMax, bytesMax: bytesMax}
	q.more.L, q.room.L = &q.mu, &q.mu
	return q
}

// put adds an item; it reports whether it had to wait.
func (q *queue) put(it item) (waited bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := len(q.items) - q.head; n > 0 && (n >= q.countMax || q.bytes+it.bytes > q.bytesMax); n = len(q.items) - q.head {
		waited = true
		q.room.Wait()
	}
	q.items = append(q.items, it)
	q.bytes += it.bytes
	q.more.Signal()
	return waited
}

// end says that no more will come.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.more.Signal()
}

// front waits for the first item, which stays; ok is false after the last.
func (q *queue) front() (it item, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.items) {
		if q.ended {
			return item{}, false
		}
		q.more.Wait()
	}
	return q.items[q.head], true
}

// over removes the first item; it reports whether there are others.
func (q *queue) over() (others bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= q.items[q.head].bytes
	q.items[q.head] = item{}
	q.head++
	switch {
	case q.head == len(q.items):
		q.head, q.items = 0, q.items[:0]
		if cap(q.items) > queueKeep {
			q.items = nil
		}
	case q.head >= queueKeep:
		rest := copy(q.items, q.items[q.head:])
		clear(q.items[rest:])
		q.items, q.head = q.items[:rest], 0
	}
	q.room.Signal()
	return q.head < len(q.items)
}

// queueKeep is the length up to which a queue keeps its memory.
const queueKeep = 64
