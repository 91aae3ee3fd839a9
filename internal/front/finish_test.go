package front

import (
	"context"
	"fmt"
	"io"
	"net"
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
