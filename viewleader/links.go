package viewleader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/wait"
	"viewring/internal/wire"
)

const (
	linkQueue     = 1024 // messages to one member that wait to be sent
	linkBytes     = 1 << 20
	linkDirectMax = 16 << 10 // that the Raft loop writes itself
	linkDialMax   = 500 * time.Millisecond
	linkWriteMax  = 2 * time.Second
	linkPause     = 50 * time.Millisecond // after a connection that failed
	snapshotPiece = 10 * time.Second      // for one piece to be taken
	// messageBytesMax bounds what one message of another member may come to: a
	// snapshot of the fullest roster.
	messageBytesMax = 512 << 20
)

// links carry Raft messages to the other members, on a connection for each. What
// can't be sent is dropped: Raft repeats it. Snapshots go on connections of their
// own, so that nothing waits behind them.
type links struct {
	s  *Service
	mu struct {
		sync.Mutex
		to map[uint64]*link
	}
}

// link is the way to one member.
type link struct {
	s         *Service
	id        uint64
	addr      string
	queue     chan *pb.Message
	snapshots chan *pb.Message
	left      chan struct{} // told of mu.rest; capacity 1
	stop      context.CancelFunc

	mu struct {
		sync.Mutex
		ready syscall.RawConn // a connection that nobody writes to; nil: none
		out   []byte          // the loop's
		rest  []byte          // of a message of which the loop wrote a part
	}
}

func (l *links) init(s *Service) {
	l.s = s
	l.mu.to = make(map[uint64]*link)
}

// set makes links to the members as they are now.
func (l *links) set(m *membership, self uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, old := range l.mu.to {
		if o := m.of(id); m.removed(id) || o != nil && o.addr != old.addr {
			old.stop()
			delete(l.mu.to, id)
		}
	}
	for i := range m.members {
		if o := &m.members[i]; o.id != self {
			l.add(o.id, o.addr)
		}
	}
}

// met makes a link to a member that said where it is. That is how a newcomer learns of
// the head, and how a member that lags learns of a new one.
func (l *links) met(id uint64, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(id, addr)
}

// add makes a link unless there is one. The caller holds mu.
func (l *links) add(id uint64, addr string) {
	if addr == "" || l.mu.to[id] != nil || l.s.ctx.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(l.s.ctx)
	k := &link{s: l.s, id: id, addr: addr, stop: stop,
		queue: make(chan *pb.Message, linkQueue), snapshots: make(chan *pb.Message, 1), left: make(chan struct{}, 1)}
	l.mu.to[id] = k
	l.s.running.Go(func() { k.run(ctx) })
	l.s.running.Go(func() { k.runSnapshots(ctx) })
}

// send passes messages on. The Raft loop calls it.
func (l *links) send(messages []*pb.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		k := l.mu.to[m.GetTo()]
		if k == nil {
			continue
		}
		queue := k.queue
		if m.GetType() == pb.MsgSnap {
			queue = k.snapshots
		} else if k.direct(m) {
			continue
		}
		select {
		case queue <- m:
		default: // Raft repeats it
		}
	}
}

// direct writes a message from the Raft loop itself, if no other is on its way and the
// network takes it at once, so that no other goroutine need wake up for it.
func (k *link) direct(m *pb.Message) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ready := k.mu.ready
	if ready == nil {
		return false
	}
	k.mu.ready = nil // unless all goes well
	var err error
	if k.mu.out, err = appendMessage(k.mu.out[:0], m); err != nil || len(k.mu.out) > linkDirectMax {
		k.mu.out = nil
		return false
	}
	n := writeNow(ready, k.mu.out)
	if n == len(k.mu.out) {
		k.mu.ready = ready
		return true
	}
	if n == 0 {
		return false
	}
	k.mu.rest = k.mu.out[n:]
	notify(k.left)
	return true
}

// lend lets the Raft loop write to a connection, until take or a message that it
// can't write. What is queued goes first.
func (k *link) lend(c syscall.RawConn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		k.mu.ready = c
	}
}

// take stops the Raft loop from writing, and returns the part of its last message that it
// could not write.
func (k *link) take() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	rest := k.mu.rest
	k.mu.ready, k.mu.rest = nil, nil
	return rest
}

// failed tells Raft that messages did not arrive.
func (k *link) failed() { k.s.report(func(g *group) { g.node.ReportUnreachable(k.id) }) }

// run sends what is queued, over one connection after the other.
func (k *link) run(ctx context.Context) {
	for {
		var first *pb.Message
		select {
		case first = <-k.queue:
		case <-ctx.Done():
			return
		}
		nc, err := k.connect(ctx)
		if err == nil {
			err = k.pump(ctx, nc, first)
		}
		if ctx.Err() != nil {
			return
		}
		k.s.opts.Logger.Debug("no way to a view leader", "id", k.id, "addr", k.addr, "err", err)
		if wire.IsCode(err, wire.CodeRemoved) {
			k.s.fail(ErrRemoved)
			return
		}
		k.failed()
		if !wait.For(ctx, linkPause) {
			return
		}
	}
}

