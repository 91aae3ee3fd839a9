package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"viewring/client/file"
	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/ring"
)

const (
	nodePartitions = 8        // partitions whose nodes are restored at a time
	stepsAtATime   = 64       // steps under way
	stepBytes      = 1 << 20  // of the values of one step
	stepRoom       = 32 << 20 // of all steps under way
	filesAtATime   = 16       // files that are being put in place
	restoreTries   = 100      // of one node, where others come between
)

// nodeRestorer writes the nodes of a run, and its files. Any number of goroutines may use it.
type nodeRestorer struct {
	*restorer
	c      *Cluster
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   *Restored
	steps  sync.WaitGroup      // those under way
	room   *semaphore.Weighted // for their bytes
	slots  *semaphore.Weighted
	closes *semaphore.Weighted

	mu      sync.Mutex       // guards done and numbers
	numbers map[string]int64 // of directories

	making sync.Mutex          // held while directories are made; guards made
	made   map[string]struct{} // those that were made for what is in them, until their own nodes come
}

// paths restores all that is at paths: nodes, then numbers, then records.
func (r *restorer) paths(ctx context.Context, c *Cluster, done *Restored) error {
	n := &nodeRestorer{restorer: r, c: c, done: done, numbers: make(map[string]int64), made: make(map[string]struct{}),
		room: semaphore.NewWeighted(stepRoom), slots: semaphore.NewWeighted(stepsAtATime), closes: semaphore.NewWeighted(filesAtATime)}
	n.ctx, n.cancel = context.WithCancelCause(ctx)
	defer n.cancel(nil)
	r.all(nodePartitions, n.partition, n.cancel)
	n.steps.Wait()
	if err := n.raise(); err != nil {
		n.cancel(err)
	}
	if context.Cause(n.ctx) == nil {
		r.all(nodePartitions, n.streams, n.cancel)
	}
	return context.Cause(n.ctx)
}

// wants reports whether the name of a node is to be restored.
func (r *restorer) wants(key []byte) bool {
	if dir, name := splitNode(key); name == "" && strings.HasPrefix(dir+"/", r.o.Prefix) {
		return true // the numbers of what is below
	}
	return strings.HasPrefix(pathOf(key), r.o.Prefix)
}

// tallied counts what became of something.
func (n *nodeRestorer) tallied(t *Tally, what keyState, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch what {
	case keyWritten:
		t.Written += uint64(count)
	case keySame:
		t.Same += uint64(count)
	default:
		t.Kept += uint64(count)
	}
}

// note tells what else is to be known.
func (n *nodeRestorer) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.done.Notes) < notesMax {
		n.done.Notes = append(n.done.Notes, fmt.Sprintf(format, args...))
	}
}

// partition restores the nodes of a partition. Files that are there with other bytes were read to the end when that is
// known: those that are to be replaced come a second time.
func (n *nodeRestorer) partition(p ring.PartitionID) error {
	w := &nodeWriter{nodeRestorer: n}
	err := states(n.section(sectionNodes, p), w.record, n.wants)
	w.abort()
	w.flush()
	w.files.Wait()
	if again := w.again; err == nil && len(again) > 0 {
		w = &nodeWriter{nodeRestorer: n, force: true}
		err = states(n.section(sectionNodes, p), w.record, func(name []byte) bool { return again[pathOf(name)] })
		w.abort()
		w.files.Wait()
	}
	return errors.Join(err, context.Cause(n.ctx))
}

// raise has directories give numbers behind those that they gave.
func (n *nodeRestorer) raise() error {
	if n.o.DryRun || context.Cause(n.ctx) != nil {
		return nil
	}
	for dir, next := range n.numbers {
		err := tree.Raise(n.c.ask(n.ctx, fmt.Sprintf("raise the numbers of %.200q", dir)), dir, next)
		if err != nil && !errors.Is(err, tree.ErrNoParent) && !errors.Is(err, tree.ErrEphemeral) {
			return err
		}
	}
	return nil
}

// change is a node on its way.
type change struct {
	item wire.TreeItem // that creates it
	path string
}

func (c *change) tally(d *Restored) *Tally {
	if c.item.File {
		return &d.Files
	}
	return &d.Paths
}

// nodeWriter restores the nodes of a partition, as they come. One goroutine uses it.
type nodeWriter struct {
	*nodeRestorer
	force bool // files are put, whatever is there

	// Nodes of one directory that are made by the next step.
	dir   string
	batch []change
	bytes int

	files sync.WaitGroup // those that are being put in place
	file  *fileWriter    // nil: none
	mu2   sync.Mutex
	again map[string]bool // guarded by mu2
}

