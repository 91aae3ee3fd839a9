package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// scanned are the names that a SCAN has told, and how often.
type scanned map[string]int

// page goes on with a scan by one reply and returns the next cursor, which must get
// through the clients that keep it in a double.
func (n scanned) page(t *testing.T, s *Server, cursor string, count int) string {
	t.Helper()
	v, err := ask(t, dial(t, s.Addr()), "SCAN", cursor, "COUNT", strconv.Itoa(count))
	if err != nil || len(v.Array) != 2 {
		t.Fatalf("scan %s: %v, %v", cursor, v, err)
	}
	for _, name := range v.Array[1].Array {
		n[name.Text()]++
	}
	next := v.Array[0].Text()
	double, err := strconv.ParseFloat(next, 64)
	if err != nil || double >= 1<<53 || strconv.FormatFloat(double, 'f', -1, 64) != next {
		t.Fatalf("cursor %s: %v", next, err)
	}
	return next
}

// rest goes on to the end; between, if there is any, is done before each page.
func (n scanned) rest(t *testing.T, s *Server, cursor string, count int, between func()) {
	t.Helper()
	for pages := 0; cursor != "0"; pages++ {
		if pages > 10_000 {
			t.Fatal("a scan without end")
		}
		if between != nil {
			between()
		}
		cursor = n.page(t, s, cursor, count)
	}
}

// all is a whole scan.
func (n scanned) all(t *testing.T, s *Server, count int, between func()) {
	t.Helper()
	n.rest(t, s, n.page(t, s, "0", count), count, between)
}

func (n scanned) wantOnce(t *testing.T, names []string) {
	t.Helper()
	for _, name := range names {
		if n[name] != 1 {
			t.Fatalf("%.40s came %d times", name, n[name])
		}
	}
	if len(n) != len(names) {
		t.Errorf("%d names of %d", len(n), len(names))
	}
}

// fill sets names of one slot.
func fill(t *testing.T, s *Server, names []string) {
	t.Helper()
	c := dial(t, s.Addr())
	for page := range slices.Chunk(names, 1000) {
		args := []string{"MSET"}
		for _, n := range page {
			args = append(args, n, "v")
		}
		if _, err := ask(t, c, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScan goes through many slots and one that has many keys, in pages of any size:
// each key comes once, whatever the server keeps in memory meanwhile.
func TestScan(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	names := []string{""} // in slot 0
	for i := range 150 {
		names = append(names, fmt.Sprint("k", i), fmt.Sprint("{big}", i))
	}
	for _, n := range names {
		c.set(n, "v")
	}
	for p := range ring.PartitionID(8) { // what servers keep for themselves lies between the slots' keys
		first, _ := ring.SlotRange(p, 8)
		key := replica.MakeKey(first, replica.SpaceSystem, "record")
		if _, err := s.store.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{{Kind: replica.PutItem, Partition: p, Key: key,
			Value: replica.AppendItem(nil, key, replica.Item{Kind: replica.KindRecord})}}}); err != nil {
			t.Fatal(err)
		}
	}
	scans := func(what string, between func()) {
		for _, count := range []int{1, 7, 1000} {
			found := scanned{}
			found.all(t, s, count, between)
			if !t.Run(fmt.Sprint(what, count), func(t *testing.T) { found.wantOnce(t, names) }) {
				return
			}
		}
	}
	scans("alone", nil)
	other := scanned{}
	scans("beside another", func() { other.page(t, s, "0", 200) })
}

// TestScanOneSlot has many keys in one slot: with the sizes that servers have.
func TestScanOneSlot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 8, 1)
	var names []string
	for i := range 20_000 {
		names = append(names, fmt.Sprint("{user:1}:", i))
	}
	fill(t, c.servers[1], names)
	for _, count := range []int{100, 999} {
		found := scanned{}
		found.all(t, c.servers[1], count, nil)
		found.wantOnce(t, names)
	}
}

// TestScanLongNames has the longest names there are: a page of them is no longer than
// other replies.
func TestScanLongNames(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	var names []string
	for i := range 60 {
		name := fmt.Sprintf("{big}%03d", i)
		names = append(names, name+strings.Repeat("x", wire.KeyBytesMax-len(name)))
		c.set(names[i], "v")
	}
	found := scanned{}
	cursor := found.page(t, s, "0", 1000)
	if len(found) > scanBytesMax/wire.KeyBytesMax {
		t.Errorf("%d names in a page", len(found))
	}
	found.rest(t, s, cursor, 1000, nil)
	found.wantOnce(t, names)
}

// TestScanFresh sets a key between two scans of a slot with many: the second one must
// tell it.
func TestScanFresh(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	for i := range 200 {
		c.set(fmt.Sprint("{big}", i), "v")
	}
	for i := range 20 {
		scanned{}.page(t, s, "0", 1)
		name := fmt.Sprint("{big}new", i)
		c.set(name, "v")
		found := scanned{}
		found.all(t, s, 10, nil)
		if found[name] != 1 {
			t.Fatalf("%s came %d times", name, found[name])
		}
	}
}

// TestScanDeleted deletes and adds keys in the middle of a scan: what stays comes, and
// the scan ends.
func TestScanDeleted(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	stays := []string{}
	for i := range 60 {
		c.set(fmt.Sprintf("{big}%02d", i), "v")
		c.set(fmt.Sprintf("{big}gone%02d", i), "v")
		stays = append(stays, fmt.Sprintf("{big}%02d", i))
	}
	found, i := scanned{}, 0
	found.all(t, s, 7, func() {
		if _, err := c.do([]byte("DEL"), fmt.Appendf(nil, "{big}gone%02d", i)); err != nil {
			t.Fatal(err)
		}
		c.set(fmt.Sprint("{big}more", i), "v")
		i++
	})
	for _, n := range stays {
		if found[n] != 1 {
			t.Errorf("%s came %d times", n, found[n])
		}
	}
}

// TestPlaces: a cursor says which slot it is in, and a cursor of today is one of
// tomorrow.
func TestPlaces(t *testing.T) {
	for name, want := range map[string]wire.Cursor{"": 488961614156, "{user:1}:0": 5925536924385419, "greeting": 6989649026748421} {
		at := cursorOf(replica.MakeKey(ring.SlotOf(name), replica.SpaceUser, name))
		if at.Slot() != ring.SlotOf(name) || !at.Valid() || at >= 1<<53 {
			t.Errorf("%s is at %d", name, at)
		}
		if at != want {
			t.Errorf("%q is at %d, was at %d", name, at, want)
		}
	}
	if last := cursorOf(replica.MakeKey(ring.Slots-1, replica.SpaceUser, "x")) | (1<<wire.CursorHashBits - 1); last != 1<<53-1 || !last.Valid() || (last + 1).Valid() {
		t.Errorf("the last place is %d", last)
	}
}
