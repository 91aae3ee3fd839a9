package lane

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"viewring/server/replica"
)

// TestItemCachePart plays writes, reads, and reads of parts: the cache says what is there,
// and keeps what was read as a whole alone.
func TestItemCachePart(t *testing.T) {
	under := &rows{items: make(map[string][]byte)}
	c := newItemCache(under, 1<<20)
	rng := rand.New(rand.NewPCG(7, 8))
	values := make(map[replica.Key]string)
	for n := range 5000 {
		key := replica.MakeKey(1, replica.SpaceUser, fmt.Sprint("k", rng.IntN(10)))
		if rng.IntN(4) == 0 {
			values[key] = strings.Repeat(fmt.Sprint(n, "-"), 1+rng.IntN(20))
			item := replica.AppendItem(nil, key, replica.Item{Version: replica.Version{Term: 1, Seq: uint64(n + 1)}, Kind: replica.KindValue, Value: []byte(values[key])})
			b := &replica.Batch{Ops: []replica.StoreOp{{Kind: replica.PutItem, Partition: 1, Key: key, Value: item}}}
			under.apply(b)
			c.serves = roles(rng.IntN(2) == 0)
			c.wrote(b)
			continue
		}
		want := values[key]
		from := rng.IntN(len(want) + 1)
		to := from + rng.IntN(len(want)+1-from)
		pc, _, err := c.GetPart(1, key, func(int) (int, int) { return from, to })
		if err != nil || string(pc.Value) != want[from:to] || pc.Length != len(want) || pc.Version.IsZero() != (want == "") {
			t.Fatalf("bytes %d to %d of %q: %+v, %v", from, to, want, pc, err)
		}
		if rng.IntN(8) == 0 {
			item, err := c.Get(1, key)
			if it, bad := replica.DecodeItem(key, item); item != nil && (err != nil || bad != nil || string(it.Value) != want) {
				t.Fatalf("%q, %v, %v; want %q", it.Value, err, bad, want)
			}
		}
		if rng.IntN(8) == 0 {
			c.forget(1, key)
		}
	}
}
