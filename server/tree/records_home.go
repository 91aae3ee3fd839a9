package tree

import (
	"fmt"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// recordChunksMax is how many chunks a record file has at most: their index has 32 bits.
const recordChunksMax = 1<<32 - 1

// recordChunkMin is how small chunks may be that servers let in: those of tests are. Users' begin at
// wire.RecordChunkMin.
const recordChunkMin = 1 << 10

// extend reserves the next chunk of a record file. One that is reserved already stays as it is:
// whoever opens it goes by what the content says.
func (s contentStep) extend(st *slotState, c *content, key replica.Key) replica.Outcome {
	n, x := int64(s.q.Limit), &s.q.Records
	switch {
	case c.Records == nil || c.State == wire.ContentEnded:
		return st.fail(wire.TreeNoContent)
	case c.State == wire.ContentWhole && c.Refs == 0, c.State == wire.ContentWriting && n > 1:
		return st.fail(wire.TreeNoContent)
	case n <= c.Reserved:
		return st.done(c.Reserved)
	case n != c.Reserved+1 || n > recordChunksMax || x.Number < c.Records.Number || x.Before < c.Records.Before:
		return st.fail(wire.TreeInUse)
	}
	c.Reserved = n
	c.Records.Number, c.Records.Before, c.Records.Life = x.Number, x.Before, x.Life
	st.touch(key)
	return st.done(n)
}

// trim notes that the records of chunks below First are not kept any more, and that all of those
// below Swept are deleted.
func (s contentStep) trim(st *slotState, c *content, key replica.Key) replica.Outcome {
	x := &s.q.Records
	if c.Records == nil || c.State != wire.ContentWhole {
		return st.fail(wire.TreeNoContent)
	}
	if x.First < c.Records.First || x.Swept < c.Records.Swept || x.Swept > x.First || x.First > max(0, c.Reserved-2) {
		return st.fail(wire.TreeInUse)
	}
	c.Records.First, c.Records.Swept = x.First, x.Swept
	st.touch(key)
	return st.done(0)
}

// checkRecordsStep looks at what a step says of a record file.
func checkRecordsStep(q *wire.TreeRequest) error {
	x := &q.Records
	if q.Op == wire.TreeBeginRecords && (x.ChunkBytes < recordChunkMin || x.ChunkBytes > wire.RecordChunkMax) {
		return fmt.Errorf("record chunks of %d bytes, from %d to %d are possible", x.ChunkBytes, recordChunkMin, wire.RecordChunkMax)
	}
	return nil
}
