package server

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/server/replica"
)

// listener is a client that is told what it did not ask for.
type listener struct {
	t  *testing.T
	nc net.Conn
	r  *wire.Reader
}

func listenTo(t *testing.T, s *Server, proto string) *listener {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(testWait)); err != nil {
		t.Fatal(err)
	}
	l := &listener{t, nc, wire.NewReader(nc, wire.DefaultLimits)}
	l.ask("HELLO " + proto)
	return l
}

func (l *listener) send(commands ...string) {
	l.t.Helper()
	words := make([][]string, len(commands))
	for i, c := range commands {
		words[i] = strings.Fields(c)
	}
	sendAll(l.t, l.nc, words)
}

// next is what comes next, as text.
func (l *listener) next() string {
	l.t.Helper()
	v, err := l.r.ReadValue()
	if err != nil {
		l.t.Fatal(err)
	}
	return render(v)
}

func (l *listener) ask(command string) string {
	l.t.Helper()
	l.send(command)
	return l.next()
}

func (l *listener) want(what ...string) {
	l.t.Helper()
	for i, w := range what {
		if got := l.next(); got != w {
			l.t.Fatalf("%d: %s, want %s", i, got, w)
		}
	}
}

// quiet says that nothing more comes. Whatever is on its way stands in front of the second
// answer at the latest.
func (l *listener) quiet(pong string) {
	l.t.Helper()
	for range 2 {
		if got := l.ask("PING"); got != pong {
			l.t.Fatalf("%s, want nothing", got)
		}
	}
}

// render writes a reply: a push with a >, a null as nil.
func render(v wire.Value) string {
	switch v.Kind {
	case wire.KindNil:
		return "nil"
	case wire.KindArray, wire.KindPush, wire.KindSet, wire.KindMap:
		var parts []string
		for _, a := range v.Array {
			parts = append(parts, render(a))
		}
		text := "[" + strings.Join(parts, " ") + "]"
		if v.Kind == wire.KindPush {
			text = ">" + text
		}
		return text
	case wire.KindInt:
		return fmt.Sprint(v.Int)
	}
	return string(v.Bytes)
}

// TestKeyspaceNotifications: who has subscribed is told of each change, in the order of a
// key's commits, whoever made it and how.
func TestKeyspaceNotifications(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			push, pong := "", "[pong ]"
			if proto == "3" {
				push, pong = ">", "PONG"
			}
			l := listenTo(t, s, proto)
			writer := listenTo(t, s, "2")
			l.send("SUBSCRIBE __keyspace@0__:{k} __keyevent@0__:expired", "PSUBSCRIBE __keyevent@*__:* __keyspace@0__:{k}[ab]")
			l.want(push+"[subscribe __keyspace@0__:{k} 1]", push+"[subscribe __keyevent@0__:expired 2]",
				push+"[psubscribe __keyevent@*__:* 3]", push+"[psubscribe __keyspace@0__:{k}[ab] 4]")
			event := func(name, key string) string {
				return push + "[pmessage __keyevent@*__:* __keyevent@0__:" + name + " " + key + "]"
			}
			key := func(name string) string { return push + "[message __keyspace@0__:{k} " + name + "]" }
			side := func(name, key string) string {
				return push + "[pmessage __keyspace@0__:{k}[ab] __keyspace@0__:" + key + " " + name + "]"
			}
			for _, step := range []struct {
				command string
				told    []string
			}{
				{"SET {k} 1", []string{key("set"), event("set", "{k}")}},
				{"GET {k}", nil},
				{"INCR {k}", []string{key("set"), event("set", "{k}")}},
				{"APPEND {k} 2", []string{key("set"), event("set", "{k}")}},
				{"SET {k} 1 NX", nil},
				{"EXPIRE {k} 1000", []string{key("set"), event("set", "{k}")}},
				{"MSET {k}a 1 {k}b 2", []string{side("set", "{k}a"), event("set", "{k}a"), side("set", "{k}b"), event("set", "{k}b")}},
				{"GETDEL {k}a", []string{side("del", "{k}a"), event("del", "{k}a")}},
				{"DEL {k}a", nil},
				{"RENAME {k}b {k}", []string{side("del", "{k}b"), event("del", "{k}b"), key("set"), event("set", "{k}")}},
				{"SET {k} 1 PX 1", []string{key("set"), event("set", "{k}"), key("expired"),
					push + "[message __keyevent@0__:expired {k}]", event("expired", "{k}")}},
				{"SET other 1", []string{event("set", "other")}},
				{"DEL other", []string{event("del", "other")}},
			} {
				if got := writer.ask(step.command); strings.HasPrefix(got, "ERR") {
					t.Fatalf("%s: %s", step.command, got)
				}
				for i, w := range step.told {
					if got := l.next(); got != w && !(strings.HasPrefix(step.command, "RENAME") && slices.Contains(step.told, got)) {
						t.Fatalf("%s, message %d: %s, want %s", step.command, i, got, w)
					}
				}
			}
			l.quiet(pong)
			writer.send("MULTI", "SET {k} 1", "DEL {k}", "SET {k} 2", "EXEC")
			l.want(key("set"), event("set", "{k}")) // one write
			l.send("UNSUBSCRIBE", "PUNSUBSCRIBE")
			l.want(push+"[unsubscribe __keyevent@0__:expired 3]", push+"[unsubscribe __keyspace@0__:{k} 2]",
				push+"[punsubscribe __keyevent@*__:* 1]", push+"[punsubscribe __keyspace@0__:{k}[ab] 0]")
			for range 4 {
				writer.next()
			}
			writer.next()
			writer.ask("DEL {k}")
			l.quiet("PONG")
		})
	}
}

