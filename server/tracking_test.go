package server

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// TestTracking: whatever reads a key for a client that keeps values, and whatever writes it
// then, the client is told, once.
func TestTracking(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	long := strings.Repeat("l", 2*directBytesMax)
	reads := map[string][]string{ // with {k} among what is read
		"on the spot":           {"GET {k}"},
		"a long value":          {"GET {k}long"},
		"a part":                {"GETRANGE {k}long 0 20000"},
		"a pipeline":            {"GET a", "GET b", "GET {k}", "GET c"},
		"behind a write":        {"SET a 1", "GET {k}", "SET a 2"},
		"behind its own slot's": {"SET {k}x 1", "GET {k}"},
		"several":               {"MGET {k} {k}a {k}b"},
		"whether it is there":   {"EXISTS {k}"},
		"whether some are":      {"EXISTS {k}a {k}"},
		"its length":            {"STRLEN {k}"},
		"its time":              {"PTTL {k}"},
		"a transaction":         {"MULTI", "PTTL {k}", "GET {k}", "EXEC"},
		"one that is watched":   {"WATCH {k}a", "MULTI", "SET {k}a 1", "GET {k}", "EXEC"},
	}
	writes := map[string]string{
		"SET": "SET %s v", "DEL": "DEL %s", "APPEND": "APPEND %s v", "MSET": "MSET %s v {k}y w", "GETDEL": "GETDEL %s",
		"EXPIRE": "EXPIRE %s 100", "PERSIST": "PERSIST %s", "expired": "PEXPIRE %s 1", "GETEX": "GETEX %s EX 100", "RENAME": "RENAME %s {k}z", "FLUSHALL": "FLUSHALL",
	}
	writer := listenTo(t, s, "2")
	for title, commands := range reads {
		for write, command := range writes {
			t.Run(title+"/"+write, func(t *testing.T) {
				key := "{k}"
				if strings.Contains(commands[0], "long") {
					key = "{k}long"
				}
				writer.ask("SET " + key + " " + long + " EX 1000")
				l := listenTo(t, s, "3")
				l.ask("CLIENT TRACKING ON")
				l.send(commands...)
				for range commands {
					l.next()
				}
				if got := writer.ask(strings.ReplaceAll(command, "%s", key)); strings.HasPrefix(got, "ERR") {
					t.Fatal(got)
				}
				told := false
				for !told {
					switch got := l.next(); {
					case got == ">[invalidate ["+key+"]]":
						told = true
					case write != "FLUSHALL" || !strings.HasPrefix(got, ">[invalidate ["):
						t.Fatal(got)
					default:
						told = slices.Contains(strings.FieldsFunc(got, func(r rune) bool { return strings.ContainsRune(">[] ", r) }), key) // along with others
					}
				}
				writer.ask("SET " + key + " again")
				if write != "FLUSHALL" && write != "RENAME" {
					l.quiet("PONG")
				}
				l.send("RESET")
			})
		}
	}
}

