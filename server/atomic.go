package server

import (
	"bytes"
	"fmt"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
)

// What an AtomicRequest may have, an OpBatch may.
const (
	_ = uint(replica.BatchKeysMax - wire.AtomicKeysMax)
	_ = uint(replica.BatchNamesMax - wire.AtomicNamesMax)
)

// runAtomic is VR.ATOMIC: keys of one slot, checked and written as one.
func (c *conn) runAtomic(args [][]byte) error {
	q, err := wire.DecodeAtomicRequest(bytes.Clone(args[0])) // the reader's buffer is used again
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	if text := q.TooLarge(); text != "" {
		c.replyError(fmt.Sprintf("%s %s", wire.CodeTooLarge, text))
		return nil
	}
	var first []byte
	if len(q.Checks) > 0 {
		first = q.Checks[0].Key
	} else {
		first = q.Writes[0].Key
	}
	cl := c.newCall(replyDo, first)
	if !fillAtomic(&q, cl.slot, &cl.request) {
		return c.reject(redis.ErrCrossSlot)
	}
	if !c.take(cl, int64(len(args[0]))) {
		c.refuse(cl, replica.StatusBusy)
		return nil
	}
	c.route(cl)
	return nil
}

// fillAtomic makes an OpBatch; ok is false where the keys are not all of the slot.
func fillAtomic(q *wire.AtomicRequest, slot uint16, r *replica.Request) (ok bool) {
	ok = true
	key := func(name []byte) replica.Key {
		ok = ok && ring.SlotOf(string(name)) == slot
		return replica.MakeKey(slot, replica.SpaceUser, string(name))
	}
	r.Op = replica.OpBatch
	r.ID, r.Mark = replica.RequestID{Client: q.Client, Number: q.Number, Born: q.Born}, q.Mark
	r.Fence = replica.Fence{Lock: q.FenceLock, Token: q.FenceToken}
	for i := range q.Checks {
		ch := &q.Checks[i]
		r.Checks = append(r.Checks, replica.KeyCheck{Key: key(ch.Key), Version: replica.Version{Term: ch.Term, Seq: ch.Seq}})
	}
	for i := range q.Writes {
		w := &q.Writes[i]
		r.Writes = append(r.Writes, replica.KeyWrite{Key: key(w.Key), Delete: w.Delete, Value: w.Value, TTL: min(w.TTL, ttlMax)})
	}
	return ok
}
