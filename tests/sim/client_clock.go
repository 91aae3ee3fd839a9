package sim

import "time"

// clockAheadMax is how far ahead a client's clock may be.
const clockAheadMax = 5 * time.Second

// jumpClient sets a client's clock ahead, and a while later back: then it does little,
// and its requests of before come again.
func (w *world) jumpClient() bool {
	c := w.clients[w.rng.IntN(len(w.clients))]
	if c.ahead || c.stubborn || w.calm {
		return false
	}
	c.ahead = true
	c.clock = 2*time.Second + time.Duration(w.rng.Int64N(int64(clockAheadMax-2*time.Second)))
	w.after(w.between(200*time.Millisecond, 2*time.Second), func() {
		c.ahead = false
		c.clock = -time.Duration(w.rng.Int64N(int64(2 * time.Second)))
		w.after(w.between(50*time.Millisecond, time.Second), func() {
			c.sleeps = w.now + 2*time.Second + time.Duration(w.rng.Int64N(int64(2*time.Second)))
		})
	})
	return true
}
