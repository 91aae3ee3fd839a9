package bench

import (
	crand "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"viewring/internal/disk"
	"viewring/internal/seglog"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/tests/harness"
)

// engine is what the benchmarks measure: the log, and the store that servers use today.
type engine interface {
	// batch sets keys to values of 1 KiB; with rows each set has an index row and a meta too.
	batch(keys []int, there, rows bool, value func() []byte) (wait func() error, err error)
	get(key int) error
	keep() error // closes, so that another can open the folder
}

const benchParts = 1024

func benchKey(key int) []byte {
	p := key % benchParts
	return append([]byte{byte(p * 16 >> 8), byte(p * 16), 1}, fmt.Sprint("bench/", key)...)
}

type logEngine struct {
	s   *seglog.Store
	seq uint64
	ops []seglog.Op
}

func (e *logEngine) batch(keys []int, there, rows bool, value func() []byte) (func() error, error) {
	e.ops = e.ops[:0]
	known := seglog.KnownAbsent
	if there {
		known = seglog.KnownPresent
	}
	for _, k := range keys {
		e.seq++
		p := uint16(k % benchParts)
		e.ops = append(e.ops, seglog.Op{Kind: seglog.Put, Known: known, Part: p, Key: benchKey(k), Value: value()})
		if rows {
			e.ops = append(e.ops, seglog.Op{Kind: seglog.PutRow, Part: p, Seq: e.seq, Value: value()[:30]})
			e.ops = append(e.ops, seglog.Op{Kind: seglog.PutMeta, Part: p, Value: value()[:60]})
			if old := e.seq - min(e.seq, 64*benchParts); old > 0 {
				e.ops = append(e.ops, seglog.Op{Kind: seglog.Trim, Part: p, Seq: old})
			}
		}
	}
	return e.s.Apply(e.ops)
}

func (e *logEngine) get(key int) error {
	v, ok, err := e.s.Get(uint16(key%benchParts), benchKey(key))
	if err == nil && (!ok || len(v) != 1024) {
		err = fmt.Errorf("key %d: %d bytes", key, len(v))
	}
	return err
}

func (e *logEngine) keep() error { return e.s.Close() }

type storeEngine struct {
	s   *store.Store
	seq uint64
}

func (e *storeEngine) batch(keys []int, _, rows bool, value func() []byte) (func() error, error) {
	b := &replica.Batch{}
	for _, k := range keys {
		e.seq++
		p, key := ring.PartitionID(k%benchParts), replica.Key(benchKey(k))
		b.Ops = append(b.Ops, replica.StoreOp{Kind: replica.PutItem, Partition: p, Key: key,
			Value: replica.AppendItem(nil, key, replica.Item{Version: replica.Version{Term: 1, Seq: e.seq}, Kind: replica.KindValue, Value: value()})})
		if rows {
			b.Ops = append(b.Ops, replica.StoreOp{Kind: replica.PutIndex, Partition: p, Seq: e.seq, Value: value()[:30]},
				replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: value()[:60]})
			if old := e.seq - min(e.seq, 64*benchParts); old > 0 {
				b.Ops = append(b.Ops, replica.StoreOp{Kind: replica.TrimIndex, Partition: p, Seq: old})
			}
		}
	}
	return e.s.ApplyBatch(b)
}

func (e *storeEngine) get(key int) error {
	v, err := e.s.Get(ring.PartitionID(key%benchParts), replica.Key(benchKey(key)))
	if err == nil && len(v) < 1024 {
		err = fmt.Errorf("key %d: %d bytes", key, len(v))
	}
	return err
}

func (e *storeEngine) keep() error { return e.s.Close() }

// engines open each engine in a folder.
var engines = []struct {
	name string
	open func(dir string) (engine, error)
}{
	{"log", func(dir string) (engine, error) {
		s, err := seglog.Open(disk.Dir(dir), seglog.Options{})
		return &logEngine{s: s}, err
	}},
	{"log-zeroed", func(dir string) (engine, error) {
		s, err := seglog.Open(disk.Dir(dir), seglog.Options{Zeroed: true})
		return &logEngine{s: s}, err
	}},
	{"store", func(dir string) (engine, error) {
		s, err := store.Open(dir, disk.Dir(dir), store.Options{}, slog.New(slog.DiscardHandler))
		return &storeEngine{s: s}, err
	}},
}

