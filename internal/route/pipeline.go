package route

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/outcome"
	"viewring/internal/wire"
	"viewring/ring"
)

// Command is a command of the Redis protocol, or several that belong together, to
// be carried out where its keys are.
type Command struct {
	Args     [][]byte      // the name and its arguments
	Encoded  []byte        // instead of Args: commands as on the wire, one behind the other
	Replies  int           // that Encoded gets; the last is the answer
	Slot     uint16        // of all keys
	Mutation bool          // it may change something
	Once     bool          // Args is a mutation of one key that servers take under a request id
	RESP3    bool          // the form of the answer
	Patience time.Duration // instead of the Pipeline's; 0: that
}

// Pipeline carries out commands without waiting for the answers of those before.
// Commands of one slot take effect in the order in which they were sent, and are
// repeated, where nothing was done or they carry a request id, until they are
// answered. One goroutine sends, one waits.
type Pipeline struct {
	c        *Client
	patience time.Duration // with one command
	budget   *wire.Budget  // of answers not yet waited for

	sending sync.Mutex // held while calls are sent; taken before mu
	mu      struct {
		sync.Mutex
		slots map[uint16]*slotLine
	}
}

// slotLine is the calls of one slot that are not over.
type slotLine struct {
	calls []*Call // in the order of sending
	held  bool    // some wait for those before them, to be sent then
}

// Call is a command of a Pipeline.
type Call struct {
	p        *Pipeline
	payload  []byte
	replies  int
	op       operation
	number   uint64 // of its request id
	patience time.Duration

	sent    atomic.Bool // by route and lane; changes while sending is held
	route   route
	lane    lane
	pending wire.Pending

	received bool // the fields below are what came of sending it
	raw      []byte
	err      error
}

// NewPipeline returns a Pipeline whose calls give up after patience. It keeps about
// bytesMax bytes of answers that are not waited for; what comes beyond that, and
// was only read, is asked for again in its turn.
func (c *Client) NewPipeline(patience time.Duration, bytesMax int64) *Pipeline {
	p := &Pipeline{c: c, patience: patience, budget: wire.NewBudget(bytesMax)}
	p.mu.slots = make(map[uint16]*slotLine)
	return p
}

// Send sends a command, or puts it in line. Every call must be waited for, in the
// order of sending. It waits while too much is under way.
func (p *Pipeline) Send(ctx context.Context, cmd Command) *Call {
	call := p.newCall(cmd)
	p.sending.Lock()
	defer p.sending.Unlock()
	p.mu.Lock()
	line := p.mu.slots[cmd.Slot]
	if line == nil {
		line = new(slotLine)
		p.mu.slots[cmd.Slot] = line
	}
	var before *Call
	if n := len(line.calls); n > 0 {
		before = line.calls[n-1]
	}
	line.calls = append(line.calls, call)
	held := line.held
	p.mu.Unlock()
	if held {
		return call
	}
	if p.start(ctx, call, before); !call.sent.Load() {
		p.mu.Lock()
		line.held = true
		p.mu.Unlock()
	}
	return call
}

func (p *Pipeline) newCall(cmd Command) *Call {
	call := &Call{p: p, replies: cmd.Replies}
	call.op = operation{name: "a command", slot: cmd.Slot, mutation: cmd.Mutation, outcome: outcome.Of(kindOf(cmd.Mutation, cmd.Once)), resp3: cmd.RESP3, began: time.Now()}
	switch {
	case cmd.Once:
		once := wire.Once{Client: p.c.id}
		once.Number, once.Mark, once.Born = p.c.marks.begin(call.op.began.UnixMilli())
		call.number = once.Number
		head := [][]byte{[]byte(wire.CmdOnce), wire.AppendOnce(nil, &once)}
		call.payload, call.replies = wire.AppendCommand(nil, append(head, cmd.Args...)...), 1
	case cmd.Encoded == nil:
		call.payload, call.replies = wire.AppendCommand(nil, cmd.Args...), 1
	default:
		call.payload = append([]byte(nil), cmd.Encoded...)
	}
	if len(cmd.Args) > 0 {
		call.op.name = string(cmd.Args[0])
	}
	call.op.timeout, call.patience = tryTimeout(len(call.payload)), p.patience
	if cmd.Patience > 0 {
		call.op.timeout, call.patience = cmd.Patience, cmd.Patience
	}
	call.op.ask = call.ask
	return call
}

