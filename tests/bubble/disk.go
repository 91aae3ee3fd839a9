package bubble

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

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

// logDisk is a view leader's disk in this life, which rests before it ends a sync. A
// server's disk cannot rest, for its lanes wait for each other on mutexes of Pebble's,
// which would stop the virtual clock: there Pebble itself puts off the syncs
// (store.Options.SyncInterval), all but the first after a while of rest.
func (n *node) logDisk() *crashdisk.FS {
	n.mu.Lock()
	defer n.mu.Unlock()
	life := n.life
	n.log.Watch(func(s crashdisk.Step) error {
		switch s.Kind {
		case crashdisk.Read:
			return nil
		case crashdisk.Settle:
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
	return n.log
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

func (n *node) disk() vfs.FS {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errorfs.Wrap(n.fs, n)
}

// MaybeError is called before each operation on the disk.
func (n *node) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if strings.HasSuffix(op.Path, ".log") {
		n.unsynced = op.Kind == errorfs.OpFileWrite || n.unsynced && op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData
	}
	n.step()
	return nil
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

// String names the node where errors are injected.
func (n *node) String() string { return n.name }
