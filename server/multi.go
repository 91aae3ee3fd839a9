package server

import (
	"bytes"
	"fmt"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
)

// MULTI, EXEC, WATCH. The commands are queued here; EXEC carries them out in order on
// what their keys are at one moment, and writes everything at once.

const multiStepsMax = 10_000

// multi is what came since MULTI.
type multi struct {
	steps   []step
	spoiled bool  // one was refused: EXEC will be too
	cost    int64 // bytes held
}

func (c *conn) runMulti([][]byte) error {
	if c.session.multi != nil {
		c.replyError(redis.ErrNested)
		return nil
	}
	c.session.multi = &multi{}
	c.guard()
	c.replyOK()
	return nil
}

// discard forgets MULTI and WATCH.
func (c *conn) discard() {
	if m := c.session.multi; m != nil {
		c.Give(m.cost)
	}
	c.session.multi, c.session.watched = nil, nil
	c.guard()
}

func (c *conn) runDiscard([][]byte) error {
	if c.session.multi == nil {
		c.replyError(redis.ErrDiscardAlone)
		return nil
	}
	c.discard()
	c.replyOK()
	return nil
}

func (c *conn) sayUnwatch([][]byte) wire.Value {
	c.session.watched = nil
	return redis.OK()
}

// stepBytes is what a queued command takes besides its arguments.
const stepBytes = 64

// enqueue keeps a command for EXEC.
func (c *conn) enqueue(cmd *command, args [][]byte) error {
	m := c.session.multi
	names := cmd.row.KeysOf(args)
	slot, ok := sameSlot(names)
	if !ok {
		return c.reject(redis.ErrCrossSlot)
	}
	if len(names) > 0 {
		if moved := c.elsewhere(slot); moved != "" {
			return c.reject(moved)
		}
	}
	held := call{conn: c}
	size := int64(stepBytes)
	for _, a := range args {
		size += int64(len(a)) + stepBytes
	}
	switch {
	case len(m.steps) >= multiStepsMax:
		return c.reject(fmt.Sprintf("%s a transaction of more than %d commands", wire.CodeTooLarge, multiStepsMax))
	case !c.take(&held, size):
		return c.reject(wire.CodeBusy + " too many bytes are under way")
	}
	m.cost += size
	kept := make([][]byte, len(args))
	for i, a := range args {
		kept[i] = bytes.Clone(a)
	}
	m.steps = append(m.steps, step{cmd, kept})
	c.reply(func(w *wire.Writer) { w.WriteSimple("QUEUED") })
	return nil
}

// elsewhere returns the error for a slot whose primary is not this server, else "".
func (c *conn) elsewhere(slot uint16) string {
	v := c.s.views.View()
	cl := &call{conn: c, slot: slot, partition: ring.PartitionOf(slot, len(v.Partitions))}
	if v.Partitions[cl.partition].Primary() == c.s.id {
		return ""
	}
	return c.movedText(cl)
}

// runWatch is WATCH: the versions of keys of one slot.
func (c *conn) runWatch(args [][]byte) error {
	if c.session.multi != nil {
		c.replyError(redis.ErrWatchAfter)
		return nil
	}
	names := args
	for k := range c.session.watched {
		names = append(names[:len(names):len(names)], []byte(k))
	}
	if _, ok := sameSlot(names); !ok {
		return c.reject(redis.ErrCrossSlot)
	}
	if tooMany(len(names)) {
		c.replyError(tooManyText)
		return nil
	}
	if !c.AwaitReplies() {
		return errStopped
	}
	found, failure, err := c.versions(args)
	switch {
	case err != nil:
		return err
	case failure != "":
		c.replyError(failure)
		return nil
	}
	if c.session.watched == nil {
		c.session.watched = make(map[string]replica.Version)
	}
	for k, v := range found {
		if _, known := c.session.watched[k]; !known {
			c.session.watched[k] = v
		}
	}
	c.replyOK()
	return nil
}

// versions reads which versions keys have, zero for absent ones.
func (c *conn) versions(names [][]byte) (found map[string]replica.Version, failure string, err error) {
	calls := make([]*call, len(names))
	for i, n := range names {
		calls[i] = c.newCall(replyFound, n)
		calls[i].isRead = true
	}
	if err := c.askLanes(calls); err != nil {
		return nil, "", err
	}
	found = make(map[string]replica.Version)
	for i, cl := range calls {
		c.Give(cl.cost)
		if text := c.errorText(cl); text != "" {
			failure = text
		}
		found[string(names[i])] = cl.answer.Version
	}
	return found, failure, nil
}

func (c *conn) runExec([][]byte) error {
	m := c.session.multi
	if m == nil {
		c.replyError(redis.ErrExecAlone)
		return nil
	}
	watched := c.session.watched
	defer c.Give(m.cost)
	c.session.multi, c.session.watched = nil, nil
	c.guard()
	if m.spoiled {
		c.replyError(redis.ErrExecAbort)
		return nil
	}
	t := &transaction{c: c, steps: m.steps, watched: watched}
	var all [][]byte
	for _, s := range m.steps {
		all = append(all, s.cmd.row.KeysOf(s.args)...)
	}
	for k := range watched {
		all = append(all, []byte(k))
	}
	var ok bool
	if t.slot, ok = sameSlot(all); !ok {
		c.replyError(redis.ErrCrossSlot)
		return nil
	}
	return t.answer(all, func(w *wire.Writer) {
		w.WriteArray(len(t.replies))
		for i := range t.replies {
			w.WriteValue(t.replies[i])
		}
	}, func() redis.Ended { return redis.EndedOK })
}
