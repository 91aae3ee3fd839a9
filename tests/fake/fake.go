// Package fake has servers of which nothing is real but what a test tells them to answer,
// for the tests of clients.
package fake

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// Server is a server of which nothing is real: it answers VR.VIEW with a view, and
// VR.DO as told.
type Server struct {
	Addr string

	t    *testing.T
	done sync.WaitGroup
	lis  net.Listener

	sync.Mutex // of what follows; held while Plain and Answer run

	Mute bool // it answers nothing any more
	View *ring.View
	// Plain answers Redis commands by bytes; "" hangs up.
	Plain func(args []string) string
	// Answer writes the reply to the n-th VR.DO, from 0.
	Answer func(n int, q wire.DoRequest, w *wire.Writer)

	asks []wire.DoRequest
}

// Start starts a Server, which ends with the test.
func Start(t *testing.T) *Server {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Server{t: t, Addr: lis.Addr().String(), lis: lis}
	f.done.Go(f.accept)
	t.Cleanup(func() { lis.Close(); f.done.Wait() })
	return f
}

func (f *Server) accept() {
	for {
		conn, err := f.lis.Accept()
		if err != nil {
			return
		}
		f.done.Go(func() { f.serve(conn) })
	}
}

func (f *Server) serve(conn net.Conn) {
	defer conn.Close()
	r, w := wire.NewReader(conn, wire.DefaultLimits), wire.NewWriter(conn)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		f.Lock()
		switch {
		case f.Mute:
		case string(args[0]) == wire.CmdViewOf:
			since, _ := strconv.ParseUint(string(args[1]), 10, 64)
			if f.View == nil || f.View.Epoch <= since {
				w.WriteNil()
			} else {
				w.WriteBulk(ring.AppendView(nil, f.View, since))
			}
		case string(args[0]) == wire.CmdDo:
			q, err := wire.DecodeDoRequest(args[1])
			if err != nil {
				f.t.Errorf("bad request: %v", err)
			}
			q.Key, q.Value = append([]byte(nil), q.Key...), append([]byte(nil), q.Value...)
			f.asks = append(f.asks, q)
			f.Answer(len(f.asks)-1, q, w)
		case f.Plain != nil:
			var words []string
			for _, a := range args {
				words = append(words, string(a))
			}
			reply := f.Plain(words)
			if reply == "" {
				f.Unlock()
				return
			}
			w.WriteRaw([]byte(reply))
		default:
			w.WriteError("ERR unknown command")
		}
		f.Unlock()
		if w.Flush() != nil {
			return
		}
	}
}

// Requests are those of VR.DO so far.
func (f *Server) Requests() []wire.DoRequest {
	f.Lock()
	defer f.Unlock()
	return append([]wire.DoRequest(nil), f.asks...)
}

// OK writes the reply to a VR.DO.
func OK(w *wire.Writer, p wire.DoReply) { w.WriteBulk(wire.AppendDoReply(nil, &p)) }

// View returns a view in which the servers have one partition, the first as primary.
func View(epoch uint64, addrs ...string) *ring.View {
	v := &ring.View{Cluster: [16]byte{7}, Epoch: epoch, LeaseTTL: time.Second, MinCopies: 1, Partitions: make([]ring.Partition, 1)}
	v.Partitions[0] = ring.Partition{Term: epoch, MinCopies: 1}
	for i, addr := range addrs {
		id := ring.ServerID(i + 1)
		v.Members = append(v.Members, ring.Member{ID: id, Incarnation: 1, Addr: addr, Weight: 1, Status: ring.In, Up: true})
		v.Partitions[0].Acting = append(v.Partitions[0].Acting, id)
	}
	return v
}
