package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"viewring/internal/port"
	"viewring/internal/wire"
	"viewring/ring"
)

// fakeServer answers VR.VIEW with a view, and VR.DO as told.
type fakeServer struct {
	t    *testing.T
	addr string
	done sync.WaitGroup
	lis  net.Listener

	mu   sync.Mutex
	mute bool // answers nothing any more
	view *ring.View
	asks []wire.DoRequest
	// plain answers Redis commands by bytes; "" hangs up.
	plain func(args []string) string
	// answer writes the reply to the n-th VR.DO, from 0.
	answer func(n int, q wire.DoRequest, w *wire.Writer)
}

func startFake(t *testing.T) *fakeServer {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{t: t, addr: lis.Addr().String(), lis: lis}
	f.done.Go(f.accept)
	t.Cleanup(func() { lis.Close(); f.done.Wait() })
	return f
}

func (f *fakeServer) accept() {
	for {
		conn, err := f.lis.Accept()
		if err != nil {
			return
		}
		f.done.Go(func() { f.serve(conn) })
	}
}

func (f *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	r, w := wire.NewReader(conn, wire.DefaultLimits), wire.NewWriter(conn)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		f.mu.Lock()
		switch {
		case f.mute:
		case string(args[0]) == wire.CmdViewOf:
			since, _ := strconv.ParseUint(string(args[1]), 10, 64)
			if f.view == nil || f.view.Epoch <= since {
				w.WriteNil()
			} else {
				w.WriteBulk(ring.AppendView(nil, f.view, since))
			}
		case string(args[0]) == wire.CmdDo:
			q, err := wire.DecodeDoRequest(args[1])
			if err != nil {
				f.t.Errorf("bad request: %v", err)
			}
			q.Key, q.Value = append([]byte(nil), q.Key...), append([]byte(nil), q.Value...)
			f.asks = append(f.asks, q)
			f.answer(len(f.asks)-1, q, w)
		case f.plain != nil:
			var words []string
			for _, a := range args {
				words = append(words, string(a))
			}
			reply := f.plain(words)
			if reply == "" {
				f.mu.Unlock()
				return
			}
			w.WriteRaw([]byte(reply))
		default:
			w.WriteError("ERR unknown command")
		}
		f.mu.Unlock()
		if w.Flush() != nil {
			return
		}
	}
}

func (f *fakeServer) requests() []wire.DoRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]wire.DoRequest(nil), f.asks...)
}

func writeOK(w *wire.Writer, p wire.DoReply) { w.WriteBulk(wire.AppendDoReply(nil, &p)) }

// viewOn returns a view in which the servers have one partition, the first as primary.
func viewOn(epoch uint64, addrs ...string) *ring.View {
	v := &ring.View{Cluster: [16]byte{7}, Epoch: epoch, LeaseTTL: time.Second, MinCopies: 1, Partitions: make([]ring.Partition, 1)}
	v.Partitions[0] = ring.Partition{Term: epoch, MinCopies: 1}
	for i, addr := range addrs {
		id := ring.ServerID(i + 1)
		v.Members = append(v.Members, ring.Member{ID: id, Incarnation: 1, Addr: addr, Weight: 1, Status: ring.In, Up: true})
		v.Partitions[0].Acting = append(v.Partitions[0].Acting, id)
	}
	return v
}