// TestTrackingModes: who is told of what.
func TestTrackingModes(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	writer := listenTo(t, s, "2")
	id := func(l *listener) string { return l.ask("CLIENT ID") }
	t.Run("optin", func(t *testing.T) {
		l := listenTo(t, s, "3")
		l.ask("CLIENT TRACKING ON OPTIN")
		for _, command := range []string{"GET a", "CLIENT CACHING YES", "GET b", "GET c", "CLIENT CACHING YES", "MULTI", "GET {d}", "GET {d}2", "EXEC", "GET e"} {
			l.ask(command)
		}
		for _, k := range strings.Fields("a b c {d} {d}2 e") {
			writer.ask("SET " + k + " v")
		}
		l.wantStale("b", "{d}", "{d}2")
		l.quiet("PONG")
	})
	t.Run("optout", func(t *testing.T) {
		l := listenTo(t, s, "3")
		l.ask("CLIENT TRACKING ON OPTOUT")
		for _, command := range []string{"GET a", "CLIENT CACHING NO", "GET b", "CLIENT CACHING NO", "GET", "GET c"} {
			l.ask(command)
		}
		for _, k := range strings.Fields("a b c") {
			writer.ask("SET " + k + " v")
		}
		l.wantStale("a", "c")
		l.quiet("PONG")
	})
	t.Run("prefixes", func(t *testing.T) {
		l := listenTo(t, s, "3")
		l.ask("CLIENT TRACKING ON BCAST PREFIX user: PREFIX a PREFIX longer:prefix:")
		for _, k := range strings.Fields("user:1 use other a ab longer:prefix: longer:prefi") {
			writer.ask("SET " + k + " v")
		}
		l.wantStale("user:1", "a", "ab", "longer:prefix:")
		l.quiet("PONG")
		l.ask("CLIENT TRACKING OFF")
		l.ask("CLIENT TRACKING ON BCAST")
		writer.ask("SET whatever v")
		for !strings.Contains(l.next(), "whatever") { // what was under way may come, too
		}
	})
	t.Run("own writes", func(t *testing.T) {
		l := listenTo(t, s, "3")
		l.ask("CLIENT TRACKING ON NOLOOP")
		l.ask("GET a")
		l.send("SET a 1")
		l.want("OK", ">[invalidate [a]]")
		l.send("MULTI", "GET a", "SET a 2", "EXEC")
		l.want("OK", "QUEUED", "QUEUED", "[1 OK]", ">[invalidate [a]]")
	})
	t.Run("redirected", func(t *testing.T) {
		for _, proto := range []string{"2", "3"} {
			to, l := listenTo(t, s, proto), listenTo(t, s, "3")
			told := ">[invalidate [a]]"
			target := id(to)
			if proto == "2" {
				told = "[message __redis__:invalidate [a]]"
				to.want2("SUBSCRIBE __redis__:invalidate", "[subscribe __redis__:invalidate 1]")
			}
			l.want2("CLIENT TRACKING ON REDIRECT "+target, "OK")
			l.want2("CLIENT GETREDIR", target)
			l.ask("GET a")
			writer.ask("SET a v")
			to.want(told)
			l.quiet("PONG")
			l.ask("GET a")
			_ = to.nc.Close()
			l.want(">[tracking-redir-broken " + target + "]")
			writer.ask("SET a v")
			l.quiet("PONG")
			l.want2("CLIENT TRACKINGINFO", "[flags [on broken_redirect] redirect "+target+" prefixes []]")
		}
	})
}

// wantStale wants to be told of keys, in one or several messages.
func (l *listener) wantStale(keys ...string) {
	l.t.Helper()
	for told := []string{}; !slices.Equal(told, keys); {
		got := l.next()
		list, ok := strings.CutPrefix(got, ">[invalidate [")
		if told = append(told, strings.Fields(strings.TrimSuffix(list, "]]"))...); !ok || len(told) > len(keys) {
			l.t.Fatalf("%s: %v, want %v", got, told, keys)
		}
	}
}

func (l *listener) want2(command, reply string) {
	l.t.Helper()
	l.send(command)
	l.want(reply)
}

// TestTrackingBefore: a key is known to the tracker before its value is read.
func TestTrackingBefore(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	for i, commands := range [][]string{{"GET {k}"}, {"SET {k}a 1", "GET {k}"}, {"MGET {k} {k}b"}, {"MULTI", "GET {k}", "EXEC"}} {
		l := listenTo(t, s, "3")
		l.ask("CLIENT TRACKING ON")
		before := s.notifier.tracker.stats().items
		s.lanes.Of(ring.PartitionOf(ring.SlotOf("{k}"), 4)).InTurn(func(*replica.Core, int64) {
			l.send(commands...)
			c.wait(fmt.Sprint(commands, ": the tracker knows"), func() bool { return s.notifier.tracker.stats().items > before })
		})
		for range commands {
			l.next()
		}
		if n := s.notifier.tracker.stats().items - before; n != []int{1, 1, 2, 1}[i] {
			t.Errorf("%v: %d keys are known", commands, n)
		}
	}
}

