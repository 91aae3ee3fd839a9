package route

import (
	"context"
	"errors"

	"viewring/internal/wire"
	"viewring/ring"
)

// Atomic checks and writes keys of one slot, as Do does one key. It gives q its request id.
func (c *Client) Atomic(ctx context.Context, name string, q *wire.AtomicRequest) (wire.DoReply, error) {
	if text := q.TooLarge(); text != "" {
		return wire.DoReply{}, &Error{Op: name, Kind: ErrTooLarge, Last: errors.New(text)}
	}
	var first []byte
	size := 0
	for i := range q.Writes {
		first = q.Writes[i].Key
		size += len(first) + len(q.Writes[i].Value)
	}
	for i := range q.Checks {
		first = q.Checks[i].Key
	}
	op := newOperation(name, true, size)
	op.slot = ring.SlotOf(string(first))
	q.Client = c.id
	q.Number, q.Mark, q.Born = c.marks.begin(op.began.UnixMilli())
	defer c.marks.end(q.Number)
	return carryOut(ctx, c, op, wire.CmdAtomic, wire.AppendAtomicRequest(make([]byte, 0, size+128), q), wire.DecodeDoReply)
}
