package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
	"viewring/server/replica"
)

// A partition's rows lie on one of 32 shelves, at first on shelf 0. When a damaged
// copy is given up its partition moves to the next shelf for good: nothing is read
// from the old place or written to it any more, so that it can be cut out of the
// tables later, together with its neighbours', whatever has been copied meanwhile.
const shelfMax = 31

// shelves says where partitions are. Only a partition's lane moves it, in a batch.
type shelves struct {
	moving sync.Mutex                                // held while a batch that says where they are is applied
	now    atomic.Pointer[map[ring.PartitionID]byte] // replaced as a whole; what is not in it is on shelf 0
	// noLocal: there has never been a local name, so that bad blocks can be cut out
	// where they would be.
	noLocal atomic.Bool
	// metasMoved: the metas are not where the first format of a folder has them.
	metasMoved atomic.Bool
}

// The bits of the first byte of what is stored.
const (
	bitNoLocal    = 1
	bitMetasMoved = 2
)

// shelfKey is the store key of the shelves. All are in one value, and written at
// every start: what an old table has of them need not be readable.
var shelfKey = []byte{nsNode, 's'}

func (h *shelves) of(p ring.PartitionID) byte {
	if now := h.now.Load(); now != nil {
		return (*now)[p]
	}
	return 0
}

// all returns the shelves of those that have moved. It is not to be changed.
func (h *shelves) all() map[ring.PartitionID]byte {
	if now := h.now.Load(); now != nil {
		return *now
	}
	return nil
}

// set moves a partition. The caller holds moving.
func (h *shelves) set(p ring.PartitionID, shelf byte) {
	next := maps.Clone(h.all())
	if next == nil {
		next = make(map[ring.PartitionID]byte)
	}
	next[p] = shelf
	h.now.Store(&next)
}

// value is what is stored: bits, then partitions with their shelves.
func (h *shelves) value() []byte {
	b := []byte{0}
	if h.noLocal.Load() {
		b[0] |= bitNoLocal
	}
	if h.metasMoved.Load() {
		b[0] |= bitMetasMoved
	}
	now := h.all()
	for _, p := range slices.Sorted(maps.Keys(now)) {
		b = append(binary.BigEndian.AppendUint16(b, uint16(p)), now[p])
	}
	return b
}

// load takes over what value made.
func (h *shelves) load(b []byte) error {
	if len(b)%3 != 1 {
		return fmt.Errorf("%w: shelves of %d bytes", replica.ErrCorrupt, len(b))
	}
	h.noLocal.Store(b[0]&bitNoLocal != 0)
	h.metasMoved.Store(b[0]&bitMetasMoved != 0)
	now := make(map[ring.PartitionID]byte)
	for b = b[1:]; len(b) > 0; b = b[3:] {
		if b[2] > shelfMax {
			return fmt.Errorf("%w: shelf %d", replica.ErrCorrupt, b[2])
		}
		now[ring.PartitionID(binary.BigEndian.Uint16(b))] = b[2]
	}
	if len(now) > 0 {
		h.now.Store(&now)
	}
	return nil
}

// namespace returns where a partition has its keys of a kind.
func (s *Store) namespace(kind byte, p ring.PartitionID) byte {
	return namespace(kind, s.shelves.of(p))
}

// ranges are the store keys of a kind that partitions have now, in the order of
// the partitions.
func (s *Store) ranges(kind byte) (out [][2][]byte) {
	moved := s.shelves.all()
	parts := slices.Sorted(maps.Keys(moved))
	begin := []byte{kind}
	for i, p := range parts {
		ns := namespace(kind, moved[p])
		at, end := appendPrefix(nil, kind, p), appendPrefixEnd(nil, kind, p)
		if i == 0 || parts[i-1]+1 != p {
			out = append(out, [2][]byte{begin, at})
		}
		out = append(out, [2][]byte{appendPrefix(nil, ns, p), appendPrefixEnd(nil, ns, p)})
		begin = end
	}
	return append(out, [2][]byte{begin, {kind + 1}})
}

// live reports whether a place is where its partition is.
func (s *Store) live(ns byte, p ring.PartitionID) bool {
	_, shelf := kindOf(ns)
	return s.shelves.of(p) == shelf
}

// leave moves a partition that was wiped to the next shelf, if there is one. What
// the batch writes to it afterwards goes there. The caller holds moving.
func (s *Store) leave(pb *pebble.Batch, p ring.PartitionID) error {
	shelf := s.shelves.of(p)
	if shelf == shelfMax {
		s.logger.Warn("a damaged partition is deleted, its bytes stay in the tables", "partition", p)
		return nil
	}
	s.shelves.set(p, shelf+1)
	return pb.Set(shelfKey, s.shelves.value(), nil)
}

// loadShelves reads where partitions are. What they have left behind is to be cut
// out, if that was not done before.
func (s *Store) loadShelves() error {
	b, closer, err := s.db.Get(shelfKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = errors.Join(s.shelves.load(b), closer.Close())
	}
	if err != nil {
		return fmt.Errorf("read shelves: %w", s.tell(err))
	}
	for p, shelf := range s.shelves.all() {
		for old := range shelf {
			s.cutter.add(spot{old, p})
		}
	}
	return nil
}

// saveShelves makes durable what is in memory.
func (s *Store) saveShelves() error {
	s.shelves.moving.Lock()
	defer s.shelves.moving.Unlock()
	pb := s.db.NewBatch()
	err := pb.Set(shelfKey, s.shelves.value(), nil)
	if err == nil {
		err = s.write(pb)
	}
	if err != nil {
		return fmt.Errorf("write shelves: %w", err)
	}
	return nil
}

// rewriteNode writes anew what the server knows of itself: the stored bytes are
// damaged.
func (s *Store) rewriteNode() error {
	return errors.Join(s.rewriteIdentity(), s.saveShelves())
}
