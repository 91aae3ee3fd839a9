package route

import (
	"context"

	"viewring/internal/wire"
)

// Tree carries out one step in the tree of paths, as Do does a request: q goes to the primary
// of its directory's slot, and with a request id if it changes something.
func (c *Client) Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error) {
	size := len(q.Dir)
	for i := range q.Items {
		size += len(q.Items[i].Name) + len(q.Items[i].Value)
	}
	mutation := q.Op.Mutates()
	op := newOperation(name, mutation, size)
	op.slot = q.Slot()
	if mutation {
		q.Client = c.id
		q.Number, q.Mark, q.Born = c.marks.begin(op.began.UnixMilli())
		defer c.marks.end(q.Number)
	}
	payload := wire.AppendTreeRequest(make([]byte, 0, size+64), q)
	return carryOut(ctx, c, op, wire.CmdTree, payload, wire.DecodeTreeReply)
}
