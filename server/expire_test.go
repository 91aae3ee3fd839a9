package server

import (
	"strconv"
	"testing"
	"time"
)

// TestExpiredKeysAreSwept: a key that nobody reads goes, on every replica.
func TestExpiredKeysAreSwept(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 8, 2)
	c.waitBalanced()
	const keys = 40
	for i := range keys {
		key := "key" + strconv.Itoa(i)
		if _, err := c.do([]byte("SET"), []byte(key), []byte("v"), []byte("PX"), []byte("100")); err != nil {
			t.Fatal(err)
		}
	}
	c.set("stays", "here")
	began := time.Now()
	c.wait("the sweepers", func() bool {
		left := uint64(0)
		for _, s := range c.servers {
			left += s.stats().Keys
		}
		return left == 3
	})
	t.Logf("%d expired keys were gone from three servers after %v", keys, time.Since(began).Round(time.Millisecond))
	c.expect("stays", "here")
}
