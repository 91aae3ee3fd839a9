package server

import (
	"bytes"
	"fmt"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
	"viewring/server/tree"
)

// VR.KEYPAGE: a page of a partition's keys, or of its nodes, with their values, for backups, exports and lists of keys. It is read from the store
// on the connection's goroutine, so no lane waits for it. What is read there may not be committed, may be
// of a copy that is not whole, or of a primary that was replaced and does not know it: the lane's word before and the barrier
// afterwards, in one term, say that none of it is so.

// runKeyPage is VR.KEYPAGE.
func (c *conn) runKeyPage(args [][]byte) error {
	q, err := wire.DecodeKeyPageRequest(args[0])
	partitions := len(c.s.views.View().Partitions)
	switch {
	case err != nil:
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	case int(q.Partition) >= partitions || !pageCursorOf(&q, partitions):
		c.replyError(fmt.Sprintf("%s key page: not a place in partition %d", wire.CodeErr, q.Partition))
		return nil
	case !c.AwaitReplies():
		return errStopped
	}
	held := call{conn: c}
	page, errText, err := c.keyPage(&q, &held)
	if err != nil {
		return err
	}
	if errText != "" {
		c.Give(held.cost)
		c.replyError(errText)
		return nil
	}
	c.replyHeld(held.cost, redis.EndedOK, func(w *wire.Writer) {
		buf := wire.AppendKeyPage(frame.TakeBuffer(), page)
		w.WriteBulk(buf)
		frame.GiveBuffer(buf)
	})
	return nil
}

// pageCursorOf reports whether a page may go on from where a request says.
func pageCursorOf(q *wire.KeyPageRequest, partitions int) bool {
	if len(q.After) == 0 {
		return true
	}
	if len(q.After) < keyHeaderBytes {
		return false
	}
	k := replica.Key(q.After)
	return k.Slot() < ring.Slots && k.Space() == pageSpace(q) && ring.PartitionOf(k.Slot(), partitions) == q.Partition
}

// pageSpace is where a page's keys are.
func pageSpace(q *wire.KeyPageRequest) replica.Space {
	if q.Nodes {
		return replica.SpaceMeta
	}
	return replica.SpaceUser
}

// keyPage reads the page, and then has the log say up to where it is good.
func (c *conn) keyPage(q *wire.KeyPageRequest, held *call) (page *wire.KeyPage, errText string, err error) {
	page = &wire.KeyPage{}
	reads := q.Bytes > 0
	if reads {
		if reads, err = c.servesIn(q.Partition, q.Term); err != nil {
			return nil, "", err
		}
	}
	if reads {
		if errText = c.readKeyPage(q, held, page); errText != "" {
			return nil, errText, nil
		}
	}
	a, err := c.s.barrier(q.Partition)
	if err != nil {
		return nil, "", err
	}
	if a.Status != replica.StatusOK {
		slot, _ := ring.SlotRange(q.Partition, len(c.s.views.View().Partitions))
		if a.Status == replica.StatusUnknown { // of an entry that does nothing
			a.Status = replica.StatusUnavailable
		}
		return nil, c.errorText(&call{conn: c, style: replyDo, slot: slot, partition: q.Partition, answer: a}), nil
	}
	page.Term, page.Seq = a.Version.Term, a.Version.Seq
	if q.Bytes > 0 && (!reads || page.Term != q.Term) {
		*page = wire.KeyPage{Term: page.Term, Seq: page.Seq, Stale: true}
	}
	return page, "", nil
}

// servesIn reports whether this server is the active primary of a partition in a term: its copy is whole then.
func (c *conn) servesIn(p ring.PartitionID, term uint64) (serves bool, err error) {
	told := make(chan struct{}, 1)
	c.s.lanes.Put(c.s.lanes.Index(p), lane.Looked(&call{conn: c, told: told, look: lane.Only(func(core *replica.Core) {
		st := core.Inspect(p)
		serves = st.Serving && st.Term == term
	})}))
	select {
	case <-told:
		return serves, nil
	case <-c.s.ctx.Done():
		return false, errStopped
	}
}

