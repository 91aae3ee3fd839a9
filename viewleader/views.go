package viewleader

import (
	"time"

	"viewring/ring"
)

// views answers those who wait for a newer view. A delta is encoded once for
// all who have the same epoch.
type views struct {
	waiters // its mu guards what follows
	deltas  ring.Deltas
	encoded map[uint64][]byte // by the epoch that the receiver has
}

// publish answers everyone whose view is older.
func (v *views) publish(view *ring.View) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.deltas.Publish(view)
	v.encoded = make(map[uint64][]byte)
	v.answer(v.newer)
}

// newer returns the view for someone who has an older one, of epoch since; nil
// for who has this one. The caller holds mu.
func (v *views) newer(since uint64) []byte {
	if since >= v.deltas.View().Epoch {
		return nil
	}
	return v.encode(since)
}

// encode returns the view for someone who has the one of epoch since. The
// caller holds mu.
func (v *views) encode(since uint64) []byte {
	b, ok := v.encoded[since]
	if !ok {
		b = v.deltas.Append(nil, since)
		v.encoded[since] = b
	}
	return b
}

// whole returns the encoded view and its epoch.
func (v *views) whole() ([]byte, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.encode(0), v.deltas.View().Epoch
}

// wait answers r as soon as there is a view newer than since. Who has none and does
// not wait gets whatever there is.
func (v *views) wait(r *reply, since uint64, wait time.Duration, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if since == 0 && wait == 0 {
		r.bulk(v.encode(0))
		return
	}
	v.add(r, since, wait, now, v.newer)
}