// TestNotificationsInOrder: many writers, several partitions; who listens is told of every
// write, of those of a key in their order.
func TestNotificationsInOrder(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	const keys, writes = 8, 200
	l := listenTo(t, c.servers[1], "3")
	l.send("PSUBSCRIBE __keyspace@0__:k*")
	l.want(">[psubscribe __keyspace@0__:k* 1]")
	for k := range keys {
		w := listenTo(t, c.servers[1], "2")
		go func() {
			for i := range writes {
				w.send([]string{fmt.Sprintf("SET k%d v", k), fmt.Sprintf("DEL k%d", k)}[i%2])
			}
		}()
	}
	told := make(map[string]int)
	for range keys * writes {
		got := l.next()
		words := strings.Fields(strings.Trim(got, ">[]"))
		key := strings.TrimPrefix(words[2], redis.KeyspacePrefix)
		if want := []string{"set", "del"}[told[key]%2]; words[3] != want {
			t.Fatalf("%s: %s after %d messages, want %s", key, words[3], told[key], want)
		}
		told[key]++
	}
	l.quiet("PONG")
}

// TestRefusedSubscriptions: bad input is told, and changes nothing.
func TestRefusedSubscriptions(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	l := listenTo(t, c.servers[1], "3")
	long := strings.Repeat("x", scopedNameMax+1)
	many := strings.Repeat(" p*", patternsMax+1)
	for command, want := range map[string]string{
		"SUBSCRIBE " + long:   "TOOLARGE no channel has so long a name",
		"PSUBSCRIBE" + many:   "TOOLARGE more patterns than one client may listen by",
		"PUBLISH a b":         "ERR clients can't send messages here: channels tell of changes of keys, __keyspace@0__:<key> and __keyevent@0__:<event>",
		"SPUBLISH a b":        "ERR clients can't send messages here: channels tell of changes of keys, __keyspace@0__:<key> and __keyevent@0__:<event>",
		"SSUBSCRIBE a":        "ERR clients can't send messages here: channels tell of changes of keys, __keyspace@0__:<key> and __keyevent@0__:<event>",
		"SUNSUBSCRIBE":        "ERR clients can't send messages here: channels tell of changes of keys, __keyspace@0__:<key> and __keyevent@0__:<event>",
		"PUBSUB NUMPAT":       "0",
		"CONFIG GET notify-*": "[notify-keyspace-events g$xKE]",
	} {
		if got := l.ask(command); got != want {
			t.Errorf("%.40s: %s, want %s", command, got, want)
		}
	}
	for _, command := range []string{"SUBSCRIBE a", "UNSUBSCRIBE", "PSUBSCRIBE a", "PUNSUBSCRIBE", "CLIENT TRACKING ON", "CLIENT CACHING YES"} {
		l.ask("MULTI")
		if got := l.ask(command); got != redis.ErrNotInMulti {
			t.Errorf("%s after MULTI: %s", command, got)
		}
		if got := l.ask("EXEC"); got != redis.ErrExecAbort {
			t.Errorf("EXEC after %s: %s", command, got)
		}
	}
}

