package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// serve accepts connections on the loopback and runs handle on each until the
// test ends.
func serve(t testing.TB, handle func(nc net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer nc.Close()
				handle(nc)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// echo answers each command with its last argument, in one write a batch.
func echo(nc net.Conn) {
	r, w := NewReader(nc, DefaultLimits), NewWriter(nc)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		if last := args[len(args)-1]; string(last) == "fail" {
			w.WriteError("BUSY come back")
		} else {
			w.WriteBulk(last)
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

func dial(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := Dial(context.Background(), addr, (&net.Dialer{}).DialContext, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConnConcurrent(t *testing.T) {
	c := dial(t, serve(t, echo))
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			for i := range 200 {
				want := fmt.Sprintf("%d-%d", g, i)
				v, err := c.Do(context.Background(), []byte("ECHO"), []byte(want))
				if err != nil || v.Text() != want {
					t.Errorf("%s: %q, %v", want, v.Text(), err)
					return
				}
			}
		})
	}
	all.Wait()
	big := bytes.Repeat([]byte("y"), 5<<20)
	if v, err := c.Do(context.Background(), big); err != nil || !bytes.Equal(v.Bytes, big) {
		t.Errorf("large: %d bytes, %v", len(v.Bytes), err)
	}
	v, err := c.Do(context.Background(), []byte("fail"))
	if !IsCode(err, CodeBusy) || v.Kind != KindError {
		t.Errorf("error reply: %v, %v", v, err)
	}
}

func TestConnContext(t *testing.T) {
	var mu sync.Mutex
	mu.Lock() // held: no answers
	c := dial(t, serve(t, func(nc net.Conn) {
		r, w := NewReader(nc, DefaultLimits), NewWriter(nc)
		for {
			args, err := r.ReadCommand()
			if err != nil {
				return
			}
			mu.Lock()
			w.WriteBulk(args[0])
			_ = w.Flush()
			mu.Unlock()
		}
	}))
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("tired")
	cancel(why)
	if _, err := c.Do(ctx, []byte("never sent")); !errors.Is(err, why) {
		t.Errorf("ended context: %v", err)
	}
	// Fill the connection, then cancel all that wait, sent or not.
	ctx, cancel = context.WithCancelCause(context.Background())
	var waiting sync.WaitGroup
	var started atomic.Int64
	for range connCallsMax + 10 {
		waiting.Go(func() {
			started.Add(1)
			if _, err := c.Do(ctx, []byte("slow")); !errors.Is(err, why) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
	full := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.mu.calls) == connCallsMax && c.mu.room != nil
	}
	await(t, full)
	cancel(why)
	waiting.Wait()
	mu.Unlock()
	if v, err := c.Do(context.Background(), []byte("next")); err != nil || v.Text() != "next" {
		t.Errorf("after late replies: %q, %v", v.Text(), err)
	}
}

// await yields until cond holds; the test's own timeout is its end.
func await(t *testing.T, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-t.Context().Done():
			t.Fatal("condition not reached")
		default:
			yield()
		}
	}
}

func yield() {
	ready := make(chan struct{})
	go close(ready)
	<-ready
}

func TestConnBroken(t *testing.T) {
	tests := map[string]struct {
		handle func(nc net.Conn)
		err    error
	}{
		"hangs up": {func(nc net.Conn) { _, _ = NewReader(nc, DefaultLimits).ReadCommand() }, io.ErrUnexpectedEOF},
		"garbage": {func(nc net.Conn) {
			_, _ = NewReader(nc, DefaultLimits).ReadCommand()
			_, _ = io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n")
			_, _ = io.Copy(io.Discard, nc)
		}, ErrProtocol},
	}
	for name, tt := range tests {
		c := dial(t, serve(t, tt.handle))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := c.Do(context.Background(), []byte("x")); err == nil {
					t.Errorf("%s: an answer", name)
				}
			})
		}
		all.Wait()
		<-c.Done()
		if _, err := c.Do(context.Background(), []byte("x")); name == "garbage" && !errors.Is(err, tt.err) {
			t.Errorf("%s: then %v", name, err)
		}
	}
}

func TestConnUnaskedReply(t *testing.T) {
	c := dial(t, serve(t, func(nc net.Conn) {
		_, _ = io.WriteString(nc, ">1\r\n:1\r\n+OK\r\n")
		_, _ = NewReader(nc, DefaultLimits).ReadCommand()
	}))
	<-c.Done()
	if _, err := c.Do(context.Background(), []byte("x")); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v", err)
	}
}

func TestConnClose(t *testing.T) {
	got := make(chan struct{})
	c := dial(t, serve(t, func(nc net.Conn) {
		r := NewReader(nc, DefaultLimits)
		if _, err := r.ReadCommand(); err == nil {
			close(got)
		}
		_, _ = r.ReadCommand()
	}))
	answer := make(chan error)
	go func() {
		_, err := c.Do(context.Background(), []byte("x"))
		answer <- err
	}()
	<-got
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answer; !errors.Is(err, ErrClosed) {
		t.Errorf("waiting call: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestDialFails(t *testing.T) {
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
	if _, err := Dial(context.Background(), "nowhere:1", refuse, DefaultLimits); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

func BenchmarkConn(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(goroutines), func(b *testing.B) {
			c := dial(b, serve(b, echo))
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range goroutines {
				all.Go(func() {
					arg := make([]byte, 1024)
					for left.Add(-1) >= 0 {
						if _, err := c.Do(context.Background(), arg); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
