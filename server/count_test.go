package server

import (
	"testing"
	"time"

	"viewring/internal/tally"
	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/server/replica"
)

// counter is a connection that nobody is connected by, and a get.
func counter() (c *conn, words [][]byte) {
	m := redis.NewMonitor(redis.Monitoring{SlowerThan: redis.SlowerThan, SlowLen: redis.SlowLen}, time.Now, ownNames...)
	f := &redis.Front{Now: time.Now, Monitor: m}
	c = &conn{s: &Server{monitor: m}}
	c.session.client = f.Join("a", "b")
	return c, [][]byte{[]byte("GET"), []byte("key")}
}

// countOne counts a command as one that comes alone is counted: with a look at the clock at either end.
func countOne(c *conn, words [][]byte) {
	c.times.arrived = 0
	c.times.ask(c.s.monitor.Other(), words)
	c.times.is(redisCommand("get").row, words[1:])
	cl := call{conn: c, asked: c.times.asked, style: replyFound, answer: replica.Answer{Status: replica.StatusOK}}
	c.count(&cl)
	c.Flushed(true)
}

// TestCountAllocatesNothing: a get that is counted costs no allocation, and is there afterwards.
func TestCountAllocatesNothing(t *testing.T) {
	c, words := counter()
	countOne(c, words)
	if n := testing.AllocsPerRun(100, func() { countOne(c, words) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := c.s.monitor.Totals(); got.Commands != 102 || got.Hits != 102 {
		t.Errorf("%+v", got)
	}
}

// BenchmarkMonitor is what counting adds to a command that comes alone; both looks at the clock are in it.
func BenchmarkMonitor(b *testing.B) {
	b.ReportAllocs()
	c, words := counter()
	for b.Loop() {
		countOne(c, words)
	}
}

// TestCounted: each command that a client sends counts once, under its name, with what it came to.
func TestCounted(t *testing.T) {
	c := startCluster(t, 1, 16, 1)
	s := c.servers[1]
	conn := dial(t, s.Addr())
	for _, command := range [][]string{
		{"SET", "a", "1"}, {"GET", "a"}, {"GET", "absent"}, {"get", "a", "b"}, {"NOSUCH"}, {"CONFIG", "GET", "port"}, {"CONFIG", "NOSUCH"}, {"MGET", "a", "a"}, {"MGET", "a", "b"},
		{"INCR", "a"}, {"SET", "s", "x"}, {"INCR", "s"}, {"MULTI"}, {"GET", "a"}, {"EXEC"}, {"EXEC"}, {"GETDEL", "absent"}, {"SUBSCRIBE", "c"},
	} {
		_, _ = ask(t, conn, command...) // what it comes to is below
	}
	got := wire.DoRequest{Key: []byte("a")}
	_, _ = dial(t, s.Addr()).Do(t.Context(), []byte(wire.CmdDo), wire.AppendDoRequest(nil, &got))
	counted := map[string]uint64{}
	want := map[string]uint64{
		"set ok": 2, "get ok": 2, "get absent": 1, "get err": 1, "other err": 2, "config|get ok": 1, "mget ok": 1, "mget crossslot": 1, "incr ok": 1, "incr err": 1,
		"multi ok": 1, "exec ok": 1, "exec err": 1, "getdel absent": 1, "subscribe ok": 1, "vr.do|get ok": 1,
	}
	c.wait("all are counted", func() bool {
		clear(counted)
		total := uint64(0)
		s.monitor.Each(func(name string, n *tally.OpCounts) {
			for i, k := range n.Outcomes {
				if k > 0 {
					counted[name+" "+redis.Ended(i).String()] = k
				}
			}
			total += n.Count()
		})
		return total >= 19
	})
	for what, n := range want {
		if counted[what] != n {
			t.Errorf("%s: %d, want %d", what, counted[what], n)
		}
	}
	if t.Failed() {
		t.Log(counted)
	}
}
