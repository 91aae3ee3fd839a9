// Package crashdisk is a folder in memory, for tests. It crashes when told to. Of what was
// not synced any sectors may then be there or not, and any names of files. It can also
// damage what is stored, fail, be slow and be full.
package crashdisk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"viewring/internal/disk"
)

// ErrCrashed is the error of everything after the crash.
var ErrCrashed = errors.New("the machine has crashed")

// errCrashing is the error of the step that is under way at the crash.
var errCrashing = fmt.Errorf("%w: just now", ErrCrashed)

// FS is one machine's disk. Its methods may be called by many goroutines.
type FS struct {
	mu       sync.Mutex
	rng      *rand.Rand
	sector   int // bytes that the disk writes at once
	names    map[string]*node
	durable  map[string]*node
	moves    []func(map[string]*node) // changes of names since the last SyncDir
	left     int                      // steps until the crash; below 0: none
	crashed  bool
	steps    int
	last     Step // the one that the crash interrupted
	locked   bool
	watch    func(Step) error
	free     uint64
	bounded  bool
	capacity int64 // of all files; 0: any
}

// Step is what is about to be done.
type Step struct {
	Kind StepKind
	Name string // of the file
	At   int64  // of a read or a write
	Len  int    // of it
	Gone bool   // of a change: the name is removed
}

// StepKind is what kind of a step it is.
type StepKind int

// The kinds of steps. All but reads change the disk.
const (
	Read StepKind = iota
	Write
	WriteSync
	Sync
	Change // of names: create, rename, remove
	SyncDir
	WriteSyncEnd // the end of a WriteSync: of what it has written a crash leaves any sectors until then
)

// Watch lets fn be called before each step, with no lock held: it may take its time, and
// its error is that of the step, which is then not done. nil ends it.
func (d *FS) Watch(fn func(Step) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch = fn
}

// about tells of a step.
func (d *FS) about(st Step) error {
	d.mu.Lock()
	fn := d.watch
	d.mu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(st)
}

// SetFree makes the disk report so many free bytes. Writes do not fail because of it.
func (d *FS) SetFree(bytes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free, d.bounded = bytes, true
}

// Bound gives the disk space for so many bytes in all files, from now on.
func (d *FS) Bound(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// spaceLeft is how much space there is. The caller holds mu.
func (d *FS) spaceLeft() int64 {
	left := d.capacity
	seen := make(map[*node]bool)
	for _, n := range d.names {
		if !seen[n] {
			seen[n] = true
			left -= int64(len(n.now))
		}
	}
	return left
}

// takeSpace fails where a file cannot get so many bytes longer. The caller holds mu.
func (d *FS) takeSpace(bytes int64) error {
	if d.capacity > 0 && bytes > 0 && bytes > d.spaceLeft() {
		return syscall.ENOSPC
	}
	return nil
}

// Mem makes an empty disk for tests that want no crash.
func Mem() *FS { return New(512, rand.New(rand.NewPCG(0, 0))) }

// node is a file's content.
type node struct {
	now    []byte
	synced []byte
	dirty  map[int]bool // sectors that differ, perhaps
}

// New makes an empty disk with sectors of so many bytes. What a crash leaves is drawn from a
// source of its own, begun by rng: others may go on to draw from that.
func New(sector int, rng *rand.Rand) *FS {
	own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
	return &FS{rng: own, sector: sector, names: make(map[string]*node), durable: make(map[string]*node), left: -1}
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

// CrashedIn returns the step at which the machine crashed.
func (d *FS) CrashedIn() Step {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// Crash crashes the machine now, if it has not crashed, and returns the disk as the next
// start finds it.
func (d *FS) Crash() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	return d.after(d.rng, func() bool { return d.rng.IntN(2) == 0 }, func() (percent int) { return 25 * d.rng.IntN(5) })
}

// Kill ends the process that uses the disk, if nothing has ended it, and returns the disk
// as the next process finds it: all that was written is there, as the kernel has it, and
// none of it is durable for that. Of a write that was under way at the end a part is there.
func (d *FS) Kill() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	next := New(d.sector, d.rng)
	next.free, next.bounded, next.capacity = d.free, d.bounded, d.capacity
	// Nothing in this disk's hands touches the files any more.
	next.names, next.durable, next.moves = d.names, d.durable, d.moves
	return next
}

// CrashClone returns the disk as a start would find it after a crash now, of which this
// disk learns nothing. percent is how much stays of what was not synced.
func (d *FS) CrashClone(percent int, rng *rand.Rand) *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.after(rng, func() bool { return rng.IntN(100) < percent }, func() int { return percent })
}

