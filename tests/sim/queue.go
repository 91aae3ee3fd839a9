package sim

import "time"

// event is something that happens at a time. What a server does happens in the
// life in which it was planned, or not at all, and not while it is paused.
type event struct {
	do   func()
	s    *server // nil: the world's own
	life int
}

// queue orders events by time, and by the order of planning within one. It is
// a 4-ary heap of small entries without pointers, the events lie beside it:
// the scheduler is what a simulation spends its time in.
type queue struct {
	heap   []entry
	events []event
	free   []uint32
	seq    uint64
}

type entry struct {
	at  time.Duration
	seq uint64 // of planning, in the upper bits; index into events in the lower
}

const indexBits = 24

func (a entry) before(b entry) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (q *queue) len() int { return len(q.heap) }

func (q *queue) clear() { *q = queue{seq: q.seq} }

func (q *queue) push(at time.Duration, e event) {
	var i uint32
	if n := len(q.free); n > 0 {
		i, q.free = q.free[n-1], q.free[:n-1]
		q.events[i] = e
	} else {
		i = uint32(len(q.events))
		q.events = append(q.events, e)
	}
	q.seq++
	x := entry{at, q.seq<<indexBits | uint64(i)}
	q.heap = append(q.heap, x)
	h, c := q.heap, len(q.heap)-1
	for c > 0 {
		p := (c - 1) / 4
		if !x.before(h[p]) {
			break
		}
		h[c], c = h[p], p
	}
	h[c] = x
}

// pop takes the next event off and says when it happens.
func (q *queue) pop() (time.Duration, uint64, event) {
	top := q.heap[0]
	n := len(q.heap) - 1
	x := q.heap[n]
	q.heap = q.heap[:n]
	if n > 0 {
		q.sift(x)
	}
	i := uint32(top.seq & (1<<indexBits - 1))
	e := q.events[i]
	q.events[i] = event{}
	q.free = append(q.free, i)
	return top.at, top.seq >> indexBits, e
}

// sift puts x where it belongs, from the top.
func (q *queue) sift(x entry) {
	h, p := q.heap, 0
	for {
		c := 4*p + 1
		if c >= len(h) {
			break
		}
		for d := c + 1; d < len(h) && d < 4*p+5; d++ {
			if h[d].before(h[c]) {
				c = d
			}
		}
		if !h[c].before(x) {
			break
		}
		h[p], p = h[c], c
	}
	h[p] = x
}