// pageFiller fills a page from the store. What is past its expiry is told too: its time may be over by this
// server's clock alone.
type pageFiller struct {
	c      *conn
	q      *wire.KeyPageRequest
	held   *call
	page   *wire.KeyPage
	size   int // bytes of what is told
	looked int
	failed string // the error reply
}

// readKeyPage fills a page.
func (c *conn) readKeyPage(q *wire.KeyPageRequest, held *call, page *wire.KeyPage) (errText string) {
	f := &pageFiller{c: c, q: q, held: held, page: page}
	_, err := c.s.walkSpace(q.Partition, pageSpace(q), replica.After(replica.Key(bytes.Clone(q.After))), f.take)
	if err != nil && f.failed == "" {
		f.failed = failedText(err)
	}
	return f.failed
}

// take looks at a key; false where the page is full, or failed.
func (f *pageFiller) take(key replica.Key, expiry int64) (more bool) {
	if len(f.page.Keys) >= wire.KeyPageKeysMax || f.size >= f.q.Bytes || f.looked >= wire.KeyPageLookedMax {
		f.page.More = true
		return false
	}
	f.looked++
	f.page.Next = []byte(key)
	switch name := key.Name(); {
	case !strings.HasPrefix(name, string(f.q.Prefix)):
		return true
	case f.q.NamesOnly:
		return f.tell(wire.PageKey{Name: []byte(name), Expiry: expiry}, 0)
	}
	return f.read(key)
}

// read tells a key with its value.
func (f *pageFiller) read(key replica.Key) (more bool) {
	item, err := f.c.s.store.Get(f.q.Partition, key)
	damaged := isCorrupt(err)
	switch {
	case err != nil && !damaged:
		f.failed = failedText(err)
		return false
	case item == nil && !damaged:
		return true // deleted meanwhile
	}
	one := wire.PageKey{Name: []byte(key.Name()), Damaged: damaged}
	if !damaged {
		it, valueAt, err := replica.ItemHead(item)
		if err != nil {
			panic("server: an item that was verified has no head") // Get has seen to it
		}
		one.Term, one.Seq, one.Expiry, one.Value = it.Version.Term, it.Version.Seq, it.Expiry, item[valueAt:]
	}
	if f.q.Nodes && !damaged {
		var tells bool
		if one.Value, tells, err = tree.Paged(key, one.Value); err != nil {
			f.failed = failedText(err)
			return false
		}
		if !tells {
			return true
		}
	}
	return f.tell(one, len(item))
}

// tell adds a key, with what was read of it.
func (f *pageFiller) tell(one wire.PageKey, read int) bool {
	if !f.c.take(f.held, int64(keyHeaderBytes+len(one.Name)+2*read+stepBytes)) { // it is there a second time, as it is sent
		f.failed = wire.CodeBusy + " too many requests are waiting"
		return false
	}
	f.page.Keys = append(f.page.Keys, one)
	f.size += keyHeaderBytes + len(one.Name) + read
	return true
}

// barrier waits until all that is in a partition's log is committed, by an entry that does nothing. Its answer has the
// entry's version, and is good only if this server was the partition's primary then.
func (s *Server) barrier(p ring.PartitionID) (a replica.Answer, err error) {
	slot, _ := ring.SlotRange(p, len(s.views.View().Partitions))
	answered := make(chan replica.Answer, 1)
	s.lanes.Propose(p, &replica.Request{
		Op: replica.OpEvaluate, Key: replica.MakeKey(slot, replica.SpaceUser, ""), Frees: true,
		Evaluate: func(_ []replica.Item, version replica.Version, _ int64) replica.Outcome {
			return replica.Outcome{Answer: replica.Answer{Status: replica.StatusOK, Version: version}}
		},
	}, func(a replica.Answer) { answered <- a })
	select {
	case a = <-answered:
		return a, nil
	case <-s.ctx.Done():
		return a, errStopped
	}
}
