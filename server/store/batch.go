package store

import (
	"fmt"
	"unsafe"

	"viewring/internal/seglog"
	"viewring/server/replica"
)

// kinds are the log's operations for a batch's.
var kinds = [...]seglog.OpKind{
	replica.PutItem:       seglog.Put,
	replica.DeleteItem:    seglog.Delete,
	replica.PutIndex:      seglog.PutRow,
	replica.TrimIndex:     seglog.Trim,
	replica.CutIndex:      seglog.Cut,
	replica.PutMeta:       seglog.PutMeta,
	replica.WipePartition: seglog.Wipe,
}

var presences = [...]seglog.Presence{
	replica.NotKnown:     seglog.NotKnown,
	replica.KnownPresent: seglog.KnownPresent,
	replica.KnownAbsent:  seglog.KnownAbsent,
}

// ApplyBatch writes b: visible to reads when it returns, durable when wait has
// returned nil. An error of either ends the store.
func (s *Store) ApplyBatch(b *replica.Batch) (wait func() error, err error) {
	ops := make([]seglog.Op, len(b.Ops))
	for i := range b.Ops {
		o := &b.Ops[i]
		if o.Kind == 0 || int(o.Kind) >= len(kinds) {
			return nil, fmt.Errorf("apply batch: unknown operation %d", o.Kind)
		}
		ops[i] = seglog.Op{Kind: kinds[o.Kind], Known: presences[o.Known], Part: uint16(o.Partition), Seq: o.Seq,
			Key: bytesOf(o.Key), Value: o.Value}
	}
	wait, err = s.log.Apply(ops)
	if err != nil {
		return nil, fmt.Errorf("apply batch: %w", err)
	}
	return wait, nil
}

// bytesOf returns a key without a copy, for callers that neither change nor keep it.
func bytesOf(k replica.Key) []byte { return unsafe.Slice(unsafe.StringData(string(k)), len(k)) }
