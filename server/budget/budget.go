// Package budget shares out the memory that a server may take: to the index of its log, the
// items that lanes keep, buffers, and garbage. One goroutine runs in it, Run, which looks at the
// index each second; any goroutine may ask.
package budget

import (
	"context"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"viewring/server/machine"
)

// A server has one budget of memory. The index of the log takes what it needs, buffers
// and garbage are left their parts, and items are kept in what remains.
const (
	memoryMin      = 128 << 20 // the default, where the machine's share is less
	memoryShare    = 64        // of the machine: servers share it with others, of their own kind too, and with the kernel's cache
	bufferBytes    = 32 << 20  // connections, cores, windows, frames: a busy server that keeps no items has 24 MiB alive
	itemBytesMin   = 8 << 20   // kept whatever the index takes
	heapSlackMin   = 32 << 20  // of garbage; see heapLimit and heapPercent
	heapSlackShare = 4         // of what lives, likewise
	heapPercentMax = 400       // what lives little may be collected at five times
	budgetEvery    = time.Second
	warmShare      = 4         // of the machine: so large a log is read into the kernel's cache as it is written
	memoryBytesMax = 512 << 20 // requests and answers under way, however large the budget
)

// Default returns the budget, in bytes, of a server that is told nothing: a sixty-fourth of the
// memory that the machine has, or the control group lets it have, and at least 128 MiB.
func Default() int64 { return max(memoryMin, machine.Memory()/memoryShare) }

// WarmBytes returns up to what size a log is to be read into the kernel's cache as it is written.
func WarmBytes() int64 { return machine.Memory() / warmShare }

// Config of a Budget.
type Config struct {
	Memory     int64        // bytes, of all
	Buffered   int64        // bytes that one connection may have under way, whatever the budget is
	ItemBytes  int64        // bytes of items, whatever the budget is; 0: what is left for them
	Lanes      int          // that share the items
	IndexBytes func() int64 // of the log, now
	// LimitHeap tells the process' collector its limit, PaceHeap how much garbage may come
	// together. nil: nobody is told.
	LimitHeap func(bytes int64) int64
	PaceHeap  func(percent int) int
}

// Budget shares out the memory. Any goroutine may call its methods, but for Run.
type Budget struct {
	c        Config
	requests int64        // bytes of requests and answers that may be under way
	items    atomic.Int64 // bytes of items that may be kept, by all lanes
	heap     atomic.Int64 // the limit that the collector was told, 0: none
	percent  int          // that it was told; look's
}

// New returns a budget that is shared out for the first time.
func New(c *Config) *Budget {
	b := &Budget{c: *c, requests: min(memoryBytesMax, max(c.Buffered, c.Memory))}
	b.look()
	return b
}

// Memory returns the bytes of all.
func (b *Budget) Memory() int64 { return b.c.Memory }

// Requests returns how many bytes of requests and answers may be under way.
func (b *Budget) Requests() int64 { return b.requests }

// Items returns how many bytes of items may be kept, by all lanes.
func (b *Budget) Items() int64 { return b.items.Load() }

// Lane returns how many bytes of items one lane may keep.
func (b *Budget) Lane() int64 { return b.items.Load() / int64(b.c.Lanes) }

// Heap returns the limit that the collector was told, in bytes; 0: none.
func (b *Budget) Heap() int64 { return b.heap.Load() }

// itemsBeside returns the bytes of items that may be kept beside an index: with them,
// what heapLimit leaves to the collector is within the budget.
func (b *Budget) itemsBeside(index int64) int64 {
	if b.c.ItemBytes > 0 {
		return b.c.ItemBytes
	}
	living := (b.c.Memory - index - heapSlackMin) * heapSlackShare / (heapSlackShare + 1)
	return max(itemBytesMin, living-bufferBytes)
}

// Buffers returns what is left beside items and index.
func (b *Budget) Buffers(index int64) int64 { return max(0, b.c.Memory-index-b.items.Load()) }

// heapLimit returns what the collector is to keep Go's memory below, which the index is
// not a part of. What lives may be more than the budget wants: an index that has grown
// before items went, a burst of requests. A collector that is told less than what lives
// runs without end and frees nothing. So it always gets as much room as heapPercent gives
// it, and the server takes more than its budget.
func (b *Budget) heapLimit(index, live int64) int64 {
	return max(b.c.Memory-index, live+live/heapSlackShare+heapSlackMin)
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
func (b *Budget) look() {
	index := b.c.IndexBytes()
	b.items.Store(b.itemsBeside(index))
	if b.c.LimitHeap != nil {
		limit := b.heapLimit(index, liveBytes())
		b.heap.Store(limit)
		b.c.LimitHeap(limit)
	}
	if b.c.PaceHeap != nil {
		// Telling it stops all goroutines for a moment.
		if percent := heapPercent(heapLive()); percent*10 < b.percent*9 || percent*10 > b.percent*11 {
			b.percent = percent
			b.c.PaceHeap(percent)
		}
	}
}

// Run shares out anew each second, until ctx ends.
func (b *Budget) Run(ctx context.Context) {
	tick := time.NewTicker(budgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		b.look()
	}
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
