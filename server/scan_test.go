package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
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

// narrow makes slots of a few dozen names large ones, each of many windows.
func (k *windows) narrow() *windows {
	k.smallMax, k.windowMax, k.allMax = 1<<10, 3<<10, 6<<10
	return k
}

// forget makes the server one that has just started.
func (k *windows) forget() { k.remove(func(*window) bool { return true }) }

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
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	names := []string{""} // in slot 0
	for i := range 150 {
		names = append(names, fmt.Sprint("k", i), fmt.Sprint("{big}", i))
	}
	for _, n := range names {
		c.set(n, "v")
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
	scans("small", nil)
	s.windows.narrow()
	scans("large", nil)
	scans("forgetful", s.windows.forget)
	other := scanned{}
	scans("beside another", func() { other.page(t, s, "0", 200) })
	s.windows.mu.Lock()
	defer s.windows.mu.Unlock()
	for size := range slices.Values(s.windows.mu.all) {
		if size.bytes > s.windows.windowMax {
			t.Errorf("a window of %d bytes", size.bytes)
		}
	}
	if n := len(s.windows.mu.all); n > 4 {
		t.Errorf("%d windows are kept", n)
	}
}

// TestScanOneSlot has many keys in one slot: with the sizes that servers have.
func TestScanOneSlot(t *testing.T) {
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
	s.windows.forget()
	s.windows.windowMax = 1 << 20
	found.rest(t, s, cursor, 1000, nil)
	found.wantOnce(t, names)
}

// TestScanFresh sets a key between two scans of a slot with many: the second one must
// tell it, whatever the first one has left in memory.
func TestScanFresh(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	s.windows.narrow()
	for i := range 200 {
		c.set(fmt.Sprint("{big}", i), "v")
	}
	for i := range 20 {
		scanned{}.page(t, s, "0", 1) // leaves a window
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
	s.windows.narrow()
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

// TestWindows: none is used that is older than a scan may be.
func TestWindows(t *testing.T) {
	k := newWindows().narrow()
	reads := 0
	read := func(g *gathering) error {
		reads++
		for i := range 100 {
			g.add(g.from.Slot(), fmt.Sprint(i))
		}
		return nil
	}
	wants := func(what string, want int, epoch uint64, at wire.Cursor) *window {
		t.Helper()
		before := reads
		w, err := k.find(epoch, at, read)
		if err != nil || reads-before != want {
			t.Fatalf("%s: %d reads, %v", what, reads-before, err)
		}
		return w
	}
	start := wire.CursorOf(5)
	w := wants("the first", 1, 1, start)
	if w.end == 0 || len(w.names) == 0 || w.names[len(w.names)-1].at >= w.end {
		t.Fatalf("a window of %d names to %d", len(w.names), w.end)
	}
	wants("the next page", 0, 1, w.names[3].at)
	wants("behind its end", 1, 1, w.end)
	wants("both are there", 0, 1, w.names[3].at)
	wants("another view", 1, 2, w.names[3].at)
	k.enter(w.names[3].at)
	wants("a scan goes on", 0, 2, w.names[3].at)
	k.enter(start)
	wants("another scan has begun", 1, 2, w.names[3].at)
	wants("the beginning", 1, 2, start)
	wants("another slot", 1, 2, wire.CursorOf(6)+1)
}

// TestOnePlace: names of one place are never parted, however many they are.
func TestOnePlace(t *testing.T) {
	at := wire.CursorOf(3) + 7
	g := gathering{from: wire.CursorOf(3), bytesMax: 10 * placedBytes}
	for i := range 8 {
		g.names, g.bytes = append(g.names, placed{at, fmt.Sprint(i)}), g.bytes+placedBytes
	}
	for i := range 8 {
		g.names, g.bytes = append(g.names, placed{at + 1, fmt.Sprint(i)}), g.bytes+placedBytes
	}
	g.cut()
	if len(g.names) != 8 || g.end != at+1 || g.tooMuch || g.bytes != 8*(placedBytes+1) {
		t.Errorf("%d names to %d", len(g.names), g.end)
	}
	page := newScanPage(scanOptions{pattern: "*", count: 1})
	if next, ok := page.take(append(g.names, placed{at + 1, "x"})); ok || next != at+1 || page.seen != 8 {
		t.Errorf("%d names, then %d", page.seen, next)
	}
	for i := range 100 {
		g.names = append(g.names, placed{at, fmt.Sprint(i)})
	}
	if g.cut(); !g.tooMuch {
		t.Error("that is not too much")
	}
}

// TestPlaces: a cursor says which slot it is in, and a cursor of today is one of
// tomorrow.
func TestPlaces(t *testing.T) {
	for name, want := range map[string]wire.Cursor{"": 488961614156, "{user:1}:0": 5925536924385419, "greeting": 6989649026748421} {
		at := placeOf(ring.SlotOf(name), name)
		if at.Slot() != ring.SlotOf(name) || !at.Valid() || at >= 1<<53 {
			t.Errorf("%s is at %d", name, at)
		}
		if at != want {
			t.Errorf("%q is at %d, was at %d", name, at, want)
		}
	}
	if last := placeOf(ring.Slots-1, "x") | (1<<wire.CursorHashBits - 1); last != 1<<53-1 || !last.Valid() || (last + 1).Valid() {
		t.Errorf("the last place is %d", last)
	}
}
