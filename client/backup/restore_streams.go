package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	records "viewring/client/record"
	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/ring"
)

// streamRestorer restores a record file, batch by batch. One goroutine uses it.
type streamRestorer struct {
	n *nodeRestorer
	s *stream

	begun     bool
	file      *records.File // nil: it is not there, and nothing is written
	made      bool          // by this restore
	different bool          // something else is there: it stays
	existing  func() (records.Entry, error, bool)
	stop      func()

	at    int64  // place in the run of what comes next
	wrote uint64 // records
	gaps  []gap
	named map[[16]byte]bool
}

// gap says that places from one on are lower by so many where the file is restored.
type gap struct{ from, less int64 }

// streams restores the record files of a partition. All runs are read once, from the oldest on.
func (n *nodeRestorer) streams(p ring.PartitionID) error {
	there, err := n.listStreams(p)
	if err != nil || len(there) == 0 {
		return err
	}
	defer func() {
		for _, s := range there {
			s.close()
		}
	}()
	last := slices.IndexFunc(n.chain, func(r *Run) bool { return r.Manifest.part(sectionBatches, p).Whole })
	for i := last; i >= 0; i-- {
		err := n.chain[i].records(sectionBatches, p, func(x *record) error {
			s := there[string(x.name)]
			if s == nil || s.s.id != x.version {
				return context.Cause(n.ctx)
			}
			b, err := decodeBatch(x)
			if err == nil {
				err = s.batch(&b)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(there)) {
		if err := there[path].end(); err != nil {
			return err
		}
	}
	return nil
}

// listStreams are the record files that the run has of a partition, those that are wanted.
func (n *nodeRestorer) listStreams(p ring.PartitionID) (map[string]*streamRestorer, error) {
	there := make(map[string]*streamRestorer)
	err := n.chain[0].records(sectionStreams, p, func(x *record) error {
		if !strings.HasPrefix(string(x.name), n.o.Prefix) {
			return nil
		}
		s, err := decodeStream(x)
		if err != nil {
			return err
		}
		one := &streamRestorer{n: n, s: &s, at: s.first, named: make(map[[16]byte]bool)}
		for _, p := range s.producers {
			one.named[p.ID] = true
		}
		there[s.path] = one
		return nil
	})
	return there, err
}

func (r *streamRestorer) close() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// begin looks what is at the path, and makes the file if nothing is.
func (r *streamRestorer) begin() error {
	r.begun = true
	n, ctx := r.n, r.n.ctx
	isFile, err := n.isFile(above(r.s.path))
	if err != nil || isFile {
		r.different = isFile
		return err
	}
	err = fs.ErrExist
	if !n.o.DryRun {
		o := records.CreateOptions{ChunkBytes: r.s.chunkBytes, RetainBytes: r.s.retainBytes, RetainAge: r.s.retainAge, First: r.s.first}
		err = n.c.records.Create(ctx, r.s.path, o)
		if errors.Is(err, fs.ErrNotExist) {
			if err = n.mkdir(above(r.s.path)); err == nil {
				err = n.c.records.Create(ctx, r.s.path, o)
			}
		}
	}
	if errors.Is(err, tree.ErrEphemeral) { // above it is a file, or a session's node
		r.different = true
		return nil
	}
	if r.made = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	r.file, err = n.c.records.Open(ctx, r.s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && n.o.DryRun:
		return nil
	case errors.Is(err, records.ErrNotRecords):
		r.different = true
		return nil
	case err != nil:
		return err
	}
	if r.made {
		return nil
	}
	st, err := r.file.Stat(ctx)
	if err != nil {
		return err
	}
	r.different = st.First != r.s.first
	r.existing, r.stop = iter.Pull2(r.file.Read(ctx, records.Start, false))
	return nil
}

// batch restores a batch: what is kept of it, and was not restored yet.
func (r *streamRestorer) batch(b *batch) error {
	if skip := max(r.at, r.s.first) - b.place; skip > 0 {
		if skip >= int64(len(b.records)) {
			return nil
		}
		b.place, b.sequence, b.records = b.place+skip, b.sequence+skip, b.records[skip:]
	}
	if over := b.end() - r.s.end; over > 0 { // a run that was begun anew
		if over >= int64(len(b.records)) {
			return nil
		}
		b.records = b.records[:int64(len(b.records))-over]
	}
	if !r.begun {
		if err := r.begin(); err != nil {
			return err
		}
	}
	if lost := b.place - r.at; lost > 0 {
		r.gaps = append(r.gaps, gap{b.place, r.less() + lost})
	}
	r.at = b.end()
	size := 0
	for _, one := range b.records {
		size += len(one)
	}
	r.n.restorer.bytes.Add(int64(size))
	r.n.tell(0)
	if err := r.n.put.pace.wait(r.n.ctx, size); err != nil || r.different {
		return err
	}
	return r.compare(b)
}

// less is by how much places are lower now.
func (r *streamRestorer) less() int64 {
	if len(r.gaps) == 0 {
		return 0
	}
	return r.gaps[len(r.gaps)-1].less
}

// compare passes over records that are there, and appends the others.
func (r *streamRestorer) compare(b *batch) error {
	for r.existing != nil && len(b.records) > 0 {
		e, err, ok := r.existing()
		if err != nil {
			return err
		}
		if !ok {
			r.close()
			r.existing = nil
			break
		}
		if e.Lost > 0 || e.Place != b.place-r.less() || !bytes.Equal(e.Data, b.records[0]) {
			r.different = true
			return nil
		}
		b.place, b.sequence, b.records = b.place+1, b.sequence+1, b.records[1:]
	}
	if len(b.records) == 0 {
		return nil
	}
	if r.n.o.DryRun {
		r.wrote += uint64(len(b.records))
		return nil
	}
	most, from, size := r.file.BatchBytesMax(), 0, int64(0)
	for i, one := range b.records {
		if i > from && (size+int64(len(one)) > most || i-from == wire.RecordBatchMax) {
			if err := r.append(b, from, i); err != nil {
				return err
			}
			from, size = i, 0
		}
		size += int64(len(one))
	}
	return r.append(b, from, len(b.records))
}

// append appends some records of a batch.
func (r *streamRestorer) append(b *batch, from, to int) error {
	origin := records.Origin{Producer: b.producer, Named: r.named[b.producer], Sequence: b.sequence + int64(from)}
	out, kept, err := r.file.Restore(r.n.ctx, origin, b.records[from:to]...)
	if err != nil {
		return err
	}
	if want := b.place + int64(from) - r.less(); out.Place != want {
		return fmt.Errorf("restore %.200q: its records come to the places from %d on, and not from %d: does somebody else append?", r.s.path, out.Place, want)
	}
	if !kept && origin.Named {
		r.n.note("%.200q: records from place %d on are not known any more as those of their producer: what came before them is lost", r.s.path, out.Place)
	}
	r.wrote += uint64(to - from)
	return nil
}

// end restores what is left of a file: that there is one, its readers, and says what became of it.
func (r *streamRestorer) end() error {
	if !r.begun {
		if err := r.begin(); err != nil {
			return err
		}
	}
	if r.existing != nil && !r.different {
		_, err, more := r.existing()
		if err != nil {
			return err
		}
		r.different = more
	}
	what := keySame
	switch {
	case r.different:
		what = keyOther
		if r.n.o.Existing == Replace {
			r.n.note("%.200q is left as it is: it has other records, or more. Remove it first to have it restored", r.s.path)
		}
	case r.made || r.file == nil || r.wrote > 0:
		what = keyWritten
	}
	r.n.tallied(&r.n.done.Streams, what, 1)
	if what == keyOther {
		return nil
	}
	r.n.mu.Lock()
	r.n.done.Records += r.wrote
	r.n.mu.Unlock()
	if n := len(r.gaps); n > 0 {
		r.n.note("%.200q: records from place %d on have lower places, by up to %d: what was before them is lost", r.s.path, r.gaps[0].from-r.gaps[0].less, r.gaps[n-1].less)
	}
	if r.n.o.DryRun {
		return nil
	}
	return r.readers()
}

// readers gives names their places.
func (r *streamRestorer) readers() error {
	for _, p := range r.s.readers {
		next, end := p.next, r.at // of the last records before a gap
		less := int64(0)
		for _, g := range r.gaps {
			if p.next < g.from {
				end = g.from - g.less + less
				break
			}
			less = g.less
		}
		next = min(next, end) - less // what is appended comes next, and is not passed over
		if _, err := r.file.RestoreReader(r.n.ctx, p.name, p.group, next); err != nil {
			return err
		}
	}
	return nil
}
