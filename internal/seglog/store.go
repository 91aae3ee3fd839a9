package seglog

import (
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/disk"
)

// Options of a Store. The zero value is a server's.
type Options struct {
	SegmentBytes    int64   // of a segment's file, less while little lives; 0: 32 MiB
	CheckpointBytes int64   // written to the log between two checkpoints; 0: 256 MiB
	SpaceFactor     float64 // what the log may take, beside two segments, by what lives in it; 0: 1.6
	// Zeroed writes the zeros of new segments ahead. A synced write into them takes two
	// thirds of the time, and each byte of the log is written twice.
	Zeroed bool
	// WarmBytes is up to how much log the kernel is asked to read what was written into its
	// cache, segment by segment: synced writes go past it, and a first read of each value
	// would be one of the disk.
	WarmBytes int64
	// Manual leaves collection and checkpoints to the caller: tests.
	Manual bool
	// Place says where a key stands in the order of pages; it must never say otherwise of
	// the same key. nil: by a hash of it.
	Place  func(key []byte) uint64
	Logger *slog.Logger             // nil: none
	Synced func(took time.Duration) // told of each synced write, by the goroutine that writes; nil: nobody

	openFiles int  // tests: so many files of segments are open at most; 0: openFilesMax
	partBytes int  // tests: so long a record is read in parts; 0: partBytesMin
	hashBits  uint // tests: so few bits of the hashes count
}

const (
	segmentBytesDefault    = 32 << 20
	checkpointBytesDefault = 256 << 20
	spaceFactorDefault     = 1.6
)