func openSeeded(t *testing.T, addrs ...string) *Client {
	t.Helper()
	c, err := Open(t.Context(), Options{Servers: addrs, ViewCache: NoViewCache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A mutation is tried again with the same request id until it is answered.
func TestRetriesKeepTheRequestID(t *testing.T) {
	f := startFake(t)
	f.view = viewOn(1, f.addr)
	refusals := []string{"UNAVAILABLE not yet", "NOTENOUGHCOPIES 1 of 2", "BUSY", "UNKNOWNOUTCOME", "MOVED 0 127.0.0.1:1"}
	f.answer = func(n int, _ wire.DoRequest, w *wire.Writer) {
		if n < len(refusals) {
			w.WriteError(refusals[n])
			return
		}
		writeOK(w, wire.DoReply{Status: wire.DoOK, Term: 1, Seq: 9})
	}
	c := openSeeded(t, f.addr)
	version, err := c.Set(t.Context(), "k", []byte("v"), Always())
	if err != nil || version != (Version{1, 9}) {
		t.Fatalf("Set = %v, %v", version, err)
	}
	asks := f.requests()
	if len(asks) != len(refusals)+1 {
		t.Fatalf("%d tries, want %d", len(asks), len(refusals)+1)
	}
	for _, q := range asks {
		if q.Number != 1 || q.Client != asks[0].Client || q.Born != asks[0].Born || q.Client == ([16]byte{}) {
			t.Errorf("request id %v %d %d, want that of the first try", q.Client, q.Number, q.Born)
		}
	}
	if s := c.Stats(); s.Requests != 1 || s.Retries != uint64(len(refusals)) || s.Failures != 0 {
		t.Errorf("stats = %+v", s)
	}
	if _, err := c.Set(t.Context(), "k", nil, Always()); err != nil {
		t.Fatal(err)
	}
	if q := f.requests()[len(asks)]; q.Number != 2 || q.Mark != 1 {
		t.Errorf("second request: number %d, mark %d; want 2, 1", q.Number, q.Mark)
	}
}

// MOVED makes the client ask the server for its newer view, and follow it.
func TestFollowsMoved(t *testing.T) {
	old, new := startFake(t), startFake(t)
	old.view = viewOn(1, old.addr, new.addr)
	old.answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
		moved := viewOn(2, old.addr, new.addr)
		moved.Partitions[0].Acting = []ring.ServerID{2, 1}
		old.view, new.view = moved, moved
		w.WriteError(wire.MovedText(0, new.addr))
	}
	new.view = old.view
	new.answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
		writeOK(w, wire.DoReply{Status: wire.DoOK, Value: []byte("there")})
	}
	c := openSeeded(t, old.addr)
	v, err := c.Get(t.Context(), "k")
	if err != nil || string(v.Bytes) != "there" {
		t.Fatalf("Get = %q, %v", v.Bytes, err)
	}
	if a, b := len(old.requests()), len(new.requests()); a != 1 || b != 1 {
		t.Errorf("%d and %d tries, want 1 and 1", a, b)
	}
}

// The end of the context says what is known: nothing done, or unknown.
func TestErrorsAtTheEnd(t *testing.T) {
	tests := []struct {
		reply string
		want  error
	}{
		{"UNAVAILABLE no", ErrUnavailable},
		{"NOTENOUGHCOPIES 1", ErrTooFewCopies},
		{"BUSY", ErrBusy},
		{"UNKNOWNOUTCOME", ErrUnknownOutcome},
		{"CORRUPT bytes", ErrCorrupt},
		{"TOOLARGE value", ErrTooLarge},
		{"ERR what", ErrRefused},
		{"", ErrUnknownOutcome}, // no answer at all
	}
	for _, tt := range tests {
		t.Run(tt.reply, func(t *testing.T) {
			f := startFake(t)
			f.view = viewOn(1, f.addr)
			f.answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
				if tt.reply != "" {
					w.WriteError(tt.reply)
				}
			}
			c := openSeeded(t, f.addr)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			var err error
			if tt.want == ErrUnknownOutcome {
				_, err = c.Set(ctx, "k", nil, Always())
			} else { // a write that waits for its answer when the time is up would be unknown too
				_, err = c.Get(ctx, "k")
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		status wire.DoStatus
		want   error
	}{{wire.DoOK, nil}, {wire.DoNotFound, ErrNotFound}, {wire.DoCondFailed, ErrCondition}, {wire.DoNotInteger, ErrNotInteger}}
	for _, tt := range tests {
		if err := statusError("op", wire.DoReply{Status: tt.status}); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("statusError(%d) = %v, want %v", tt.status, err, tt.want)
		}
	}
}

// A view that moves the partition away from a server that is down cuts the try short.
func TestReroutesWhileWaiting(t *testing.T) {
	silent, other := startFake(t), startFake(t)
	asked := make(chan struct{})
	silent.answer = func(int, wire.DoRequest, *wire.Writer) { close(asked) }
	other.answer = func(_ int, _ wire.DoRequest, w *wire.Writer) { writeOK(w, wire.DoReply{Status: wire.DoOK}) }
	silent.view = viewOn(1, silent.addr, other.addr)
	other.view = silent.view
	c := openSeeded(t, silent.addr)
	result := make(chan error, 1)
	go func() {
		_, err := c.Set(t.Context(), "k", nil, Always())
		result <- err
	}()
	<-asked
	next := viewOn(2, silent.addr, other.addr)
	next.Members[0].Up = false
	next.Partitions[0].Acting = []ring.ServerID{2}
	if err := c.views.adopt(next); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	a, b := silent.requests(), other.requests()
	if len(a) != 1 || len(b) != 1 || a[0].Number != b[0].Number {
		t.Errorf("requests %v and %v, want one each with the same number", a, b)
	}
}

// Without a view leader the cached view leads to the servers.
func TestCachedView(t *testing.T) {
	f := startFake(t)
	f.view = viewOn(3, f.addr)
	f.answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
		writeOK(w, wire.DoReply{Status: wire.DoOK, Value: []byte("v")})
	}
	dead := freeAddr(t)
	path := filepath.Join(t.TempDir(), "sub", "view")
	if err := saveView(path, viewOn(1, f.addr)); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Options{Leaders: []string{dead}, ViewCache: path})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.View().Epoch != 3 {
		t.Errorf("epoch %d, want the server's 3", c.View().Epoch)
	}
	if _, err := c.Get(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

// A server of another cluster at a cached address is refused.
func TestCachedViewOfAnotherCluster(t *testing.T) {
	f := startFake(t)
	f.view = viewOn(3, f.addr)
	f.view.Cluster[0] = 8
	path := filepath.Join(t.TempDir(), "view")
	if err := saveView(path, viewOn(1, f.addr)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Leaders: []string{freeAddr(t)}, ViewCache: path, ConnectTimeout: 500 * time.Millisecond})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("Open = %v, want unreachable", err)
	}
}

