package server

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
)

// replyStyle says in which form a call's answer is written.
type replyStyle uint8

const (
	replyWritten replyStyle = iota // by call.write
	replyDo                        // DoReply
	replyFound                     // by call.show
	replyOK                        // OK, or nil when the condition failed
	replyCount                     // how many keys there were: 0 or 1
	replyNumber                    // Answer.Number
	replyBatch                     // not at all: its commands' are
	replyTree                      // by call.tree
	replyRecord                    // call.record
)

// runDo is VR.DO.
func (c *conn) runDo(args [][]byte) error {
	q, err := wire.DecodeDoRequest(args[0])
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	c.times.asked.number = numberOfDo(q.Op)
	cl := c.newCall(replyDo, q.Key)
	if q.Op == wire.DoGet {
		c.read(cl)
		return nil
	}
	r := &cl.request
	r.ID = replica.RequestID{Client: q.Client, Number: q.Number, Born: q.Born}
	r.Mark = q.Mark
	r.Op = opCodes[q.Op]
	r.Cond = conds[q.Cond]
	r.Delta = q.Delta
	r.Version = replica.Version{Term: q.Term, Seq: q.Seq}
	r.Expiry, r.TTL, r.KeepExpiry = q.Expiry, q.TTL, q.KeepExpiry
	r.Fence = replica.Fence{Lock: q.FenceLock, Token: q.FenceToken}
	c.write(cl, q.Value)
	return nil
}

var opCodes = [...]replica.OpCode{
	wire.DoSet: replica.OpSet, wire.DoDelete: replica.OpDelete, wire.DoAppend: replica.OpAppend, wire.DoIncr: replica.OpIncr,
	wire.DoExpire: replica.OpExpire,
}

var conds = [...]replica.Cond{
	wire.DoAlways: replica.CondNone, wire.DoIfAbsent: replica.CondAbsent,
	wire.DoIfPresent: replica.CondPresent, wire.DoIfVersion: replica.CondVersion,
}

// newCall starts a call on a user's key.
func (c *conn) newCall(style replyStyle, key []byte) *call {
	name := string(key)
	cl := callPool.Get().(*call)
	*cl = call{conn: c, asked: c.times.asked, first: name, style: style, slot: ring.SlotOf(name)}
	cl.request.Key = replica.MakeKey(cl.slot, replica.SpaceUser, name)
	return cl
}

func (c *conn) read(cl *call) {
	cl.isRead = true
	c.route(cl)
}

// write takes a copy of value: the reader's buffer is used again.
func (c *conn) write(cl *call, value []byte) {
	if len(value) > wire.ValueBytesMax {
		c.refuse(cl, replica.StatusTooLarge)
		return
	}
	if !c.take(cl, int64(len(value))) {
		c.refuse(cl, replica.StatusBusy)
		return
	}
	cl.request.Value = bytes.Clone(value)
	c.identify(cl)
	c.route(cl)
}

// route hands a call to the lane of its partition, unless it can be answered at once.
func (c *conn) route(cl *call) {
	if n := len(cl.request.Key) - keyHeaderBytes; n > wire.KeyBytesMax {
		c.refuse(cl, replica.StatusTooLarge)
		return
	}
	if cl.isRead && c.readNow(cl) {
		return
	}
	c.Push(cl)
	c.place(cl)
}

// place puts a call among those that its lane is given next.
func (c *conn) place(cl *call) {
	v := c.s.views.View()
	cl.partition = ring.PartitionOf(cl.slot, len(v.Partitions))
	if !cl.isRead && cl.look == nil {
		c.session.noteWrite(cl.partition, len(v.Partitions))
	}
	i, e := c.s.lanes.Index(cl.partition), lane.Asked(cl)
	if cl.look != nil {
		e = lane.Looked(cl)
	}
	c.gathered[i] = append(c.gathered[i], e)
	if len(c.gathered[i]) >= lane.DrainMax {
		c.Submit()
	}
}

// keyHeaderBytes is what a replica.Key has before the name.
const keyHeaderBytes = 3

// tooLarge answers what exceeds the limits.
var tooLarge = replica.Answer{Status: replica.StatusTooLarge}

// refuse answers a call without asking a lane.
func (c *conn) refuse(cl *call, status replica.Status) {
	cl.complete(replica.Answer{Status: status})
	c.Push(cl)
	c.Notify()
}

