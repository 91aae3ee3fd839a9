package server

import (
	"fmt"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
)

// Commands that depend on more than one look at a key are carried out here, on the
// connection's reading goroutine: read the keys with their versions, compute, and
// write under the condition that nobody wrote meanwhile. Else all over again.
const (
	turns       = 1024 // of slots: commands of one turn go one after the other
	attemptsMax = 100
)

// tooManyText refuses what is about too many keys.
var tooManyText = fmt.Sprintf("%s at most %d keys at a time", wire.CodeTooLarge, replica.BatchKeysMax)

func tooMany(keys int) bool { return keys > replica.BatchKeysMax }

// newTurns lets the commands on a slot that are carried out here go one by one: what
// they would get in each other's way would otherwise grow with their number.
func newTurns() []chan struct{} {
	t := make([]chan struct{}, turns)
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return t
}

// step is one command of a transaction.
type step struct {
	cmd  *command
	args [][]byte
}

// transaction is some commands on the keys of one slot, at one moment.
type transaction struct {
	c       *conn
	slot    uint16
	steps   []step
	keys    []string // that are read, and must stay as they were
	watched map[string]replica.Version

	found   []replica.Item // the keys, as the last attempt read them
	atOnce  bool           // at one moment
	replies []wire.Value
	aborted bool  // a watched key was written
	cost    int64 // bytes that what was read holds
}

// runEvaluated carries out a command as a transaction of its own.
func (c *conn) runEvaluated(cmd *command, args [][]byte) error {
	names := cmd.row.KeysOf(args)
	slot, ok := sameSlot(names)
	if !ok {
		return c.reject(redis.ErrCrossSlot)
	}
	t := &transaction{c: c, slot: slot, steps: []step{{cmd, args}}}
	return t.answer(names, func(w *wire.Writer) { w.WriteValue(t.replies[0]) }, func() redis.Ended { return redis.EndedBy(&t.replies[0]) })
}

// answer carries out the transaction on the keys of these names, after all that the
// connection asked for before, and replies: what went well as say writes it, and ended says what that came to.
func (t *transaction) answer(names [][]byte, say func(*wire.Writer), ended func() redis.Ended) error {
	if !t.c.AwaitReplies() {
		return errStopped
	}
	t.add(names)
	failure, err := t.run()
	switch {
	case err != nil:
		return err
	case failure != "":
		t.c.replyError(failure)
	case t.aborted:
		t.c.replyValue(redis.NilArray())
	default:
		t.c.replyHeld(t.cost, ended(), say)
	}
	return nil
}

// sameSlot returns the slot of some keys; ok is false when they have several.
func sameSlot(names [][]byte) (slot uint16, ok bool) {
	for i, n := range names {
		s := ring.SlotOf(string(n))
		if i > 0 && s != slot {
			return 0, false
		}
		slot = s
	}
	return slot, true
}

// add makes keys some of those that the transaction reads.
func (t *transaction) add(names [][]byte) {
	seen := make(map[string]bool, len(t.keys)+len(names))
	for _, k := range t.keys {
		seen[k] = true
	}
	for _, n := range names {
		if !seen[string(n)] {
			seen[string(n)] = true
			t.keys = append(t.keys, string(n))
		}
	}
}

// run tries until nothing comes between. failure is "" or the one error reply to
// all of it; err says that the server stops.
func (t *transaction) run() (failure string, err error) {
	if tooMany(len(t.keys)) {
		return tooManyText, nil
	}
	turn := t.c.s.turns[int(t.slot)%turns]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-t.c.s.ctx.Done():
		return "", errStopped
	}
	for range attemptsMax {
		t.drop()
		failure, done, err := t.attempt()
		if done || err != nil {
			return failure, err
		}
	}
	t.drop()
	return wire.CodeBusy + " other clients write these keys all the time", nil
}

// drop lets go what an attempt has read.
func (t *transaction) drop() {
	t.c.Give(t.cost)
	t.found, t.replies, t.cost, t.atOnce = nil, nil, 0, false
}

func (t *transaction) attempt() (failure string, done bool, err error) {
	failure, err = t.read()
	if failure != "" || err != nil {
		t.drop()
		return failure, true, err
	}
	tx := redis.NewTx(t.c.s.wall(), wire.ValueBytesMax)
	for i, it := range t.found {
		if v, ok := t.watched[t.keys[i]]; ok && v != it.Version {
			t.aborted = true
			t.drop()
			return "", true, nil
		}
		if !it.Version.IsZero() {
			tx.Load(t.keys[i], it.Value, it.Expiry)
		}
	}
	t.replies = make([]wire.Value, len(t.steps))
	for i, s := range t.steps {
		if s.cmd.says == nil {
			t.replies[i] = s.cmd.row.Run(tx, s.args)
		}
	}
	failure, done, err = t.commit(tx.Changes())
	if !done || err != nil || failure != "" {
		t.drop()
		return failure, done, err
	}
	t.c.session.within = true
	for i, s := range t.steps {
		if s.cmd.says != nil {
			t.replies[i] = s.cmd.says(t.c, s.args)
		}
	}
	t.c.session.within = false
	t.cost += t.c.session.takeHeld()
	return "", true, nil
}

