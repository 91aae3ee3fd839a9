package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"viewring/client"
	"viewring/internal/outcome"
	"viewring/internal/wait"
	"viewring/internal/wire"
)

// Library is a loop's use of the client library, with its request ids: it knows
// the outcome of almost everything. A Client may serve many loops.
type Library struct {
	Client *client.Client

	seen client.Version // by the last Get
}

// Close leaves the Client to its owner.
func (c *Library) Close() {}

// Do carries out one operation.
func (c *Library) Do(ctx context.Context, in Input) (Output, error) {
	var out Output
	var err error
	switch in.Kind {
	case Get:
		var v client.Value
		if v, err = c.Client.Get(ctx, in.Key); err == nil {
			out.Content = ContentOf(string(v.Bytes))
			c.seen = v.Version
		}
	case Append:
		out.Number, err = c.Client.Append(ctx, in.Key, []byte(in.Text))
	case Incr:
		out.Number, err = c.Client.Incr(ctx, in.Key, 1)
	case Delete:
		err = c.Client.Delete(ctx, in.Key, client.Always())
		out.Done = err == nil
	default:
		_, err = c.Client.Set(ctx, in.Key, []byte(in.Text), c.condition(in))
		out.Done = err == nil
	}
	switch {
	case err == nil, errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrCondition):
		return out, nil
	case errors.Is(err, client.ErrUnknownOutcome):
		return out, fmt.Errorf("%w: %w", ErrUnknown, err)
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrTooFewCopies), errors.Is(err, client.ErrBusy),
		errors.Is(err, client.ErrUnreachable), errors.Is(err, client.ErrDiskFull), wire.Tried(err) == outcome.AtLimit:
		return out, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return out, err
}

func (c *Library) condition(in Input) client.Condition {
	switch in.Kind {
	case SetAbsent:
		return client.IfAbsent()
	case SetPresent:
		return client.IfPresent()
	case SetSame:
		return client.IfVersion(c.seen)
	}
	return client.Always()
}

// Plain is a client that speaks RESP as any Redis client does, without request
// ids: whatever breaks off has an unknown outcome. It belongs to one loop.
type Plain struct {
	Addrs func() []string // of the servers
	Dial  wire.DialFunc
	Rand  *rand.Rand

	conn *wire.Conn
}

const (
	plainAnswerMax = 3 * time.Second
	plainPause     = 20 * time.Millisecond
)

// Do carries out one operation.
func (c *Plain) Do(ctx context.Context, in Input) (Output, error) {
	args := command(in)
	if args == nil { // RESP has no such operation
		return Output{}, ErrRefused
	}
	addr, tries := "", outcome.Of(outcome.Single)
	if in.Kind == Get {
		tries = outcome.Of(outcome.Read)
	}
	for {
		v, sent, err := c.ask(ctx, addr, args)
		addr = ""
		if err == nil {
			return parse(in, v), nil
		}
		came := outcome.NotSent
		if sent {
			came = wire.Tried(err)
		}
		switch tries.Next(came) {
		case outcome.Unknown:
			return Output{}, fmt.Errorf("%w: %w", ErrUnknown, err)
		case outcome.Answer:
			return Output{}, err
		case outcome.Refuse:
			if came != outcome.AtLimit {
				return Output{}, err
			}
		}
		var reply *wire.ServerError
		if errors.As(err, &reply) && reply.Code == wire.CodeMoved {
			_, addr, _ = wire.ParseMoved(reply.Message)
		}
		if !wait.For(ctx, plainPause) {
			return Output{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
}

// ask asks the server at addr, or the one asked last, or any.
func (c *Plain) ask(ctx context.Context, addr string, args []string) (v wire.Value, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, plainAnswerMax)
	defer cancel()
	if c.conn != nil && addr != "" && c.conn.Addr() != addr {
		c.drop()
	}
	if c.conn == nil {
		if addrs := c.Addrs(); addr == "" && len(addrs) > 0 {
			addr = addrs[c.Rand.IntN(len(addrs))]
		}
		if c.conn, err = wire.Dial(ctx, addr, c.Dial, wire.DefaultLimits); err != nil {
			c.conn = nil
			return v, false, err
		}
	}
	all := make([][]byte, len(args))
	for i, a := range args {
		all[i] = []byte(a)
	}
	v, err = c.conn.Do(ctx, all...)
	var reply *wire.ServerError
	if err != nil && (!errors.As(err, &reply) || reply.Code != wire.CodeMoved) {
		c.drop()
	}
	return v, true, err
}

func (c *Plain) drop() {
	_ = c.conn.Close() // never fails
	c.conn = nil
}

// Prober reads from every server in turn, whatever the others say of it: one
// that should no longer answer is asked all the same. It belongs to one loop.
type Prober struct {
	Addrs func() []string
	Dial  wire.DialFunc

	conns map[string]*wire.Conn
	next  int
}

const proberAnswerMax = 300 * time.Millisecond

// Do reads; it knows nothing else.
func (c *Prober) Do(ctx context.Context, in Input) (Output, error) {
	addrs := c.Addrs()
	if in.Kind != Get || len(addrs) == 0 {
		return Output{}, ErrRefused
	}
	addr := addrs[c.next%len(addrs)]
	c.next++
	ctx, cancel := context.WithTimeout(ctx, proberAnswerMax)
	defer cancel()
	conn := c.conns[addr]
	if conn == nil {
		var err error
		if conn, err = wire.Dial(ctx, addr, c.Dial, wire.DefaultLimits); err != nil {
			return Output{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if c.conns == nil {
			c.conns = make(map[string]*wire.Conn)
		}
		c.conns[addr] = conn
	}
	v, err := conn.Do(ctx, []byte("GET"), []byte(in.Key))
	if err == nil {
		return parse(in, v), nil
	}
	select {
	case <-conn.Done():
		_ = conn.Close() // never fails
		delete(c.conns, addr)
	default: // it may answer yet: what is asked next must not overtake
	}
	var reply *wire.ServerError
	if came := wire.Tried(err); errors.As(err, &reply) && came != outcome.Declined && came != outcome.AtLimit {
		return Output{}, err
	}
	return Output{}, fmt.Errorf("%w: %w", ErrRefused, err)
}

// Close ends its connections.
func (c *Prober) Close() {
	for _, conn := range c.conns {
		_ = conn.Close() // never fails
	}
}

// Close ends its connection.
func (c *Plain) Close() {
	if c.conn != nil {
		c.drop()
	}
}

// command is an operation in Redis's words; nil when there are none.
func command(in Input) []string {
	switch in.Kind {
	case Get:
		return []string{"GET", in.Key}
	case Set:
		return []string{"SET", in.Key, in.Text}
	case SetAbsent:
		return []string{"SET", in.Key, in.Text, "NX"}
	case SetPresent:
		return []string{"SET", in.Key, in.Text, "XX"}
	case Append:
		return []string{"APPEND", in.Key, in.Text}
	case Delete:
		return []string{"DEL", in.Key}
	case Incr:
		return []string{"INCR", in.Key}
	}
	return nil
}

func parse(in Input, v wire.Value) Output {
	switch in.Kind {
	case Get:
		if v.IsNil() {
			return Output{}
		}
		return Output{Content: ContentOf(string(v.Bytes))}
	case Append, Incr:
		return Output{Number: v.Int}
	case Delete:
		return Output{Done: v.Int == 1}
	}
	return Output{Done: strings.EqualFold(v.Text(), "OK")}
}
