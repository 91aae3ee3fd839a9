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
func (j *Janitor) deleteRecords(c wire.Chunk) error {
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
	return remove(wire.RecordHeadPart, 0)
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
