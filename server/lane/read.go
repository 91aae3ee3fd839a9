package lane

import (
	"viewring/ring"
	"viewring/server/replica"
)

// ReadFirst answers the first of some reads (Event.IsRead), up to one that can't be, and
// returns how many they are.
func (l *Lane) ReadFirst(events []Event) (n int) {
	if !l.turn.TryLock() {
		return 0
	}
	defer l.turn.Unlock()
	if l.failed {
		return 0
	}
	at := l.now()
	for n < len(events) {
		c := events[n].call
		r, _ := c.ToRead()
		a, ok := l.core.ReadNow(at, r.Partition, r.Key, r.Cut)
		if !ok {
			break
		}
		c.Complete(a)
		n++
	}
	return n
}

// LookNow looks at the core as the Look of a call of Looked does, if the lane is not in the middle of something.
func (l *Lane) LookNow(look func(*replica.Core) (replica.Answer, bool)) (a replica.Answer, ok bool) {
	if !l.turn.TryLock() {
		return a, false
	}
	defer l.turn.Unlock()
	if l.failed {
		return a, false
	}
	return look(l.core)
}

// ReadNow reads a key, or with a cut a part of its value, if the lane is not in the middle
// of something and the core can answer at once. One look at the lease will do: it holds at
// an instant after the request came, and nothing changes here between that instant and
// the reading, so the read takes place at it.
func (l *Lane) ReadNow(p ring.PartitionID, key replica.Key, cut replica.Cut) (a replica.Answer, ok bool) {
	if !l.turn.TryLock() {
		return a, false
	}
	defer l.turn.Unlock()
	if l.failed {
		return a, false
	}
	return l.core.ReadNow(l.now(), p, key, cut)
}
