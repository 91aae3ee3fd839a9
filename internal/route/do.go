package route

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"viewring/internal/outcome"
	"viewring/internal/wire"
	"viewring/ring"
)

const (
	tryTimeoutMin   = 5 * time.Second // for one try; more for large values
	tryBytesPerSec  = 1 << 20
	backoffMin      = 5 * time.Millisecond
	backoffMax      = 250 * time.Millisecond
	complainAfter   = 2 * time.Second // of retrying
	complainBetween = 5 * time.Second
)

// operation is one operation on one key over all its tries.
type operation struct {
	name      string // for errors: `set "key"`
	partition ring.PartitionID
	slot      uint16
	mutation  bool
	outcome   outcome.Tries // what its tries so far came to
	timeout   time.Duration // of one try
	resp3     bool          // how it wants its reply

	ask     func(ctx context.Context, conn *wire.Conn) error           // asks a server; its error is judged
	connect func(ctx context.Context, addr string) (*wire.Conn, error) // nil: takes one of the pool

	tries    int
	last     error
	lastKind error
	reply    *wire.ServerError // the last error reply
	began    time.Time
	told     time.Time // when the log was last told
}

// Do carries out q, which is named so in errors: it tries until there is an answer, an
// error that no retry helps against, or the end of ctx. It gives a mutation its request
// id.
func (c *Client) Do(ctx context.Context, name string, q *wire.DoRequest) (wire.DoReply, error) {
	if len(q.Key) == 0 {
		return wire.DoReply{}, &Error{Op: name, Kind: ErrRefused, Last: errors.New("the name is empty")}
	}
	return c.DoAnyName(ctx, name, q)
}

// DoAnyName is Do, and the key's name may be empty: a client of Redis can have made such a key.
func (c *Client) DoAnyName(ctx context.Context, name string, q *wire.DoRequest) (wire.DoReply, error) {
	mutation := q.Op != wire.DoGet
	op := newOperation(name, mutation, len(q.Value))
	if err := checkSizes(op.name, q); err != nil {
		return wire.DoReply{}, err
	}
	op.slot = ring.SlotOf(string(q.Key))
	if op.mutation {
		q.Client = c.id
		q.Number, q.Mark, q.Born = c.marks.begin(op.began.UnixMilli())
		defer c.marks.end(q.Number)
	}
	payload := wire.AppendDoRequest(make([]byte, 0, len(q.Key)+len(q.Value)+64), q)
	return carryOut(ctx, c, op, wire.CmdDo, payload, wire.DecodeDoReply)
}

// newOperation is one that servers know by a request id, if it changes something.
func newOperation(name string, mutation bool, size int) *operation {
	return &operation{name: name, mutation: mutation, outcome: outcome.Of(kindOf(mutation, true)), began: time.Now(), timeout: tryTimeout(size)}
}

// carryOut asks with a command of one argument until there is an answer, and decodes that.
func carryOut[R any](ctx context.Context, c *Client, op *operation, command string, payload []byte, decode func([]byte) (R, error)) (reply R, err error) {
	op.ask = func(ctx context.Context, conn *wire.Conn) error {
		value, err := conn.Do(ctx, []byte(command), payload)
		if err != nil {
			return err
		}
		if reply, err = decode(value.Bytes); err != nil {
			return fmt.Errorf("%s: %w", conn.Addr(), err)
		}
		return nil
	}
	err = c.tryUntilDone(ctx, op)
	c.counted(op, err)
	return reply, err
}

// kindOf says how an operation may be repeated; once: servers know it by a request id.
func kindOf(mutation, once bool) outcome.Kind {
	switch {
	case !mutation:
		return outcome.Read
	case once:
		return outcome.Repeatable
	}
	return outcome.Single
}

func (c *Client) counted(op *operation, err error) {
	c.counters.ended(time.Since(op.began), err != nil)
	c.counters.retries.Add(uint64(max(op.tries-1, 0)))
}

// tryTimeout bounds one try, by the bytes to send.
func tryTimeout(size int) time.Duration {
	return tryTimeoutMin + time.Duration(size/tryBytesPerSec)*time.Second
}

func checkSizes(name string, q *wire.DoRequest) error {
	switch {
	case len(q.Key) > wire.KeyBytesMax:
		return &Error{Op: name, Kind: ErrTooLarge, Last: fmt.Errorf("the name has %d bytes, at most %d are allowed", len(q.Key), wire.KeyBytesMax)}
	case len(q.FenceLock) > wire.FenceLockBytesMax:
		return &Error{Op: name, Kind: ErrTooLarge, Last: fmt.Errorf("the lock's name has %d bytes, at most %d are allowed", len(q.FenceLock), wire.FenceLockBytesMax)}
	case len(q.Value) > wire.ValueBytesMax:
		return &Error{Op: name, Kind: ErrTooLarge, Last: fmt.Errorf("the value has %d bytes, at most %d are allowed", len(q.Value), wire.ValueBytesMax)}
	}
	return nil
}

