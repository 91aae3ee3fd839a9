package seglog

import (
	"cmp"
	"slices"
	"sort"
)

// entry is where the index says that a record is: 24 bytes. It stands for the key by
// its place in the order of pages and 32 bits of a keyed hash; which key it is the
// record says.
type entry struct {
	pos   uint64 // place in the order of pages; of a row its seq
	check uint32 // of a keyed hash of the key
	seg   uint32 // segment
	off   uint32 // in the segment, bytes
	size  uint32 // of the record, bytes, and bits
}

// The bits of entry.size.
const (
	bitLost  = 1 << 31 // the record cannot be read: it may be this key's or, by a collision, another's
	bitDoubt = 1 << 30 // what was written later may have been lost
	bitShare = 1 << 29 // another key has, or had, the same bound
	bitsSize = bitShare - 1
)

func (e *entry) bytes() uint32   { return e.size & bitsSize }
func (e *entry) lost() bool      { return e.size&bitLost != 0 }
func (e *entry) doubted() bool   { return e.size&bitDoubt != 0 }
func (e *entry) shared() bool    { return e.size&bitShare != 0 }
func (e *entry) place() (p spot) { return spot{e.seg, e.off} }

// spot is a place in the log. The log's order is that of spots.
type spot struct{ seg, off uint32 }

func (a spot) before(b spot) bool { return a.seg < b.seg || a.seg == b.seg && a.off < b.off }

// bound is a place in a tree.
type bound struct {
	pos   uint64
	check uint32
}

func (e *entry) bound() bound { return bound{e.pos, e.check} }

func (a bound) compare(b bound) int {
	return cmp.Or(cmp.Compare(a.pos, b.pos), cmp.Compare(a.check, b.check))
}

const (
	pageEntries = 170 // 4,096 bytes with the page's head
	nodePages   = 256
)

// page is a sorted run of entries, outside of the collected heap: it holds no
// pointers, and a hundred million keys must not make the collector let as much
// garbage come together.
type page struct {
	n     int32
	chunk int32 // of the arena
	e     [pageEntries]entry
	_     [8]byte // so that a page of the index is one of the kernel's
}

// tree is a sorted set of entries in pages; several may have the same bound. It grows
// page by page, so that no insert takes longer than splitting one does, and no choice
// of keys makes it deeper.
type tree struct {
	arena *arena
	items bool // its entries are of items
	nodes []*node
	n     int
}

type node struct {
	firsts []bound // of each page
	pages  []*page
}

// finger is a place in a tree: an entry, or the end.
type finger struct{ node, page, at int }

// seek returns the first entry that is not below b.
func (t *tree) seek(b bound) finger {
	// The run of equal bounds may begin in the page before the first that begins with it.
	i := sort.Search(len(t.nodes), func(i int) bool { return t.nodes[i].firsts[0].compare(b) >= 0 })
	if i == 0 {
		return finger{}
	}
	i--
	nd := t.nodes[i]
	j := sort.Search(len(nd.pages), func(j int) bool { return nd.firsts[j].compare(b) >= 0 })
	j = max(0, j-1)
	pg := nd.pages[j]
	at, end := 0, int(pg.n)
	for at < end {
		mid := (at + end) / 2
		e := &pg.e[mid]
		if e.pos < b.pos || e.pos == b.pos && e.check < b.check {
			at = mid + 1
		} else {
			end = mid
		}
	}
	return t.normalize(finger{i, j, at})
}

// normalize moves a finger that is behind the last entry of a page to the next page.
func (t *tree) normalize(f finger) finger {
	for f.node < len(t.nodes) {
		nd := t.nodes[f.node]
		if f.page < len(nd.pages) && f.at < int(nd.pages[f.page].n) {
			return f
		}
		f.at = 0
		if f.page++; f.page >= len(nd.pages) {
			f.node, f.page = f.node+1, 0
		}
	}
	return f
}

// get returns the entry at f, nil at the end. It is valid until the tree changes.
func (t *tree) get(f finger) *entry {
	if f.node >= len(t.nodes) {
		return nil
	}
	return &t.nodes[f.node].pages[f.page].e[f.at]
}

func (t *tree) next(f finger) finger {
	f.at++
	return t.normalize(f)
}

// count adds n to how many entries there are.
func (t *tree) count(n int) {
	t.n += n
	if t.items {
		t.arena.items.Add(int64(n))
	}
}

// insert adds an entry before those with the same bound.
func (t *tree) insert(e entry) {
	t.count(1)
	if len(t.nodes) == 0 {
		t.nodes = []*node{{firsts: []bound{e.bound()}, pages: []*page{t.arena.take()}}}
	}
	f := t.seek(e.bound())
	if f.node > 0 && f.at == 0 && f.page == 0 { // it fits at the end of the page before just as well
		f.node--
		f.page = len(t.nodes[f.node].pages) - 1
		f.at = int(t.nodes[f.node].pages[f.page].n)
	} else if f.page > 0 && f.at == 0 {
		f.page--
		f.at = int(t.nodes[f.node].pages[f.page].n)
	}
	nd := t.nodes[f.node]
	pg := nd.pages[f.page]
	if pg.n == pageEntries {
		f = t.split(f)
		nd = t.nodes[f.node]
		pg = nd.pages[f.page]
	}
	copy(pg.e[f.at+1:pg.n+1], pg.e[f.at:pg.n])
	pg.e[f.at] = e
	pg.n++
	nd.firsts[f.page] = pg.e[0].bound()
}

