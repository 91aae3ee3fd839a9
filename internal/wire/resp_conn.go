package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Bounds of what waits on a Conn. Beyond them Do waits.
const (
	connCallsMax = 4 << 10
	connBytesMax = 4 << 20
)

// ErrClosed is wrapped by the errors of a Conn that was closed on this side.
var ErrClosed = errors.New("connection closed")

// DialFunc opens a network connection, as (*net.Dialer).DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Conn is the client's side of one RESP connection. Any number of goroutines may
// call Do: their commands are pipelined, what gathers during one write goes out
// with the next, and replies are matched in order. A call that waits long at the
// server holds up those behind it: give such calls a Conn of their own.
type Conn struct {
	addr   string
	nc     net.Conn
	pushed func(Value)   // takes what comes unasked; nil: nobody does
	done   chan struct{} // closed when the connection is broken
	wake   chan struct{} // something to write; capacity 1
	ended  sync.WaitGroup

	mu struct {
		sync.Mutex
		out   []byte        // encoded, not yet given to the network
		calls []*call       // sent or in out, in order; answered from the front
		room  chan struct{} // closed when either shrinks; nil while nobody waits
		err   error         // why the connection is broken
	}
}

// call is one Do or Start that waits. reply has room for one, so that an
// abandoned call does not hold up the reader.
type call struct {
	reply chan Result
	raw   int // how many replies it gets, unparsed; 0: one, parsed
	room  Room
}

// Room says where the bytes of an unparsed answer are counted. One for which there
// is no room becomes "busy", unless it must be kept.
type Room struct {
	Budget *Budget
	Must   bool
}

// Result is the answer to a call.
type Result struct {
	Raw   []byte       // the last of its replies, unparsed, where Start sent it
	First *ServerError // the first of its replies that is an error; nil: none
	Err   error        // why no reply came

	value Value
}

var calls = sync.Pool{New: func() any { return &call{reply: make(chan Result, 1)} }}

// Dial connects to addr. The context bounds the dialing alone.
func Dial(ctx context.Context, addr string, dial DialFunc, limits Limits) (*Conn, error) {
	nc, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return NewConn(nc, addr, limits), nil
}

// DialPushed is Dial for a connection on which the other side pushes: pushed is given what
// comes, in order, by the goroutine that reads the connection, which waits for it.
func DialPushed(ctx context.Context, addr string, dial DialFunc, limits Limits, pushed func(Value)) (*Conn, error) {
	nc, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return newConn(nc, addr, limits, pushed), nil
}

// NewConn takes over a connection already made; addr is for error messages.
func NewConn(nc net.Conn, addr string, limits Limits) *Conn { return newConn(nc, addr, limits, nil) }

func newConn(nc net.Conn, addr string, limits Limits, pushed func(Value)) *Conn {
	c := &Conn{addr: addr, nc: nc, pushed: pushed, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	c.ended.Add(2)
	go c.write()
	go c.read(NewReader(nc, limits))
	return c
}

// Addr returns the address that the connection was made to.
func (c *Conn) Addr() string { return c.addr }

// Done is closed when the connection can no longer be used.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Close breaks the connection, fails the calls that wait, and returns when the
// Conn's goroutines have ended.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	c.ended.Wait()
	return nil
}

// Do sends a command and waits for its reply. It keeps no reference to args.
//
// An error reply is returned as the Value and as a *ServerError. Any other error
// means that no reply came: unless it is ErrNotSent, whether the command was carried
// out is unknown. When ctx ends first the connection stays usable and the late reply
// is dropped.
func (c *Conn) Do(ctx context.Context, args ...[]byte) (Value, error) {
	cl := calls.Get().(*call)
	cl.raw = 0
	if err := c.enqueue(ctx, cl, func(out []byte) []byte { return AppendCommand(out, args...) }); err != nil {
		calls.Put(cl)
		return Value{}, fmt.Errorf("ask %s: %w: %w", c.addr, ErrNotSent, err)
	}
	select {
	case res := <-cl.reply:
		calls.Put(cl)
		if res.Err != nil {
			return Value{}, fmt.Errorf("ask %s: %w", c.addr, res.Err)
		}
		return res.value, res.value.Err()
	case <-ctx.Done(): // cl belongs to the reader now
		return Value{}, fmt.Errorf("ask %s: %w", c.addr, context.Cause(ctx))
	}
}

// Pending is what Start has sent.
type Pending struct{ cl *call }

// Done returns the channel on which the answer comes, once.
func (p Pending) Done() <-chan Result { return p.cl.reply }

// Release gives back what Start took, once the answer was received.
func (p Pending) Release() { calls.Put(p.cl) }

// Start sends encoded commands, in one piece, and does not wait for their replies.
// It waits while the connection has too much under way; it keeps no reference to b.
// Its errors are ErrNotSent.
func (c *Conn) Start(ctx context.Context, b []byte, replies int, room Room) (Pending, error) {
	cl := calls.Get().(*call)
	cl.raw, cl.room = replies, room
	if err := c.enqueue(ctx, cl, func(out []byte) []byte { return append(out, b...) }); err != nil {
		calls.Put(cl)
		return Pending{}, fmt.Errorf("ask %s: %w: %w", c.addr, ErrNotSent, err)
	}
	return Pending{cl}, nil
}