// start sends a call, on the connection of the call before it in its slot while
// that is under way. The caller holds sending.
func (p *Pipeline) start(ctx context.Context, call, before *Call) {
	v := p.c.views.view()
	call.op.partition = ring.PartitionOf(call.op.slot, len(v.Partitions))
	r, ok := routeIn(v, call.op.partition)
	if !ok || v.Unserved(call.op.partition) {
		return
	}
	at := laneOf(r.addr, call.op.partition, call.op.mutation, call.op.resp3)
	if before != nil {
		if before.route != r || before.lane.resp3 != at.resp3 {
			return
		}
		at = before.lane
	}
	conn := p.c.pool.opened(ctx, at)
	if conn == nil {
		return
	}
	pending, sent, err := conn.TryStart(call.payload, call.replies, call.room())
	if !sent && err == nil {
		tctx, cancel := context.WithTimeout(ctx, call.op.timeout)
		defer cancel()
		tctx, fl := p.c.flights.begin(tctx, r)
		defer p.c.flights.end(fl)
		pending, err = conn.Start(tctx, call.payload, call.replies, call.room())
	}
	if err == nil {
		call.pending, call.route, call.lane = pending, r, at
		call.sent.Store(true)
	}
}

// Ready reports that Wait need not wait for a server.
func (call *Call) Ready() bool {
	return call.sent.Load() && (call.received || len(call.pending.Done()) > 0)
}

// Wait waits for the answer and returns its bytes, in the form of RESP that was
// asked for, error replies included. It fails with one of the errors of this
// package when there is none.
func (call *Call) Wait(ctx context.Context) ([]byte, error) {
	p := call.p
	defer p.over(ctx, call)
	sent := call.sent.Load()
	if !sent {
		p.sending.Lock() // it may be on its way
		sent = call.sent.Load()
		p.sending.Unlock()
	}
	if sent {
		p.receive(ctx, call)
		if call.err == nil {
			p.c.counted(&call.op, nil)
			return call.raw, nil
		}
		if err := p.recall(ctx, call); err != nil {
			p.c.counted(&call.op, err)
			return nil, err
		}
	}
	ctx, cancel := context.WithDeadline(ctx, call.op.began.Add(call.patience))
	defer cancel()
	err := p.c.tryUntilDone(ctx, &call.op)
	p.c.counted(&call.op, err)
	return call.raw, err
}

// ask sends the call once more and waits for the answer.
func (call *Call) ask(ctx context.Context, conn *wire.Conn) error {
	pending, err := conn.Start(ctx, call.payload, call.replies, wire.Room{Budget: call.p.budget, Must: true})
	if err != nil {
		return err
	}
	select {
	case res := <-pending.Done():
		pending.Release()
		return call.take(res, conn.Addr())
	case <-ctx.Done():
		call.abandon(pending)
		return context.Cause(ctx)
	}
}

// abandon lets an answer that may come late go.
func (call *Call) abandon(pending wire.Pending) {
	go func() { // ends with the connection
		res := <-pending.Done()
		call.p.budget.Give(len(res.Raw))
		pending.Release()
	}()
}

// room is where its answer is counted: that of a mutation is kept, for it would not
// be the same again.
func (call *Call) room() wire.Room {
	return wire.Room{Budget: call.p.budget, Must: call.op.mutation}
}

// take keeps a result that is the call's answer, an error reply included, and
// returns the error of one that is not, for judge.
func (call *Call) take(res wire.Result, addr string) error {
	if res.Err != nil {
		return fmt.Errorf("%s: %w", addr, res.Err)
	}
	if res.First != nil {
		switch tries := call.op.outcome; tries.Next(wire.Tried(res.First)) { // on a copy: judge takes note
		case outcome.Answer, outcome.Refuse:
		default:
			call.p.budget.Give(len(res.Raw))
			return res.First
		}
	}
	call.raw = wire.TrimAnswered(res.Raw)
	call.p.budget.Give(len(res.Raw) - len(call.raw))
	return nil
}

