package bubble

import "time"

// crash is how a process ends that is not told to.
type crash struct {
	silent  bool // its machine goes with it
	percent int  // of what it had not synced that stays
	after   int  // operations on the disk
	with    []*node
}

// crash ends the process at once, or in the midst of its work on the disk when it
// has done some more there: all but the syncs takes no time on the virtual clock, so
// that most other moments are quiet ones.
func (n *node) crash(c crash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up {
		return
	}
	if c.after == 0 {
		n.fall(c)
		return
	}
	n.armed = &c
	n.w.faults.Go(func() {
		n.w.rest(armedMax)
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.armed == &c {
			n.fall(c)
		}
	})
}

// armedMax is how long a crash waits for what the process does on the disk. It is
// shorter than any process stays away.
const armedMax = 150 * time.Millisecond

// fall crashes the node now. The caller holds mu.
func (n *node) fall(c crash) {
	n.up, n.armed = false, nil
	n.life++
	n.w.trace.note("%s crashes, its machine with it: %v, %d %% of what was not synced stays", n.name, c.silent, c.percent)
	n.w.net.crash(n.name, c.silent)
	n.fs = n.fs.CrashClone(c.percent, n.rng)
	n.stop() // what is left of it goes on for a moment, on a disk that nobody will read
	for _, o := range c.with {
		if o == n {
			continue
		}
		o.mu.Lock()
		if o.up {
			o.fall(crash{silent: c.silent, percent: c.percent})
		}
		o.mu.Unlock()
	}
}
