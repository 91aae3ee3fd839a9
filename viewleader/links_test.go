//go:build unix

package viewleader

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/wait"
	"viewring/internal/wire"
)

// TestLinkKeepsMessagesWhole sends messages of all sizes over a connection with small
// buffers: the loop writes some itself, some in part, and queues others. All arrive,
// whole and in order.
func TestLinkKeepsMessagesWhole(t *testing.T) {
	const messages, batch = 3000, 100
	here, there := smallPipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := &Service{opts: Options{Logger: slog.New(slog.DiscardHandler)}}
	s.links.init(s)
	k := &link{s: s, id: 2, queue: make(chan *pb.Message, linkQueue), left: make(chan struct{}, 1)}
	s.links.mu.to[2] = k
	defer s.running.Wait()
	defer cancel()
	message := func(i uint64) *pb.Message {
		return &pb.Message{To: new(uint64(2)), Type: pb.MsgApp.Enum(), Index: new(i), Context: bytes.Repeat([]byte{byte(i)}, int(i*7919%(linkDirectMax+1000)))}
	}
	s.running.Go(func() { _ = k.pump(ctx, here, message(0)) }) // ends with ctx
	lent := func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.mu.ready != nil
	}
	parts := 0
	r := wire.NewReader(there, limits)
	var whole []byte
	for next, sent := uint64(0), uint64(0); next <= messages; {
		if next > sent && sent < messages { // a batch, while nobody reads
			for !lent() {
				wait.For(ctx, time.Millisecond)
			}
			for range batch {
				sent++
				s.links.send([]*pb.Message{message(sent)})
				if k.mu.Lock(); len(k.mu.rest) > 0 {
					parts++
				}
				k.mu.Unlock()
			}
		}
		args, err := r.ReadCommand()
		if err != nil {
			t.Fatalf("message %d: %v", next, err)
		}
		whole = append(whole, args[1][1:]...)
		if args[1][0] != wire.PieceLast {
			continue
		}
		m := &pb.Message{}
		if err := proto.Unmarshal(whole, m); err != nil || !proto.Equal(m, message(next)) {
			t.Fatalf("message %d came as %d, of %d bytes, %v", next, m.GetIndex(), len(m.GetContext()), err)
		}
		whole, next = whole[:0], next+1
	}
	if parts == 0 {
		t.Error("no message was written in part")
	}
}

// smallPipe is a TCP connection that takes little at a time.
func smallPipe(t *testing.T) (here, there net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if here, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{here, there} {
		tcp := c.(*net.TCPConn)
		_, _ = tcp.SetWriteBuffer(64<<10), tcp.SetReadBuffer(64<<10) // best effort
		t.Cleanup(func() { _ = tcp.Close() })
	}
	return here, there
}
