package store

import (
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
	"viewring/server/replica"
)

// trimPointsMax is up to how many index rows a trim deletes one by one. A range
// deletion is one record however many it covers, but each makes every later read
// of the memtable dearer; the usual trim drops a few rows.
const trimPointsMax = 512

// trims remembers up to which seq each partition's index was trimmed since the
// start, so that the usual trim needs no range deletion.
type trims struct {
	sync.Mutex
	done map[ring.PartitionID]uint64
}

// ApplyBatch writes b: visible to reads when it returns, durable when wait has
// returned nil. An error of either ends the store.
func (s *Store) ApplyBatch(b *replica.Batch) (wait func() error, err error) {
	if slices.ContainsFunc(b.Ops, func(op replica.StoreOp) bool { return op.Kind == replica.WipePartition && op.Damaged }) {
		s.shelves.moving.Lock()
		defer s.shelves.moving.Unlock()
	}
	pb := s.db.NewBatchWithSize(batchBytes(b))
	var left []spot
	for _, i := range order(b.Ops) {
		op := &b.Ops[i]
		was := s.shelves.of(op.Partition)
		if err := s.add(pb, op); err != nil {
			return nil, fmt.Errorf("build batch: %w", err)
		}
		if s.shelves.of(op.Partition) != was {
			left = append(left, spot{was, op.Partition})
		}
	}
	wait, err = s.apply(pb)
	if err == nil && left != nil {
		s.cutter.add(left...)
	}
	return wait, err
}

// order returns the indexes of the operations in about the order of their store
// keys, where that changes nothing: Pebble then finds each one's place near that of
// the one before. Operations on one key keep their order.
func order(ops []replica.StoreOp) []uint64 {
	places := make([]uint64, len(ops))
	sorted := len(ops) < 1<<placeIndexBits
	for i := range ops {
		places[i] = uint64(i)
		switch ops[i].Kind {
		case replica.PutItem, replica.DeleteItem, replica.PutIndex, replica.PutMeta:
		default:
			sorted = false // a range: what comes before and after it differs
		}
	}
	if !sorted {
		return places
	}
	for i := range ops {
		places[i] |= place(&ops[i]) << placeIndexBits
	}
	slices.Sort(places)
	for i := range places {
		places[i] &= 1<<placeIndexBits - 1
	}
	return places
}

// placeIndexBits is how many low bits of a place hold the index of its operation.
const placeIndexBits = 28

// place is namespace, partition, slot and space of an item's store key, 1, 16, 14 and 3
// bits, or namespace, partition and whether it is the meta.
func place(op *replica.StoreOp) uint64 {
	at := uint64(op.Partition) << 17
	switch op.Kind {
	case replica.PutIndex:
		return 1<<33 | at
	case replica.PutMeta:
		return 1<<33 | at | 1
	}
	return at | uint64(op.Key.Slot())<<3 | uint64(op.Key.Space())&7
}

// apply commits pb. Every write of the store goes through here, synced: with
// unsynced ones among them, a damaged log could lose synced ones silently.
func (s *Store) apply(pb *pebble.Batch) (wait func() error, err error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	if err := s.db.ApplyNoSyncWait(pb, pebble.Sync); err != nil {
		s.fail(err)
		return nil, s.Err()
	}
	return func() error {
		err := pb.SyncWait()
		if err == nil {
			err = pb.Close()
		}
		if err != nil {
			s.fail(err)
			return s.Err()
		}
		return nil
	}, nil
}

// write makes pb durable.
func (s *Store) write(pb *pebble.Batch) error {
	wait, err := s.apply(pb)
	if err != nil {
		return err
	}
	return wait()
}

// batchBytes estimates the encoded size of b, so that it is allocated once.
func batchBytes(b *replica.Batch) int {
	n := 16
	for i := range b.Ops {
		n += len(b.Ops[i].Key) + len(b.Ops[i].Value) + 24
	}
	return n
}

func (s *Store) add(pb *pebble.Batch, op *replica.StoreOp) error {
	p := op.Partition
	switch op.Kind {
	case replica.PutItem:
		d := pb.SetDeferred(prefixBytes+len(op.Key), len(op.Value))
		s.appendItemKey(d.Key[:0], p, op.Key)
		copy(d.Value, op.Value)
		return d.Finish()
	case replica.DeleteItem:
		d := pb.DeleteDeferred(prefixBytes + len(op.Key))
		s.appendItemKey(d.Key[:0], p, op.Key)
		return d.Finish()
	case replica.PutIndex:
		d := pb.SetDeferred(prefixBytes+8, len(op.Value))
		s.appendSeq(d.Key[:0], p, op.Seq)
		copy(d.Value, op.Value)
		return d.Finish()
	case replica.TrimIndex:
		return s.trimIndex(pb, p, op.Seq)
	case replica.CutIndex:
		return s.cutIndex(pb, p, op.Seq)
	case replica.PutMeta:
		d := pb.SetDeferred(prefixBytes+8, len(op.Value))
		s.appendMetaKey(d.Key[:0], p)
		copy(d.Value, op.Value)
		return d.Finish()
	case replica.WipePartition:
		if err := s.wipe(pb, p); err != nil || !op.Damaged {
			return err
		}
		return s.leave(pb, p)
	}
	return fmt.Errorf("unknown operation %d", op.Kind)
}

// trimIndex drops the rows up to seq.
func (s *Store) trimIndex(pb *pebble.Batch, p ring.PartitionID, seq uint64) error {
	s.trims.Lock()
	from, known := s.trims.done[p]
	s.trims.done[p] = max(from, seq)
	s.trims.Unlock()
	if !known || seq > from+trimPointsMax {
		return pb.DeleteRange(s.appendSeq(nil, p, 0), s.appendSeq(nil, p, seq+1), nil)
	}
	for n := from + 1; n <= seq; n++ {
		d := pb.DeleteDeferred(prefixBytes + 8)
		s.appendSeq(d.Key[:0], p, n)
		if err := d.Finish(); err != nil {
			return err
		}
	}
	return nil
}

// cutIndex drops the rows above seq.
func (s *Store) cutIndex(pb *pebble.Batch, p ring.PartitionID, seq uint64) error {
	if seq >= metaSeq-1 {
		return nil
	}
	s.trims.Lock()
	if from, known := s.trims.done[p]; known {
		s.trims.done[p] = min(from, seq)
	}
	s.trims.Unlock()
	return pb.DeleteRange(s.appendSeq(nil, p, seq+1), s.appendMetaKey(nil, p), nil)
}

// wipe drops all of a partition. Writes that follow in the same batch stay.
func (s *Store) wipe(pb *pebble.Batch, p ring.PartitionID) error {
	s.trims.Lock()
	delete(s.trims.done, p) // a new copy may count from anywhere
	s.trims.Unlock()
	for _, kind := range kinds {
		ns := s.namespace(kind, p)
		if err := pb.DeleteRange(appendPrefix(nil, ns, p), appendPrefixEnd(nil, ns, p), nil); err != nil {
			return err
		}
	}
	return nil
}
