package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"viewring/internal/disk"
	"viewring/internal/seglog"
	"viewring/tests/harness"
)

// BenchmarkStart is a start after kill -9: from a checkpoint of VIEWRING_BENCH_KEYS keys, or
// a million, and 256 MiB of log after it; cold: none of it is in the kernel's cache.
func BenchmarkStart(b *testing.B) {
	keys := int(harness.EnvUint(b, "VIEWRING_BENCH_KEYS", 1_000_000))
	dir := b.TempDir()
	fs := disk.Dir(dir)
	opts := seglog.Options{Manual: true}
	s, err := seglog.Open(fs, opts)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() // what the starts below find is as if it were killed
	rng := rand.New(rand.NewPCG(1, 1))
	value := noise(rng)
	w := &writer{e: &logEngine{s: s}, value: func() []byte { return value()[:16] }}
	w.fill(b, keys, 1024)
	if err := w.before(); err != nil {
		b.Fatal(err)
	}
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	w.value = value
	some := make([]int, 256)
	for range 1024 {
		for i := range some {
			some[i] = rng.IntN(keys)
		}
		w.batch(b, some, true)
	}
	if err := w.before(); err != nil {
		b.Fatal(err)
	}
	for _, cold := range []bool{false, true} {
		b.Run(fmt.Sprintf("cold=%v", cold), func(b *testing.B) {
			var took, used time.Duration
			for range b.N {
				if cold {
					forget(b, dir)
				}
				began, cpu := time.Now(), processorTime()
				again, err := seglog.Open(fs, opts)
				if err != nil {
					b.Fatal(err)
				}
				took, used = took+time.Since(began), used+processorTime()-cpu
				if n := again.Stats().Keys; n != keys {
					b.Fatalf("%d keys", n)
				}
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "start-s")
			b.ReportMetric(used.Seconds()/float64(b.N), "start-cpu-s")
		})
	}
}
