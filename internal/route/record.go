package route

import (
	"context"

	"viewring/internal/wire"
	"viewring/ring"
)

// Record carries out a step in a chunk of a record file, but RecordGet, until it is answered. It has no request
// id: a try that was not answered may take effect later, which silent tells. It does nothing more
// then than the one that was answered, as long as the chunk is as it was.
func (c *Client) Record(ctx context.Context, name string, q *wire.RecordRequest) (p wire.RecordReply, silent bool, err error) {
	op := newOperation(name, true, len(q.Records))
	op.slot = q.Chunk.Slot()
	payload := wire.AppendRecordRequest(make([]byte, 0, len(q.Records)+128), q)
	p, err = carryOut(ctx, c, op, wire.CmdRecord, payload, wire.DecodeRecordReply)
	return p, op.outcome.Maybe(), err
}

// RecordPart reads a part of a chunk of a record file.
func (c *Client) RecordPart(ctx context.Context, name string, chunk wire.Chunk, part wire.RecordPart, index uint32) (wire.DoReply, error) {
	op := newOperation(name, false, 0)
	op.slot = chunk.Slot()
	payload := wire.AppendRecordRequest(nil, &wire.RecordRequest{Op: wire.RecordGet, Chunk: chunk, Part: part, Index: index})
	return carryOut(ctx, c, op, wire.CmdRecord, payload, wire.DecodeDoReply)
}

// ResetTerm is that of a slot's partition, in the newest view that is known.
func (c *Client) ResetTerm(slot uint16) uint64 {
	v := c.View()
	return v.Partitions[ring.PartitionOf(slot, len(v.Partitions))].ResetTerm
}
