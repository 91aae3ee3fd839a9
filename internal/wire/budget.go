package wire

import "sync/atomic"

// Budget bounds the bytes of answers that have come and are not passed on yet. nil
// is without bounds. Safe for concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(most int64) *Budget { return &Budget{max: most} }

// take counts n bytes; false when that is too much beside what is there already.
// What must be taken is.
func (b *Budget) take(n int64, must bool) bool {
	if b == nil {
		return true
	}
	if used := b.used.Add(n); used > b.max && used > n && !must {
		b.used.Add(-n)
		return false
	}
	return true
}

// Give gives back what an answer took.
func (b *Budget) Give(n int) {
	if b != nil {
		b.used.Add(-int64(n))
	}
}