// TestListenersGiveBack: when those who listened or kept values are gone, or say RESET, nothing
// is left of it, and lanes tell nothing.
func TestListenersGiveBack(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	c.set("k", "v")
	var all []*listener
	for i := range 6 {
		l := listenTo(t, s, "3")
		l.send("SUBSCRIBE a b", "PSUBSCRIBE c*", "CLIENT TRACKING ON", "GET k", "GET l")
		for range 6 {
			l.next()
		}
		if i%2 == 0 {
			l.send("CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST PREFIX x PREFIX y")
			l.want("OK", "OK")
		}
		all = append(all, l)
	}
	st := s.notifier.tracker.stats()
	if st.clients != 6 || st.prefixes != 2 || st.keys != 2 || st.items != 6 || s.frontend.Held() == 0 {
		t.Errorf("%+v, %d bytes held", st, s.frontend.Held())
	}
	for i, l := range all {
		if i < 3 {
			l.send("RESET")
		} else {
			_ = l.nc.Close()
		}
	}
	c.wait("all is given back", func() bool {
		n := s.notifier
		n.mu.Lock()
		defer n.mu.Unlock()
		st := n.tracker.stats()
		return len(n.mu.channels)+len(n.mu.patterns)+n.mu.wanted == 0 && n.subscribers.Load() == 0 &&
			st == trackerStats{} && len(n.tracker.at)+len(n.tracker.lengths) == 0 && s.frontend.Held() == 0
	})
}

// connOf finds the connection of a client.
func connOf(s *Server, id string) *conn {
	n := s.notifier
	n.clients.Lock()
	defer n.clients.Unlock()
	for i, c := range n.clients.byID {
		if fmt.Sprint(i) == id {
			return c
		}
	}
	return nil
}

// TestNothingAfterUnsubscribe: what was not on its way when a client of RESP2 ended a
// subscription does not come: the client would take it for a reply.
func TestNothingAfterUnsubscribe(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	for command, confirmed := range map[string][]string{
		"UNSUBSCRIBE":  {"[unsubscribe __keyspace@0__:k 1]"},
		"PUNSUBSCRIBE": {"[punsubscribe __keyspace@0__:* 1]"},
		"RESET":        {"RESET"},
	} {
		l, writer := listenTo(t, s, "2"), listenTo(t, s, "2")
		post := &connOf(s, l.ask("CLIENT ID")).post
		l.send("SUBSCRIBE __keyspace@0__:k", "PSUBSCRIBE __keyspace@0__:*")
		l.want("[subscribe __keyspace@0__:k 1]", "[psubscribe __keyspace@0__:* 2]")
		l.quiet("[pong ]") // the last command let the postbox go
		post.hold()
		writer.ask("SET k v")
		c.wait("both messages wait", func() bool {
			post.mu.Lock()
			defer post.mu.Unlock()
			return len(post.mu.next.letters) == 2
		})
		l.send(command)
		l.want(confirmed...)
		post.letGo()
		switch command {
		case "UNSUBSCRIBE":
			l.want("[pmessage __keyspace@0__:* __keyspace@0__:k set]")
			l.quiet("[pong ]")
		case "PUNSUBSCRIBE":
			l.want("[message __keyspace@0__:k set]")
			l.quiet("[pong ]")
		default:
			l.quiet("PONG")
		}
		_ = l.nc.Close()
	}
}

