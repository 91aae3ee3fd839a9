// Package crashfs is a file system in memory for tests of package seglog: it crashes
// when told to, and then of what was not synced any sectors are there and any are not,
// and so are names of files. It can also damage what is stored.
package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"viewring/server/store/seglog"
)

// ErrCrashed is the error of everything after the crash.
var ErrCrashed = errors.New("the machine has crashed")

// errCrashing is the error of the step that is under way at the crash.
var errCrashing = fmt.Errorf("%w: just now", ErrCrashed)

// FS is one machine's disk. Its methods may be called by many goroutines.
type FS struct {
	mu      sync.Mutex
	rng     *rand.Rand
	sector  int // bytes that the disk writes at once
	names   map[string]*node
	durable map[string]*node
	moves   []func(map[string]*node) // changes of names since the last SyncDir
	left    int                      // steps until the crash; below 0: none
	crashed bool
	steps   int
}

// node is a file's content.
type node struct {
	now    []byte
	synced []byte
	dirty  map[int]bool // sectors that differ, perhaps
}

// New makes an empty disk with sectors of so many bytes. rng decides what a crash leaves.
func New(sector int, rng *rand.Rand) *FS {
	return &FS{rng: rng, sector: sector, names: make(map[string]*node), durable: make(map[string]*node), left: -1}
}

// CrashAfter lets the machine crash at the nth step from now on that changes the disk.
func (d *FS) CrashAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// Steps returns how many steps have changed the disk.
func (d *FS) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Crashed reports whether the machine has crashed.
func (d *FS) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashed
}

// Crash crashes the machine now, if it has not crashed, and returns the disk as the next
// start finds it.
func (d *FS) Crash() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	next := New(d.sector, d.rng)
	names := maps.Clone(d.durable)
	for _, move := range d.moves {
		if d.rng.IntN(2) == 0 {
			move(names)
		}
	}
	done := make(map[*node]*node)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if done[n] == nil {
			done[n] = d.survivor(n)
		}
		next.names[name] = done[n]
	}
	next.durable = maps.Clone(next.names)
	return next
}

// survivor is what a crash leaves of a file: all that was synced, and of the rest any sectors.
func (d *FS) survivor(n *node) *node {
	b := make([]byte, max(len(n.synced), len(n.now)))
	copy(b, n.synced)
	share := d.rng.IntN(5) // of 4: none, some, or all of what was not synced
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		if d.rng.IntN(4) < share {
			from := s * d.sector
			if to := min(from+d.sector, len(n.now)); from < to {
				copy(b[from:to], n.now[from:to])
			}
		}
	}
	return &node{now: b, synced: slices.Clone(b), dirty: make(map[int]bool)}
}

// Clone returns a copy of the disk as it is now, as if all were synced.
func (d *FS) Clone() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := New(d.sector, d.rng)
	for name, n := range d.names {
		next.names[name] = &node{now: slices.Clone(n.now), synced: slices.Clone(n.now), dirty: make(map[int]bool)}
	}
	next.durable = maps.Clone(next.names)
	return next
}

// Bytes returns a file's content, which is not a copy; nil: there is none.
func (d *FS) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[name]; n != nil {
		return n.now
	}
	return nil
}

// Put gives a file this content.
func (d *FS) Put(name string, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name] = &node{now: slices.Clone(b), synced: slices.Clone(b), dirty: make(map[int]bool)}
	d.durable[name] = d.names[name]
}

// step counts one change; the caller holds mu. At the crash it returns an error, after
// which a write under way is in part on the disk.
func (d *FS) step() error {
	if d.crashed {
		return ErrCrashed
	}
	d.steps++
	if d.left == 0 {
		d.crashed, d.left = true, -1
		return errCrashing
	}
	if d.left > 0 {
		d.left--
	}
	return nil
}

func (d *FS) rename(move func(map[string]*node)) {
	move(d.names)
	d.moves = append(d.moves, move)
}

// Create implements seglog.FS.
func (d *FS) Create(name string, size int64, _ bool) (seglog.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	n := &node{now: make([]byte, size), synced: make([]byte, size), dirty: make(map[int]bool)}
	d.rename(func(names map[string]*node) { names[name] = n })
	return &file{d, n}, nil
}

// Open implements seglog.FS.
func (d *FS) Open(name string) (seglog.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, ErrCrashed
	}
	n := d.names[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &file{d, n}, nil
}

// Rename implements seglog.FS.
func (d *FS) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	n := d.names[from]
	if n == nil {
		return fs.ErrNotExist
	}
	d.rename(func(names map[string]*node) {
		names[to] = n
		if names[from] == n {
			delete(names, from)
		}
	})
	return nil
}

// Remove implements seglog.FS.
func (d *FS) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	d.rename(func(names map[string]*node) { delete(names, name) })
	return nil
}

// List implements seglog.FS.
func (d *FS) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, ErrCrashed
	}
	return slices.Sorted(maps.Keys(d.names)), nil
}

// SyncDir implements seglog.FS.
func (d *FS) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	d.moves = nil
	return nil
}

// Free implements seglog.FS.
func (d *FS) Free() (uint64, bool) { return 0, false }

type file struct {
	d *FS
	n *node
}

// ReadAt implements seglog.File.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.crashed {
		return 0, ErrCrashed
	}
	if at >= int64(len(f.n.now)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.now[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements seglog.File.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.step()
	if err != nil && err != errCrashing {
		return 0, err
	}
	f.write(b, at)
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *file) write(b []byte, at int64) {
	if need := int(at) + len(b); need > len(f.n.now) {
		f.n.now = append(f.n.now, make([]byte, need-len(f.n.now))...)
	}
	copy(f.n.now[at:], b)
	for s := int(at) / f.d.sector; s <= (int(at)+len(b)-1)/f.d.sector; s++ {
		f.n.dirty[s] = true
	}
}

// WriteSync implements seglog.File.
func (f *file) WriteSync(b []byte, at int64) error {
	if at%seglog.BlockBytes != 0 || len(b)%seglog.BlockBytes != 0 {
		return errors.New("a write that is not aligned")
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return f.settle(int(at)/f.d.sector, (int(at)+len(b)-1)/f.d.sector)
}

// settle makes sectors durable.
func (f *file) settle(from, to int) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.crashed {
		return ErrCrashed
	}
	if len(f.n.synced) < len(f.n.now) {
		f.n.synced = append(f.n.synced, make([]byte, len(f.n.now)-len(f.n.synced))...)
	}
	for s := from; s <= to; s++ {
		if f.n.dirty[s] {
			at, end := s*f.d.sector, min((s+1)*f.d.sector, len(f.n.now))
			copy(f.n.synced[at:end], f.n.now[at:end])
			delete(f.n.dirty, s)
		}
	}
	return nil
}

// Sync implements seglog.File.
func (f *file) Sync() error {
	f.d.mu.Lock()
	err := f.d.step()
	f.d.mu.Unlock()
	if err != nil {
		return err
	}
	return f.settle(0, len(f.n.now)/f.d.sector)
}

// EndWrites implements seglog.File.
func (f *file) EndWrites() error { return nil }

// Size implements seglog.File.
func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.now)), nil
}

// Close implements seglog.File.
func (f *file) Close() error { return nil }
