package server

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/ring"
)

// scanned are the names that a SCAN has told, and how often.
type scanned map[string]int

// page goes on with a scan by one reply and returns the next cursor.
func (n scanned) page(t *testing.T, s *Server, cursor string, count int) string {
	t.Helper()
	v, err := ask(t, dial(t, s.Addr()), "SCAN", cursor, "COUNT", strconv.Itoa(count))
	if err != nil || len(v.Array) != 2 {
		t.Fatalf("scan %s: %v, %v", cursor, v, err)
	}
	for _, name := range v.Array[1].Array {
		n[name.Text()]++
	}
	return v.Array[0].Text()
}

// rest goes on to the end.
func (n scanned) rest(t *testing.T, s *Server, cursor string, count int) {
	t.Helper()
	for pages := 0; cursor != "0"; pages++ {
		if pages > 10_000 {
			t.Fatal("a scan without end")
		}
		cursor = n.page(t, s, cursor, count)
	}
}

// TestScan goes through many slots and one that has many keys, in pages of any size:
// each key comes once where the server remembers the cursors, at least once where it
// does not.
func TestScan(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	var names []string
	for i := range 150 {
		names = append(names, fmt.Sprint("k", i), fmt.Sprint("{big}", i))
	}
	for _, n := range names {
		c.set(n, "v")
	}
	for _, count := range []int{1, 7, 1000} {
		found := scanned{}
		found.rest(t, s, found.page(t, s, "0", count), count)
		for _, n := range names {
			if found[n] != 1 {
				t.Errorf("count %d: %s came %d times", count, n, found[n])
			}
		}
	}
	found := scanned{}
	for cursor, pages := found.page(t, s, "0", 9), 0; cursor != "0"; pages++ {
		s.cursors.forget()
		cursor = found.page(t, s, cursor, 9)
	}
	for _, n := range names {
		if found[n] == 0 {
			t.Errorf("%s was left out by a server that forgets", n)
		}
	}
}

// TestScanDeleted deletes the key at which a scan stands, on a server that forgets its
// cursors: what stays comes all the same.
func TestScanDeleted(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	stays := make(map[string]bool)
	for i := range 60 {
		name := fmt.Sprintf("{big}%02d", i)
		c.set(name, "v")
		stays[name] = true
	}
	found := scanned{}
	cursor := found.page(t, s, "0", 20)
	last := ""
	for n := range found {
		last = max(last, n)
	}
	if _, err := c.do([]byte("DEL"), []byte(last)); err != nil {
		t.Fatal(err)
	}
	delete(stays, last)
	s.cursors.forget()
	found.rest(t, s, cursor, 20)
	for n := range stays {
		if found[n] == 0 {
			t.Errorf("%s was left out", n)
		}
	}
}

// TestScanThroughJoin lets a server join in the middle of a scan: what has not moved
// comes, and together the servers tell all.
func TestScanThroughJoin(t *testing.T) {
	c := startCluster(t, 3, 16, 2)
	for i := range 200 {
		c.set(fmt.Sprint("k", i), "v")
	}
	before, _ := c.leader.view()
	at := make(map[ring.ServerID]string)
	found := make(map[ring.ServerID]scanned)
	for id, s := range c.servers {
		found[id] = scanned{}
		at[id] = found[id].page(t, s, "0", 10)
	}
	c.join(vfs.NewMem())
	c.waitBalanced()
	after, _ := c.leader.view()
	for id, cursor := range at {
		found[id].rest(t, c.servers[id], cursor, 10)
	}
	moved := 0
	for i := range 200 {
		name := fmt.Sprint("k", i)
		p := ring.PartitionOf(ring.SlotOf(name), 16)
		was := before.Partitions[p].Primary()
		if was != after.Partitions[p].Primary() {
			moved++
		} else if found[was][name] == 0 {
			t.Errorf("%s did not move from %v and was left out", name, was)
		}
	}
	if moved == 0 || moved == 200 {
		t.Errorf("%d keys moved", moved)
	}
	var all []string
	sum := int64(0)
	for _, s := range c.servers {
		conn := dial(t, s.Addr())
		v, err := ask(t, conn, "KEYS", "k*")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range v.Array {
			all = append(all, n.Text())
		}
		n, err := ask(t, conn, "DBSIZE")
		if err != nil || n.Int != int64(len(v.Array)) {
			t.Errorf("DBSIZE %v, %v, KEYS tells %d", n, err, len(v.Array))
		}
		sum += n.Int
		if one, err := ask(t, conn, "RANDOMKEY"); err != nil || n.Int > 0 && !slices.Contains(all, one.Text()) {
			t.Errorf("RANDOMKEY %v, %v", one, err)
		}
	}
	slices.Sort(all)
	if sum != 200 || len(slices.Compact(all)) != 200 {
		t.Errorf("the servers have %d keys, %d names", sum, len(slices.Compact(all)))
	}
	for _, s := range c.servers {
		if v, err := ask(t, dial(t, s.Addr()), "FLUSHALL"); err != nil || v.Text() != "OK" {
			t.Errorf("FLUSHALL: %v, %v", v, err)
		}
	}
	for i := range 200 {
		c.expect(fmt.Sprint("k", i), "")
	}
}

// TestCursorsBound: a server remembers no more cursors than it may, and of two names
// with one cursor the first.
func TestCursorsBound(t *testing.T) {
	k := newCursors()
	for i := range 3 * cursorsMax {
		k.keep(1, fmt.Sprint(i))
	}
	if len(k.mu.names) != cursorsMax || len(k.mu.ring) != cursorsMax {
		t.Errorf("%d cursors", len(k.mu.names))
	}
	cursor := k.keep(2, "m")
	k.mu.names[cursor] = "z" // as if of another name
	k.keep(2, "m")
	if name, ok := k.find(cursor); !ok || name != "m" {
		t.Errorf("%q, %v", name, ok)
	}
}

// forget makes the server one that has just started.
func (k *cursors) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.mu.names)
	k.mu.ring, k.mu.next = nil, 0
}
