package route

import (
	"context"
	"fmt"
	"time"

	"viewring/internal/outcome"
	"viewring/internal/wire"
)

// Chunk carries out an operation on a chunk, as Do does on a key.
func (c *Client) Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (wire.DoReply, error) {
	mutation := q.Op.Mutates()
	op := &operation{name: name, mutation: mutation, outcome: outcome.Of(kindOf(mutation, true)), began: time.Now(), timeout: tryTimeout(len(q.Value))}
	op.slot = q.Chunk.Slot()
	if mutation {
		q.Client = c.id
		q.Number, q.Mark, q.Born = c.marks.begin(op.began.UnixMilli())
		defer c.marks.end(q.Number)
	}
	payload := wire.AppendChunkRequest(make([]byte, 0, len(q.Value)+64), q)
	var reply wire.DoReply
	op.ask = func(ctx context.Context, conn *wire.Conn) error {
		value, err := conn.Do(ctx, []byte(wire.CmdChunk), payload)
		if err != nil {
			return err
		}
		if reply, err = wire.DecodeDoReply(value.Bytes); err != nil {
			return fmt.Errorf("%s: %w", conn.Addr(), err)
		}
		return nil
	}
	err := c.tryUntilDone(ctx, op)
	c.counted(op, err)
	return reply, err
}
