package upkeep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// recordTimeout bounds one step in a chunk of a record file: what can't be read of any copy is passed
// over then.
const recordTimeout = 10 * time.Second

// deleteRecords deletes all that is stored of a chunk of a record file. What is corrupt on all copies stays, as it
// can't be deleted, and keeps nothing else from it; batches whose head is so are left to the sweeper.
func (j *Janitor) deleteRecords(c wire.Chunk) error { return j.eraseRecords(c, false) }

// eraseRecords is deleteRecords, which may keep the head: then the chunk is never opened again.
func (j *Janitor) eraseRecords(c wire.Chunk, keepHead bool) error {
	p, err := recordStep(j.b.Context, j.cluster, &wire.RecordRequest{Op: wire.RecordErase, Chunk: c})
	if corrupt(err) {
		j.b.Logger.Warn("the head of a record chunk is corrupt on all copies and stays", "home", c.Home, "content", c.Version, "chunk", c.Index)
		return nil
	}
	if err != nil || p.Code == wire.RecordNone {
		return err
	}
	if p.Code != wire.RecordOK {
		return fmt.Errorf("unexpected outcome %d of the end of a record chunk", p.Code)
	}
	remove := func(part wire.RecordPart, index int64) error {
		err := deletePart(j.b.Context, j.cluster, c, part, uint32(index))
		if corrupt(err) {
			j.b.Logger.Warn("a part of a record chunk is corrupt on all copies and stays", "home", c.Home, "content", c.Version, "chunk", c.Index, "part", part, "index", index)
			return nil
		}
		return err
	}
	for n := p.Batches - 1; n >= 0; n-- {
		if err := remove(wire.RecordBatchPart, n); err != nil {
			return err
		}
	}
	for b := range int64(wire.RecordBuckets) {
		if err := remove(wire.RecordBucketPart, b); err != nil {
			return err
		}
	}
	if keepHead {
		return nil
	}
	return remove(wire.RecordHeadPart, 0)
}

const (
	retainEvery  = time.Minute // between two looks at a record file
	retireAtOnce = 1000        // chunks
)

// retain deletes the chunks of a record file that are older, or lie further back, than what is kept: those from
// the first on, but for the last two. They are said to be retired before anything of them goes.
func (j *Janitor) retain(c wire.Content, record *wire.TreeContentRecord) error {
	j.mu.Lock()
	if t := j.mu.todo[c]; t != nil {
		t.retains = true
	}
	j.mu.Unlock()
	x := record.Records
	end := x.Before
	if head, err := j.head(c, record.Reserved-1); err != nil {
		return err
	} else if head != nil {
		end = head.Before + head.Bytes
	}
	first := x.First
	for ; first < record.Reserved-2 && first < x.First+retireAtOnce; first++ {
		head, err := j.head(c, first)
		if err != nil {
			return err
		}
		if head == nil || head.State == wire.RecordIsErased { // lost, corrupt, or retired
			continue
		}
		old := x.RetainAge > 0 && head.LastTime < j.b.Now().Wall-x.RetainAge
		far := x.RetainBytes > 0 && end-head.Before-head.Bytes >= x.RetainBytes
		if !old && !far {
			break
		}
	}
	if err := j.trim(c, first, x.Swept); err != nil || first == x.Swept {
		return err
	}
	for k := x.Swept; k < first; k++ {
		if err := j.eraseRecords(wire.Chunk{Content: c, Index: uint32(k)}, true); err != nil {
			return err
		}
	}
	return j.trim(c, first, first)
}

// head reads that of a chunk; nil where there is none, or it can't be read.
func (j *Janitor) head(c wire.Content, index int64) (*wire.RecordHead, error) {
	if index < 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(j.b.Context, recordTimeout)
	defer cancel()
	p, err := j.cluster.RecordPart(ctx, "look at records", wire.Chunk{Content: c, Index: uint32(index)}, wire.RecordHeadPart, 0)
	switch {
	case corrupt(err), err == nil && p.Status == wire.DoNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	h, err := wire.DecodeRecordHead(p.Value)
	return &h, err
}

func (j *Janitor) trim(c wire.Content, first, swept int64) error {
	ctx, cancel := context.WithTimeout(j.b.Context, janitorTimeout)
	defer cancel()
	p, err := j.cluster.Tree(ctx, "retire records", &wire.TreeRequest{Op: wire.TreeTrim, Home: c.Home, Nonce: c.Version, Records: wire.TreeRecords{First: first, Swept: swept}})
	if err == nil && p.Code != wire.TreeOK && p.Code != wire.TreeNoContent && p.Code != wire.TreeInUse { // others have done more
		err = fmt.Errorf("unexpected outcome %d of the retirement of records", p.Code)
	}
	return err
}

func recordStep(ctx context.Context, cluster Cluster, q *wire.RecordRequest) (wire.RecordReply, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	p, _, err := cluster.Record(ctx, "delete records", q)
	return p, err
}

func deletePart(ctx context.Context, cluster Cluster, c wire.Chunk, part wire.RecordPart, index uint32) error {
	_, err := recordStep(ctx, cluster, &wire.RecordRequest{Op: wire.RecordDelete, Chunk: c, Part: part, Index: index})
	return err
}

// corrupt reports whether a server has answered that what is stored can't be read.
func corrupt(err error) bool {
	var reply *wire.ServerError
	return errors.As(err, &reply) && reply.Code == wire.CodeCorrupt
}

// orphan is what is stored of a content in slots of its chunks: a chunk, or a part of a record chunk.
type orphan struct {
	wire.Chunk
	record bool
	part   wire.RecordPart
	index  uint32
}

// orphanOf says what a key is of; false where it is no such thing.
func orphanOf(key replica.Key) (o orphan, ok bool) {
	name := key.Name()
	if o.Chunk, ok = wire.ParseChunkName(name); ok {
		o.record = key.Space() == replica.SpaceFile // a head
		return o, true
	}
	o.record = true
	o.Chunk, o.part, o.index, ok = wire.ParsePartName(name)
	return o, ok
}

// remove deletes one.
func (o *Orphans) remove(c *orphan) error {
	if c.record {
		err := deletePart(o.b.Context, o.cluster, c.Chunk, c.part, c.index)
		if corrupt(err) {
			return nil // and is met again
		}
		return err
	}
	return deleteChunk(o.b.Context, o.cluster, c.Chunk)
}
