package sim

import (
	"time"

	"viewring/viewleader/roster"
)

// primaryOf draws a primary that runs and does not act alone, and what leads to it
// from all others, the view leader included, and away from it.
func (w *world) primaryOf() (s *server, to, from []link) {
	p := &w.leader.state.View().Partitions[w.rng.IntN(w.partitions)]
	s = w.byID(p.Primary())
	if s == nil || !s.alive || len(p.Acting) < 2 {
		return nil, nil, nil
	}
	for _, o := range w.servers {
		if o != s && o.id() != 0 {
			to, from = append(to, link{o.id(), s.id()}), append(from, link{s.id(), o.id()})
		}
	}
	return s, append(to, link{0, s.id()}), append(from, link{s.id(), 0})
}

// latePromises makes promises to a primary take long, up to more than L, and cuts it
// off while some are on the way, when others are to follow it: who counts a promise
// from when it came takes itself for leased until long after they do.
func (w *world) latePromises() bool {
	s, to, from := w.primaryOf()
	if s == nil {
		return false
	}
	for _, l := range to[:len(to)-1] {
		w.slow[l] = true
	}
	w.after(w.between(300*time.Millisecond, 1500*time.Millisecond), func() {
		for _, l := range to {
			delete(w.slow, l)
		}
		if w.cutFor(append(to, from...), 2500*time.Millisecond) {
			w.expire(s.id())
		}
	})
	return true
}

// How short a lease gets, and for how long.
const (
	leaseShort    = 100 * time.Millisecond
	leaseShortFor = 2500 * time.Millisecond
)

// shortenLease makes the lease short while a primary hears nothing any more, and has
// others follow it: they have promised for longer before, maybe in another process, and
// it counts on that.
func (w *world) shortenLease() bool {
	s, to, _ := w.primaryOf()
	if s == nil || !w.cutFor(to, leaseShortFor) {
		return false
	}
	set := func(ttl time.Duration) {
		w.command(roster.Command{Kind: roster.KindConfigure, MinCopies: int(w.leader.state.View().MinCopies), LeaseTTL: ttl})
	}
	set(leaseShort)
	w.after(w.between(160*time.Millisecond, 400*time.Millisecond), func() {
		if w.chance(0.4) {
			for _, o := range w.servers {
				if o != s {
					w.crashFor(o, 10*time.Millisecond)
				}
			}
		}
		w.expire(s.id())
	})
	w.after(leaseShortFor, func() { set(leaseTTL) })
	return true
}
