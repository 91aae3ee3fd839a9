package server

import (
	"bytes"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// runChunk is VR.CHUNK.
func (c *conn) runChunk(args [][]byte) error {
	q, err := wire.DecodeChunkRequest(args[0])
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	cl := callPool.Get().(*call)
	*cl = call{conn: c, style: replyDo, slot: q.Chunk.Slot()}
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
