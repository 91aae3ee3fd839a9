package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/ring"
	"viewring/server/replica"
)

// BenchmarkApplyBatch commits what a lane's batch carries under load: for each of
// 16 sets of 1 KiB an item, a request record and the deletion of an older one, an
// index row and a meta. The file system is in memory: this measures our CPU.
func BenchmarkApplyBatch(b *testing.B) {
	s, err := Open("data", vfs.NewMem(), Options{}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const sets, partitions = 16, 1024
	rng := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, 1024)
	seq := uint64(0)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		batch := &replica.Batch{}
		for range sets {
			p := ring.PartitionID(rng.IntN(partitions))
			slot := uint16(p)*16 + uint16(rng.IntN(16))
			seq++
			key := replica.MakeKey(slot, replica.SpaceUser, fmt.Sprint("bench/", rng.IntN(10_000)))
			record := func(seq uint64) replica.Key {
				return replica.MakeKey(slot, replica.SpaceSystem, fmt.Sprintf("0123456789abcdef%08d", seq))
			}
			batch.Ops = append(batch.Ops,
				replica.StoreOp{Kind: replica.PutItem, Partition: p, Key: key, Value: value},
				replica.StoreOp{Kind: replica.PutItem, Partition: p, Key: record(seq), Value: value[:40]},
				replica.StoreOp{Kind: replica.DeleteItem, Partition: p, Key: record(seq - min(seq, 64))},
				replica.StoreOp{Kind: replica.PutIndex, Partition: p, Seq: seq, Value: value[:60]})
		}
		for i := range sets {
			batch.Ops = append(batch.Ops, replica.StoreOp{Kind: replica.PutMeta, Partition: batch.Ops[4*i].Partition, Value: value[:60]})
		}
		b.StartTimer()
		wait, err := s.ApplyBatch(batch)
		if err == nil {
			err = wait()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/sets, "us/set")
}
