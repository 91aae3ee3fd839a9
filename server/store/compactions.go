package store

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// How long compactions pause after one has failed, twice as long each time, and how
// often it is looked whether more of them may run.
const (
	compactAgainMin = 100 * time.Millisecond
	compactAgainMax = 5 * time.Second
	compactLook     = 100 * time.Millisecond
)

// compactions lets as many compactions run as the store wants, as Pebble's own
// scheduler does, but pauses after failures: Pebble begins a compaction that met a
// bad block again at once, for ever, which costs more than a server has.
// It implements pebble.CompactionScheduler and pebble.CompactionGrantHandle.
type compactions struct {
	db   pebble.DBForCompaction // set before any other call
	stop chan struct{}
	turn sync.Mutex // held while granting; taken before mu, and before the locks of db

	mu      sync.Mutex // taken after the locks of db
	running int
	ended   bool
	cause   error // of the last failure
	pause   time.Duration
	until   time.Time // of the pause
}

func newCompactions() *compactions { return &compactions{stop: make(chan struct{})} }

// finished notes how a compaction ended; after a failure Pebble tells of the error
// once more.
func (c *compactions) finished(err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause = err; err == nil {
		c.pause = 0
		return
	}
	c.pause = min(max(2*c.pause, compactAgainMin), compactAgainMax)
	c.until = now.Add(c.pause)
}

// caused reports whether err is that of the compaction which has just failed.
func (c *compactions) caused(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return err == c.cause
}

// Register implements pebble.CompactionScheduler.
func (c *compactions) Register(_ int, db pebble.DBForCompaction) {
	c.db = db
	go func() {
		look := time.NewTicker(compactLook)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				c.grant()
			case <-c.stop:
				return
			}
		}
	}()
}

// Unregister implements pebble.CompactionScheduler.
func (c *compactions) Unregister() {
	close(c.stop)
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.turn.Lock() // until nobody calls db any more
	defer c.turn.Unlock()
}

// take reports whether one more may run, and counts it.
func (c *compactions) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.running >= c.db.GetAllowedWithoutPermission() || time.Now().Before(c.until) {
		return false
	}
	c.running++
	return true
}

func (c *compactions) giveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
}

// TrySchedule implements pebble.CompactionScheduler.
func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !c.take() {
		return false, nil
	}
	return true, c
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler: the next
// look will do.
func (c *compactions) UpdateGetAllowedWithoutPermission() {}

// grant lets waiting compactions run.
func (c *compactions) grant() {
	c.turn.Lock()
	defer c.turn.Unlock()
	for c.take() {
		if waiting, _ := c.db.GetWaitingCompaction(); !waiting || !c.db.Schedule(c) {
			c.giveBack()
			return
		}
	}
}

// Done implements pebble.CompactionGrantHandle.
func (c *compactions) Done() {
	c.giveBack()
	c.grant()
}

// Started implements pebble.CompactionGrantHandle.
func (c *compactions) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (c *compactions) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (c *compactions) CumulativeStats(pebble.CompactionGrantHandleStats) {}