func (c *Client) tryUntilDone(ctx context.Context, op *operation) error {
	backoff := backoffMin
	for {
		s := c.views.current.Load()
		op.partition = ring.PartitionOf(op.slot, len(s.view.Partitions))
		err, final := c.hopeless(ctx, op, s)
		if final {
			return op.abandon(err)
		}
		r, _ := routeIn(s.view, op.partition)
		if err == nil {
			err = c.try(ctx, op, r)
		}
		if err == nil {
			return nil
		}
		if final := op.judge(ctx, err); final != nil {
			return final
		}
		c.complain(op)
		if c.learn(ctx, op, r, s) {
			backoff = backoffMin
			continue // another route: no need to wait
		}
		if wire.IsCode(err, wire.CodeReadOnly) && c.views.current.Load() == s && !c.opts.Persist {
			return op.abandon(err) // nobody is about to take over from the full one
		}
		c.wait(ctx, s, jitter(backoff))
		if backoff *= 2; backoff > backoffMax {
			backoff = backoffMax
		}
		if ctx.Err() != nil {
			return op.giveUp(ctx)
		}
	}
}

// try sends the operation to one server and waits for the answer.
func (c *Client) try(ctx context.Context, op *operation, r route) error {
	op.tries++
	tctx, cancel := context.WithTimeout(ctx, op.timeout)
	defer cancel()
	tctx, fl := c.flights.begin(tctx, r)
	defer c.flights.end(fl)
	if now, ok := routeIn(c.views.view(), op.partition); !ok || now != r {
		return fmt.Errorf("%w: %w", wire.ErrNotSent, errRerouted) // a view came in between: the flight may have missed it
	}
	var conn *wire.Conn
	var err error
	if op.connect != nil {
		conn, err = op.connect(tctx, r.addr)
	} else {
		conn, err = c.pool.get(tctx, laneOf(r.addr, op.partition, op.mutation, op.resp3))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrNotSent, err)
	}
	return op.ask(tctx, conn)
}

// judge decides what a failed try means: an error to return, or nil to go on.
func (op *operation) judge(ctx context.Context, err error) error {
	op.last, op.lastKind = err, kind(err)
	errors.As(err, &op.reply)
	switch op.outcome.Next(wire.Tried(err)) {
	case outcome.Answer, outcome.Refuse:
		return &Error{Op: op.name, Kind: op.lastKind, Last: err}
	case outcome.Unknown:
		return &Error{Op: op.name, Kind: ErrUnknownOutcome, Last: err, Ended: endedUnanswered(ctx, ErrUnknownOutcome)}
	}
	switch {
	case errors.Is(err, ErrClosed):
		return op.abandon(err)
	case ctx.Err() != nil:
		return op.giveUp(ctx)
	}
	return nil
}

// giveUp is the error of an operation whose context has ended.
func (op *operation) giveUp(ctx context.Context) error {
	k, last := op.lastKind, op.last
	maybe := op.outcome.End() == outcome.Unknown
	if op.reply != nil && !maybe { // says more than the silence after it
		k, last = kind(op.reply), op.reply
		if op.reply.Code == wire.CodeMoved {
			k = ErrUnavailable
		}
	}
	switch {
	case maybe:
		k = ErrUnknownOutcome
	case last == nil:
		k = ErrUnreachable
	}
	if last == nil || errors.Is(last, context.DeadlineExceeded) || errors.Is(last, context.Canceled) {
		last = fmt.Errorf("no answer within %v", time.Since(op.began).Round(time.Millisecond))
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		last = fmt.Errorf("cancelled: %w", last)
	}
	return &Error{Op: op.name, Kind: k, Last: last, Ended: ctx.Err()}
}

// abandon is the error of an operation that no further try can help.
func (op *operation) abandon(why error) error {
	k := kind(why)
	if op.outcome.End() == outcome.Unknown {
		k = ErrUnknownOutcome
	}
	return &Error{Op: op.name, Kind: k, Last: why}
}

// learn looks for a newer view after a try that failed. It reports whether the
// route is another one now.
func (c *Client) learn(ctx context.Context, op *operation, tried route, s *snapshot) bool {
	var reply *wire.ServerError
	switch {
	case s.view.Unserved(op.partition):
		c.confirmed(ctx, s) // for the newer view that it may bring
	case errors.As(op.last, &reply) && (reply.Code == wire.CodeMoved || reply.Code == wire.CodeReadOnly || op.tries%4 == 0):
		_ = c.askServer(ctx, tried.addr) // it may know; else the watcher will
	case reply == nil && op.tries%4 == 3:
		lctx, cancel := context.WithTimeout(ctx, leaderPatience)
		defer cancel()
		_ = c.askServersOnce(lctx) // the view leader may be gone; servers talk to each other
	}
	now := c.views.current.Load()
	if now == s {
		return false
	}
	r, ok := routeIn(now.view, op.partition)
	return ok && r != tried
}

// wait pauses for d, or until a newer view than s is known.
func (c *Client) wait(ctx context.Context, s *snapshot, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.changed:
	case <-ctx.Done():
	}
}

// complain tells the log about an operation that takes long.
func (c *Client) complain(op *operation) {
	now := time.Now()
	if now.Sub(op.began) < complainAfter || now.Sub(op.told) < complainBetween {
		return
	}
	op.told = now
	c.opts.Logger.Warn("still trying", "operation", op.name, "for", now.Sub(op.began).Round(100*time.Millisecond),
		"tries", strconv.Itoa(op.tries), "err", op.last)
}