// record takes the next record: a node, or bytes of one.
func (w *nodeWriter) record(x *record) error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	w.restorer.bytes.Add(int64(len(x.value)))
	if err := w.put.pace.wait(w.ctx, len(x.value)); err != nil {
		return err
	}
	if x.kind == recordBody {
		return w.piece(x)
	}
	n, err := decodeNode(x.value)
	if err != nil {
		return err
	}
	path := pathOf(x.name)
	switch n.kind {
	case nodeNumbers:
		w.mu.Lock()
		w.numbers[path] = n.next
		w.mu.Unlock()
		return nil
	case nodeRecords:
		return nil // with the streams
	}
	w.records.Add(1)
	w.tell(0)
	if n.kind == nodeLong {
		return w.whole(x, path, &n)
	}
	dir, name := tree.Split(path)
	item := wire.TreeItem{Kind: wire.TreeCreate, Name: name, Value: bytes.Clone(n.value)}
	if n.kind == nodeShort {
		item.File, item.Size, item.Attributes = true, int64(len(n.value)), bytes.Clone(n.attributes)
	}
	if dir != w.dir || len(w.batch) == wire.TreeItemsMax || len(w.batch) > 0 && w.bytes+len(item.Value) > stepBytes {
		w.flush()
	}
	w.dir, w.bytes = dir, w.bytes+len(item.Value)+len(item.Attributes)
	w.batch = append(w.batch, change{item, path})
	return nil
}

// flush sends the nodes that wait.
func (w *nodeWriter) flush() {
	batch, dir, size := w.batch, w.dir, int64(w.bytes)
	w.batch, w.bytes = nil, 0
	if len(batch) == 0 || w.slots.Acquire(w.ctx, 1) != nil {
		return
	}
	size = min(size, stepRoom)
	if w.room.Acquire(w.ctx, size) != nil {
		return
	}
	w.steps.Go(func() {
		defer w.slots.Release(1)
		defer w.room.Release(size)
		if err := w.make(dir, batch); err != nil {
			w.cancel(err)
		}
	})
}

// make makes nodes of a directory by one step; or one by one, if some are there.
func (n *nodeRestorer) make(dir string, batch []change) error {
	if dir != "" {
		if isFile, err := n.isFile(dir); err != nil || isFile {
			for i := range batch {
				n.tallied(batch[i].tally(n.done), keyOther, 1)
			}
			return err
		}
	}
	if !n.o.DryRun && dir != "" {
		items := make([]wire.TreeItem, len(batch))
		for i := range batch {
			items[i] = batch[i].item
		}
		err := n.create(dir, items)
		if err == nil {
			for i := range batch {
				n.tallied(batch[i].tally(n.done), keyWritten, 1)
			}
			return nil
		}
		if !errors.Is(err, tree.ErrNodeExists) && !errors.Is(err, tree.ErrEphemeral) {
			return err
		}
	}
	for i := range batch {
		what, err := n.one(dir, &batch[i])
		if err != nil {
			return err
		}
		n.tallied(batch[i].tally(n.done), what, 1)
	}
	return nil
}

// create makes nodes of a directory, and the directories that are missing above them.
func (n *nodeRestorer) create(dir string, items []wire.TreeItem) error {
	ask := n.c.ask(n.ctx, fmt.Sprintf("restore nodes of %.200q", dir))
	for range restoreTries {
		_, _, err := tree.Change(ask, dir, items)
		if !errors.Is(err, tree.ErrNoParent) {
			return err
		}
		if err := n.mkdir(dir); err != nil {
			return err
		}
	}
	return tree.ErrContended
}

// mkdir makes a directory for what is to be in it, and those above. One at a time does, so that whose own node comes meanwhile
// knows.
func (n *nodeRestorer) mkdir(dir string) error {
	n.making.Lock()
	defer n.making.Unlock()
	ask := n.c.ask(n.ctx, fmt.Sprintf("make the directory %.200q", dir))
	missing := []string{dir}
	for range restoreTries + 2*tree.DepthMax {
		next := missing[len(missing)-1]
		above, name := tree.Split(next)
		if isFile, err := n.isFile(above); err != nil || isFile {
			return cmp.Or(err, tree.ErrEphemeral)
		}
		_, _, err := tree.Change(ask, above, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name}})
		switch {
		case errors.Is(err, tree.ErrNoParent):
			missing = append(missing, above)
			continue
		case err == nil:
			n.made[next] = struct{}{}
		case !errors.Is(err, tree.ErrNodeExists):
			return err
		}
		if missing = missing[:len(missing)-1]; len(missing) == 0 {
			return nil
		}
	}
	return tree.ErrContended
}

