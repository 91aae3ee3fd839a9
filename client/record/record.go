// Package record appends records to record files on the servers of a viewring cluster, and reads
// them. Many producers append to one file without locks: each record lands once, whole, in
// one order that all readers see, and the answer is its place. A record file is a node of the tree of paths of
// package tree, as other files are; package file lists and removes it.
package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// What operations fail with, beside the errors of package client, fs.ErrNotExist and fs.ErrExist,
// to be told apart with errors.Is.
var (
	// ErrRemoved: the file was removed since it was opened.
	ErrRemoved = tree.ErrRemoved
	// ErrFenced: another process has joined as this producer. Nothing was done.
	ErrFenced = errors.New("another process has joined as this producer")
	// ErrGap: sequences before the ones of a batch are missing; GapError has the one that is due. Nothing was done.
	ErrGap = errors.New("sequences are missing before the batch")
	// ErrPending: it is not known what came of the producer's last batch, and this is another one.
	ErrPending = errors.New("the batch before was not answered: it must be sent again first")
	// ErrTooManyProducers: the file has as many named producers as it can remember.
	ErrTooManyProducers = errors.New("the file has too many named producers")
	// ErrNotRecords: there is something else at the path.
	ErrNotRecords = errors.New("is not a record file")
	// ErrBadPath: the text says what is wrong with the path.
	ErrBadPath = tree.ErrBadPath
)

// GapError is an ErrGap.
type GapError struct{ Next int64 }

func (e *GapError) Error() string { return fmt.Sprintf("%v: the next is %d", ErrGap, e.Next) }

// Is reports whether the target is ErrGap.
func (e *GapError) Is(target error) bool { return target == ErrGap }

// Bounds.
const (
	ChunkBytesMin     = wire.RecordChunkMin
	ChunkBytesMax     = wire.RecordChunkMax
	ChunkBytesDefault = wire.RecordChunkMax
	BatchRecordsMax   = wire.RecordBatchMax // records of one append; their bytes are a quarter of a chunk at most
)

// Store has the record files of one cluster. Any number of goroutines may use it.
type Store struct {
	router *route.Client
	opts   client.Options
	ctx    context.Context // until Close
	stop   context.CancelFunc
	min    int64 // bytes of a chunk
}

// Open finds the cluster, as client.Open does. Close it after use.
func Open(ctx context.Context, opts client.Options) (*Store, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	s := &Store{router: router, opts: opts, min: ChunkBytesMin}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends the connections. What is under way fails.
func (s *Store) Close() error {
	s.stop()
	return s.router.Close()
}

// CreateOptions say how a record file is kept. The zero value is sound.
type CreateOptions struct {
	// ChunkBytes is how many bytes of records are kept together, ChunkBytesMin to ChunkBytesMax; 0: ChunkBytesDefault. A
	// batch has a quarter of that at most. What is not kept any more is deleted in chunks.
	ChunkBytes int64

	// RetainBytes is how many bytes are kept at least, as they are stored, of the newest records; 0: all. Up to three chunks more
	// are.
	RetainBytes int64

	// RetainAge is for how long a record is kept at least, to the millisecond; 0: for ever. The last two chunks are kept, and a chunk takes
	// records for that long at most.
	RetainAge time.Duration

	// First is the place of the first record: of a file that is made again as it was elsewhere.
	First int64
}

// Create makes a record file. What exists at the path is fs.ErrExist, a missing directory fs.ErrNotExist.
func (s *Store) Create(ctx context.Context, path string, opts CreateOptions) error {
	o := s.op(ctx, "create records", path)
	return o.failed(o.create(path, opts))
}

// createPatience bounds what is done to learn what came of a creation whose context has ended.
const createPatience = 5 * time.Second

func (o *op) create(path string, opts CreateOptions) error {
	opts.ChunkBytes = cmp.Or(opts.ChunkBytes, ChunkBytesDefault)
	switch {
	case opts.ChunkBytes < o.s.min || opts.ChunkBytes > ChunkBytesMax:
		return fmt.Errorf("%w: chunks of %d bytes, from %d to %d are possible", client.ErrTooLarge, opts.ChunkBytes, o.s.min, ChunkBytesMax)
	case opts.First < 0:
		return fmt.Errorf("the first record at place %d", opts.First)
	case opts.RetainBytes < 0 || opts.RetainAge < 0 || opts.RetainAge > 0 && opts.RetainAge < time.Millisecond:
		return fmt.Errorf("records are kept for %v and up to %d bytes", opts.RetainAge, opts.RetainBytes)
	case path == tree.Root:
		return fs.ErrExist
	}
	if err := tree.Check(path); err != nil {
		return err
	}
	dir, name := tree.Split(path)
	switch _, err := tree.Get(o.ask, path); {
	case err == nil:
		return fs.ErrExist
	case !errors.Is(err, tree.ErrNoNode):
		return err
	}
	if n, err := tree.Get(o.ask, dir); err == nil && n.File {
		return fmt.Errorf("%s is not a directory", dir)
	}
	home := (&wire.TreeRequest{Dir: dir}).Slot()
	p, err := o.ask(&wire.TreeRequest{Op: wire.TreeBeginRecords, Home: home, Records: wire.TreeRecords{ChunkBytes: opts.ChunkBytes, RetainBytes: opts.RetainBytes, RetainAge: opts.RetainAge.Milliseconds()}})
	if err != nil {
		return err
	}
	if p.Code != wire.TreeOK {
		return fmt.Errorf("unexpected outcome %d of the beginning of a record file", p.Code)
	}
	f := &tree.Records{Calls: &calls{op: o}, Of: wire.Content{Home: home, Version: p.Version}, First: opts.First}
	_, err = f.OpenTail()
	if err == nil {
		_, _, err = tree.Change(o.ask, dir, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name, File: true, Content: p.Version, Value: tree.RecordEntry}})
	}
	if err != nil {
		return o.giveUp(f, err)
	}
	return nil
}

