package seglog

import (
	"container/list"
	"sync"

	"viewring/internal/disk"
)

// openFilesMax is how many files of segments are open at a time: a store of 100 GiB has
// some thousand segments, a process often no more than 1,024 descriptors. Larger segments
// would need as few, but collection would have to copy more before it frees anything.
const openFilesMax = 512

// files are those of segments, opened on demand; those are closed that were not read for
// the longest time.
type files struct {
	fs    disk.FS
	limit int

	mu    sync.Mutex
	order *list.List // of *openFile, the latest used first
	at    map[uint32]*list.Element
}

// openFile is a file in use, or one that may be used again. Guarded by files.mu.
type openFile struct {
	disk.File
	number uint32
	refs   int
	out    bool // of the list: who uses it last closes it
}

func newFiles(fs disk.FS, limit int) *files {
	return &files{fs: fs, limit: limit, order: list.New(), at: make(map[uint32]*list.Element)}
}

// get opens a segment's file, or takes the one that is open. put ends the use.
func (c *files) get(n uint32) (*openFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[n]; e != nil {
		c.order.MoveToFront(e)
		f := e.Value.(*openFile)
		f.refs++
		return f, nil
	}
	file, err := c.fs.Open(segmentName(n))
	if err != nil {
		return nil, err
	}
	f := &openFile{File: file, number: n, refs: 1}
	c.at[n] = c.order.PushFront(f)
	for c.order.Len() > c.limit {
		c.remove(c.order.Back())
	}
	return f, nil
}

func (c *files) put(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.refs--; f.refs == 0 && f.out {
		_ = f.Close() // it was only read, or all of it is durable
	}
}

// remove takes a file out of the list.
func (c *files) remove(e *list.Element) {
	f := e.Value.(*openFile)
	c.order.Remove(e)
	delete(c.at, f.number)
	if f.out = true; f.refs == 0 {
		_ = f.Close() // as above
	}
}

// drop closes the file of a segment that is no more, after its last use.
func (c *files) drop(n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[n]; e != nil {
		c.remove(e)
	}
}
