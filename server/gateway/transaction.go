package gateway

import (
	"bytes"
	"context"
	"errors"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// transaction is a session's MULTI, from there or from WATCH on. Commands are
// gathered here and go to the primary of their slot in one piece with EXEC; what
// is watched is watched there, on a connection of the session's own.
type transaction struct {
	queueing bool
	spoiled  bool // a command was refused: EXEC will be
	batch    []byte
	commands int
	mutation bool
	keyed    bool   // slot is meant
	slot     uint16 // of all keys
	pin      *route.Pinned
	held     int64 // bytes of the batch that are counted
}

func (t *transaction) unpin() {
	if t.pin != nil {
		t.pin.Close()
	}
	t.pin = nil
}

// end forgets the transaction, and what it watched.
func (t *transaction) end() {
	t.unpin()
	*t = transaction{}
}

// endTransaction is end, and gives back what the batch holds.
func (s *session) endTransaction() {
	s.Give(s.tx.held)
	s.tx.end()
}

// joins reports whether a command's keys are in the slot of those before it.
func (t *transaction) joins(keys [][]byte) bool {
	for _, k := range keys {
		slot := ring.SlotOf(string(k))
		if t.keyed && slot != t.slot {
			return false
		}
		t.keyed, t.slot = true, slot
	}
	return true
}

func (s *session) runMulti([][]byte) error {
	if s.tx.queueing {
		s.replyError(redis.ErrNested)
		return nil
	}
	s.tx.queueing = true
	s.tx.batch = wire.AppendCommand(nil, []byte("MULTI"))
	s.replyOK()
	return nil
}

// enqueue keeps a command for EXEC, if it is one that the server of its slot can carry out.
func (s *session) enqueue(cmd *redis.Command, args [][]byte) {
	size := sizeOf(args)
	switch way := cmd.Gateway.Way; {
	case cmd.Multi == redis.Refused, way != redis.ToKeys && way != redis.ToParts && way != redis.HereNow:
		s.wrong(redis.ErrNotInMulti)
	case !s.tx.joins(cmd.KeysOf(args[1:])):
		s.wrong(redis.ErrCrossSlot)
	case len(s.tx.batch)+int(size) > s.g.opts.Bounds.Request:
		s.wrong(wire.CodeErr + " the transaction is too large")
	case !s.Take(size):
		s.wrong(busy)
	default:
		s.tx.held += size
		s.tx.batch = wire.AppendCommand(s.tx.batch, args...)
		s.tx.commands++
		if cmd.HasFlag("write") {
			s.tx.mutation = true
			s.noteWrite(s.tx.slot)
		}
		s.reply(func(w *wire.Writer) { w.WriteSimple("QUEUED") })
	}
}

func (s *session) runDiscard([][]byte) error {
	if !s.tx.queueing {
		s.replyError(redis.ErrDiscardAlone)
		return nil
	}
	s.endTransaction()
	s.replyOK()
	return nil
}

func (s *session) runExec([][]byte) error {
	tx := &s.tx
	switch {
	case !tx.queueing:
		s.replyError(redis.ErrExecAlone)
		return nil
	case tx.spoiled:
		s.replyError(redis.ErrExecAbort)
	case tx.pin != nil:
		s.now(s.execPinned)
	case tx.commands == 0:
		s.reply(func(w *wire.Writer) { w.WriteArray(0) })
	default:
		tx.batch = wire.AppendCommand(tx.batch, []byte("EXEC"))
		s.asked, tx.held = s.asked+tx.held, 0
		s.pushCall(s.pipe.Send(s.ctx, route.Command{
			Encoded: tx.batch, Replies: tx.commands + 2, Slot: tx.slot, Mutation: tx.mutation, RESP3: s.client.RESP3(),
		}))
	}
	s.endTransaction()
	return nil
}

// execPinned carries out a transaction where it watches keys. When that place is
// lost nothing was done, and the answer is that of a key that was changed.
func (s *session) execPinned(ctx context.Context, w *wire.Writer) {
	ctx, cancel := context.WithTimeout(ctx, s.g.opts.Patience)
	defer cancel()
	tx := &s.tx
	tx.batch = wire.AppendCommand(tx.batch, []byte("EXEC"))
	raw, err := tx.pin.Do(ctx, tx.batch, tx.commands+2)
	switch {
	case err == nil:
		w.WriteRaw(raw)
	case errors.Is(err, route.ErrUnavailable), !tx.mutation:
		w.WriteValue(redis.NilArray())
	default:
		s.writeFailure(w, err)
	}
}

func (s *session) runWatch(args [][]byte) error {
	if s.tx.queueing {
		s.replyError(redis.ErrWatchAfter)
		return nil
	}
	before := s.tx
	if !s.tx.joins(args[1:]) {
		s.tx = before
		s.replyError(redis.ErrCrossSlot)
		return nil
	}
	words := make([][]byte, len(args))
	for i, a := range args {
		words[i] = bytes.Clone(a)
	}
	s.now(func(ctx context.Context, w *wire.Writer) { s.watch(ctx, w, words) })
	return nil
}

func (s *session) watch(ctx context.Context, w *wire.Writer, words [][]byte) {
	ctx, cancel := context.WithTimeout(ctx, s.g.opts.Patience)
	defer cancel()
	var raw []byte
	var err error
	if s.tx.pin != nil {
		// A key that can't be watched may have changed: EXEC does nothing then.
		if raw, err = s.tx.pin.Do(ctx, wire.AppendCommand(nil, words...), 1); err != nil {
			s.tx.pin.Close()
			raw, err = []byte("+OK\r\n"), nil
		}
	} else {
		s.tx.pin, raw, err = s.g.opts.Client.Pin(ctx, route.Command{Args: words, Slot: s.tx.slot, RESP3: s.client.RESP3()})
	}
	if err != nil {
		s.endTransaction()
		s.writeFailure(w, err)
		return
	}
	w.WriteRaw(raw)
}

func (s *session) runUnwatch([][]byte) error {
	s.endTransaction()
	s.replyOK()
	return nil
}