func (k *link) hello() []byte {
	st := k.s.groupStatus.Load()
	return wire.AppendPeerHello(nil, &wire.PeerHello{Cluster: st.cluster, From: st.self, To: k.id, Addr: k.s.advertised()})
}

// connect opens a stream to the member.
func (k *link) connect(ctx context.Context) (net.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, linkDialMax)
	defer cancel()
	nc, err := k.s.opts.Dial(dialing, "tcp", k.addr)
	if err != nil {
		return nil, err
	}
	if err := k.greet(nc); err != nil {
		_ = nc.Close() // of no use
		return nil, err
	}
	return nc, nil
}

func (k *link) greet(nc net.Conn) error {
	if err := nc.SetDeadline(time.Now().Add(linkWriteMax)); err != nil {
		return err
	}
	if _, err := nc.Write(wire.AppendCommand(nil, []byte(wire.CmdPeer), k.hello())); err != nil {
		return err
	}
	if err := readOK(wire.NewReader(nc, limits)); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

func readOK(r *wire.Reader) error {
	v, err := r.ReadValue()
	if err != nil {
		return err
	}
	return v.Err()
}

// pump writes messages until the connection breaks.
func (k *link) pump(ctx context.Context, nc net.Conn, first *pb.Message) error {
	broken := make(chan error, 1)
	k.s.running.Go(func() { // the other side has nothing to say but why it hangs up
		err := readOK(wire.NewReader(nc, limits))
		if err == nil {
			err = errors.New("an answer to nothing")
		}
		broken <- err
	})
	defer nc.Close() // ends the goroutine above
	raw := rawConn(nc)
	defer k.take()
	w := &wire.DeadlineWriter{Conn: nc, Timeout: linkWriteMax}
	var out []byte
	m := first
	for {
		if m != nil {
			var err error
			if out, err = appendMessage(out, m); err != nil {
				return err
			}
		}
		for len(out) < linkBytes && len(k.queue) > 0 {
			var err error
			if out, err = appendMessage(out, <-k.queue); err != nil {
				return err
			}
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
		out = out[:0]
		if cap(out) > 2*linkBytes {
			out = nil
		}
		k.lend(raw)
		m = nil
		select {
		case m = <-k.queue:
		case <-k.left:
		case err := <-broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		out = append(out, k.take()...)
	}
}

// rawConn is nil for a connection that encrypts.
func rawConn(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// appendMessage encodes a message as commands, one for each of its pieces.
func appendMessage(out []byte, m *pb.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return out, fmt.Errorf("encode a message: %w", err)
	}
	for piece := range pieces(b) {
		out = wire.AppendCommand(out, []byte(wire.CmdRaft), piece)
	}
	return out, nil
}

// pieces cuts an encoded message. Each piece is the last one's to overwrite.
func pieces(b []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		piece := make([]byte, 0, 1+min(len(b), wire.PieceBytesMax))
		for {
			n := min(len(b), wire.PieceBytesMax)
			kind := wire.PieceLast
			if n < len(b) {
				kind = wire.PieceMore
			}
			piece = append(append(piece[:0], kind), b[:n]...)
			if b = b[n:]; !yield(piece) || len(b) == 0 {
				return
			}
		}
	}
}

// runSnapshots sends snapshots, one at a time.
func (k *link) runSnapshots(ctx context.Context) {
	for {
		select {
		case m := <-k.snapshots:
			if err := k.sendSnapshot(ctx, m); err != nil {
				k.s.opts.Logger.Warn("cannot send a snapshot", "id", k.id, "addr", k.addr, "err", err)
				k.s.report(func(g *group) { g.node.ReportSnapshot(k.id, raft.SnapshotFailure) })
				continue
			}
			k.s.opts.Logger.Info("sent a snapshot to a view leader", "id", k.id, "addr", k.addr, "index", m.GetSnapshot().GetMetadata().GetIndex())
			k.s.report(func(g *group) { g.node.ReportSnapshot(k.id, raft.SnapshotFinish) })
		case <-ctx.Done():
			return
		}
	}
}

func (k *link) sendSnapshot(ctx context.Context, m *pb.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	c, err := wire.Dial(ctx, k.addr, k.s.opts.Dial, limits)
	if err != nil {
		return err
	}
	defer c.Close() // never fails
	ask := func(cmd string, bulk []byte) error {
		ctx, cancel := context.WithTimeout(ctx, snapshotPiece)
		defer cancel()
		_, err := c.Do(ctx, []byte(cmd), bulk)
		return err
	}
	if err := ask(wire.CmdPeer, k.hello()); err != nil {
		return err
	}
	for piece := range pieces(b) {
		if err := ask(wire.CmdSnapshot, piece); err != nil {
			return err
		}
	}
	return nil
}