// receive waits for what comes of a call that was sent.
func (p *Pipeline) receive(ctx context.Context, call *Call) {
	if call.received {
		return
	}
	call.op.tries++
	call.received = true
	res, err := p.await(ctx, call)
	if err != nil {
		call.err = err
		call.abandon(call.pending)
		return
	}
	call.pending.Release()
	call.err = call.take(res, call.route.addr)
}

// await waits for an answer as long as there may be one.
func (p *Pipeline) await(ctx context.Context, call *Call) (wire.Result, error) {
	select {
	case res := <-call.pending.Done():
		return res, nil
	default:
	}
	patience := time.NewTimer(call.op.timeout)
	defer patience.Stop()
	var grace <-chan time.Time
	for {
		s := p.c.views.current.Load()
		if r, ok := routeIn(s.view, call.route.partition); grace == nil && (!ok || r != call.route || s.view.Unserved(r.partition)) {
			m := s.view.Member(call.route.server)
			if m == nil || !m.Up || m.Incarnation != call.route.incarnation {
				return wire.Result{}, errRerouted
			}
			grace = time.After(rerouteGrace)
		}
		select {
		case res := <-call.pending.Done():
			return res, nil
		case <-s.changed:
		case <-grace:
			return wire.Result{}, errRerouted
		case <-patience.C:
			return wire.Result{}, errors.New("no answer in time")
		case <-ctx.Done():
			return wire.Result{}, context.Cause(ctx)
		}
	}
}

// recall decides whether a call that failed may be sent again: not when it may
// have taken effect and servers would not know it again, and not when one sent
// after it may have come before it. Those that did nothing are held back until it
// is over.
func (p *Pipeline) recall(ctx context.Context, call *Call) error {
	if err := call.op.judge(ctx, call.err); err != nil {
		return err
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	p.mu.Lock()
	line := p.mu.slots[call.op.slot]
	line.held = true
	later := append([]*Call(nil), line.calls[1:]...)
	p.mu.Unlock()
	conflict := false
	for _, l := range later {
		if !l.sent.Load() {
			continue
		}
		p.receive(ctx, l)
		if l.nothingDone() {
			l.received = false
			l.sent.Store(false)
		} else if l.op.mutation || call.op.mutation {
			conflict = true
		}
	}
	if !conflict {
		return nil
	}
	why := errors.New("a later command of the pipeline came first")
	if call.op.outcome.End() == outcome.Unknown {
		return &Error{Op: call.op.name, Kind: ErrUnknownOutcome, Last: why}
	}
	return &Error{Op: call.op.name, Kind: ErrUnavailable, Last: why}
}

// nothingDone reports whether a received call surely had no effect and has no
// answer.
func (call *Call) nothingDone() bool {
	if call.err == nil {
		return false
	}
	tries := call.op.outcome
	tries.Next(wire.Tried(call.err))
	return !tries.Maybe()
}

// over takes a call out of its line, and sends those that waited for it.
func (p *Pipeline) over(ctx context.Context, call *Call) {
	if call.number != 0 {
		p.c.marks.end(call.number)
	}
	p.budget.Give(len(call.raw))
	p.mu.Lock()
	line := p.mu.slots[call.op.slot]
	line.calls = line.calls[1:]
	held := line.held
	if len(line.calls) == 0 {
		delete(p.mu.slots, call.op.slot)
	}
	p.mu.Unlock()
	if !held {
		return
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	p.mu.Lock()
	waiting := append([]*Call(nil), line.calls...)
	p.mu.Unlock()
	var before *Call
	for _, c := range waiting {
		if !c.sent.Load() {
			if p.start(ctx, c, before); !c.sent.Load() {
				return
			}
		}
		before = c
	}
	p.mu.Lock()
	line.held = false
	p.mu.Unlock()
}