func (o *Options) defaults() {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = segmentBytesDefault
	}
	o.SegmentBytes = max(8*disk.BlockBytes, o.SegmentBytes&^(disk.BlockBytes-1))
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = checkpointBytesDefault
	}
	if o.SpaceFactor == 0 {
		o.SpaceFactor = spaceFactorDefault
	}
	if o.Place == nil {
		o.Place = hashPlace
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Store is a log of items by partition. Its methods may be called by many goroutines.
//
// Locks are taken in this order: mu, a partition's, table, a segment's.
type Store struct {
	fs    disk.FS
	opts  Options
	files *files
	id    *identity
	arena arena
	parts [1 << 16]atomic.Pointer[partition]

	table struct { // segs is changed only by who holds mu as well
		sync.RWMutex
		segs    map[uint32]*segment
		order   []*segment      // by number
		missing map[uint32]bool // were there, and are lost
	}

	mu          sync.Mutex   // appends, and whatever changes the index
	work        sync.Cond    // on mu: there is a frame to write, or the end
	queueShrank sync.Cond    // on mu: frames were written
	cur         *segment     // where frames go; nil before the first
	building    *frame       // the frame that grows; nil: none
	queue       []*frame     // full, in the order of the log
	queued      int          // bytes in queue and on their way
	prev        frameSummary // of the frame before the one that grows
	batch       uint64       // counts those that were looked at
	dirty       []uint16     // partitions whose state the batch has to write
	nextNumber  uint32       // of the next segment
	lsn         uint64       // of the next frame
	last        *frame       // the latest frame that was begun
	closing     atomic.Bool  // nothing new begins; changed under mu
	drained     bool         // the writer ends when nothing is left
	gone        atomic.Bool  // the index is no more
	sinceCkp    int64        // bytes of frames since the last checkpoint began
	lastCkp     int64        // bytes of the last checkpoint
	low         bool         // the disk has no more space than what the store needs for itself
	unremoved   []uint32     // segments that are no more, whose files could not be removed
	graves      []tree       // of wiped partitions, not accounted for yet
	covered     spot         // the durable checkpoint has all before
	begun       bool         // there was a segment, once; of the writer
	failed      atomic.Value // error
	failure     chan struct{}

	preallocated     chan preallocated // capacity 1
	wantPreallocated chan int64        // capacity 1: how long it is to be
	warm             chan uint32       // full segments that the kernel may read
	buffers          buffers
	quit             chan struct{}
	ended            sync.WaitGroup
	writerDone       chan struct{}

	tidying    gate // held by who chooses what to collect; taken before background
	background gate // held by a checkpoint, and while a segment is collected

	moving           *moving       // what is being collected, nil: nothing; guarded by mu
	hurried          atomic.Int32  // how many wait for a gate
	hurry            chan struct{} // capacity 1: hurried was 0
	grown            chan struct{} // capacity 1: there is a new segment
	fresh            int64         // bytes of batches since the start: what makes garbage; guarded by mu
	leaving          int64         // bytes of segments that are about to be freed; guarded by mu
	preallocateBytes int64         // how long the preallocated file is, or will be; guarded by mu

	damage   atomic.Uint64 // damaged records, frames and segments met
	loss     atomic.Uint32 // the latest loss of which nobody knows what partition it was of
	lossOpen atomic.Bool   // it counts
	lossAt   entry         // where that is written; guarded by mu
	stats    counters
	sums     sums
}

// partition is what the index has of one.
type partition struct {
	mu        sync.RWMutex
	gen       uint32 // of its records: those of lower ones were wiped
	floor     uint64 // rows up to it were trimmed
	loss      uint32 // the latest loss before it was wiped
	suspect   bool   // keys that are not found may have been lost
	meta      []byte // nil: none
	bad       bool   // the meta cannot be read
	rowGen    uint32 // of its rows: those of lower ones were cut off
	batch     uint64 // the last one that was admitted; guarded by Store.mu
	floorThen uint64 // the floor that it leaves
	dirty     bool   // its state is to be written with the batch
	state     entry  // where its state is, seg 0: nowhere
	items     tree
	rows      tree
}

// present goes through the partitions that anything is known of, by their numbers.
func (s *Store) present() iter.Seq2[uint16, *partition] {
	return func(yield func(uint16, *partition) bool) {
		for n := range s.parts {
			if p := s.parts[n].Load(); p != nil && !yield(uint16(n), p) {
				return
			}
		}
	}
}

// part returns a partition, made if need be. The caller holds mu.
func (s *Store) part(p uint16) *partition {
	if q := s.parts[p].Load(); q != nil {
		return q
	}
	q := &partition{items: tree{arena: &s.arena, items: true}, rows: tree{arena: &s.arena}}
	s.parts[p].Store(q)
	return q
}

// fail ends the store: nothing that was not durable so far can be trusted.
func (s *Store) fail(err error) {
	if s.failed.CompareAndSwap(nil, fmt.Errorf("the log failed: %w", err)) {
		close(s.failure)
	}
}

// Err returns the failure that ended the store, or nil.
func (s *Store) Err() error {
	if err, ok := s.failed.Load().(error); ok {
		return err
	}
	return nil
}

// Failed is closed when a write has failed; then Err says why.
func (s *Store) Failed() <-chan struct{} { return s.failure }

// gate is a lock that is held while frames are waited for. It is no sync.Mutex: a bubble of
// testing/synctest, whose virtual clock tells when a slow write ends, goes on only when all
// in it wait for something of the bubble.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) lock() { g <- struct{}{} }

func (g gate) unlock() { <-g }

// Close makes everything durable, writes a checkpoint, and ends the store. That there is no
// space for the checkpoint is no error: the next start reads more of the log.
func (s *Store) Close() error {
	if s.Err() == nil {
		if err := s.Checkpoint(); err != nil && !s.closing.Load() && s.Err() == nil {
			s.opts.Logger.Warn("the log is closed without a checkpoint", "err", err)
		}
	}
	return s.end(frameSeal | frameClose)
}

// end stops all goroutines. With flags it seals the log.
func (s *Store) end(flags uint32) error {
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closing.Store(true)
	s.queueShrank.Broadcast()
	s.mu.Unlock()
	close(s.quit)
	// A checkpoint or a collection may be under way. What comes later sees that we close.
	s.waitFor(s.tidying)
	s.waitFor(s.background)
	s.background.unlock()
	s.tidying.unlock()
	s.mu.Lock()
	if s.building != nil {
		s.full()
	}
	if flags != 0 && s.cur != nil && !s.cur.over {
		s.queue = append(s.queue, s.sealFrame(flags))
		s.cur.over = true
	}
	s.drained = true
	s.work.Broadcast()
	s.mu.Unlock()
	<-s.writerDone
	s.ended.Wait()
	select {
	case f := <-s.preallocated:
		_ = f.file.Close() // an empty file
		_ = s.fs.Remove(f.name)
	default:
	}
	s.gone.Store(true)
	s.table.Lock()
	for n, g := range s.table.segs {
		g.release()
		delete(s.table.segs, n)
	}
	s.table.order = nil
	s.table.Unlock()
	for _, p := range s.present() {
		p.mu.Lock() // no read is in it any more
		p.items.nodes, p.rows.nodes = nil, nil
		p.mu.Unlock()
	}
	s.arena.close()
	return s.Err()
}
