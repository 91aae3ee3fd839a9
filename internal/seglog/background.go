package seglog

import (
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
}

// Stats returns how the store stands.
func (s *Store) Stats() Stats {
	st := Stats{IndexBytes: s.arena.bytes(), Written: s.stats.written.Load(), Frames: s.stats.frames.Load(), Copied: s.stats.copied.Load(),
		Freed: s.stats.freed.Load(), Checkpoints: s.stats.checkpoints.Load(), CheckpointLen: s.stats.ckpBytes.Load(), Damage: s.damage.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.parts {
		if p := s.parts[i].Load(); p != nil {
			st.Keys += p.items.n
		}
	}
	for _, g := range s.table.segs {
		st.Segments++
		st.DiskBytes += g.size
		st.LiveBytes += g.live
		st.Tombstones += g.dropBytes
	}
	return st
}

// buffers are those of frames, reused.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

const (
	buffersMax     = 8
	bufferBytesMax = 2 << 20
)

func (p *buffers) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return disk.Aligned(frameBytesMin)
}

func (p *buffers) give(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < buffersMax && cap(b) <= bufferBytesMax {
		p.free = append(p.free, b[:cap(b)])
	}
}

// Damage returns how many damaged records, frames and segments were met since the start.
func (s *Store) Damage() uint64 { return s.damage.Load() }
