package route

import (
	"context"
	"fmt"

	"viewring/internal/wire"
	"viewring/ring"
)

// KeyPage reads a page of a partition's keys, as Do does a key.
func (c *Client) KeyPage(ctx context.Context, q *wire.KeyPageRequest) (wire.KeyPage, error) {
	op := newOperation(fmt.Sprintf("read partition %d", q.Partition), false, q.Bytes+wire.ValueBytesMax)
	op.slot, _ = ring.SlotRange(q.Partition, len(c.View().Partitions))
	return carryOut(ctx, c, op, wire.CmdKeyPage, wire.AppendKeyPageRequest(nil, q), wire.DecodeKeyPage)
}