// read finds the keys as they are: at one moment if that is possible, else one by one.
func (t *transaction) read() (failure string, err error) {
	t.found = make([]replica.Item, len(t.keys))
	if len(t.keys) > 1 {
		if err := t.readAtOnce(); t.atOnce || err != nil {
			return "", err
		}
	}
	calls := make([]*call, len(t.keys))
	for i, k := range t.keys {
		calls[i] = t.c.newCall(replyFound, []byte(k))
		calls[i].isRead = true
	}
	if err := t.c.askLanes(calls); err != nil {
		return "", err
	}
	for i, cl := range calls {
		t.cost += cl.cost
		if text := t.c.errorText(cl); text != "" {
			failure = text
		}
		t.found[i] = replica.Item{Version: cl.answer.Version, Value: cl.answer.Value, Expiry: cl.answer.Expiry}
		if cl.answer.Status != replica.StatusOK {
			t.found[i] = replica.Item{}
		}
	}
	return failure, nil
}

// readAtOnce looks at the lane's core: nobody writes meanwhile. Where that has no
// answer for all keys, atOnce stays false.
func (t *transaction) readAtOnce() error {
	keys := make([]replica.Key, len(t.keys))
	for i, k := range t.keys {
		keys[i] = replica.MakeKey(t.slot, replica.SpaceUser, k)
	}
	cl := t.c.newCall(replyBatch, []byte(t.keys[0]))
	var items []replica.Item // the lane's: it may still look when the server stops and we do not wait for it
	cl.look = lane.Only(func(core *replica.Core) {
		now := t.c.s.opts.Now
		if found, ok := core.ReadAll(now(), cl.partition, keys); ok && core.Leased(now(), cl.partition) {
			items = found
		}
	})
	if err := t.c.askLanes([]*call{cl}); err != nil {
		return err
	}
	if t.atOnce = items != nil; t.atOnce {
		t.found = items
	}
	size := int64(0)
	for i := range t.found {
		size += int64(len(t.found[i].Value))
	}
	if t.atOnce && t.c.take(cl, size) {
		t.cost += cl.cost
		return nil
	}
	t.atOnce = false
	return nil
}

// commit writes what changed, under the condition that what was read still is; done is
// false where it is not. What was read at one moment needs no check when nothing is
// written.
func (t *transaction) commit(changes []redis.Change) (failure string, done bool, err error) {
	if len(changes) == 0 && (t.atOnce || len(t.keys) <= 1) {
		return "", true, nil
	}
	size := 0
	for i := range changes {
		size += len(changes[i].Value)
	}
	cl := t.request(changes)
	defer func() { t.c.Give(cl.cost) }()
	if !t.c.take(cl, int64(size)) {
		return wire.CodeBusy + " too many requests are waiting", true, nil
	}
	if err := t.c.askLanes([]*call{cl}); err != nil {
		return "", true, err
	}
	if cl.answer.Status == replica.StatusCondFailed {
		return "", false, nil
	}
	return t.c.errorText(cl), true, nil
}

// request makes the call that checks and writes.
func (t *transaction) request(changes []redis.Change) *call {
	cl := t.c.newCall(replyBatch, []byte(t.keys[0]))
	r := &cl.request
	r.Op = replica.OpBatch
	for i, k := range t.keys {
		r.Checks = append(r.Checks, replica.KeyCheck{Key: replica.MakeKey(t.slot, replica.SpaceUser, k), Version: t.found[i].Version})
	}
	for i := range changes {
		ch := &changes[i]
		r.Writes = append(r.Writes, keyWrite(t.slot, ch))
	}
	return cl
}

func keyWrite(slot uint16, ch *redis.Change) replica.KeyWrite {
	return replica.KeyWrite{Key: replica.MakeKey(slot, replica.SpaceUser, ch.Name),
		Delete: ch.Delete, Value: ch.Value, Expiry: ch.Expiry, TTL: min(ch.TTL, ttlMax)}
}

// askLanes hands calls to their lanes and waits for the answers, which are not
// written to the client. They stay the caller's.
func (c *conn) askLanes(calls []*call) error {
	told := make(chan struct{}, len(calls))
	for _, cl := range calls {
		if len(cl.request.Key)-keyHeaderBytes > wire.KeyBytesMax {
			cl.complete(tooLarge)
			told <- struct{}{}
			continue
		}
		cl.told = told
		c.place(cl)
	}
	c.Submit()
	for range calls {
		select {
		case <-told:
		case <-c.s.ctx.Done():
			return errStopped
		}
	}
	return nil
}
