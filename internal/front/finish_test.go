package front

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wire"
)

// come is a client that has connected.
func come(t *testing.T, s *Server) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	s.serve(ours)
	return theirs
}

// TestFinish: a client is hung up on when it has asked nothing for a while, and not between
// two commands.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		began := time.Now()
		done := make(chan time.Duration)
		quiet, asks := come(t, s), come(t, s)
		go func() {
			s.Finish(t.Context(), 200*time.Millisecond)
			done <- time.Since(began)
		}()
		ended := make(chan time.Duration)
		go func() {
			_, err := quiet.Read(make([]byte, 1))
			if err != io.EOF {
				t.Errorf("who asks nothing: %v", err)
			}
			ended <- time.Since(began)
		}()
		reader := wire.NewReader(asks, wire.DefaultLimits)
		for i := range 10 {
			if _, err := fmt.Fprint(asks, "PING\r\n"); err != nil {
				t.Fatalf("command %d: %v", i, err)
			}
			if v, err := reader.ReadValue(); err != nil || v.Text() != "PING" {
				t.Fatalf("command %d: %v, %v", i, v, err)
			}
			<-time.After(100 * time.Millisecond)
			if i == 2 {
				if at := <-ended; at < 200*time.Millisecond {
					t.Errorf("who asks nothing is hung up on after %v", at)
				}
			}
		}
		if _, err := reader.ReadValue(); err != io.EOF {
			t.Errorf("who asks no more: %v", err)
		}
		if at := <-done; at < 1100*time.Millisecond {
			t.Errorf("it ends after %v", at)
		}
		s.stop()
		s.running.Wait()
	})
}

// TestFinishAnswers: nobody is hung up on who waits for an answer; Finish does not wait for that
// beyond its time.
func TestFinishAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &answer{word: "late"}
		var conn *Conn
		s := newServer(t, func(o *Options) {
			o.Open = func(c *Conn) Session {
				conn = c
				return &slow{echo{Conn: c}, late}
			}
		})
		client := come(t, s)
		if _, err := fmt.Fprint(client, "PING\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		s.Finish(ctx, 100*time.Millisecond)
		if took := time.Since(began); took < time.Second {
			t.Errorf("it ends after %v, and one waits for an answer", took)
		}
		late.done.Store(true)
		conn.Notify()
		if v, err := wire.NewReader(client, wire.DefaultLimits).ReadValue(); err != nil || v.Text() != "late" {
			t.Errorf("%v, %v", v, err)
		}
		s.stop()
		s.running.Wait()
	})
}

// slow is a session whose command is answered by somebody else.
type slow struct {
	echo
	late *answer
}

func (s *slow) Run([][]byte) error {
	s.Push(s.late)
	return nil
}

// TestRetire: what clients have sent is answered before they are hung up on: what waits for its answer, and what is
// there in part. Of those who keep quiet and those who go on asking nobody is waited for.
func TestRetire(t *testing.T) {
	for _, inTurn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { testRetire(t, inTurn) })
	}
}

func testRetire(t *testing.T, inTurn bool) {
	late := &answer{word: "late"}
	late.done.Store(inTurn) // then Write waits, if anything
	s := newServer(t, func(o *Options) {
		o.InTurn = inTurn
		o.Open = func(c *Conn) Session { return &laggard{echo: echo{Conn: c}, late: late} }
	})
	quiet, waits, begun, asks := come(t, s), come(t, s), come(t, s), come(t, s)
	send := func(to net.Conn, text string) {
		if _, err := fmt.Fprint(to, text); err != nil {
			t.Fatal(err)
		}
	}
	send(waits, "LATE\r\n")
	send(begun, "*1\r\n$4\r\nPI")
	synctest.Wait()
	retired := make(chan struct{})
	go func() {
		defer close(retired)
		s.Retire(t.Context())
	}()
	end := func(who string, nc net.Conn, words ...string) {
		t.Helper()
		r := wire.NewReader(nc, wire.DefaultLimits)
		for _, word := range words {
			if v, err := r.ReadValue(); err != nil || v.Text() != word {
				t.Errorf("%s: %v, %v; want %s", who, v, err, word)
			}
		}
		if _, err := r.ReadValue(); err != io.EOF {
			t.Errorf("%s: %v at the end", who, err)
		}
		nc.Close()
	}
	asked := make(chan int)
	go func() {
		r, answered := wire.NewReader(asks, wire.DefaultLimits), 0
		for ; ; answered++ {
			_, failed := fmt.Fprint(asks, "PING\r\n")
			if failed == nil {
				_, failed = r.ReadValue()
			}
			if failed != nil {
				break
			}
			<-time.After(50 * time.Millisecond)
		}
		asks.Close()
		asked <- answered
	}()
	end("who keeps quiet", quiet)
	if n := <-asked; n < 10 || n > 25 {
		t.Errorf("who goes on asking was answered %d times", n)
	}
	<-time.After(time.Second)
	send(begun, "NG\r\n")
	end("who was in the middle of a command", begun, "PING")
	late.done.Store(true)
	for _, c := range s.all() {
		c.Notify()
	}
	end("who waited for an answer", waits, "late")
	<-retired
	s.stop()
	s.running.Wait()
}

func (s *Server) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.mu.conns))
}

// laggard is a session of which one command is answered by somebody else.
type laggard struct {
	echo
	late *answer
}

func (s *laggard) Run(args [][]byte) error {
	if string(args[0]) != "LATE" {
		return s.echo.Run(args)
	}
	s.Push(s.late)
	return nil
}
