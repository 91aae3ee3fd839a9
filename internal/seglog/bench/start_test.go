package bench

import (
	"math/rand/v2"
	"testing"
	"time"

	"viewring/internal/disk"
	"viewring/internal/seglog"
	"viewring/tests/harness"
)

// BenchmarkStart is a start after kill -9: from a checkpoint of VIEWRING_BENCH_KEYS keys, or
// a million, and 256 MiB of log after it.
func BenchmarkStart(b *testing.B) {
	keys := int(harness.EnvUint(b, "VIEWRING_BENCH_KEYS", 1_000_000))
	fs := disk.Dir(b.TempDir())
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
	b.ResetTimer()
	for range b.N {
		began, cpu := time.Now(), processorTime()
		again, err := seglog.Open(fs, opts)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "start-s")
		b.ReportMetric((processorTime() - cpu).Seconds(), "start-cpu-s")
		if n := again.Stats().Keys; n != keys {
			b.Fatalf("%d keys", n)
		}
	}
}