// TestTrackingAfterReply: what changed after a read is told after the reply that has what was
// read, also where that is made long after, or stands behind others.
func TestTrackingAfterReply(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	n := s.notifier
	writer := listenTo(t, s, "2")
	stale := func(name string) func() bool {
		return func() bool {
			n.tracker.mu.Lock()
			defer n.tracker.mu.Unlock()
			return n.tracker.parts[ring.PartitionOf(ring.SlotOf(name), 4)][name] == nil
		}
	}
	t.Run("made long after", func(t *testing.T) {
		for _, mode := range []string{"CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST PREFIX k"} {
			writer.ask("SET k old")
			l := listenTo(t, s, "3")
			l.ask(mode)
			l.send("MULTI", "GET k", "PUBSUB NUMPAT")
			l.want("OK", "QUEUED", "QUEUED")
			n.mu.Lock() // PUBSUB waits for it, with what GET has read
			l.send("EXEC")
			c.wait("PUBSUB waits", func() bool {
				stacks := make([]byte, 4<<20)
				return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "sayPubSubNumPat(")
			})
			writer.send("SET k new")
			got := writer.next()
			n.mu.Unlock()
			if got != "OK" {
				t.Fatal(got)
			}
			l.want("[old 0]", ">[invalidate [k]]")
			l.send("RESET")
		}
	})
	t.Run("behind others", func(t *testing.T) {
		names := map[int]string{} // by lane
		for i := 0; len(names) < 2; i++ {
			name := fmt.Sprint("k", i)
			names[s.lanes.Index(ring.PartitionOf(ring.SlotOf(name), 4))] = name
		}
		slow, k := names[0], names[1]
		writer.ask("SET " + k + " 1")
		l := listenTo(t, s, "3")
		l.ask("CLIENT TRACKING ON")
		l.send("GET " + k)
		l.want("1")
		s.lanes[0].InTurn(func(*replica.Core, int64) {
			l.send("GET " + slow)
			c.wait("it is asked", func() bool { return !stale(slow)() })
			writer.ask("SET " + k + " 2")
			c.wait("the client is to be told", stale(k))
			l.send("GET " + k)
			c.wait("it is read again", func() bool { return !stale(k)() })
			writer.ask("SET " + k + " 3")
			c.wait("the client is to be told again", stale(k))
		})
		l.want("nil", ">[invalidate ["+k+"]]")
		if got := l.next(); got == "2" || got == "3" {
			l.want(">[invalidate [" + k + "]]")
			l.quiet("PONG")
		} else {
			t.Fatalf("%s in front of the reply", got)
		}
	})
}

// cache is what a client keeps that follows the protocol: a value from its reply on, until it
// is told that it is old.
type cache struct {
	l     *listener
	kept  map[string]string
	stale int
}

// take takes the next thing that comes; push says that it was no reply.
func (k *cache) take() (v wire.Value, push bool) {
	v, err := k.l.r.ReadValue()
	if err != nil {
		k.l.t.Error(err)
		return v, false
	}
	if push = v.Kind == wire.KindPush; push && v.Array[1].IsNil() {
		clear(k.kept)
	} else if push {
		k.stale++
		for _, key := range v.Array[1].Array {
			delete(k.kept, key.Text())
		}
	}
	return v, push
}

func (k *cache) reply() wire.Value {
	for {
		if v, push := k.take(); !push {
			return v
		}
	}
}

// TestCachesAgree plays clients that keep what they read, by every way of reading, and others
// that write: when all is quiet whatever is kept is what is stored.
func TestCachesAgree(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST"} {
		t.Run(mode, func(t *testing.T) { testCachesAgree(t, mode, trackerBytesMax) })
	}
	t.Run("little room", func(t *testing.T) { testCachesAgree(t, "CLIENT TRACKING ON", 3*readerBytes) })
}