// after is the disk after a crash: moved says whether a change of names stays, share how
// many percent of a file's sectors. The caller holds mu.
func (d *FS) after(rng *rand.Rand, moved func() bool, share func() int) *FS {
	next := New(d.sector, rng)
	next.free, next.bounded, next.capacity = d.free, d.bounded, d.capacity
	names := maps.Clone(d.durable)
	for _, move := range d.moves {
		if moved() {
			move(names)
		}
	}
	done := make(map[*node]*node)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if done[n] == nil {
			done[n] = d.survivor(n, rng, share())
		}
		next.names[name] = done[n]
	}
	next.durable = maps.Clone(next.names)
	return next
}

// survivor is what a crash leaves of a file: all that was synced, and of the rest any sectors.
func (d *FS) survivor(n *node, rng *rand.Rand, percent int) *node {
	b := make([]byte, max(len(n.synced), len(n.now)))
	copy(b, n.synced)
	if len(n.now) < len(n.synced) && rng.IntN(2) == 0 {
		b = b[:len(n.now)] // it was truncated
	}
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		if rng.IntN(100) < percent {
			from := s * d.sector
			if to := min(from+d.sector, len(n.now)); from < to {
				copy(b[from:to], n.now[from:to])
			}
		}
	}
	return &node{now: b, synced: slices.Clone(b), dirty: make(map[int]bool)}
}

// Clone returns a copy of the disk as it is now, as if everything were synced.
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

// Flip changes bits of one byte of a file, as if the disk had.
func (d *FS) Flip(name string, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	for _, b := range [][]byte{n.now, n.synced} {
		if at < int64(len(b)) {
			b[at] ^= flipped
		}
	}
}

// flipped are the bits that Flip changes: two, because a single one could be found and
// repaired by trying all.
const flipped = 0x11

// Put gives a file this content.
func (d *FS) Put(name string, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name] = &node{now: slices.Clone(b), synced: slices.Clone(b), dirty: make(map[int]bool)}
	d.durable[name] = d.names[name]
}

