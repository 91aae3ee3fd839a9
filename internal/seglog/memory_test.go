package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestIndexMemory deletes most keys of a store, in three orders: the index gives their memory
// back, and what is left costs no more than nearly half-full pages.
func TestIndexMemory(t *testing.T) {
	const keys, left, slack = 120_000, 6_000, 1 << 20
	orders := []string{"random", "ascending", "descending"}
	if raceDetector { // one goroutine does all of it
		orders = orders[:1]
	}
	for _, order := range orders {
		t.Run(order, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 9))
			opts := seglog.Options{SegmentBytes: 4 << 20, Manual: true}
			opts.Place = func(key []byte) uint64 { // as they are numbered
				var n uint64
				_, _ = fmt.Sscan(string(key), &n)
				return n
			}
			s := mustOpen(t, crashdisk.Mem(), opts)
			defer s.Close() // nothing is looked at any more
			each := func(numbers []int, kind seglog.OpKind, known seglog.Presence) {
				t.Helper()
				for len(numbers) > 0 {
					n := min(500, len(numbers))
					var ops []seglog.Op
					for _, k := range numbers[:n] {
						ops = append(ops, seglog.Op{Kind: kind, Known: known, Part: 1, Key: fmt.Append(nil, k)})
					}
					if _, err := s.Apply(ops); err != nil {
						t.Fatal(err)
					}
					numbers = numbers[n:]
				}
			}
			each(rng.Perm(keys), seglog.Put, seglog.KnownAbsent)
			full := s.Stats().IndexBytes
			if full > keys*40+slack {
				t.Errorf("%d bytes for %d keys", full, keys)
			}
			out := rng.Perm(keys)
			for i := range out {
				switch order {
				case "ascending":
					out[i] = i
				case "descending":
					out[i] = keys - 1 - i
				}
			}
			each(out[:keys-left], seglog.Delete, seglog.KnownPresent)
			if st := s.Stats(); st.Keys != left || st.IndexBytes > left*24*5/2+slack {
				t.Errorf("%d bytes for %d keys, where %d were for %d", st.IndexBytes, st.Keys, full, keys)
			}
			if err := s.Audit(); err != nil {
				t.Fatal(err)
			}
			each(out[keys-left:], seglog.Delete, seglog.KnownPresent)
			if st := s.Stats(); st.Keys != 0 || st.IndexBytes > slack+slack/16 {
				t.Errorf("%d bytes for nothing", st.IndexBytes)
			}
			each(rng.Perm(keys), seglog.Put, seglog.KnownAbsent) // into memory that was given back
			if err := s.Audit(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