func testCachesAgree(t *testing.T, mode string, bytesMax int64) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	s.notifier.tracker.bytesMax = bytesMax
	const keys, writers, readers, writes = 6, 4, 4, 300
	key := func(i int) string { return fmt.Sprintf("{%d}k", i) }
	var number atomic.Int64
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for range writers {
		w := listenTo(t, s, "2")
		writing.Go(func() {
			for range writes {
				k, n := key(rand.IntN(keys)), number.Add(1)
				command := fmt.Sprintf("SET %s %d", k, n)
				switch n % 8 {
				case 1:
					command = "DEL " + k
				case 2:
					command = fmt.Sprintf("SET %s %d%s", k, n, strings.Repeat("x", 2*directBytesMax))
				case 3:
					command = fmt.Sprintf("MSET %s %d %sb 2", k, n, k)
				case 4:
					command = "INCR " + k
				}
				w.send(command)
				w.next()
			}
		})
	}
	caches := make([]*cache, readers)
	for i := range caches {
		k := &cache{l: listenTo(t, s, "3"), kept: make(map[string]string)}
		k.l.ask(mode)
		caches[i] = k
		reading.Go(func() {
			for !done.Load() {
				k.read(key(rand.IntN(keys)))
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	other := listenTo(t, s, "2")
	other.ask("SET last v") // nobody is told of it before all else
	for i, k := range caches {
		k.kept["last"] = "old"
		for strings.Contains(mode, "BCAST") && k.kept["last"] != "" {
			k.take()
		}
		delete(k.kept, "last")
		for range 2 { // see quiet
			k.l.send("PING")
			k.reply()
		}
		if k.stale == 0 {
			t.Errorf("client %d was told nothing", i)
		}
		for name, kept := range k.kept {
			if got := other.ask("GET " + name); got != kept {
				t.Errorf("client %d keeps %.20s of %s, which is %.20s", i, kept, name, got)
			}
		}
	}
}

// read reads a key in one of several ways, and keeps what comes.
func (k *cache) read(name string) {
	keep := func(v wire.Value) { k.kept[name] = render(v) }
	switch rand.IntN(5) {
	case 0:
		k.l.send("GET " + name)
		keep(k.reply())
	case 1:
		k.l.send("GET x", "GET "+name, "GET y")
		k.reply()
		keep(k.reply())
		k.reply()
	case 2:
		k.l.send("SET mine 1", "GET "+name)
		k.reply()
		keep(k.reply())
	case 3:
		k.l.send("MGET " + name + "b " + name)
		if v := k.reply(); len(v.Array) == 2 {
			keep(v.Array[1])
		}
	case 4:
		k.l.send("MULTI", "PTTL "+name, "GET "+name, "EXEC")
		for range 3 {
			k.reply()
		}
		if v := k.reply(); len(v.Array) == 2 {
			keep(v.Array[1])
		}
	}
}

// TestTrackerModel plays a tracker against a simple one.
func TestTrackerModel(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	tr := newTracker()
	tr.bytesMax = 40 * readerBytes
	rng := rand.New(rand.NewPCG(3, 3))
	type reader struct {
		*cacher
		reads map[string]bool
	}
	var readers []*reader
	held := make([]*conn, 5)
	for i := range held {
		ours, theirs := net.Pipe()
		defer ours.Close()
		held[i] = s.frontend.Open(theirs).Session().(*conn)
		held[i].post.speaks(true, false)
		held[i].post.hold() // what it is told is looked at here
	}
	told := func(r *reader, name string) {
		post := &r.own.mu.next
		if at := slices.Index(post.keys, name); at < 0 && !post.all {
			t.Fatalf("a reader was not told of %s", name)
		}
		delete(r.reads, name)
	}
	for step := range 20_000 {
		p := ring.PartitionID(rng.IntN(3))
		name := fmt.Sprint(p, "/", rng.IntN(20))
		switch n := rng.IntN(100); {
		case len(readers) < len(held) && n < 20:
			r := &reader{&cacher{own: &held[len(readers)].post}, map[string]bool{}}
			r.told = r.own
			tr.join(r.cacher, nil)
			readers = append(readers, r)
		case len(readers) == 0:
		case n < 70:
			r := readers[rng.IntN(len(readers))]
			tr.remember(r.cacher, p, []byte(name))
			r.reads[name] = true
		case n < 90:
			tr.changed(p, name)
			tr.broadcast(name)
			for _, r := range readers {
				if r.reads[name] {
					told(r, name)
				}
			}
		case n < 95:
			tr.end(p)
			tr.tellEnded()
			for _, r := range readers {
				for name := range maps.Clone(r.reads) {
					if strings.HasPrefix(name, fmt.Sprint(p, "/")) {
						told(r, name)
					}
				}
			}
		case n < 97:
			r := readers[len(readers)-1]
			tr.leave(r.cacher)
			r.own.empty()
			readers = readers[:len(readers)-1]
		}
		items := 0
		for _, r := range readers { // what was evicted was told
			for name := range r.reads {
				if k := tr.parts[ring.PartitionID(name[0]-'0')][name]; k == nil || !slices.Contains(k.readers, r.cacher) {
					told(r, name)
				}
			}
			items += len(r.reads)
		}
		if st := tr.stats(); st.items != items || st.bytes > tr.bytesMax {
			t.Fatalf("step %d: %+v, want %d items", step, st, items)
		}
		if step%50 == 0 {
			for _, c := range held {
				c.post.empty()
			}
			for _, r := range readers {
				clear(r.reads)
				tr.leave(r.cacher)
				tr.join(r.cacher, nil)
			}
		}
	}
	for _, r := range readers {
		tr.leave(r.cacher)
	}
	for _, c := range held {
		c.post.empty()
	}
	if st := tr.stats(); st != (trackerStats{}) || tr.oldest != nil || tr.newest != nil || s.frontend.Held() != 0 {
		t.Errorf("%+v is left, %d bytes are held", st, s.frontend.Held())
	}
}
