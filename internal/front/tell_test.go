package front

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"viewring/internal/wire"
)

// TestTell: what a client is told comes behind what is in line, without waiting for room, and
// not while the reading goroutine writes; it does not hold up who waits for replies.
func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pipe(t, newServer(t, func(o *Options) { o.Limits.Pipeline = 1 }))
		go c.Serve()
		got := make(chan string, 8)
		go func() {
			r := wire.NewReader(client, wire.DefaultLimits)
			for {
				v, err := r.ReadValue()
				if err != nil {
					return
				}
				got <- v.Text()
			}
		}()
		word := func(text string) *answer {
			a := &answer{word: text}
			a.done.Store(true)
			return a
		}
		expect := func(words ...string) {
			t.Helper()
			synctest.Wait()
			for _, w := range words {
				select {
				case g := <-got:
					if g != w {
						t.Fatalf("%s, want %s", g, w)
					}
				default:
					t.Fatalf("nothing, want %s", w)
				}
			}
			if len(got) > 0 {
				t.Fatalf("%s too early", <-got)
			}
		}
		undone := &answer{word: "first"}
		c.Push(undone)
		if !c.Tell(word("second")) {
			t.Error("a line that is full keeps the client from being told")
		}
		expect()
		undone.done.Store(true)
		c.Notify()
		expect("first", "second")

		if !c.TakeWriter() {
			t.Fatal("the writer is taken")
		}
		c.Tell(word("told"))
		expect() // it would have been written by two
		c.Writer().WriteSimple("direct")
		c.Flush()
		c.LeaveWriter()
		expect("direct", "told")

		undone = &answer{word: "reply"}
		c.Push(undone)
		waited := make(chan bool)
		go func() { waited <- c.AwaitReplies() }()
		synctest.Wait()
		never := &answer{word: "told"}
		c.Tell(never)
		undone.done.Store(true)
		c.Notify()
		if !<-waited {
			t.Error("it stops")
		}
		expect("reply")
		never.done.Store(true)
		c.Notify()
		expect("told")

		_ = client.Close()
		synctest.Wait()
		if late := word("late"); c.Tell(late) || late.released.Load() {
			t.Error("who is gone is told something")
		}
	})
}

// TestTellOneWriter: told things and replies that the reading goroutine writes come whole.
func TestTellOneWriter(t *testing.T) {
	c, client := pipe(t, newServer(t, nil))
	go c.Serve()
	const each = 500
	var both sync.WaitGroup
	var told atomic.Int64
	both.Go(func() {
		for range each {
			a := &answer{word: "told"}
			a.done.Store(true)
			if c.Tell(a) {
				told.Add(1)
			}
		}
	})
	both.Go(func() {
		for i := range each {
			if i%2 == 0 && c.TakeWriter() {
				c.Writer().WriteSimple("direct")
				c.Flush()
				c.LeaveWriter()
				continue
			}
			a := &answer{word: "direct"}
			a.done.Store(true)
			c.Push(a)
			c.WriteAll()
		}
	})
	r := wire.NewReader(client, wire.DefaultLimits)
	seen := make(map[string]int)
	for range 2 * each {
		v, err := r.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		seen[v.Text()]++
	}
	both.Wait()
	if seen["told"] != each || seen["direct"] != each || told.Load() != each {
		t.Errorf("%v", seen)
	}
}

// TestCutOff: who does not read what it is told is hung up on, and counted.
func TestCutOff(t *testing.T) {
	s := newServer(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Conn, 1)
	s.opts.Open = func(c *Conn) Session { opened <- c; return &echo{Conn: c} }
	go s.Serve(l)
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := <-opened
	if _, err := fmt.Fprint(nc, "PING\r\n"); err != nil { // it is served then
		t.Fatal(err)
	}
	r := wire.NewReader(nc, wire.DefaultLimits)
	if _, err := r.ReadValue(); err != nil {
		t.Fatal(err)
	}
	c.CutOff("bytes of messages")
	if v, err := r.ReadValue(); err == nil {
		t.Errorf("%v", v)
	}
	if n := s.Reached().Cut.Load(); n != 1 {
		t.Errorf("%d are counted", n)
	}
}