// step counts one change; the caller holds mu. At the crash it returns an error, after
// which a write under way is in part on the disk.
func (d *FS) step(st Step) error {
	if d.crashed {
		return ErrCrashed
	}
	d.steps++
	if d.left == 0 {
		d.crashed, d.left, d.last = true, -1, st
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

// Create implements disk.FS.
func (d *FS) Create(name string, size int64, _ bool) (disk.File, error) {
	if err := d.about(Step{Kind: Change, Name: name}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(Step{Kind: Change, Name: name}); err != nil {
		return nil, err
	}
	if err := d.takeSpace(size); err != nil {
		return nil, err
	}
	n := &node{now: make([]byte, size), synced: make([]byte, size), dirty: make(map[int]bool)}
	d.rename(func(names map[string]*node) { names[name] = n })
	return &file{d, n, name}, nil
}

// Open implements disk.FS.
func (d *FS) Open(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, ErrCrashed
	}
	n := d.names[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &file{d, n, name}, nil
}

// Rename implements disk.FS.
func (d *FS) Rename(from, to string) error {
	if err := d.about(Step{Kind: Change, Name: to}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(Step{Kind: Change, Name: to}); err != nil {
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

// Remove implements disk.FS.
func (d *FS) Remove(name string) error {
	if err := d.about(Step{Kind: Change, Name: name, Gone: true}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(Step{Kind: Change, Name: name, Gone: true}); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	d.rename(func(names map[string]*node) { delete(names, name) })
	return nil
}

// List implements disk.FS.
func (d *FS) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, ErrCrashed
	}
	return slices.Sorted(maps.Keys(d.names)), nil
}

// SyncDir implements disk.FS.
func (d *FS) SyncDir() error {
	if err := d.about(Step{Kind: SyncDir, Name: ""}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(Step{Kind: SyncDir}); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	d.moves = nil
	return nil
}

// Free implements disk.FS.
func (d *FS) Free() (uint64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.capacity > 0 {
		return uint64(max(0, d.spaceLeft())), true
	}
	return d.free, d.bounded
}

// Lock implements disk.FS.
func (d *FS) Lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, ErrCrashed
	}
	if d.locked {
		return nil, disk.ErrInUse
	}
	d.locked = true
	return lock{d}, nil
}

type lock struct{ d *FS }

// Close gives the folder back.
func (l lock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.d.locked = false
	return nil
}

type file struct {
	d    *FS
	n    *node
	name string
}

// ReadAt implements disk.File.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	if err := f.d.about(Step{Kind: Read, Name: f.name, At: at, Len: len(b)}); err != nil {
		return 0, err
	}
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

// WriteAt implements disk.File.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	if err := f.d.about(Step{Kind: Write, Name: f.name, At: at, Len: len(b)}); err != nil {
		return 0, err
	}
	return f.writeAt(Write, b, at)
}

func (f *file) writeAt(kind StepKind, b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.takeSpace(at + int64(len(b)) - int64(len(f.n.now))); err != nil {
		return 0, err
	}
	err := f.d.step(Step{Kind: kind, Name: f.name, At: at, Len: len(b)})
	if err != nil && err != errCrashing {
		return 0, err
	}
	if err != nil {
		if f.d.rng.IntN(2) == 0 {
			b = b[:min(len(b), f.d.sector*f.d.rng.IntN(len(b)/f.d.sector+1))]
		}
		f.write(b, at)
		return 0, err
	}
	f.write(b, at)
	return len(b), nil
}

func (f *file) write(b []byte, at int64) {
	if len(b) == 0 {
		return
	}
	if need := int(at) + len(b); need > len(f.n.now) {
		f.n.now = append(f.n.now, make([]byte, need-len(f.n.now))...)
	}
	copy(f.n.now[at:], b)
	for s := int(at) / f.d.sector; s <= (int(at)+len(b)-1)/f.d.sector; s++ {
		f.n.dirty[s] = true
	}
}

// WriteSync implements disk.File.
func (f *file) WriteSync(b []byte, at int64) error {
	if at%disk.BlockBytes != 0 || len(b)%disk.BlockBytes != 0 {
		return errors.New("a write that is not aligned")
	}
	if err := f.d.about(Step{Kind: WriteSync, Name: f.name, At: at, Len: len(b)}); err != nil {
		return err
	}
	if _, err := f.writeAt(WriteSync, b, at); err != nil {
		return err
	}
	if err := f.d.about(Step{Kind: WriteSyncEnd, Name: f.name, At: at, Len: len(b)}); err != nil {
		return err
	}
	return f.persist(int(at)/f.d.sector, (int(at)+len(b)-1)/f.d.sector)
}

// persist makes sectors durable.
func (f *file) persist(from, to int) error {
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

// Truncate implements disk.File.
func (f *file) Truncate(size int64) error {
	if err := f.d.about(Step{Kind: Write, Name: f.name, At: size}); err != nil {
		return err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(Step{Kind: Write, Name: f.name, At: size}); err != nil {
		return err
	}
	f.n.now = slices.Clone(f.n.now[:min(size, int64(len(f.n.now)))])
	return nil
}

// Sync implements disk.File.
func (f *file) Sync() error {
	if err := f.d.about(Step{Kind: Sync, Name: f.name}); err != nil {
		return err
	}
	f.d.mu.Lock()
	err := f.d.step(Step{Kind: Sync, Name: f.name})
	f.d.mu.Unlock()
	if err != nil {
		return err
	}
	if err := f.persist(0, len(f.n.now)/f.d.sector); err != nil {
		return err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.synced = f.n.synced[:min(len(f.n.synced), len(f.n.now))]
	return nil
}

// EndWrites implements disk.File.
func (f *file) EndWrites() error { return nil }

// Warm implements disk.File.
func (f *file) Warm() {}

// Size implements disk.File.
func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.crashed {
		return 0, ErrCrashed
	}
	return int64(len(f.n.now)), nil
}

// Close implements disk.File.
func (f *file) Close() error { return nil }
