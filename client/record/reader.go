package record

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// ReadOptions say how a name begins to read. The zero value is sound.
type ReadOptions struct {
	// From is where a new name begins; nil: with the first record that is kept. A name that has a place
	// already is ErrKnownReader then, unless Reset.
	From *From
	// Reset has a name that is known begin anew, at From.
	Reset bool
}

// Reader reads a file under a name, whose place is kept in the store: whoever reads under the name next goes
// on behind what was committed. One process at a time is a reader. What was read and not committed
// when it died is read again: at least once.
type Reader struct {
	f    *File
	name string

	mu sync.Mutex // held by a commit
	at *held
}

// ReadAs makes this process the reader of a name: one that read under it before is told ErrNotReader at its
// next commit.
func (f *File) ReadAs(ctx context.Context, name string, opts ReadOptions) (*Reader, error) {
	o := f.s.op(ctx, fmt.Sprintf("read as %q", name), f.path)
	h, err := f.readAs(o, name, opts)
	if err != nil {
		return nil, o.failed(err)
	}
	return &Reader{f: f, name: name, at: h}, nil
}

func (f *File) readAs(o *op, name string, opts ReadOptions) (*held, error) {
	if err := tree.CheckName(name); err != nil {
		return nil, err
	}
	path := tree.Join(readersOf(f.of), name)
	nonce := newNonce()
	for range placeTries {
		h, err := o.getPlace(path)
		switch {
		case errors.Is(err, tree.ErrNoNode):
			h, err = f.reach(o, path, func() (place, error) {
				next, err := f.placeOf(o, opts.From)
				return place{Kind: kindReader, Path: f.path, Nonce: nonce, Next: next}, err
			})
			if errors.Is(err, tree.ErrNodeExists) {
				continue
			}
			if err == nil {
				o.sweep()
			}
			return h, err
		case err != nil:
			return nil, err
		case h.value.Kind != kindReader:
			return nil, fmt.Errorf("%w: %q is a group", ErrReaderKind, name)
		case opts.From != nil && !opts.Reset:
			return nil, fmt.Errorf("%w: %d", ErrKnownReader, h.value.Next)
		}
		value := h.value
		value.Nonce, value.Path = nonce, f.path
		if opts.Reset {
			if value.Next, err = f.placeOf(o, opts.From); err != nil {
				return nil, err
			}
		}
		err = o.set(h, value)
		if errors.Is(err, ErrNotReader) || errors.Is(err, ErrNoReader) {
			continue // others came between
		}
		return h, err
	}
	return nil, tree.ErrContended
}

// placeOf is the place that From stands for now.
func (f *File) placeOf(o *op, from *From) (int64, error) {
	if from == nil {
		from = &Start
	}
	if from.kind == fromPlace {
		return from.place, nil
	}
	t := &tail{f: f, o: o, follow: true}
	err := t.begin(*from)
	if err != nil {
		return 0, err
	}
	return t.r.Due(), nil
}

// Name is what the reader reads under.
func (r *Reader) Name() string { return r.name }

// Place is that of the record that the next process under the name begins with, as far as this one knows.
func (r *Reader) Place() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at.value.Next
}

// Read yields what File.Read does, from the place on. Records that are not kept any more, and were not read, are told as an Entry that
// is Lost and Retired. It may be called again, and goes on behind what was committed.
func (r *Reader) Read(ctx context.Context, follow bool) iter.Seq2[Entry, error] {
	return r.f.Read(ctx, From{kind: fromCommitted, place: r.Place()}, follow)
}

// Commit keeps in the store that an entry which Read has yielded, and all before, were dealt with. It returns once that is on
// all acting copies. ErrNotReader: another process reads under the name, from what was committed before. ErrNoReader: the name was removed.
func (r *Reader) Commit(ctx context.Context, last Entry) error {
	o := r.f.s.op(ctx, fmt.Sprintf("commit as %q", r.name), r.f.path)
	r.mu.Lock()
	defer r.mu.Unlock()
	value := r.at.value
	value.Next = last.next()
	if value.Next <= r.at.value.Next {
		return nil
	}
	return o.failed(o.set(r.at, value))
}

// Close is for what reads under a name, as Group has it: there is nothing to close.
func (r *Reader) Close(context.Context) error { return nil }

// next is the place of what comes behind an entry.
func (e *Entry) next() int64 { return e.Place + max(1, e.Lost) }

// ReaderInfo is what is known of a name that reads a file.
type ReaderInfo struct {
	Name      string
	Group     bool
	Members   []string  // of a group: what they call themselves
	Next      int64     // place of the record that comes next; of a group, of the first that some member has not dealt with
	Lag       int64     // places up to the end that were not dealt with
	Removed   int64     // of them, so many are not kept any more
	Committed time.Time // by a server's clock
}

// Readers tells of all names that read the file, in their order.
func (f *File) Readers(ctx context.Context) ([]ReaderInfo, error) {
	o := f.s.op(ctx, "list the readers of", f.path)
	all, err := f.readers(o)
	return all, o.failed(err)
}

func (f *File) readers(o *op) (all []ReaderInfo, err error) {
	st, err := f.stat(o)
	if err != nil {
		return nil, err
	}
	dir := readersOf(f.of)
	names, err := o.names(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		path := tree.Join(dir, name)
		n, err := tree.Get(o.ask, path)
		if errors.Is(err, tree.ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := decodePlace(n.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		info := ReaderInfo{Name: name, Group: p.Kind == kindGroup, Next: p.Next, Committed: time.UnixMilli(n.ModifiedAt),
			Lag: max(0, st.End-p.Next), Removed: max(0, min(st.First, st.End)-p.Next)}
		if info.Group {
			if err := o.groupInfo(path, p, &info); err != nil {
				return nil, err
			}
		}
		all = append(all, info)
	}
	return all, nil
}

// RemoveReader forgets a name and its place. Who reads under it is told ErrNoReader at its next commit.
func (f *File) RemoveReader(ctx context.Context, name string) error {
	o := f.s.op(ctx, fmt.Sprintf("remove the reader %q of", name), f.path)
	err := tree.CheckName(name)
	path := tree.Join(readersOf(f.of), name)
	if err == nil {
		_, err = tree.Head(o.ask, path)
	}
	if errors.Is(err, tree.ErrNoNode) || errors.Is(err, tree.ErrNoParent) {
		err = ErrNoReader
	}
	if err == nil {
		err = o.removePlaces(path)
	}
	return o.failed(err)
}

// Remove removes a record file, and the places of those who read it by name. A file that is none of records is ErrNotRecords.
func (s *Store) Remove(ctx context.Context, path string) error {
	o := s.op(ctx, "remove records", path)
	err := tree.Check(path)
	var n *wire.TreeNode
	if err == nil {
		n, err = tree.Get(o.ask, path)
	}
	if err == nil && (!n.File || string(n.Value) != string(tree.RecordEntry)) {
		err = ErrNotRecords
	}
	if err == nil {
		err = tree.Remove(o.ask, path, tree.Condition{DataVersion: -1, Modified: n.Modified})
	}
	if err == nil {
		dir, _ := tree.Split(path)
		of := wire.Content{Home: (&wire.TreeRequest{Dir: dir}).Slot(), Version: n.Content}
		_ = o.removePlaces(readersOf(of)) // what is left whoever makes a reader finds
	}
	return o.failed(err)
}