// TestToldFromTheBeginning: nobody is told that a subscription has begun, or that values may be
// kept, before all lanes tell what they commit.
func TestToldFromTheBeginning(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	first, second := listenTo(t, s, "3"), listenTo(t, s, "3")
	waiting := func(fn string) func() bool {
		return func() bool {
			stacks := make([]byte, 4<<20)
			for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
				if strings.Contains(one, "(*notifier).want(") && strings.Contains(one, fn) {
					return true
				}
			}
			return false
		}
	}
	s.lanes[1].InTurn(func(*replica.Core, int64) {
		first.send("SUBSCRIBE __keyspace@0__:k")
		c.wait("the first waits", waiting("(*conn).subscribe("))
		second.send("CLIENT TRACKING ON")
		c.wait("so does the second", waiting("(*conn).sayClientTracking("))
	})
	first.want(">[subscribe __keyspace@0__:k 1]")
	second.want("OK")
}

// TestSlowSubscriber: who does not read what it is told is cut off, and nobody waits for it.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0, 4, 1)
	o := c.options(nil)
	o.FS, o.Data = nil, t.TempDir()
	o.Bounds.WriteTimeout = time.Hour // not that is what cuts it off
	s := c.start(o)
	c.waitBalanced()
	l := listenTo(t, s, "3")
	l.ask("PSUBSCRIBE *")
	good := listenTo(t, s, "3")
	good.ask("SUBSCRIBE __keyevent@0__:del")
	writer := listenTo(t, s, "2")
	for i := 0; s.Reached().Cut.Load() == 0; i++ {
		if got := writer.ask(fmt.Sprint("SET ", strings.Repeat("x", 60_000), i%8, " v")); got != "OK" {
			t.Fatal(got)
		}
	}
	writer.ask("DEL " + strings.Repeat("x", 60_000) + "0")
	if got := good.next(); !strings.HasPrefix(got, ">[message __keyevent@0__:del xxx") {
		t.Errorf("%.60s", got)
	}
	c.wait("it has left", func() bool { return s.notifier.subscribers.Load() == 1 })
	if n := s.Reached().Cut.Load(); n != 1 {
		t.Errorf("%d were cut off", n)
	}
}

// TestEventsLost: while nobody finds out whom events concern, lanes go on. Where there is no room
// for more, those who would miss some are told so: who has subscribed by the end of the connection.
func TestEventsLost(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	writer, subscriber, caches := listenTo(t, s, "2"), listenTo(t, s, "3"), listenTo(t, s, "3")
	subscriber.ask("SUBSCRIBE __keyspace@0__:k")
	caches.ask("CLIENT TRACKING ON BCAST PREFIX k")
	n := s.notifier
	lost := func() bool {
		n.events.Lock()
		defer n.events.Unlock()
		return n.events.lost
	}
	n.mu.Lock()
	for i := 0; !lost(); i++ {
		if got := writer.ask(fmt.Sprint("SET ", strings.Repeat("x", 60_000), i%8, " v")); got != "OK" {
			t.Error(got)
			break
		}
	}
	writer.ask("SET k v")
	n.mu.Unlock()
	caches.want(">[invalidate nil]")
	if v, err := subscriber.r.ReadValue(); err == nil {
		t.Errorf("%v", v)
	}
	if n := s.Reached().Cut.Load(); n != 1 {
		t.Errorf("%d were cut off", n)
	}
	again := listenTo(t, s, "3")
	again.ask("SUBSCRIBE __keyspace@0__:k")
	writer.ask("SET k v")
	again.want(">[message __keyspace@0__:k set]")
	caches.want(">[invalidate [k]]")
}
