package link

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
)

// Bounds and intervals of a link.
const (
	// Timeout bounds dialing and greeting a server, the sending of a frame, and how long one
	// that connects may take to say that it is a server.
	Timeout      = 5 * time.Second
	redialMin    = 20 * time.Millisecond
	redialMax    = 500 * time.Millisecond
	bytesMax     = 64 << 20 // waiting for a link, beyond which messages are dropped
	idleBytesMax = 1 << 20  // the same while the link is down
)

// limits bound what is read from another server: frames carry whole windows.
var limits = wire.Limits{
	BulkBytesMax:  128 << 20,
	LineBytesMax:  4 << 10,
	ArgsMax:       4,
	TotalBytesMax: 129 << 20,
	DepthMax:      2,
	Ahead:         frame.BytesMax,
}

// Config of Links.
type Config struct {
	Cluster     [16]byte
	Self        ring.ServerID
	Incarnation uint64
	Addr        string // that others reach this server at
	Dial        wire.DialFunc
	Now         func() replica.Instant
	Done        func() uint64 // the epoch that all lanes serve by
	Logger      *slog.Logger
	Tried       func(to ring.ServerID, err error) // is told how each try to connect ended; nil: nobody is

	Context context.Context // ends when the server stops
	Spawn   func(func())    // runs a goroutine that ends with Context
}

// Links are those that this server sends on, to all other members of its view. Any
// goroutine may call their methods, but for Update; none waits.
type Links struct {
	c      Config
	node   *node
	epochs *Epochs
	set    atomic.Pointer[map[ring.ServerID]*sender] // replaced by Update alone
}

// New returns links to nobody, at epoch 0.
func New(c *Config) *Links {
	ls := &Links{c: *c, node: &node{n: replica.NewNode(c.Self, c.Incarnation)}, epochs: newEpochs()}
	ls.set.Store(&map[ring.ServerID]*sender{})
	return ls
}

// Epochs returns the peer epochs.
func (ls *Links) Epochs() *Epochs { return ls.epochs }

// Epoch returns this server's epoch.
func (ls *Links) Epoch() uint64 { return ls.node.epoch() }

// Raise is replica.Node.Raise.
func (ls *Links) Raise(epoch uint64, lease time.Duration) (promised map[ring.ServerID]time.Duration, ok bool) {
	return ls.node.raise(epoch, lease)
}

// Send passes on messages, which are not the caller's any more. They are dropped when
// there is no link or its queue is full: the cores send again what matters.
func (ls *Links) Send(to ring.ServerID, messages *frame.Messages) {
	p := (*ls.set.Load())[to]
	if p == nil {
		messages.Give()
		return
	}
	p.enqueue(messages)
}

func (ls *Links) sendMessage(to ring.ServerID, m *replica.Message) {
	ls.Send(to, frame.MessagesIn(replica.AppendMessage(frame.TakeBuffer(), m), 1))
}

// ServesFrom notes that all lanes serve by a view, and asks the members for promises at once:
// new primaries wait for our word that we serve no older term.
func (ls *Links) ServesFrom(v *ring.View) {
	ls.epochs.note(ls.c.Self, v.Epoch)
	ls.pingAll(v)
}

// State is how a link stands.
type State struct {
	To      ring.ServerID
	Linked  bool
	Bytes   int    // that wait to be sent
	Dropped uint64 // messages, since the other server's last start
}

// States returns how the links stand.
func (ls *Links) States() []State {
	var all []State
	for id, p := range *ls.set.Load() {
		p.mu.Lock()
		st := State{To: id, Linked: p.mu.linked, Bytes: p.mu.bytes}
		p.mu.Unlock()
		st.Dropped = p.dropped.Load()
		all = append(all, st)
	}
	return all
}

// RunPings asks every member that is up for its promise, often enough that a lost
// ping costs no lease, until the server stops.
func (ls *Links) RunPings(views Views) {
	for {
		every := max(views.View().LeaseTTL/4, time.Millisecond)
		if !wait.For(ls.c.Context, wait.Until(ls.c.Now().Mono, every)) {
			return
		}
		ls.pingAll(views.View())
	}
}

func (ls *Links) pingAll(v *ring.View) {
	for i := range v.Members {
		if m := &v.Members[i]; m.ID != ls.c.Self && m.Up {
			ls.sendMessage(m.ID, ls.node.ping(ls.c.Now()))
		}
	}
}

