package store

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

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

// BenchmarkDurableSet is what the disk and the engine alone cost one copy of a set: all
// processor time of the process, compactions and the kernel's part included, for sets of
// 1 KiB in synced batches of 16, one in flight while the next is made, over 100,000
// keys that are there and have been overwritten. One row is the least that any layout
// must write; three are ours.
func BenchmarkDurableSet(b *testing.B) {
	for _, rows := range []int{1, 3} {
		b.Run(fmt.Sprint("rows=", rows), func(b *testing.B) {
			s, err := Open(b.TempDir(), vfs.Default, Options{}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			w := newDurableSets(s, rows)
			const keys = 100_000
			order := w.rng.Perm(keys)
			for len(order) > 0 {
				w.batch(b, order[:min(len(order), durableBatch)])
				order = order[min(len(order), durableBatch):]
			}
			random := func(n int) {
				some := make([]int, durableBatch)
				for range n {
					for i := range some {
						some[i] = w.rng.IntN(keys)
					}
					w.batch(b, some)
				}
			}
			random(keys / durableBatch)
			b.ResetTimer()
			began, before := processorTime(b), s.compacted()
			random(b.N)
			if err := w.before(); err != nil {
				b.Fatal(err)
			}
			sets := float64(b.N) * durableBatch
			b.ReportMetric(float64((processorTime(b)-began).Microseconds())/sets, "cpu-us/set")
			b.ReportMetric(float64(s.compacted()-before)/sets/1024, "compacted/user-byte")
		})
	}
}

// durableBatch is how many sets BenchmarkDurableSet has in a batch.
const durableBatch = 16

// durableSets makes the batches of BenchmarkDurableSet.
type durableSets struct {
	s      *Store
	rows   int
	rng    *rand.Rand
	noise  []byte // as hard to compress as any user's photo
	seq    uint64
	before func() error // waits for the batch before
}

func newDurableSets(s *Store, rows int) *durableSets {
	w := &durableSets{s: s, rows: rows, rng: rand.New(rand.NewPCG(1, 1)), noise: make([]byte, 1<<20), before: func() error { return nil }}
	_, _ = crand.Read(w.noise)
	return w
}

// batch sets some keys, and waits for the batch before.
func (w *durableSets) batch(b *testing.B, keys []int) {
	batch := &replica.Batch{}
	for _, key := range keys {
		w.seq++
		p := ring.PartitionID(key % 1024)
		at := w.rng.IntN(len(w.noise) - 1024)
		batch.Ops = append(batch.Ops, replica.StoreOp{Kind: replica.PutItem, Partition: p,
			Key: replica.MakeKey(uint16(p)*16, replica.SpaceUser, fmt.Sprint("bench/", key)), Value: w.noise[at : at+1024]})
		if w.rows == 3 {
			batch.Ops = append(batch.Ops,
				replica.StoreOp{Kind: replica.PutIndex, Partition: p, Seq: w.seq, Value: w.noise[at : at+60]},
				replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: w.noise[at : at+60]})
		}
	}
	wait, err := w.s.ApplyBatch(batch)
	if err == nil {
		err = w.before()
	}
	if err != nil {
		b.Fatal(err)
	}
	w.before = wait
}

// compacted returns the bytes that compactions have written.
func (s *Store) compacted() uint64 {
	t := s.db.Metrics().Total()
	return t.TableBytesCompacted
}

// processorTime is what this process has used, in user and kernel mode.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkThreeSyncs is what the disk alone takes of one set of 1 KiB when nothing else
// runs: three logs on it, as of three servers, get the set at the same moment, and all
// have it. The logs have their length already, like those that Pebble uses again.
func BenchmarkThreeSyncs(b *testing.B) {
	const setBytes, logBytes = 1200, 16 << 20
	dir := b.TempDir()
	var logs [3]vfs.File
	for i := range logs {
		f, err := vfs.Default.Create(filepath.Join(dir, fmt.Sprint(i)), vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(make([]byte, logBytes))
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close() // a benchmark's
		logs[i] = f
	}
	set := make([]byte, setBytes)
	b.ResetTimer()
	for n := range b.N {
		var all sync.WaitGroup
		for _, f := range logs {
			all.Go(func() {
				_, err := f.WriteAt(set, int64(n*setBytes%(logBytes-setBytes)))
				if err == nil {
					err = f.SyncData()
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
}