func TestUnreachable(t *testing.T) {
	addr := freeAddr(t)
	began := time.Now()
	_, err := Open(t.Context(), Options{Leaders: []string{addr}, ViewCache: NoViewCache, ConnectTimeout: 300 * time.Millisecond})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("Open = %v, want unreachable", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestSizes(t *testing.T) {
	f := startFake(t)
	f.view = viewOn(1, f.addr)
	c := openSeeded(t, f.addr)
	if _, err := c.Set(t.Context(), "k", make([]byte, wire.ValueBytesMax+1), Always()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("value: %v", err)
	}
	if _, err := c.Get(t.Context(), string(make([]byte, wire.KeyBytesMax+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("name: %v", err)
	}
	if _, err := c.Get(t.Context(), ""); !errors.Is(err, ErrRefused) {
		t.Errorf("empty name: %v", err)
	}
	if n := len(f.requests()); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// Many goroutines share the connections; each gets its own answer.
func TestManyGoroutines(t *testing.T) {
	f := startFake(t)
	f.view = viewOn(1, f.addr)
	f.answer = func(_ int, q wire.DoRequest, w *wire.Writer) {
		writeOK(w, wire.DoReply{Status: wire.DoOK, Value: append([]byte("value of "), q.Key...)})
	}
	c := openSeeded(t, f.addr)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("%d/%d", g, i)
				v, err := c.Get(t.Context(), key)
				if err != nil || string(v.Bytes) != "value of "+key {
					t.Errorf("Get(%q) = %q, %v", key, v.Bytes, err)
				}
			}
		})
	}
	all.Wait()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