// Update makes the links those of view v. One goroutine at a time calls it.
func (ls *Links) Update(v *ring.View) {
	old := *ls.set.Load()
	next := make(map[ring.ServerID]*sender, len(v.Members))
	for i := range v.Members {
		m := &v.Members[i]
		if m.ID == ls.c.Self || m.Addr == "" {
			continue
		}
		if p := old[m.ID]; p != nil && p.addr == m.Addr && p.incarnation == m.Incarnation {
			next[m.ID] = p
			continue
		}
		p := &sender{links: ls, id: m.ID, addr: m.Addr, incarnation: m.Incarnation, wake: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(ls.c.Context)
		p.cancel = cancel
		next[m.ID] = p
		ls.c.Spawn(func() { p.run(ctx) })
	}
	ls.set.Store(&next)
	for id, p := range old {
		if next[id] != p {
			p.cancel()
		}
	}
}

// sender is this end of the link to one start of one server.
type sender struct {
	links       *Links
	id          ring.ServerID
	addr        string
	incarnation uint64
	cancel      context.CancelFunc
	wake        chan struct{} // capacity 1: something waits

	mu struct {
		sync.Mutex
		waiting []*frame.Messages // in order
		bytes   int
		linked  bool
	}
	dropped atomic.Uint64 // messages
}

func (p *sender) enqueue(messages *frame.Messages) {
	p.mu.Lock()
	limit := idleBytesMax
	if p.mu.linked {
		limit = bytesMax
	}
	if p.mu.bytes > 0 && p.mu.bytes+messages.Bytes() > limit {
		p.mu.Unlock()
		p.dropped.Add(uint64(messages.Count))
		messages.Give()
		return
	}
	p.mu.waiting = append(p.mu.waiting, messages)
	p.mu.bytes += messages.Bytes()
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // told already
	}
}

// take returns what waits, up to about one frame.
func (p *sender) take() (messages []*frame.Messages, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.mu.waiting) && (n == 0 || size+p.mu.waiting[n].Bytes() <= frame.BytesMax) {
		size += p.mu.waiting[n].Bytes()
		n++
	}
	messages = append(messages, p.mu.waiting[:n]...)
	rest := copy(p.mu.waiting, p.mu.waiting[n:])
	clear(p.mu.waiting[rest:])
	p.mu.waiting = p.mu.waiting[:rest]
	p.mu.bytes -= size
	return messages, size
}

func (p *sender) setLinked(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.linked = on
}

// run keeps the link up until the server stops or the view has another.
func (p *sender) run(ctx context.Context) {
	defer p.cancel()
	pause := redialMin
	for ctx.Err() == nil {
		nc, err := p.dial(ctx)
		if tried := p.links.c.Tried; tried != nil && ctx.Err() == nil {
			tried(p.id, err)
		}
		if err == nil {
			pause = redialMin
			err = p.stream(ctx, nc)
		}
		if ctx.Err() != nil {
			return
		}
		p.links.c.Logger.Debug("no link", "to", p.id, "addr", p.addr, "err", err)
		if !wait.For(ctx, pause) {
			return
		}
		pause = min(2*pause, redialMax)
	}
}

// dial connects and greets.
func (p *sender) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	nc, err := p.links.c.Dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	hello := p.links.hello(p.id)
	err = nc.SetDeadline(time.Now().Add(Timeout))
	if err == nil {
		_, err = nc.Write(wire.AppendCommand(nil, []byte(wire.CmdLink), wire.AppendHello(nil, &hello)))
	}
	var v wire.Value
	if err == nil {
		v, err = wire.NewReader(nc, limits).ReadValue()
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
func (p *sender) stream(ctx context.Context, nc net.Conn) error {
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
	deadline := &wire.DeadlineWriter{Conn: nc, Timeout: Timeout}
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
func (p *sender) writeFrame(nc net.Conn, deadline *wire.DeadlineWriter, messages []*frame.Messages, size int) error {
	header := frame.AppendHeader(make([]byte, 0, frame.HeaderBytesMax), frame.Header{Epoch: p.links.node.epoch(), Done: p.links.c.Done()})
	head := make([]byte, 0, 64+len(header))
	head = append(head, "*2\r\n$"...)
	head = strconv.AppendInt(head, int64(len(wire.CmdFrame)), 10)
	head = append(append(append(head, "\r\n"...), wire.CmdFrame...), "\r\n$"...)
	head = strconv.AppendInt(head, int64(len(header)+size), 10)
	head = append(append(head, "\r\n"...), header...)
	out := append(make(net.Buffers, 0, len(messages)+2), head)
	for _, m := range messages {
		out = m.AppendTo(out)
	}
	out = append(out, []byte("\r\n"))
	if err := deadline.Extend(); err != nil {
		return err
	}
	_, err := out.WriteTo(nc)
	for _, m := range messages {
		m.Give()
	}
	return err
}
