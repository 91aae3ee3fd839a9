package bubble

import (
	"time"

	"viewring/internal/disk/crashdisk"
)

// slowest are how long a sync of the log may take: what was written meanwhile is lost
// in a crash, and nobody may have been told of it.
var slowest = []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond}

// How slow disks are before a power cut, and for how long.
const (
	slowestCut = 500 * time.Millisecond
	slowBefore = 600 * time.Millisecond
)

// segmentBytes is the length of a segment of a server's log: short, so that there are many.
const segmentBytes = 128 << 10

// slowDown makes the node's disk a slow one for the rest of this life.
func (n *node) slowDown() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow = slowestCut
}

// syncTime draws how long a sync takes.
func (n *node) syncTime() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.slow == 0 || !n.up {
		return 0
	}
	return time.Duration(n.rng.Int64N(int64(n.slow)))
}

// disk is the node's disk in this life, which rests before it ends a sync.
func (n *node) disk() *crashdisk.FS {
	n.mu.Lock()
	defer n.mu.Unlock()
	life := n.life
	n.fs.Watch(func(s crashdisk.Step) error {
		switch s.Kind {
		case crashdisk.Read:
			return nil
		case crashdisk.WriteSyncEnd:
			n.setUnsynced(life, true)
			n.restInSync()
			n.setUnsynced(life, false)
		case crashdisk.Sync:
			n.restInSync()
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.life == life { // else it is what is left of a process that has crashed
			n.step()
		}
		return nil
	})
	return n.fs
}

func (n *node) restInSync() {
	if d := n.syncTime(); d > 0 {
		n.w.rest(d)
	}
}

func (n *node) setUnsynced(life int, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == life {
		n.unsynced = is
	}
}

// step counts one operation on a disk, and crashes the node when its time has come. The
// caller holds mu.
func (n *node) step() {
	if n.armed == nil {
		return
	}
	if n.armed.after--; n.armed.after == 0 {
		n.fall(*n.armed)
	}
}