// noise returns values that are hard to compress.
func noise(rng *rand.Rand) func() []byte {
	b := make([]byte, 1<<20)
	_, _ = crand.Read(b)
	return func() []byte {
		at := rng.IntN(len(b) - 1024)
		return b[at : at+1024]
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it can't fail for this process
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writer writes batches, one on its way while the next is made.
type writer struct {
	e      engine
	rows   bool
	value  func() []byte
	before func() error
	sent   time.Time
	took   []time.Duration
}

func (w *writer) batch(b *testing.B, keys []int, there bool) {
	at := time.Now()
	wait, err := w.e.batch(keys, there, w.rows, w.value)
	if err == nil && w.before != nil {
		if err = w.before(); err == nil {
			w.took = append(w.took, time.Since(w.sent))
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	w.before, w.sent = wait, at
}

// fill sets keys 0 … n-1 for the first time.
func (w *writer) fill(b *testing.B, n, size int) {
	some := make([]int, 0, size)
	for k := range n {
		if some = append(some, k); len(some) == size || k == n-1 {
			w.batch(b, some, false)
			some = some[:0]
		}
	}
}

// BenchmarkCopy is what one copy of a set of 1 KiB costs: all processor time of the
// process, collection and merges included, in synced batches of 16, over 100,000 keys
// that have been overwritten.
func BenchmarkCopy(b *testing.B) {
	const keys, size = 100_000, 16
	for _, en := range engines {
		for _, rows := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/rows=%v", en.name, rows), func(b *testing.B) {
				e, err := en.open(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(1, 1))
				w := &writer{e: e, rows: rows, value: noise(rng)}
				w.fill(b, keys, size)
				some := make([]int, size)
				random := func(n int) {
					for range n {
						for i := range some {
							some[i] = rng.IntN(keys)
						}
						w.batch(b, some, true)
					}
				}
				random(keys / size)
				b.ResetTimer()
				began, wrote := processorTime(), written(b)
				w.took = w.took[:0]
				random(b.N)
				sets := float64(b.N) * size
				b.ReportMetric(float64((processorTime()-began).Microseconds())/sets, "cpu-us/copy")
				b.ReportMetric(float64(written(b)-wrote)/sets/1024, "written/user-byte")
				slices.Sort(w.took)
				b.ReportMetric(float64(w.took[len(w.took)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(w.took[len(w.took)*999/1000].Microseconds()), "p99.9-us")
				if le, ok := e.(*logEngine); ok {
					st := le.s.Stats()
					b.ReportMetric(float64(st.DiskBytes)/float64(st.LiveBytes), "disk/live")
				}
				if err := e.keep(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// written is what this process has sent to the disk.
func written(b *testing.B) (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("no /proc/self/io here")
	}
	for _, line := range strings.Split(string(text), "\n") {
		_, _ = fmt.Sscanf(line, "write_bytes: %d", &n) // only one line is that one
	}
	return n
}

// forget lets the kernel's cache forget the files of a folder.
func forget(b *testing.B, dir string) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() // read only
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkKeys is what many keys of 1 KiB cost: VIEWRING_BENCH_KEYS, or 100,000. A get
// whose file is in the kernel's cache and one whose is not, a start from a checkpoint and
// one from the segments, and the index's memory for a key.
func BenchmarkKeys(b *testing.B) {
	keys := int(harness.EnvUint(b, "VIEWRING_BENCH_KEYS", 100_000))
	for _, en := range engines {
		if en.name == "log-zeroed" {
			continue
		}
		b.Run(en.name, func(b *testing.B) {
			dir := b.TempDir()
			open := func() (engine, time.Duration) {
				at := time.Now()
				e, err := en.open(dir)
				if err != nil {
					b.Fatal(err)
				}
				return e, time.Since(at)
			}
			e, _ := open()
			rng := rand.New(rand.NewPCG(1, 1))
			w := &writer{e: e, value: noise(rng)}
			began, cpu := time.Now(), processorTime()
			w.fill(b, keys, 256)
			if err := w.before(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(began).Seconds(), "fill-s")
			b.ReportMetric(float64((processorTime()-cpu).Microseconds())/float64(keys), "fill-cpu-us/copy")
			if err := e.keep(); err != nil {
				b.Fatal(err)
			}
			e, took := open()
			b.ReportMetric(took.Seconds(), "start-s")
			forget(b, dir)
			b.ReportMetric(gets(b, e, rng, keys, min(keys/8, 20_000)), "get-cold-cpu-us")
			for k := range keys {
				if err := e.get(k); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(gets(b, e, rng, keys, 200_000), "get-cpu-us")
			if le, ok := e.(*logEngine); ok {
				b.ReportMetric(float64(le.s.Stats().IndexBytes)/float64(keys), "index-bytes/key")
			}
			if err := e.keep(); err != nil {
				b.Fatal(err)
			}
			if en.name == "log" {
				for _, n := range globs(b, dir, "checkpoint-*") {
					if err := os.Remove(n); err != nil {
						b.Fatal(err)
					}
				}
				e, took = open()
				b.ReportMetric(took.Seconds(), "start-segments-s")
				if err := e.keep(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func globs(b *testing.B, dir, pattern string) []string {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		b.Fatal(err)
	}
	return names
}

// gets returns the processor time of a get of random keys, µs.
func gets(b *testing.B, e engine, rng *rand.Rand, keys, n int) float64 {
	cpu := processorTime()
	for range n {
		if err := e.get(rng.IntN(keys)); err != nil {
			b.Fatal(err)
		}
	}
	return float64((processorTime() - cpu).Microseconds()) / float64(n)
}