// giveUp takes a creation back, and tells what came of it: nothing, unless it had been named.
func (o *op) giveUp(f *tree.Records, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), createPatience)
	defer cancel()
	p, err := o.within(ctx).ask(&wire.TreeRequest{Op: wire.TreeAbort, Home: f.Of.Home, Nonce: f.Of.Version})
	switch {
	case err != nil || p.Code != wire.TreeOK || !errors.Is(failed, client.ErrUnknownOutcome):
		return failed
	case wire.TreeContentState(p.Number) == wire.ContentWhole:
		return nil
	}
	return fmt.Errorf("%w: the creation was not answered in time and was taken back: nothing was done", client.ErrUnreachable)
}

// File is a record file. Any number of goroutines may use it.
type File struct {
	s    *Store
	path string
	of   wire.Content
	size int64 // of a chunk

	at     atomic.Uint32 // the last chunk that is known
	looked atomic.Int64  // when the content was read last, by the store's clock in milliseconds

	appender appender
}

// Open opens a record file. It needs no closing.
func (s *Store) Open(ctx context.Context, path string) (*File, error) {
	o := s.op(ctx, "open records", path)
	f, err := o.open(path)
	return f, o.failed(err)
}

func (o *op) open(path string) (*File, error) {
	if err := tree.Check(path); err != nil {
		return nil, err
	}
	n, err := tree.Get(o.ask, path)
	if err != nil {
		return nil, err
	}
	if !n.File || n.Content == (wire.TreeVersion{}) || string(n.Value) != string(tree.RecordEntry) {
		return nil, ErrNotRecords
	}
	dir, _ := tree.Split(path)
	f := &File{s: o.s, path: path, of: wire.Content{Home: (&wire.TreeRequest{Dir: dir}).Slot(), Version: n.Content}}
	c, err := f.records(o).Look()
	if err != nil {
		return nil, err
	}
	f.size = c.Records.ChunkBytes
	f.saw(uint32(max(0, c.Reserved-1)))
	f.appender.init(f)
	return f, nil
}

// Path is where the file was opened.
func (f *File) Path() string { return f.path }

// BatchBytesMax is how many bytes the records of one append have together at most.
func (f *File) BatchBytesMax() int64 { return f.size / wire.RecordBatchShare }

// saw notes the last chunk, as it is now.
func (f *File) saw(tail uint32) {
	f.at.Store(tail)
	f.looked.Store(time.Now().UnixMilli())
}

// lookEvery is how long appends go on without looking whether the file is there still.
const lookEvery = 5 * time.Second

// look fails where the file was removed, as far as was to be seen some seconds ago.
func (f *File) look(r *tree.Records) error {
	if since := time.Now().UnixMilli() - f.looked.Load(); since >= 0 && since < lookEvery.Milliseconds() {
		return nil
	}
	c, err := r.Look()
	if err == nil {
		f.saw(uint32(max(0, c.Reserved-1)))
	}
	return err
}

// records are the steps of an operation on the file.
func (f *File) records(o *op) *tree.Records {
	return &tree.Records{Calls: &calls{op: o}, Of: f.of}
}

// Stat is what is known of a record file.
type Stat struct {
	Path       string
	First      int64 // place of the first record that is kept
	End        int64 // place that the next record gets
	Bytes      int64 // of all that is kept, as it is stored once
	Chunks     int64 // that records are kept in
	ChunkBytes int64
	LastTime   time.Time // of the last append, by a server's clock; zero: none

	RetainBytes int64 // as the file was created with
	RetainAge   time.Duration
}

// Stat tells of the file.
func (f *File) Stat(ctx context.Context) (Stat, error) {
	o := f.s.op(ctx, "stat records", f.path)
	st, err := f.stat(o)
	return st, o.failed(err)
}

func (f *File) stat(o *op) (Stat, error) {
	st := Stat{Path: f.path}
	r := f.records(o)
	c, err := r.Look()
	if err != nil {
		return st, err
	}
	st.ChunkBytes, st.Chunks = c.Records.ChunkBytes, c.Reserved-c.Records.First
	st.RetainBytes, st.RetainAge = c.Records.RetainBytes, time.Duration(c.Records.RetainAge)*time.Millisecond
	first, err := r.ReaderAtStart()
	if err != nil {
		return st, err
	}
	last, err := r.ReaderAtEnd()
	if err != nil {
		return st, err
	}
	st.First, st.End = first.Due(), last.Due()
	from, err := r.Head(first.At().Index)
	if err != nil || from == nil {
		return st, err
	}
	to, err := r.Head(last.At().Index)
	if err != nil || to == nil {
		return st, err
	}
	st.Bytes = to.Before + to.Bytes - from.Before
	if to.LastTime > 0 {
		st.LastTime = time.UnixMilli(to.LastTime)
	}
	return st, nil
}
