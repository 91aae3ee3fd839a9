package server

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// A server has one budget of memory. The index of the log takes what it needs, buffers
// and garbage are left their parts, and items are kept in what remains.
const (
	memoryMin      = 128 << 20 // the default, where the machine's share is less
	memoryShare    = 64        // of the machine: servers share it with others, of their own kind too, and with the kernel's cache
	bufferBytes    = 32 << 20  // connections, cores, windows, frames: a busy server that keeps no items has 25 MB alive
	itemBytesMin   = 8 << 20   // kept whatever the index takes
	heapSlackMin   = 32 << 20  // of garbage; see heapLimit and heapPercent
	heapSlackShare = 4         // of what lives, likewise
	heapPercentMax = 400       // what lives little may be collected at five times
	budgetEvery    = time.Second
	warmShare      = 4         // of the machine: so large a log is read into the kernel's cache as it is written
	memoryBytesMax = 512 << 20 // requests and answers under way, however large the budget
)

// DefaultMemory returns the budget of a server that is told nothing: a sixty-fourth of the
// memory that the machine has, or the control group lets it have, and at least 128 MiB.
func DefaultMemory() int64 { return max(memoryMin, machineMemory()/memoryShare) }

// budget shares out the memory. Any goroutine may ask it.
type budget struct {
	s        *Server
	total    int64        // bytes
	requests int64        // bytes of requests and answers that may be under way
	items    atomic.Int64 // bytes of items that may be kept, by all lanes
	heap     atomic.Int64 // the limit that the collector was told, 0: none
	percent  int          // that it was told; look's
}

func newBudget(s *Server) *budget {
	b := &budget{s: s, total: s.opts.Memory}
	// One connection gets what it may have, whatever the budget is.
	b.requests = min(memoryBytesMax, max(s.opts.Bounds.Buffered, b.total))
	b.look()
	return b
}

// itemsBeside returns the bytes of items that may be kept beside an index: with them,
// what heapLimit leaves to the collector is within the budget.
func (b *budget) itemsBeside(index int64) int64 {
	if b.s.opts.ItemBytes > 0 {
		return b.s.opts.ItemBytes
	}
	living := (b.total - index - heapSlackMin) * heapSlackShare / (heapSlackShare + 1)
	return max(itemBytesMin, living-bufferBytes)
}

// buffers returns what is left beside items and index.
func (b *budget) buffers(index int64) int64 { return max(0, b.total-index-b.items.Load()) }

// heapLimit returns what the collector is to keep Go's memory below, which the index is
// not a part of. What lives may be more than the budget wants: an index that has grown
// before items went, a burst of requests. A collector that is told less than what lives
// runs without end and frees nothing. So it always gets as much room as heapPercent gives
// it, and the server takes more than its budget.
func (b *budget) heapLimit(index, live int64) int64 {
	return max(b.total-index, live+live/heapSlackShare+heapSlackMin)
}

// heapPercent is at how much garbage the collector is to run, in percent of what lives: a
// quarter of that and heapSlackMin, which is what heapLimit leaves it at the least. As a
// percentage, for near its limit the runtime also gives memory back to the system again and
// again, which it soon has to ask for.
func heapPercent(live int64) int {
	slack := live/heapSlackShare + heapSlackMin
	return int(min(heapPercentMax, 100*slack/max(1, live)))
}

// look shares out anew.
func (b *budget) look() {
	index := b.s.store.Stats().IndexBytes
	b.items.Store(b.itemsBeside(index))
	if b.s.opts.LimitHeap != nil {
		limit := b.heapLimit(index, liveBytes())
		b.heap.Store(limit)
		b.s.opts.LimitHeap(limit)
	}
	if b.s.opts.PaceHeap != nil {
		// Telling it stops all goroutines for a moment.
		if percent := heapPercent(heapLive()); percent*10 < b.percent*9 || percent*10 > b.percent*11 {
			b.percent = percent
			b.s.opts.PaceHeap(percent)
		}
	}
}

func (b *budget) run() {
	tick := time.NewTicker(budgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.s.ctx.Done():
			return
		}
		b.look()
	}
}

// lane is a lane's share of the items.
func (b *budget) lane() int64 { return b.items.Load() / int64(b.s.opts.Lanes) }

// keptBytes are those of the items that are kept, as of the lanes' last ticks.
func (s *Server) keptBytes() (n int64) {
	for _, l := range s.lanes {
		n += l.kept.Load()
	}
	return n
}

// heapLive returns how much the last collection found alive.
func heapLive() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64())
}

// liveBytes returns how much of Go's memory no collection would free: what the last one
// found alive, stacks, and the runtime's own.
func liveBytes() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	n := int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
	for _, heap := range samples[2:] {
		n -= int64(heap.Value.Uint64())
	}
	return n
}
