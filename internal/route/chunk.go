package route

import (
	"context"

	"viewring/internal/wire"
)

// Chunk carries out an operation on a chunk, as Do does on a key.
func (c *Client) Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (wire.DoReply, error) {
	mutation := q.Op.Mutates()
	op := newOperation(name, mutation, len(q.Value))
	op.slot = q.Chunk.Slot()
	if mutation {
		q.Client = c.id
		q.Number, q.Mark, q.Born = c.marks.begin(op.began.UnixMilli())
		defer c.marks.end(q.Number)
	}
	payload := wire.AppendChunkRequest(make([]byte, 0, len(q.Value)+64), q)
	return carryOut(ctx, c, op, wire.CmdChunk, payload, wire.DecodeDoReply)
}
