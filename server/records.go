package server

import (
	"bytes"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
	"viewring/server/tree"
)

// recordRequestMax bounds what a request holds beside its records.
const recordRequestMax = 4 << 20

// runRecord is VR.RECORD: one step in a chunk of a record file.
func (c *conn) runRecord(args [][]byte) error {
	payload := args[0]
	if len(payload) > wire.RecordChunkMax/wire.RecordBatchShare+recordRequestMax {
		c.replyError(wire.CodeTooLarge + " a request about records")
		return nil
	}
	q, err := wire.DecodeRecordRequest(bytes.Clone(payload)) // the reader's buffer is used again
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	cl := callPool.Get().(*call)
	*cl = call{conn: c, asked: c.times.asked, style: replyRecord, slot: q.Chunk.Slot()}
	if q.Op == wire.RecordGet {
		cl.style, cl.request.Key = replyDo, tree.RecordKey(&q)
		c.read(cl)
		return nil
	}
	if !c.take(cl, int64(len(payload))) {
		c.refuse(cl, replica.StatusBusy)
		return nil
	}
	v := c.s.views.View()
	p := &v.Partitions[ring.PartitionOf(cl.slot, len(v.Partitions))]
	cl.record = tree.FillRecord(&q, p.Term, p.ResetTerm, &cl.request)
	c.route(cl)
	return nil
}

// writeRecordReply writes what a step came to. One that looked at a view of another term did
// nothing, and its client asks again.
func writeRecordReply(w *wire.Writer, cl *call) {
	if cl.record.Code == wire.RecordAgain {
		w.WriteError(wire.CodeUnavailable + " this server does not know the partition's present view")
		return
	}
	buf := wire.AppendRecordReply(frame.TakeBuffer(), cl.record)
	w.WriteBulk(buf)
	frame.GiveBuffer(buf)
}
