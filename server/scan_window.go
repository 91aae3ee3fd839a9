package server

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// placeOf is where a name comes in a scan. The hash is one for which nobody can make
// many names with equal bits: those come in one page.
func placeOf(slot uint16, name string) wire.Cursor {
	sum := sha256.Sum256([]byte(name))
	return wire.CursorOf(slot) | wire.Cursor(binary.BigEndian.Uint64(sum[:])>>(64-wire.CursorHashBits))
}

// placed is a name with its place.
type placed struct {
	at   wire.Cursor
	name string
}

const placedBytes = 40 // in memory, beside the name

// gathering collects the names of a slot from a place on: those that come first, as
// many as there is room for.
type gathering struct {
	from     wire.Cursor
	end      wire.Cursor // names from here on were left out; 0: none
	tooMuch  bool        // the names of one place are larger than all room
	bytesMax int

	names []placed
	bytes int
}

// begin goes on with another slot.
func (g *gathering) begin(from wire.Cursor) {
	clear(g.names)
	g.from, g.names, g.bytes = from, g.names[:0], 0
}

func (g *gathering) add(slot uint16, name string) {
	at := placeOf(slot, name)
	if at < g.from || g.end != 0 && at >= g.end {
		return
	}
	g.names = append(g.names, placed{at, name})
	if g.bytes += placedBytes + len(name); g.bytes > g.bytesMax {
		g.cut()
	}
}

// cut leaves out the later half, but no part of a place. It is seldom: what comes
// behind it is not taken any more.
func (g *gathering) cut() {
	names := g.sorted()
	bytes, keep := 0, 0
	for keep < len(names) && (bytes < g.bytesMax/2 || keep > 0 && names[keep].at == names[keep-1].at) {
		bytes += placedBytes + len(names[keep].name)
		keep++
	}
	if keep == len(names) {
		g.tooMuch = bytes > 2*g.bytesMax
		return
	}
	g.end = names[keep].at
	clear(names[keep:])
	g.names, g.bytes = names[:keep], bytes
}

// sorted puts the names in order.
func (g *gathering) sorted() []placed {
	slices.SortFunc(g.names, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	return g.names
}

const (
	windowSmallBytes = 64 << 10 // what one SCAN reads and puts in order for itself: some 1,000 names
	windowBytesMax   = 32 << 20 // of one window
	windowsBytesMax  = 64 << 20 // of all
	windowIdleMax    = 10 * time.Second
)

// errPlaceTooLarge can be met by names only whose hashes somebody has computed for years.
var errPlaceTooLarge = errors.New("too many names have one hash")

// window is a stretch of a slot with many names, in order, as it was at some moment.
// Immutable but for used.
type window struct {
	gathering
	epoch   uint64
	entered uint32 // of its slot, when it was made
	used    time.Time
}

// rest are the names from a place on.
func (w *window) rest(at wire.Cursor) []placed {
	return w.names[sort.Search(len(w.names), func(i int) bool { return w.names[i].at >= at }):]
}

// windows spare the pages of a slot with many names that each reads the whole slot: who
// has read it keeps in memory, for those that follow, what comes next in order.
//
// Whatever is there for a whole scan must come, so a scan never sees a window that is
// older than itself: none from before the last time that any scan entered the slot, and
// none of another view. The slots with many names are read one after another, whoever
// asks.
type windows struct {
	smallMax, windowMax, allMax int

	entered [ring.Slots]atomic.Uint32 // how often scans have entered a slot

	mu struct {
		sync.Mutex
		all []*window
	}
}

func newWindows() *windows {
	return &windows{smallMax: windowSmallBytes, windowMax: windowBytesMax, allMax: windowsBytesMax}
}

// enter tells that a scan is at a place.
func (k *windows) enter(at wire.Cursor) {
	if at.IsSlotStart() {
		k.entered[at.Slot()].Add(1)
	}
}

// drop forgets a window that is through.
func (k *windows) drop(w *window) { k.remove(func(o *window) bool { return o == w }) }

// expire forgets those that nobody uses any more.
func (k *windows) expire(now time.Time) {
	k.remove(func(w *window) bool { return now.Sub(w.used) > windowIdleMax })
}

func (k *windows) remove(which func(*window) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.all = slices.DeleteFunc(k.mu.all, which)
}

// known returns the window in which a place is, or nil.
func (k *windows) known(epoch uint64, at wire.Cursor) *window {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.look(epoch, at)
}

// look is known where mu is held.
func (k *windows) look(epoch uint64, at wire.Cursor) *window {
	if at.IsSlotStart() {
		return nil // a scan that has just come
	}
	k.mu.all = slices.DeleteFunc(k.mu.all, func(w *window) bool {
		return w.epoch != epoch || w.entered != k.entered[w.from.Slot()].Load()
	})
	for _, w := range k.mu.all {
		if w.from <= at && (w.end == 0 && w.from.Slot() == at.Slot() || at < w.end) {
			w.used = time.Now()
			return w
		}
	}
	return nil
}

// find is known, but it has the window made where there is none.
func (k *windows) find(epoch uint64, at wire.Cursor, read func(*gathering) error) (*window, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.look(epoch, at); w != nil {
		return w, nil
	}
	w := &window{gathering: gathering{from: at, bytesMax: k.windowMax}, epoch: epoch, entered: k.entered[at.Slot()].Load()}
	if err := read(&w.gathering); err != nil {
		return nil, err
	}
	if w.tooMuch {
		return nil, errPlaceTooLarge
	}
	w.sorted()
	w.used = time.Now()
	size := w.bytes
	for _, o := range k.mu.all {
		size += o.bytes
	}
	for size > k.allMax && len(k.mu.all) > 0 {
		size -= k.mu.all[0].bytes // the oldest
		k.mu.all = k.mu.all[1:]
	}
	k.mu.all = append(k.mu.all, w)
	return w, nil
}