// writeReply writes a complete call's reply.
func (c *conn) writeReply(w *wire.Writer, cl *call) {
	a := &cl.answer
	if cl.style == replyWritten {
		cl.write(w)
		return
	}
	if text := c.errorText(cl); text != "" {
		w.WriteError(text)
		return
	}
	switch cl.style {
	case replyDo:
		writeDoReply(w, a)
	case replyTree:
		c.writeTreeReply(w, cl)
	case replyRecord:
		writeRecordReply(w, cl)
	case replyFound:
		w.WriteValue(cl.show(redis.Found{Present: a.Status == replica.StatusOK, Value: a.Value, Length: a.Length, Expiry: a.Expiry, Now: c.s.wall}))
	case replyOK:
		if a.Status == replica.StatusOK {
			w.WriteSimple("OK")
		} else {
			w.WriteNil()
		}
	case replyCount:
		n := int64(0)
		if a.Status == replica.StatusOK {
			n = 1
		}
		w.WriteInt(n)
	case replyNumber:
		switch {
		case a.Status != replica.StatusNotInteger:
			w.WriteInt(a.Number)
		case a.Number != 0:
			w.WriteError(cl.ownError(redis.ErrOverflow))
		default:
			w.WriteError(cl.ownError(redis.ErrNotInteger))
		}
	}
}

// ownError is an error reply that is what the command came to, as its client is told.
func (c *call) ownError(text string) string {
	if c.known {
		return wire.CodeAnswered + " " + text
	}
	return text
}

var doStatuses = [...]wire.DoStatus{
	replica.StatusOK: wire.DoOK, replica.StatusNotFound: wire.DoNotFound,
	replica.StatusCondFailed: wire.DoCondFailed, replica.StatusNotInteger: wire.DoNotInteger,
	replica.StatusFenced: wire.DoFenced,
}

func writeDoReply(w *wire.Writer, a *replica.Answer) {
	buf := frame.TakeBuffer()
	buf = wire.AppendDoReply(buf, &wire.DoReply{
		Status: doStatuses[a.Status], Term: a.Version.Term, Seq: a.Version.Seq, Number: a.Number, Value: a.Value, Expiry: a.Expiry,
	})
	w.WriteBulk(buf)
	frame.GiveBuffer(buf)
}

// errorText is the error reply for an answer, "" when it is none.
func (c *conn) errorText(cl *call) string {
	switch cl.answer.Status {
	case replica.StatusOK, replica.StatusNotFound, replica.StatusCondFailed, replica.StatusNotInteger, replica.StatusFenced:
		return ""
	case replica.StatusMoved:
		return c.movedText(cl)
	case replica.StatusUnavailable:
		if v := c.s.views.View(); v.Partitions[cl.partition].Primary() == 0 && v.Unserved(cl.partition) {
			return unservedText(cl, v)
		}
		return fmt.Sprintf("%s partition %d can't serve now", wire.CodeUnavailable, cl.partition)
	case replica.StatusTooFewCopies:
		return fmt.Sprintf("%s partition %d has fewer acting copies than min-copies", wire.CodeNotEnoughCopies, cl.partition)
	case replica.StatusUnknown:
		return wire.CodeUnknownOutcome + " the write may or may not be done"
	case replica.StatusBusy:
		return wire.CodeBusy + " too many requests are waiting"
	case replica.StatusCorrupt:
		return wire.CodeCorrupt + " the stored value fails its checksum"
	case replica.StatusTooLarge:
		if cl.style == replyBatch || cl.style == replyTree || cl.style == replyRecord {
			return fmt.Sprintf("%s at most %d bytes of values and %d of keys at a time", wire.CodeTooLarge, wire.ValueBytesMax, replica.BatchNamesMax)
		}
		return fmt.Sprintf("%s at most %d bytes of value and %d of key", wire.CodeTooLarge, wire.ValueBytesMax, wire.KeyBytesMax)
	case replica.StatusFull:
		return wire.CodeReadOnly + " " + c.s.fullText(ring.ServerID(cl.answer.Number))
	case replica.StatusBadOutcome:
		return wire.CodeErr + " this server has a fault: the request came to what it may not do, and nothing was done"
	case replica.StatusExpiredID:
		return wire.CodeErr + " the request id was born too long ago (is the client's clock right?)"
	}
	return fmt.Sprintf("%s outcome %d", wire.CodeErr, cl.answer.Status)
}

// unservedText says that nobody serves a call's partition, in Redis's word to
// Redis clients.
func unservedText(cl *call, v *ring.View) string {
	code := wire.CodeClusterDown
	if cl.style == replyDo || cl.style == replyTree || cl.style == replyRecord {
		code = wire.CodeUnavailable
	}
	return code + " " + v.WhyUnserved(cl.partition)
}

