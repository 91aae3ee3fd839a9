package store

import (
	"bytes"
	"encoding/binary"
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
	mu  sync.Mutex                                // of those that move
	now atomic.Pointer[map[ring.PartitionID]byte] // replaced as a whole; what is not in it is on shelf 0
}

// shelfPrefix is where the store keys of the partitions' shelves begin; a partition
// follows, and the value is one byte.
var shelfPrefix = []byte{nsNode, 's'}

func shelfKey(p ring.PartitionID) []byte {
	return binary.BigEndian.AppendUint16(bytes.Clone(shelfPrefix), uint16(p))
}

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

func (h *shelves) set(p ring.PartitionID, shelf byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := maps.Clone(h.all())
	if next == nil {
		next = make(map[ring.PartitionID]byte)
	}
	next[p] = shelf
	h.now.Store(&next)
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
// the batch writes to it afterwards goes there.
func (s *Store) leave(pb *pebble.Batch, p ring.PartitionID) error {
	shelf := s.shelves.of(p)
	if shelf == shelfMax {
		s.logger.Warn("a damaged partition is deleted, its bytes stay in the tables", "partition", p)
		return nil
	}
	s.shelves.set(p, shelf+1)
	return pb.Set(shelfKey(p), []byte{shelf + 1}, nil)
}

// loadShelves reads where partitions are. What they have left behind is to be cut
// out, if that was not done before.
func (s *Store) loadShelves() error {
	now := make(map[ring.PartitionID]byte)
	end := []byte{shelfPrefix[0], shelfPrefix[1] + 1}
	err := s.iterate("shelves", shelfPrefix, end, func(k, v []byte) (bool, error) {
		if len(k) != len(shelfPrefix)+2 || len(v) != 1 || v[0] > shelfMax {
			return false, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
		}
		now[ring.PartitionID(binary.BigEndian.Uint16(k[len(shelfPrefix):]))] = v[0]
		return true, nil
	})
	if err != nil || len(now) == 0 {
		return err
	}
	s.shelves.now.Store(&now)
	for p, shelf := range now {
		for old := range shelf {
			s.cutter.add(spot{old, p})
		}
	}
	return nil
}

// rewriteNode writes anew what the server knows of itself, as is in memory: the
// stored bytes are damaged.
func (s *Store) rewriteNode() error {
	err := s.Update(func(*Identity) {})
	if err != nil {
		return err
	}
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	pb := s.db.NewBatch()
	for p, shelf := range s.shelves.all() {
		if err := pb.Set(shelfKey(p), []byte{shelf}, nil); err != nil {
			return fmt.Errorf("write shelves: %w", err)
		}
	}
	wait, err := s.apply(pb)
	if err == nil {
		err = wait()
	}
	return err
}
