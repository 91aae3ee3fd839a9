package upkeep

import (
	"cmp"
	"sync/atomic"
	"time"

	"viewring/server/replica"
)

// diskLookEvery is how often the room that the disk has left is looked at; a share of
// the reserve written since makes it sooner.
const (
	diskLookEvery   = time.Second
	diskReserveMin  = 64 << 20
	diskReserveTurn = 8 // of the reserve: bytes of batches between two looks
)

// Room watches the disk below the data folder. With less than the reserve left the
// server is full, with twice as much it is not any more.
type Room struct {
	b           Base
	data        string        // the folder's name
	diskReserve int64         // bytes; 0: diskReserveMin
	wake        chan struct{} // capacity 1: much was written
	full        atomic.Bool   // the disk nearly is
	written     atomic.Int64  // bytes of batches since the disk was looked at
}

// NewRoom returns a room that is not full before the first Look. reserve is how many bytes are
// to be kept free on the disk of the data folder; 0: 64 MiB.
func NewRoom(b *Base, data string, reserve int64) *Room {
	return &Room{b: *b, data: data, diskReserve: reserve, wake: make(chan struct{}, 1)}
}

// Full reports whether the disk nearly is full.
func (r *Room) Full() bool { return r.full.Load() }

// reserve is what is asked for, and never less than what the store must have: what is under
// way when the server becomes full still has to be written.
func (r *Room) reserve() uint64 {
	return max(uint64(cmp.Or(r.diskReserve, diskReserveMin)), r.b.Store.Reserve())
}

// Look decides anew, and tells the lanes what has changed.
func (r *Room) Look() {
	free, reserve := r.b.Store.DiskFree(), r.reserve()
	full := r.full.Load()
	switch {
	case free == 0 && !r.b.Store.DiskKnown():
		return // a file system that can't tell
	case !full && free < reserve:
		r.b.Logger.Error("the disk is nearly full: others take over where they suffice, other writes are refused; free room or add servers",
			"free", free, "reserve", reserve, "data", r.data)
	case full && free >= 2*reserve:
		r.b.Logger.Info("the disk has room again", "free", free)
	default:
		return
	}
	r.full.Store(!full)
	r.b.Lanes.SetFull(!full)
}

// Stored notes a lane's batch.
func (r *Room) Stored(b *replica.Batch) {
	if r.written.Add(int64(batchBytes(b))) < diskReserveMin/diskReserveTurn {
		return
	}
	r.written.Store(0)
	select {
	case r.wake <- struct{}{}:
	default: // told already
	}
}

// batchBytes is about what a batch adds to the disk.
func batchBytes(b *replica.Batch) (n int) {
	for i := range b.Ops {
		n += len(b.Ops[i].Key) + len(b.Ops[i].Value)
	}
	return n
}

// Run looks at the disk from time to time, until the server stops.
func (r *Room) Run() {
	tick := time.NewTicker(diskLookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.wake:
		case <-r.b.Context.Done():
			return
		}
		r.Look()
	}
}
