package server

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/tree"
)

// runChunk is VR.CHUNK.
func (c *conn) runChunk(args [][]byte) error {
	q, err := wire.DecodeChunkRequest(args[0])
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	cl := callPool.Get().(*call)
	*cl = call{conn: c, asked: c.times.asked, style: replyDo, slot: q.Chunk.Slot()}
	r := &cl.request
	r.Key = replica.MakeKey(cl.slot, replica.SpaceChunk, q.Chunk.Name())
	switch q.Op {
	case wire.ChunkGet:
		cl.cut = func(length int) (from, to int) {
			from = min(int(q.Offset), length)
			if to = length; q.Length > 0 {
				to = min(from+int(q.Length), length)
			}
			return from, to
		}
		c.read(cl)
		return nil
	case wire.ChunkPut:
		r.Op, r.Cond = replica.OpSet, replica.CondAbsent
	case wire.ChunkDelete:
		r.Op = replica.OpDelete
	}
	r.ID = replica.RequestID{Client: q.Client, Number: q.Number, Born: q.Born}
	r.Mark = q.Mark
	if len(q.Value) > wire.ValueBytesMax {
		c.refuse(cl, replica.StatusTooLarge)
		return nil
	}
	if !c.take(cl, int64(len(q.Value))) {
		c.refuse(cl, replica.StatusBusy)
		return nil
	}
	r.Value = bytes.Clone(q.Value)
	c.route(cl)
	return nil
}

// runLook is VR.LOOK.
func (c *conn) runLook(args [][]byte) error {
	q, err := wire.DecodeLookRequest(args[0])
	entry := wire.TreeRequest{Op: wire.TreeGet, Dir: q.Dir, Items: []wire.TreeItem{{Name: q.Name}}}
	if err == nil && q.Name != "" {
		err = tree.Check(&entry)
	}
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	slot := q.Chunk.Slot()
	key := replica.MakeKey(slot, replica.SpaceChunk, q.Chunk.Name())
	if q.Name != "" {
		slot, key = tree.Slot(&entry), tree.ReadKey(&entry)
	}
	var p wire.LookReply
	partition := ring.PartitionOf(slot, len(c.s.views.View().Partitions))
	item, err := c.s.store.Get(partition, key)
	switch {
	case isCorrupt(err):
		p.Corrupt = true
		c.s.lanes.Corrupt(partition, key)
	case err != nil:
		c.replyFailed(err)
		return nil
	case item != nil:
		it, err := replica.DecodeItem(key, item)
		if err != nil {
			c.replyFailed(err)
			return nil
		}
		p = wire.LookReply{Found: true, Version: wire.TreeVersion(it.Version), Length: int64(len(it.Value)), Sum: xxhash.Sum64(it.Value)}
	}
	c.replyBulk(wire.AppendLookReply(nil, &p))
	return nil
}