// TryStart is Start where that need not wait; ok is false when it must.
func (c *Conn) TryStart(b []byte, replies int, room Room) (p Pending, ok bool, err error) {
	cl := calls.Get().(*call)
	cl.raw, cl.room = replies, room
	full, err := c.put(cl, func(out []byte) []byte { return append(out, b...) })
	if err != nil || full != nil {
		calls.Put(cl)
		return Pending{}, false, err
	}
	return Pending{cl}, true, nil
}

// enqueue puts a command in line, waiting for room if need be.
func (c *Conn) enqueue(ctx context.Context, cl *call, encode func(out []byte) []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for {
		room, err := c.put(cl, encode)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// put puts a command in line. When there is no room it returns what is closed
// once there may be.
func (c *Conn) put(cl *call, encode func(out []byte) []byte) (room <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.err != nil:
		return nil, c.mu.err
	case len(c.mu.calls) >= connCallsMax || len(c.mu.out) >= connBytesMax:
		if c.mu.room == nil {
			c.mu.room = make(chan struct{})
		}
		return c.mu.room, nil
	}
	c.mu.out = encode(c.mu.out)
	c.mu.calls = append(c.mu.calls, cl)
	select {
	case c.wake <- struct{}{}:
	default: // the writer has been told
	}
	return nil, nil
}

// madeRoom lets waiting callers look again. The caller holds mu.
func (c *Conn) madeRoom() {
	if c.mu.room != nil {
		close(c.mu.room)
		c.mu.room = nil
	}
}

// write hands the network what has gathered, in one piece each time.
func (c *Conn) write() {
	defer c.ended.Done()
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		c.mu.Lock()
		out := c.mu.out
		c.mu.out = spare[:0]
		c.madeRoom()
		c.mu.Unlock()
		if _, err := c.nc.Write(out); err != nil {
			c.fail(fmt.Errorf("write: %w", err))
			return
		}
		if spare = out; cap(spare) > 2*writeBytesFlush {
			spare = nil
		}
	}
}

// read matches replies with calls until the connection breaks.
func (c *Conn) read(r *Reader) {
	defer c.ended.Done()
	for {
		kind, err := r.peek()
		if err == nil && kind == KindPush {
			if err = c.push(r); err == nil {
				continue
			}
		}
		if err != nil {
			c.fail(readFailed(err))
			return
		}
		cl := c.first()
		if cl == nil {
			c.fail(unasked(r))
			return
		}
		res := cl.read(r)
		cl.reply <- res
		if res.Err != nil {
			c.fail(res.Err)
			return
		}
	}
}

// push reads what the other side pushes, and passes it on.
func (c *Conn) push(r *Reader) error {
	if c.pushed == nil {
		_, err := r.ReadRaw()
		return err
	}
	v, err := r.ReadValue()
	if err == nil {
		c.pushed(v)
	}
	return err
}

// unasked is what a reply says that comes to no command: an error is why the other side
// takes none.
func unasked(r *Reader) error {
	v, err := r.ReadValue()
	if err == nil {
		err = v.Err()
	}
	if err == nil {
		err = fmt.Errorf("%w: a reply to no command", ErrProtocol)
	}
	return err
}

func readFailed(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the other side hung up, whatever we wait for
	}
	return fmt.Errorf("read: %w", err)
}

// read reads what the call is to get.
func (cl *call) read(r *Reader) (res Result) {
	var err error
	if cl.raw == 0 {
		if res.value, err = r.ReadValue(); err != nil {
			res.Err = readFailed(err)
		}
		return res
	}
	for range cl.raw {
		if res.Raw, err = r.ReadRaw(); err != nil {
			return Result{Err: readFailed(err)}
		}
		if res.First == nil && Kind(res.Raw[0]) == KindError {
			res.First = ParseServerError(string(res.Raw[1 : len(res.Raw)-2]))
		}
	}
	if !cl.room.Budget.take(int64(len(res.Raw)), cl.room.Must) {
		res.Raw, res.First = nil, &ServerError{Code: CodeBusy, Message: "the answers under way are too large"}
	}
	return res
}

// first takes the call in front, or returns nil.
func (c *Conn) first() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.calls) == 0 {
		return nil
	}
	cl := c.mu.calls[0]
	c.mu.calls[0] = nil
	c.mu.calls = c.mu.calls[1:]
	c.madeRoom()
	return cl
}

// fail breaks the connection once and answers everyone who waits.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.mu.err != nil {
		c.mu.Unlock()
		return
	}
	c.mu.err = err
	waiting := c.mu.calls
	c.mu.calls, c.mu.out = nil, nil
	c.madeRoom()
	c.mu.Unlock()
	close(c.done)
	_ = c.nc.Close() // broken already, or closed on purpose
	for _, cl := range waiting {
		cl.reply <- Result{Err: err}
	}
}