// lastPage returns the last page and the bound of its last entry; nil: there is none.
func (t *tree) lastPage() (*page, bound) {
	if len(t.nodes) == 0 {
		return nil, bound{}
	}
	nd := t.nodes[len(t.nodes)-1]
	pg := nd.pages[len(nd.pages)-1]
	return pg, pg.e[pg.n-1].bound()
}

// addPage adds an entry that is not below any other, in a page of its own.
func (t *tree) addPage(e entry) *page {
	t.count(1)
	pg := t.arena.take()
	pg.e[0], pg.n = e, 1
	n := len(t.nodes)
	if n == 0 || len(t.nodes[n-1].pages) >= nodePages {
		t.nodes = append(t.nodes, &node{})
		n++
	}
	nd := t.nodes[n-1]
	nd.pages, nd.firsts = append(nd.pages, pg), append(nd.firsts, e.bound())
	return pg
}

// split makes room in the full page at f and returns where f is now.
func (t *tree) split(f finger) finger {
	nd := t.nodes[f.node]
	pg := nd.pages[f.page]
	half := pageEntries / 2
	if f.at == pageEntries {
		half = pageEntries - 1 // ascending: leave the full page as it is
	}
	right := t.arena.take()
	right.n = int32(copy(right.e[:], pg.e[half:pg.n]))
	pg.n = int32(half)
	nd.pages = slices.Insert(nd.pages, f.page+1, right)
	nd.firsts = slices.Insert(nd.firsts, f.page+1, right.e[0].bound())
	if f.at > half {
		f.page, f.at = f.page+1, f.at-half
	}
	if len(nd.pages) > nodePages {
		half := len(nd.pages) / 2
		if f.page == len(nd.pages)-1 {
			half = len(nd.pages) - 1
		}
		rest := &node{firsts: slices.Clone(nd.firsts[half:]), pages: slices.Clone(nd.pages[half:])}
		clear(nd.pages[half:])
		nd.firsts, nd.pages = nd.firsts[:half], nd.pages[:half]
		t.nodes = slices.Insert(t.nodes, f.node+1, rest)
		if f.page >= half {
			f.node, f.page = f.node+1, f.page-half
		}
	}
	return f
}

// remove deletes the entry at f.
func (t *tree) remove(f finger) {
	t.count(-1)
	nd := t.nodes[f.node]
	pg := nd.pages[f.page]
	copy(pg.e[f.at:pg.n-1], pg.e[f.at+1:pg.n])
	pg.n--
	switch {
	case pg.n == 0:
		t.dropPage(f)
	case f.at == 0:
		nd.firsts[f.page] = pg.e[0].bound()
		fallthrough
	default:
		t.join(f)
	}
}

// Neighbours that have no more than these together are joined: so pages are nearly half
// full at least, whatever is deleted, and a page that was joined can grow before it is split.
const (
	joinedEntries = pageEntries * 7 / 8
	joinedPages   = nodePages * 3 / 4
)

// join puts the page at f and a neighbour together where both fit well into one.
func (t *tree) join(f finger) {
	nd := t.nodes[f.node]
	if nd.pages[f.page].n > joinedEntries {
		return
	}
	for _, left := range [...]int{f.page, f.page - 1} {
		if left < 0 || left+1 >= len(nd.pages) {
			continue
		}
		pg, next := nd.pages[left], nd.pages[left+1]
		if pg.n+next.n <= joinedEntries {
			pg.n += int32(copy(pg.e[pg.n:], next.e[:next.n]))
			t.dropPage(finger{f.node, left + 1, 0})
			return
		}
	}
}

func (t *tree) dropPage(f finger) {
	nd := t.nodes[f.node]
	t.arena.give(nd.pages[f.page])
	nd.pages = slices.Delete(nd.pages, f.page, f.page+1)
	nd.firsts = slices.Delete(nd.firsts, f.page, f.page+1)
	if len(nd.pages) == 0 {
		t.nodes = slices.Delete(t.nodes, f.node, f.node+1)
		return
	}
	t.joinNodes(f.node)
}

// joinNodes puts a node and a neighbour together where both fit well into one, and then
// the pages where they meet.
func (t *tree) joinNodes(n int) {
	for _, left := range [...]int{n, n - 1} {
		if left < 0 || left+1 >= len(t.nodes) {
			continue
		}
		nd, next := t.nodes[left], t.nodes[left+1]
		if len(nd.pages)+len(next.pages) > joinedPages {
			continue
		}
		at := len(nd.pages) - 1
		nd.pages = append(nd.pages, next.pages...)
		nd.firsts = append(nd.firsts, next.firsts...)
		t.nodes = slices.Delete(t.nodes, left+1, left+2)
		t.join(finger{left, at, 0})
		return
	}
}