// How long after a new view clients are not yet sent to a primary that may not know it: it
// would send them back, again and again, and most clients follow few of these. A newer view
// may name another primary.
const (
	movedWaitMax   = time.Second
	movedLookEvery = 50 * time.Millisecond
)

// movedText sends the client to the primary, as the present view has it, once that
// one knows: also where it is this server, whose lane was asked before it knew.
func (c *conn) movedText(cl *call) string {
	for {
		k := c.s.views.Current()
		v := k.View
		p := &v.Partitions[cl.partition]
		m := v.Member(p.Primary())
		if v.Unserved(cl.partition) && (m == nil || m.ID != c.s.id) {
			return unservedText(cl, v)
		}
		if m == nil || m.Addr == "" {
			return fmt.Sprintf("%s partition %d has no primary that can serve now", wire.CodeUnavailable, cl.partition)
		}
		until := k.Since.Add(movedWaitMax)
		look := time.Now().Add(movedLookEvery)
		if look.After(until) {
			look = until
		}
		knows := c.s.links.Epochs().Await(c.s.ctx, m.ID, p.Term, look)
		if knows || look == until || c.s.ctx.Err() != nil {
			return wire.MovedText(cl.slot, m.Addr)
		}
	}
}

// runRead carries out a command that wants something of one key.
func (c *conn) runRead(cmd *command, args [][]byte) error {
	if !cmd.row.Single(args) {
		return c.runEvaluated(cmd, args)
	}
	r, errText := cmd.row.Read(args)
	if errText != "" {
		c.replyError(errText)
		return nil
	}
	cl := c.newCall(replyFound, args[0])
	cl.cut, cl.show = r.Cut, r.Reply
	c.read(cl)
	return nil
}

// outcomes are the styles that tell what came of a write.
var outcomes = [...]replyStyle{redis.OutcomeDone: replyOK, redis.OutcomeCount: replyCount, redis.OutcomeNumber: replyNumber}

// runWrite carries out a command that is one mutation of one key, if it needs no look at
// what is there.
func (c *conn) runWrite(cmd *command, args [][]byte) error {
	if !cmd.row.Single(args) {
		return c.runEvaluated(cmd, args)
	}
	w, errText := cmd.row.Write(args, c.s.wall)
	switch {
	case errText != "":
		c.replyError(errText)
		return nil
	case !w.Blind():
		return c.runEvaluated(cmd, args)
	}
	cl := c.newCall(outcomes[w.Reply], args[0])
	r := &cl.request
	r.Op, r.Cond, r.Delta, r.KeepExpiry = opCodes[w.Op], conds[w.Cond], w.Delta, w.KeepExpiry
	if w.Timed {
		setTime(r, w.Form, w.Millis)
	}
	c.write(cl, w.Value)
	return nil
}

// runBlind writes several keys as one; whatever is there need not be read.
func (c *conn) runBlind(cmd *command, args [][]byte) error {
	slot, ok := sameSlot(cmd.row.KeysOf(args))
	if !ok {
		return c.reject(redis.ErrCrossSlot)
	}
	tx := redis.NewTx(c.s.wall(), wire.ValueBytesMax)
	if v := cmd.row.Run(tx, args); v.Kind == wire.KindError {
		c.replyValue(v)
		return nil
	}
	changes := tx.Changes()
	if tooMany(len(changes)) {
		c.replyError(tooManyText)
		return nil
	}
	cl := c.newCall(replyOK, args[0])
	cl.request.Op = replica.OpBatch
	size := 0
	for i := range changes {
		changes[i].Value = bytes.Clone(changes[i].Value)
		size += len(changes[i].Value)
		cl.request.Writes = append(cl.request.Writes, keyWrite(slot, &changes[i]))
	}
	if !c.take(cl, int64(size)) {
		c.refuse(cl, replica.StatusBusy)
		return nil
	}
	c.route(cl)
	return nil
}

// ttlMax keeps the sum with any clock's time within 64 bits.
const ttlMax = math.MaxInt64 - 1<<43

// setTime makes a request expire: at ms, or ms from when the primary takes it up. What is
// past makes the key one that is expired at once.
func setTime(r *replica.Request, form redis.TimeForm, ms int64) {
	switch {
	case form.Absolute:
		r.Expiry = max(1, ms)
	case ms == 0:
		r.TTL = -1 // 0 would stand for none
	default:
		r.TTL = min(ms, ttlMax)
	}
}
