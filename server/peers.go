package server

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
)

// peers are the links to all other members of the view.
type peers struct {
	s   *Server
	set atomic.Pointer[map[ring.ServerID]*peer] // replaced by the adoption of views alone
}

func newPeers(s *Server) *peers {
	ps := &peers{s: s}
	ps.set.Store(&map[ring.ServerID]*peer{})
	return ps
}

// send passes on messages, encoded one behind the other. They are dropped when
// there is no link or its queue is full: the cores send again what matters. The
// buffer is not the caller's any more.
func (ps *peers) send(to ring.ServerID, messages []byte, count int) {
	p := (*ps.set.Load())[to]
	if p == nil {
		giveBuffer(messages)
		return
	}
	p.enqueue(messages, count)
}

// update makes the links those of view v.
func (ps *peers) update(v *ring.View) {
	old := *ps.set.Load()
	next := make(map[ring.ServerID]*peer, len(v.Members))
	for i := range v.Members {
		m := &v.Members[i]
		if m.ID == ps.s.id || m.Addr == "" {
			continue
		}
		if p := old[m.ID]; p != nil && p.addr == m.Addr && p.incarnation == m.Incarnation {
			next[m.ID] = p
			continue
		}
		p := &peer{s: ps.s, id: m.ID, addr: m.Addr, incarnation: m.Incarnation, wake: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(ps.s.ctx)
		p.cancel = cancel
		next[m.ID] = p
		ps.s.spawn(func() { p.run(ctx) })
	}
	ps.set.Store(&next)
	for id, p := range old {
		if next[id] != p {
			p.cancel()
		}
	}
}

// peer is the outgoing link to one start of one server.
type peer struct {
	s           *Server
	id          ring.ServerID
	addr        string
	incarnation uint64
	cancel      context.CancelFunc
	wake        chan struct{} // capacity 1: something waits

	mu struct {
		sync.Mutex
		waiting [][]byte // messages, in order
		bytes   int
		linked  bool
	}
	dropped atomic.Uint64 // messages
}

func (p *peer) enqueue(messages []byte, count int) {
	p.mu.Lock()
	limit := peerIdleBytesMax
	if p.mu.linked {
		limit = peerBytesMax
	}
	if p.mu.bytes > 0 && p.mu.bytes+len(messages) > limit {
		p.mu.Unlock()
		p.dropped.Add(uint64(count))
		giveBuffer(messages)
		return
	}
	p.mu.waiting = append(p.mu.waiting, messages)
	p.mu.bytes += len(messages)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // told already
	}
}

// take returns what waits, up to about one frame.
func (p *peer) take() (messages [][]byte, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.mu.waiting) && (n == 0 || size+len(p.mu.waiting[n]) <= frameBytesMax) {
		size += len(p.mu.waiting[n])
		n++
	}
	messages = append(messages, p.mu.waiting[:n]...)
	rest := copy(p.mu.waiting, p.mu.waiting[n:])
	clear(p.mu.waiting[rest:])
	p.mu.waiting = p.mu.waiting[:rest]
	p.mu.bytes -= size
	return messages, size
}

func (p *peer) setLinked(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.linked = on
}

// run keeps the link up until the server stops or the view has another.
func (p *peer) run(ctx context.Context) {
	defer p.cancel()
	pause := redialMin
	for ctx.Err() == nil {
		nc, err := p.dial(ctx)
		if err == nil {
			pause = redialMin
			err = p.stream(ctx, nc)
		}
		if ctx.Err() != nil {
			return
		}
		p.s.logger.Debug("no link", "to", p.id, "addr", p.addr, "err", err)
		if !wait.For(ctx, pause) {
			return
		}
		pause = min(2*pause, redialMax)
	}
}

// dial connects and greets.
func (p *peer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	nc, err := p.s.opts.Dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	hello := p.s.hello(p.id)
	err = nc.SetDeadline(time.Now().Add(linkTimeout))
	if err == nil {
		_, err = nc.Write(wire.AppendCommand(nil, []byte(wire.CmdLink), wire.AppendHello(nil, &hello)))
	}
	var v wire.Value
	if err == nil {
		v, err = wire.NewReader(nc, linkLimits).ReadValue()
	}
	if err == nil {
		err = v.Err()
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = nc.Close() // never used
		return nil, fmt.Errorf("greet %v at %s: %w", p.id, p.addr, err)
	}
	return nc, nil
}

// stream sends frames until the link breaks. The other side never speaks: what
// ends its silence is its hanging up.
func (p *peer) stream(ctx context.Context, nc net.Conn) error {
	p.setLinked(true)
	defer p.setLinked(false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var b [1]byte
		_, _ = nc.Read(b[:]) // returns when either side closes
		_ = nc.Close()
	}()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer func() {
		stop()
		_ = nc.Close() // broken, or over
		<-ended
	}()
	deadline := &wire.DeadlineWriter{Conn: nc, Timeout: linkTimeout}
	for {
		select {
		case <-p.wake:
		case <-ended:
			return fmt.Errorf("%v hung up", p.id)
		}
		for {
			messages, size := p.take()
			if len(messages) == 0 {
				break
			}
			if err := p.writeFrame(nc, deadline, messages, size); err != nil {
				return err
			}
		}
	}
}

// writeFrame sends a frame in one system call. E and done are read after its
// messages were made, and not before.
func (p *peer) writeFrame(nc net.Conn, deadline *wire.DeadlineWriter, messages [][]byte, size int) error {
	header := appendFrameHeader(make([]byte, 0, frameHeaderMax), frameHeader{epoch: p.s.node.epoch(), done: p.s.done()})
	head := make([]byte, 0, 64+len(header))
	head = append(head, "*2\r\n$"...)
	head = strconv.AppendInt(head, int64(len(wire.CmdFrame)), 10)
	head = append(append(append(head, "\r\n"...), wire.CmdFrame...), "\r\n$"...)
	head = strconv.AppendInt(head, int64(len(header)+size), 10)
	head = append(append(head, "\r\n"...), header...)
	out := make(net.Buffers, 0, len(messages)+2)
	out = append(out, head)
	out = append(out, messages...)
	out = append(out, []byte("\r\n"))
	if err := deadline.Extend(); err != nil {
		return err
	}
	_, err := out.WriteTo(nc)
	for _, m := range messages {
		giveBuffer(m)
	}
	return err
}
