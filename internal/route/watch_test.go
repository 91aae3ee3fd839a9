package route

import (
	"context"
	"net"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// watchOn is a watch of some partitions, and a connection that they can ask on.
func watchOn(t *testing.T, parts int) (*Watch, *watchConn, net.Conn) {
	t.Helper()
	c := New(Options{Servers: []string{"x:1"}, ViewCache: NoViewCache})
	near, far := net.Pipe()
	wc := &watchConn{addr: "x:1", ready: make(chan struct{})}
	wc.mu.parts = make(map[uint64]*watchPart)
	wc.conn = wire.NewConn(near, "x:1", wire.DefaultLimits)
	close(wc.ready)
	c.watchConns.mu.byAddr["x:1"] = wc
	w := &Watch{c: c, ctx: t.Context(), stop: func() {}, stir: make(chan struct{}, 1), some: make(chan struct{}, 1), begun: make(chan struct{})}
	for i := range parts {
		w.mu.parts = append(w.mu.parts, &watchPart{w: w, id: ring.PartitionID(i), pause: watchPauseMin, asking: "x:1"})
	}
	w.mu.pending = parts
	t.Cleanup(func() {
		_ = wc.conn.Close()
		_ = far.Close()
	})
	return w, wc, far
}

func attempts(w *Watch) (list []attempt) {
	for _, p := range w.mu.parts {
		list = append(list, attempt{p, p.tries})
	}
	return list
}

// TestAskOnABrokenConnection: the parts ask again later.
func TestAskOnABrokenConnection(t *testing.T) {
	w, wc, far := watchOn(t, 3)
	_ = far.Close()
	<-wc.conn.Done() // and nobody has told wc
	w.ask("x:1", attempts(w))
	for _, p := range w.mu.parts {
		if p.conn != nil || p.asking != "" || !p.retryAt.After(time.Now().Add(-time.Second)) {
			t.Errorf("%+v", p)
		}
	}
	if len(wc.mu.parts) != 0 || w.lastError() == nil {
		t.Errorf("%d parts on the connection, last error %v", len(wc.mu.parts), w.lastError())
	}
}

// TestAskNoMore: a part that has gone on meanwhile is not asked for, and what an earlier try comes to
// changes nothing.
func TestAskNoMore(t *testing.T) {
	w, wc, _ := watchOn(t, 1)
	p := w.mu.parts[0]
	old := attempts(w)
	p.tries++
	w.ask("x:1", old)
	if p.conn != nil || p.asking != "x:1" || len(wc.mu.parts) != 0 {
		t.Errorf("%+v", p)
	}
}

// TestHear: what a part is told, and where a Token begins if the first of it is to begin anew.
func TestHear(t *testing.T) {
	w, wc, far := watchOn(t, 1)
	go func() { // answers OK to what it is asked
		buf := make([]byte, 1024)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
			if _, err := far.Write([]byte("+OK\r\n")); err != nil {
				return
			}
		}
	}()
	p := w.mu.parts[0]
	p.at, p.from = Position{3, 4}, true
	w.ask("x:1", attempts(w))
	number := p.number
	say := func(told wire.Told) {
		told.ID = number
		wc.pushed(wire.Value{Kind: wire.KindPush, Array: []wire.Value{{Kind: wire.KindBulk, Bytes: []byte(wire.PushTold)},
			{Kind: wire.KindBulk, Bytes: wire.AppendTold(nil, &told)}}})
	}
	say(wire.Told{Kind: wire.TellAnew, Term: 9, Seq: 9})
	<-w.begun
	w.spec.Prefix, w.spec.Alone, w.partitions = true, true, 1
	c := &Changes{watch: w, took: w.beginnings()}
	if token := c.Token(); token != "3.4" {
		t.Errorf("a Token that passes over what begins anew: %s", token)
	}
	for seq := range uint64(3) {
		say(wire.Told{Kind: wire.TellPassed, Term: 9, Seq: 10 + seq})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if told, change, err := c.Next(ctx); err != nil || change != nil || told.Kind != wire.TellAnew {
		t.Errorf("%+v, %+v, %v", told, change, err)
	}
	if n := len(w.mu.queue); n != 1 {
		t.Errorf("%d times told that nothing more happened", n)
	}
	if token := c.Token(); token != "9.12" {
		t.Errorf("a Token %s", token)
	}
	set := wire.ToldChange{Change: wire.TellSet, Name: []byte("k")}
	say(wire.Told{Kind: wire.TellChanged, Term: 9, Seq: 13, Changes: []wire.ToldChange{set, set}})
	for _, want := range []string{"9.12", "9.13"} { // half of it, and all
		if _, change, err := c.Next(ctx); err != nil || change == nil || c.Token() != want {
			t.Errorf("%+v, %v, a Token %s, not %s", change, err, c.Token(), want)
		}
	}
	say(wire.Told{Kind: wire.TellEnded, Why: wire.WhySlow})
	if p.conn != nil || !p.retryAt.After(time.Now().Add(-time.Second)) {
		t.Errorf("after the end: %+v", p)
	}
}
