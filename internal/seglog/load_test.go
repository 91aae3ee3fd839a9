package seglog_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"viewring/internal/seglog"
)

// TestLoad loads trees from chunks: mostly in order, as they are in a checkpoint, with a few
// entries that come late, as in one that was written while others wrote.
func TestLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 18))
	for _, n := range []int{0, 1, 170, 2048, 100_000} {
		for _, late := range []float64{0, 0.001, 0.2} {
			var chunks [][]uint64
			var all, chunk []uint64
			at := uint64(0)
			for range n {
				at += rng.Uint64N(3) // some are the same
				place := at
				if rng.Float64() < late {
					place = rng.Uint64N(at + 1)
				}
				all, chunk = append(all, place), append(chunk, place)
				if rng.IntN(2048) == 0 {
					chunks, chunk = append(chunks, chunk), nil
				}
			}
			got, err := seglog.LoadTree(append(chunks, chunk))
			if slices.Sort(all); err != nil || !slices.Equal(got, all) {
				t.Errorf("%d entries, %v of them late: %d are there, %v", n, late, len(got), err)
			}
		}
	}
}