// takeMade reports whether this restore has made a directory whose own node comes now.
func (n *nodeRestorer) takeMade(dir string) bool {
	n.making.Lock()
	defer n.making.Unlock()
	_, made := n.made[dir]
	delete(n.made, dir)
	return made
}

// one makes a node, unless it is there: then it is treated as Existing says.
func (n *nodeRestorer) one(dir string, c *change) (keyState, error) {
	ask := n.c.ask(n.ctx, fmt.Sprintf("restore %.200q", c.path))
	for range restoreTries {
		if !n.o.DryRun && dir != "" {
			err := n.create(dir, []wire.TreeItem{c.item})
			switch {
			case err == nil:
				return keyWritten, nil
			case errors.Is(err, tree.ErrEphemeral):
				return keyOther, nil
			case !errors.Is(err, tree.ErrNodeExists):
				return 0, err
			}
		}
		have, err := tree.Get(ask, c.path)
		switch {
		case errors.Is(err, tree.ErrNoNode) && n.o.DryRun:
			return keyWritten, nil
		case errors.Is(err, tree.ErrNoNode):
			continue // it is gone again
		case err != nil:
			return 0, err
		}
		made := n.takeMade(c.path)
		what := n.judge(c, have, made)
		if what == keySame && made {
			return keyWritten, nil
		}
		if what != keyWritten || n.o.DryRun {
			return what, nil
		}
		set := c.item
		set.Kind, set.DataVersion, set.Modified = wire.TreeSet, -1, have.Modified
		_, _, err = tree.Change(ask, dir, []wire.TreeItem{set})
		if !errors.Is(err, tree.ErrBadVersion) && !errors.Is(err, tree.ErrNoNode) {
			return keyWritten, err
		}
	}
	return 0, fmt.Errorf("restore %.200q: %w", c.path, tree.ErrContended)
}

// judge says what is to become of a node that is there: it is the same, stays, or is to be written. made tells that it was made
// for what is in it, by this restore: that may not be there yet.
func (n *nodeRestorer) judge(c *change, have *wire.TreeNode, made bool) keyState {
	long := have.File && have.Content != wire.TreeVersion{}
	alike := have.File == c.item.File
	made = made || have.HasRecord || c.path == tree.Root // perhaps by a restore before
	switch {
	case alike && !long && bytes.Equal(have.Value, c.item.Value) && bytes.Equal(have.Attributes, c.item.Attributes):
		return keySame
	case alike && !have.File && len(have.Value) == 0 && have.DataVersion == 0 && made:
		return keyWritten
	case n.o.Existing != Replace || have.Owner != 0 || !alike || long && string(have.Value) == string(tree.RecordEntry):
		return keyOther
	}
	return keyWritten
}

// fileWriter is a long file on its way: it is put, or compared with what is there.
type fileWriter struct {
	name    []byte
	path    string
	version Version
	kept    bool // it is not read any more

	to         *io.PipeWriter
	outcome    chan fileOutcome
	attributes func(file.Attributes) // tells what the file is to have; before the end
}

type fileOutcome struct {
	what keyState
	err  error
}

// piece takes bytes of a long file: those from 0 on begin it.
func (w *nodeWriter) piece(x *record) error {
	if x.expiry == 0 {
		w.abort()
		w.file = w.begin(x)
	}
	f := w.file
	if f == nil || !bytes.Equal(f.name, x.name) || f.version != x.version {
		return fmt.Errorf("%w: bytes of %q without its beginning", ErrDamaged, x.name)
	}
	if f.kept {
		return nil
	}
	if _, err := f.to.Write(x.value); err != nil {
		f.kept = true // its outcome says why
	}
	return nil
}

// abort gives up a file that nothing followed.
func (w *nodeWriter) abort() {
	if f := w.file; f != nil {
		_ = f.to.CloseWithError(errGone) // it returns nil
		<-f.outcome
		w.file = nil
	}
}

// begin begins a file: a goroutine reads its bytes, and knows in the end what became of it.
func (w *nodeWriter) begin(x *record) *fileWriter {
	from, to := io.Pipe()
	f := &fileWriter{name: bytes.Clone(x.name), path: pathOf(x.name), version: x.version, to: to, outcome: make(chan fileOutcome, 1)}
	sealed := make(chan file.Attributes, 1)
	f.attributes = func(a file.Attributes) { sealed <- a }
	go func() {
		var out fileOutcome
		out.what, out.err = w.restoreFile(f.path, from, sealed)
		_ = from.CloseWithError(io.ErrClosedPipe) // it returns nil
		f.outcome <- out
	}()
	return f
}

