package tally

import (
	"sync"
	"testing"
	"time"
)

// TestOps: what many goroutines count is all there, by kind, outcome and time.
func TestOps(t *testing.T) {
	const kinds, goroutines, each = 3, 16, 1000
	o := NewOps(kinds)
	var running sync.WaitGroup
	for g := range goroutines {
		running.Go(func() {
			for i := range each {
				o.Done(uint64(g), i%kinds, i%2, time.Duration(i)*time.Microsecond)
			}
		})
	}
	running.Wait()
	all, times := uint64(0), uint64(0)
	for kind := range kinds {
		c := o.Counts(kind)
		if c.Count() != c.Times.Count() {
			t.Errorf("kind %d: %d by outcome, %d by time", kind, c.Count(), c.Times.Count())
		}
		all += c.Count()
		times += c.Times.Sum
	}
	if want := uint64(goroutines * each); all != want || o.Total()[0] != want/2 || o.Total()[1] != want/2 {
		t.Errorf("%d counted, want %d; by outcome %v", all, want, o.Total())
	}
	if want := uint64(goroutines * each * (each - 1) / 2 * 1000); times != want {
		t.Errorf("%d ns in all, want %d", times, want)
	}
}

// TestBuckets: each value is in the first bucket whose bound is not below it.
func TestBuckets(t *testing.T) {
	for v, want := range map[uint64]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 1024: 10, 1025: 11, 1 << 25: 25, 1 << 60: Buckets - 1} {
		if got := bucketOf(v); got != want {
			t.Errorf("%d is in bucket %d, want %d", v, got, want)
		}
	}
	var h Histogram
	h.NoteTime(-1)
	h.NoteTime(1500 * time.Nanosecond)
	if c := h.Counts(); c.Buckets[0] != 1 || c.Buckets[1] != 1 || c.Sum != 1500 || c.Count() != 2 {
		t.Errorf("%+v", c)
	}
}

// TestDoneAllocatesNothing but once.
func TestDoneAllocatesNothing(t *testing.T) {
	o := NewOps(2)
	o.Done(3, 1, 0, 0)
	if n := testing.AllocsPerRun(100, func() { o.Done(3, 1, 0, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDone(b *testing.B) {
	o := NewOps(2)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o.Done(1, 1, 0, time.Millisecond)
		}
	})
}
