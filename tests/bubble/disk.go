package bubble

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
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

// slowSyncs has each sync of a log begin late. It is for a process of which one
// goroutine writes: whoever waited for a lock of Pebble's meanwhile would stop the
// virtual clock. A server's lanes do, so there Pebble itself puts off the syncs
// (store.Options.SyncInterval): all but the first after a while of rest.
type slowSyncs struct{ n *node }

func (s slowSyncs) over(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, s) }

// MaybeError implements errorfs.Injector.
func (s slowSyncs) MaybeError(op errorfs.Op) error {
	if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".log") {
		if d := s.n.syncTime(); d > 0 {
			s.n.w.rest(d)
		}
	}
	return nil
}

// String implements errorfs.Injector.
func (s slowSyncs) String() string { return "slow syncs of " + s.n.name }

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
	if n.armed == nil {
		return nil
	}
	if n.armed.after--; n.armed.after == 0 {
		n.fall(*n.armed)
	}
	return nil
}

// String names the node where errors are injected.
func (n *node) String() string { return n.name }