// whole ends a file, whose bytes have all come.
func (w *nodeWriter) whole(x *record, path string, n *node) error {
	f := w.file
	if f == nil || !bytes.Equal(f.name, x.name) || f.version != x.version {
		return fmt.Errorf("%w: the entry of %q without its bytes", ErrDamaged, x.name)
	}
	w.file = nil
	var a file.Attributes
	if err := a.UnmarshalBinary(bytes.Clone(n.attributes)); err != nil {
		_ = f.to.CloseWithError(errGone) // it returns nil
		<-f.outcome
		w.note("%.200q is not restored: %v", path, err)
		w.tallied(&w.done.Files, keyOther, 1)
		return nil
	}
	if err := w.closes.Acquire(w.ctx, 1); err != nil {
		_ = f.to.CloseWithError(errGone) // it returns nil
		<-f.outcome
		return err
	}
	f.attributes(a)
	_ = f.to.Close() // it returns nil
	w.files.Go(func() {
		defer w.closes.Release(1)
		out := <-f.outcome
		switch {
		case errors.Is(out.err, errDiffers):
			w.mu2.Lock()
			defer w.mu2.Unlock()
			if w.again == nil {
				w.again = make(map[string]bool)
			}
			w.again[path] = true
		case out.err != nil:
			w.cancel(out.err)
		default:
			w.tallied(&w.done.Files, out.what, 1)
		}
	})
	return nil
}

// errDiffers: a file is to be replaced, and its bytes were read to find that out.
var errDiffers = errors.New("the file differs")

// restoreFile puts a file whose bytes come from r, or compares it with what is there. What attributes it is to have comes last.
func (w *nodeWriter) restoreFile(path string, r io.Reader, sealed <-chan file.Attributes) (keyState, error) {
	files := w.c.files
	have, err := files.Stat(w.ctx, path)
	absent := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !absent:
		return 0, err
	case w.o.DryRun && (absent || w.force):
		isFile, err := w.isFile(above(path))
		if isFile {
			return keyOther, errors.Join(err, drainAll(r))
		}
		return keyWritten, errors.Join(err, drainAll(r))
	case absent, w.force:
		return w.putFile(path, r, file.PutOptions{IfAbsent: absent, Seal: func(file.Info) (file.Attributes, error) { return <-sealed, nil }})
	case have.Dir || have.Records || have.Owner != 0:
		return keyOther, drainAll(r)
	}
	same, err := files.Same(w.ctx, path, r)
	if err = errors.Join(err, drainAll(r)); err != nil {
		return 0, err
	}
	if same && equalAttributes(have.Attributes, <-sealed) {
		return keySame, nil
	}
	return w.differs(nil)
}

// putFile puts a file. A node with a value becomes a directory where that is what is above it in the run too.
func (w *nodeWriter) putFile(path string, r io.Reader, o file.PutOptions) (keyState, error) {
	dir := above(path)
	_, err := w.c.files.Put(w.ctx, path, r, o)
	if errors.Is(err, fs.ErrNotExist) { // nothing was read, here and below
		if err = w.mkdir(dir); err == nil {
			_, err = w.c.files.Put(w.ctx, path, r, o)
		}
	}
	if errors.Is(err, file.ErrNotDirectory) {
		var isFile bool
		if isFile, err = w.isFile(dir); err == nil && !isFile {
			err = tree.Raise(w.c.ask(w.ctx, fmt.Sprintf("restore %.200q", path)), dir, 0) // it lets children in
		}
		if isFile {
			return keyOther, drainAll(r)
		}
		if err == nil {
			_, err = w.c.files.Put(w.ctx, path, r, o)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, file.ErrIsDirectory): // it has come meanwhile
		return w.differs(drainAll(r))
	case errors.Is(err, file.ErrNotDirectory), errors.Is(err, tree.ErrEphemeral), errors.Is(err, file.ErrSession):
		return keyOther, drainAll(r)
	}
	return keyWritten, err
}

// isFile reports whether there is a file at a path.
func (n *nodeRestorer) isFile(path string) (bool, error) {
	have, err := tree.Head(n.c.ask(n.ctx, fmt.Sprintf("look at %.200q", path)), path)
	if errors.Is(err, tree.ErrNoNode) {
		return false, nil
	}
	return err == nil && have.File, err
}

// differs is what becomes of a file that is there with other bytes.
func (w *nodeWriter) differs(err error) (keyState, error) {
	switch {
	case err != nil:
		return 0, err
	case w.o.Existing == Replace && !w.force:
		return 0, errDiffers
	}
	return keyOther, nil
}

// drainAll reads the rest.
func drainAll(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func equalAttributes(a, b file.Attributes) bool {
	x, errX := a.MarshalBinary()
	y, errY := b.MarshalBinary()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
