package budget

import "testing"

// TestBudgetShares: what the index takes is taken from the items, down to the least; the
// collector gets what Go may take, but always room above what lives.
func TestBudgetShares(t *testing.T) {
	const total = 232 << 20
	b := &Budget{c: Config{Memory: total}}
	for index, want := range map[int64]int64{0: 128 << 20, 100 << 20: 48 << 20, 180 << 20: itemBytesMin, 1 << 40: itemBytesMin} {
		if got := b.itemsBeside(index); got != want {
			t.Errorf("beside an index of %d: %d bytes of items, want %d", index, got, want)
		} else if limit := b.heapLimit(index, got+bufferBytes); got > itemBytesMin && limit != total-index {
			t.Errorf("beside an index of %d and %d bytes of items Go may take %d, which is not what the budget has left", index, got, limit)
		}
	}
	for _, tt := range []struct{ index, live, want int64 }{
		{0, 10 << 20, total},
		{100 << 20, 10 << 20, 132 << 20},
		{100 << 20, 160 << 20, 232 << 20}, // more lives than the budget wants
		{1 << 40, 0, heapSlackMin},
	} {
		if got := b.heapLimit(tt.index, tt.live); got != tt.want {
			t.Errorf("an index of %d, %d alive: the limit is %d, want %d", tt.index, tt.live, got, tt.want)
		}
	}
	for live, want := range map[int64]int{0: heapPercentMax, 8 << 20: heapPercentMax, 32 << 20: 125, 128 << 20: 50, 1 << 40: 25} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d alive: collected at %d %%, want %d", live, got, want)
		}
	}
	if live := liveBytes(); live < 1<<20 || live > 16<<30 {
		t.Errorf("%d bytes of this process are taken to be alive", live)
	}
}
