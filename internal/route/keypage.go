package route

import (
	"context"
	"fmt"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
)

// KeyPage reads a page of a partition's keys, as Do does a key.
func (c *Client) KeyPage(ctx context.Context, q *wire.KeyPageRequest) (wire.KeyPage, error) {
	op := newOperation(fmt.Sprintf("read partition %d", q.Partition), false, q.Bytes+wire.ValueBytesMax)
	op.slot, _ = ring.SlotRange(q.Partition, len(c.View().Partitions))
	return carryOut(ctx, c, op, wire.CmdKeyPage, wire.AppendKeyPageRequest(nil, q), wire.DecodeKeyPage)
}

// PartitionsOf are those from first to before end in which keys with a prefix may lie: one, if the prefix has a whole tag.
func (c *Client) PartitionsOf(prefix string) (first, end int) {
	n := len(c.View().Partitions)
	_, after, _ := strings.Cut(prefix, "{")
	if tag, _, whole := strings.Cut(after, "}"); whole && tag != "" {
		p := int(ring.PartitionOf(ring.SlotOf(prefix), n))
		return p, p + 1
	}
	return 0, n
}

// KeyPages reads a partition page by page, as q says, and calls fn with the keys of each until it returns false. The keys of a
// partition lie in one order on all its copies, and each page goes on behind the last, so none comes twice. A page comes from a primary
// that was one all the while it was read, with a whole copy: client/backup/DESIGN.md has the argument.
func (c *Client) KeyPages(ctx context.Context, partition int, q wire.KeyPageRequest, fn func(keys []wire.PageKey) (more bool, err error)) error {
	q.Partition = ring.PartitionID(partition)
	q.Term = c.View().Partitions[partition].Term
	for {
		page, err := c.KeyPage(ctx, &q)
		if err != nil {
			return err
		}
		if q.Term = page.Term; page.Stale {
			continue
		}
		more, err := fn(page.Keys)
		if err != nil || !more || !page.More {
			return err
		}
		q.After = page.Next
	}
}

// SlotOf is the slot of a key.
func SlotOf(key string) uint16 { return ring.SlotOf(key) }
