package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"viewring/client"
	records "viewring/client/record"
	"viewring/internal/tree"
	"viewring/ring"
)

const (
	batchBytes   = 256 << 10 // of the records that are written as one
	batchRecords = 4096
)

// streamsOf are the record files that the run before has of a partition, by path; nil where the nodes can't be built upon it.
func (f *filler) streamsOf(p ring.PartitionID) map[string]*stream {
	if f.base == nil {
		return nil
	}
	all := make(map[string]*stream)
	err := f.base.records(sectionStreams, p, func(x *record) error {
		s, err := decodeStream(x)
		all[s.path] = &s
		return err
	})
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.o.say("paths of partition %d are taken whole: %v", p, err)
		return nil
	}
	return all
}

// streamCopier copies the record files of a partition. One goroutine uses it.
type streamCopier struct {
	from *records.Store
	into *segmentWriter
	pace func(ctx context.Context, bytes int) error

	tally Tree
}

// copyStreams copies the record files that a collector has found in a partition: what was appended since the run before, or
// all; and then which there are.
func (f *filler) copyStreams(ctx context.Context, found *collector, p ring.PartitionID) error {
	nodes := found.nodes
	at := *f.m.part(sectionNodes, p)
	c := &streamCopier{from: f.c.records, into: found.into, pace: found.pace, tally: nodes.tally}
	found.into.begin(sectionBatches, p)
	var there []*stream
	for _, path := range slices.Sorted(maps.Keys(nodes.live)) {
		var before *stream
		if s := nodes.base[path]; !at.Whole && s != nil && s.id == nodes.live[path] {
			before = s
		}
		s, err := c.copy(ctx, path, nodes.live[path], before, f.c.creation)
		if errors.Is(err, client.ErrCorrupt) { // not of records, which are passed over: of what the file is
			f.m.part(sectionNodes, p).Lacking = true
			f.lack(p, path, true)
			continue
		}
		if err != nil {
			return err
		}
		if s != nil {
			there = append(there, s)
		}
	}
	if err := f.endSection(found.into, sectionBatches, p, &at); err != nil {
		return err
	}
	found.into.begin(sectionStreams, p)
	for _, s := range there {
		if err := found.into.add(&record{kind: recordStream, name: []byte(s.path), version: s.id, value: s.encode()}); err != nil {
			return err
		}
	}
	f.mu.Lock()
	sum := f.m.Tree.fields()
	for i, n := range c.tally.fields() {
		*sum[i] += *n
	}
	f.mu.Unlock()
	return f.endSection(found.into, sectionStreams, p, &at)
}

// endSection ends a section that is of the same instant as the nodes.
func (f *filler) endSection(into *segmentWriter, s section, p ring.PartitionID, nodes *Part) error {
	part, err := into.end()
	part.Whole, part.At = nodes.Whole, nodes.At
	*f.m.part(s, p) = part
	return err
}

// creation is the version of the step that made the node at a path; zero: there is none.
func (c *Cluster) creation(ctx context.Context, path string) (Version, error) {
	n, err := tree.Head(c.ask(ctx, fmt.Sprintf("look at %.200q", path)), path)
	if errors.Is(err, tree.ErrNoNode) {
		return Version{}, nil
	}
	if err != nil {
		return Version{}, err
	}
	return Version(n.ID), nil
}

// copy copies the records of a file from where the run before ended. nil: it was removed.
func (c *streamCopier) copy(ctx context.Context, path string, id Version, before *stream, creation func(context.Context, string) (Version, error)) (*stream, error) {
	f, err := c.from.Open(ctx, path)
	if err == nil {
		var now Version
		if now, err = creation(ctx, path); err == nil && now != id { // what was opened may be another one
			return nil, nil
		}
	}
	var s *stream
	if err == nil {
		s, err = c.head(ctx, f, path, id)
	}
	if err == nil {
		s.from = s.first
		if before != nil {
			s.from = max(s.first, min(before.end, s.end))
		}
		err = c.read(ctx, f, s)
	}
	switch {
	case errors.Is(err, records.ErrRemoved), errors.Is(err, fs.ErrNotExist), errors.Is(err, records.ErrNotRecords):
		return nil, nil
	case err != nil:
		return nil, err
	}
	c.tally.Streams++
	return s, nil
}

// head reads who reads and appends, and then how far the records go.
func (c *streamCopier) head(ctx context.Context, f *records.File, path string, id Version) (*stream, error) {
	s := &stream{path: path, id: id}
	readers, err := f.Readers(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range readers {
		s.readers = append(s.readers, readerPlace{r.Name, r.Group, r.Next})
	}
	if s.producers, err = f.Producers(ctx); err != nil {
		return nil, err
	}
	st, err := f.Stat(ctx)
	if err != nil {
		return nil, err
	}
	s.chunkBytes, s.retainBytes, s.retainAge, s.first, s.end = st.ChunkBytes, st.RetainBytes, st.RetainAge, min(st.First, st.End), st.End
	return s, nil
}

// read writes down the records of a file up to its end.
func (c *streamCopier) read(ctx context.Context, f *records.File, s *stream) error {
	if s.from >= s.end {
		return nil
	}
	var now batch
	size, before := 0, s.from == s.first
	flush := func() error {
		if len(now.records) == 0 {
			return nil
		}
		err := c.into.add(&record{kind: recordBatch, name: []byte(s.path), version: s.id, value: now.encode()})
		now.records = now.records[:0]
		n := size
		size = 0
		return errors.Join(err, c.pace(ctx, n))
	}
	for e, err := range f.Read(ctx, records.AtPlace(s.from), false) {
		if err != nil {
			return err
		}
		if e.Place >= s.end {
			break
		}
		if before && e.Place > s.from || e.Retired { // nobody keeps what was before
			s.first = min(max(s.first, e.Place+e.Lost), s.end)
		}
		if before = false; e.Lost > 0 {
			if !e.Retired {
				c.tally.Lost += uint64(min(e.Lost, s.end-e.Place))
			}
			continue
		}
		if n := len(now.records); n > 0 && (now.producer != e.Producer || now.end() != e.Place || now.sequence+int64(n) != e.Sequence ||
			size+len(e.Data) > batchBytes || n >= batchRecords) {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(now.records) == 0 {
			now.place, now.time, now.producer, now.sequence = e.Place, e.Time.UnixMilli(), e.Producer, e.Sequence
		}
		now.records = append(now.records, e.Data)
		size += len(e.Data)
		c.tally.Records++
	}
	return flush()
}
