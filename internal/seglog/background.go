package seglog

import (
	"slices"
	"sync"
	"sync/atomic"

	"viewring/internal/disk"
)

// counters count since the start.
type counters struct {
	written     atomic.Int64 // bytes of frames
	frames      atomic.Int64
	copied      atomic.Int64 // bytes of records that collection moved
	freed       atomic.Int64 // segments
	checkpoints atomic.Int64
	ckpBytes    atomic.Int64
}

// sums are those of all segments, kept where a segment's own count changes, so that
// whoever asks how the store stands waits for nobody and walks nothing.
type sums struct {
	segments   atomic.Int64
	disk       atomic.Int64 // bytes of files
	live       atomic.Int64 // bytes of records
	tombstones atomic.Int64 // bytes
	collecting atomic.Bool  // a segment is being collected
	writesCkp  atomic.Bool  // a checkpoint is being written
}

// lives adds n bytes of records that are needed, or takes them away. The caller holds mu.
func (s *Store) lives(g *segment, n int64) {
	g.live += n
	s.sums.live.Add(n)
}

// buries adds n bytes of tombstones. The caller holds mu.
func (s *Store) buries(g *segment, n int64) {
	g.dropBytes += n
	s.sums.tombstones.Add(n)
}

// Stats is how a store stands.
type Stats struct {
	Keys          int   // items, of all partitions
	Segments      int   // files
	DiskBytes     int64 // of these
	LiveBytes     int64 // of records that are still needed
	Tombstones    int64 // bytes of deletions that are kept because older records are
	IndexBytes    int64 // memory of the index
	Written       int64 // bytes of frames since the start
	Frames        int64
	Copied        int64 // bytes that collection wrote anew
	Freed         int64 // segments
	Checkpoints   int64
	CheckpointLen int64 // bytes written to checkpoints
	Damage        uint64
	Collecting    bool // a segment, now
	Checkpointing bool // now
}

// Stats returns how the store stands. It takes no lock that a write holds for long, so
// it may be asked often; figures of one answer may be of slightly different moments.
func (s *Store) Stats() Stats {
	return Stats{
		Keys: int(s.arena.items.Load()), Segments: int(s.sums.segments.Load()),
		DiskBytes: s.sums.disk.Load(), LiveBytes: s.sums.live.Load(), Tombstones: s.sums.tombstones.Load(),
		IndexBytes: s.arena.bytes(), Written: s.stats.written.Load(), Frames: s.stats.frames.Load(), Copied: s.stats.copied.Load(),
		Freed: s.stats.freed.Load(), Checkpoints: s.stats.checkpoints.Load(), CheckpointLen: s.stats.ckpBytes.Load(), Damage: s.damage.Load(),
		Collecting: s.sums.collecting.Load(), Checkpointing: s.sums.writesCkp.Load(),
	}
}

// buffers are those of frames, reused.
type buffers struct {
	mu   sync.Mutex
	free [][]byte // the shortest first
}

const (
	buffersMax     = 8
	bufferBytesMax = 2 << 20
)

// take returns a buffer of n bytes at least, of several the shortest.
func (p *buffers) take(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(p.free, n, func(b []byte, n int) int { return cap(b) - n }); ok || i < len(p.free) {
		b := p.free[i]
		p.free = slices.Delete(p.free, i, i+1)
		return b
	}
	return disk.Aligned(max(frameBytesMin, alignBlock(n+n/8))) // the next one may be longer by a little
}

// give takes a buffer back. Of more than there may be the shortest goes.
func (p *buffers) give(b []byte) {
	if cap(b) > bufferBytesMax {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.free, cap(b), func(b []byte, n int) int { return cap(b) - n })
	p.free = slices.Insert(p.free, i, b[:cap(b)])
	if len(p.free) > buffersMax {
		p.free = slices.Delete(p.free, 0, 1)
	}
}

// Damage returns how many damaged records, frames and segments were met since the start.
func (s *Store) Damage() uint64 { return s.damage.Load() }
