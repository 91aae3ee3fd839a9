// Package tally counts what many goroutines do at once, so that who counts waits for
// nobody: its counters are atomic and striped, and whoever reads them adds the stripes up.
// Nothing is allocated but for the first operation of a kind in a stripe.
package tally

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stripes is how many parts a count has. Connections take them in turn.
const Stripes = 8

// OutcomesMax is how many outcomes Ops can tell apart.
const OutcomesMax = 20

// Buckets is how many buckets a Histogram has. Bucket k has what is at most 2^k, in
// microseconds where times are noted, and the last one all that is longer or larger.
const Buckets = 26

// Bound is that of a bucket but the last.
func Bound(bucket int) uint64 { return 1 << bucket }

// Histogram counts values by their size. The zero value is ready, and any goroutine may
// use it.
type Histogram struct {
	buckets [Buckets]atomic.Uint64
	sum     atomic.Uint64
}

// Counts is what a Histogram has counted.
type Counts struct {
	Buckets [Buckets]uint64
	Sum     uint64 // of the values; of times in nanoseconds
}

// Count returns how many values there were.
func (c *Counts) Count() (n uint64) {
	for _, b := range c.Buckets {
		n += b
	}
	return n
}

// Quantile returns the bound of the bucket that has it, 0 where nothing was counted.
func (c *Counts) Quantile(q float64) float64 {
	want, sum := q*float64(c.Count()), uint64(0)
	for i, n := range c.Buckets {
		if sum += n; n > 0 && float64(sum) >= want {
			return float64(Bound(i))
		}
	}
	return 0
}

// Note counts a value.
func (h *Histogram) Note(n int) {
	v := uint64(max(0, n))
	h.buckets[bucketOf(v)].Add(1)
	h.sum.Add(v)
}

// NoteTime counts a time.
func (h *Histogram) NoteTime(d time.Duration) {
	ns := uint64(max(0, d))
	h.buckets[bucketOf((ns+999)/1000)].Add(1)
	h.sum.Add(ns)
}

// bucketOf is the bucket of a value: the first whose bound is not below it.
func bucketOf(v uint64) int {
	if v <= 1 {
		return 0
	}
	return min(bits.Len64(v-1), Buckets-1)
}

// Counts returns what was counted. What is counted meanwhile may be in the sum and not in
// the buckets, or the other way round.
func (h *Histogram) Counts() (c Counts) {
	h.addTo(&c)
	return c
}

func (h *Histogram) addTo(c *Counts) {
	for i := range h.buckets {
		c.Buckets[i] += h.buckets[i].Load()
	}
	c.Sum += h.sum.Load()
}

// Ops counts operations by kind and outcome, and how long they took. Any goroutine may
// call its methods.
type Ops struct {
	kinds   int
	stripes [Stripes][]atomic.Pointer[cell] // by kind; nil: none of the kind yet
}

// cell is a kind's counts in a stripe.
type cell struct {
	outcomes [OutcomesMax]atomic.Uint64
	times    Histogram
}

// NewOps returns counters of kinds from 0 up to kinds-1.
func NewOps(kinds int) *Ops {
	o := &Ops{kinds: kinds}
	for i := range o.stripes {
		o.stripes[i] = make([]atomic.Pointer[cell], kinds)
	}
	return o
}

// Kinds is how many there are.
func (o *Ops) Kinds() int { return o.kinds }

// Done counts an operation. stripe is any number that spreads those who count, such as a
// connection's.
func (o *Ops) Done(stripe uint64, kind, outcome int, took time.Duration) {
	at := &o.stripes[stripe%Stripes][kind]
	c := at.Load()
	if c == nil {
		at.CompareAndSwap(nil, new(cell))
		c = at.Load()
	}
	c.outcomes[outcome].Add(1)
	c.times.NoteTime(took)
}

// OpCounts is what Ops has counted of a kind.
type OpCounts struct {
	Outcomes [OutcomesMax]uint64
	Times    Counts
}

// Count returns how many operations there were.
func (c *OpCounts) Count() (n uint64) {
	for _, o := range c.Outcomes {
		n += o
	}
	return n
}

// Counts returns what was counted of a kind.
func (o *Ops) Counts(kind int) (sum OpCounts) {
	for i := range o.stripes {
		c := o.stripes[i][kind].Load()
		if c == nil {
			continue
		}
		for j := range c.outcomes {
			sum.Outcomes[j] += c.outcomes[j].Load()
		}
		c.times.addTo(&sum.Times)
	}
	return sum
}

// Total returns how many operations there were of all kinds, by outcome.
func (o *Ops) Total() (sum [OutcomesMax]uint64) {
	for kind := range o.kinds {
		c := o.Counts(kind)
		for j, n := range c.Outcomes {
			sum[j] += n
		}
	}
	return sum
}
