package seglog

import (
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// arena hands out pages. Free ones go back to the kernel, but for those of one chunk: page by
// page, which is one call for a hundred deletions, and a chunk of which all is free as a whole.
type arena struct {
	mu     sync.Mutex
	chunks []*chunk // by number; nil: given back
	avail  []*chunk // that have free pages
	used   int
	free   int          // of the pages that the kernel has not got back
	items  atomic.Int64 // entries of items, of all trees in use
}

// chunk is what is mapped at once.
type chunk struct {
	number int32
	mem    []byte
	free   []uint8          // numbers of pages that are free
	away   [arenaPages]bool // that the kernel has got back
	listed bool             // in avail
}

const (
	arenaPages = 256
	pageBytes  = int(unsafe.Sizeof(page{}))
)

func (c *chunk) page(i uint8) *page { return (*page)(unsafe.Pointer(&c.mem[int(i)*pageBytes])) }

func (a *arena) take() *page {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.avail) == 0 {
		a.add()
	}
	c := a.avail[len(a.avail)-1]
	i := c.free[len(c.free)-1]
	if c.free = c.free[:len(c.free)-1]; len(c.free) == 0 {
		a.avail = a.avail[:len(a.avail)-1]
		c.listed = false
	}
	if c.away[i] {
		c.away[i] = false
	} else {
		a.free--
	}
	a.used++
	p := c.page(i)
	p.n, p.chunk = 0, c.number
	return p
}

// add maps a chunk.
func (a *arena) add() {
	b, err := mapPages(arenaPages * pageBytes)
	if err != nil {
		panic("out of memory for the index: " + err.Error()) // as for every other allocation
	}
	c := &chunk{mem: b, listed: true}
	for i := range arenaPages {
		c.free = append(c.free, uint8(arenaPages-1-i))
	}
	n := slices.Index(a.chunks, nil)
	if n < 0 {
		n = len(a.chunks)
		a.chunks = append(a.chunks, nil)
	}
	c.number = int32(n)
	a.chunks[n] = c
	a.avail = append(a.avail, c)
	a.free += arenaPages
}

func (a *arena) give(p *page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chunks[p.chunk]
	i := uint8((uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(unsafe.SliceData(c.mem)))) / uintptr(pageBytes))
	c.free = append(c.free, i)
	a.used--
	a.free++
	if !c.listed {
		c.listed = true
		a.avail = append(a.avail, c)
	}
	if a.free <= arenaPages {
		return
	}
	if len(c.free) == arenaPages {
		a.drop(c)
	} else if forgetPages(c.mem[int(i)*pageBytes:][:pageBytes]) {
		c.away[i] = true
		a.free--
	}
}

// drop gives a chunk back of which all pages are free.
func (a *arena) drop(c *chunk) {
	for _, away := range c.away {
		if !away {
			a.free--
		}
	}
	_ = unmapPages(c.mem) // private memory: nothing can be lost
	a.chunks[c.number] = nil
	a.avail = slices.DeleteFunc(a.avail, func(x *chunk) bool { return x == c })
}

// bytes is the memory of all pages, but for what the kernel has got back.
func (a *arena) bytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(a.used+a.free) * int64(pageBytes)
}

// close gives all pages back to the kernel. No tree may be used any more.
func (a *arena) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.chunks {
		if c != nil {
			_ = unmapPages(c.mem) // private memory: nothing can be lost
		}
	}
	a.chunks, a.avail, a.used, a.free = nil, nil, 0, 0
}
