package lane

import (
	"fmt"
	"testing"

	"viewring/ring"
	"viewring/server/replica"
)

// nothing is a Storage without items.
type nothing struct{ replica.Storage }

func (nothing) Get(ring.PartitionID, replica.Key) ([]byte, error) { return nil, nil }

// BenchmarkItemCacheWrote measures what a set of 1 KiB costs in the cache of a primary,
// which reads what it replaces, of keys that are kept and of keys that push others out,
// and of a backup.
func BenchmarkItemCacheWrote(b *testing.B) {
	const partitions, limit = 64, 64 << 20
	for _, keys := range []int{20_000, 400_000} { // a third of the limit, six times it
		names := make([]replica.Key, keys)
		for i := range names {
			names[i] = replica.MakeKey(uint16(i%partitions), replica.SpaceUser, fmt.Sprint("key", i))
		}
		for _, serves := range []bool{true, false} {
			b.Run(fmt.Sprintf("keys=%d/serves=%t", keys, serves), func(b *testing.B) {
				c := newItemCache(nothing{}, limit)
				c.serves = roles(serves)
				batches := make([]*replica.Batch, keys/16)
				for i := range batches {
					ops := make([]replica.StoreOp, 16)
					for j := range ops {
						n := (i*16 + j) * 7919 % keys
						ops[j] = replica.StoreOp{Kind: replica.PutItem, Partition: ring.PartitionID(n % partitions), Key: names[n], Value: make([]byte, 1024)}
					}
					batches[i] = &replica.Batch{Ops: ops}
					c.wrote(batches[i])
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += 16 {
					for _, op := range batches[i/16%len(batches)].Ops {
						if serves {
							_, _ = c.Get(op.Partition, op.Key) // never fails
						}
					}
					c.wrote(batches[i/16%len(batches)])
				}
			})
		}
	}
}
