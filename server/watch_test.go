package server

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// watching is a connection on which a server tells of changes.
type watching struct {
	t  testing.TB
	nc net.Conn
	r  *wire.Reader
}

// watchesOf opens a connection to a server; what is told must be read by told.
func watchesOf(t testing.TB, s *Server) *watching {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(testWait)); err != nil {
		t.Fatal(err)
	}
	return &watching{t, nc, wire.NewReader(nc, wire.DefaultLimits)}
}

func (w *watching) send(words ...string) {
	w.t.Helper()
	args := make([][]byte, len(words))
	for i := range words {
		args[i] = []byte(words[i])
	}
	if _, err := w.nc.Write(wire.AppendCommand(nil, args...)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watching) watch(q wire.WatchRequest) {
	w.t.Helper()
	w.send(wire.CmdWatch, string(wire.AppendWatchRequest(nil, &q)))
}

// reply reads the answer to a command.
func (w *watching) reply() wire.Value {
	w.t.Helper()
	v, err := w.r.ReadValue()
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// told reads what is pushed next.
func (w *watching) told() wire.Told {
	w.t.Helper()
	v := w.reply()
	if v.Kind != wire.KindPush || len(v.Array) != 2 || string(v.Array[0].Bytes) != wire.PushTold {
		w.t.Fatalf("%+v is no push of what is watched", v)
	}
	t, err := wire.DecodeTold(v.Array[1].Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// partitionOf is a key's, of four.
func partitionOf(key string) ring.PartitionID { return ring.PartitionOf(ring.SlotOf(key), 4) }

// primaryOf returns the server that is primary of a partition.
func (c *cluster) primaryOf(p ring.PartitionID) *Server {
	for _, s := range c.servers {
		if v := s.views.View(); v.Partitions[p].Primary() == s.ID() {
			return s
		}
	}
	c.t.Fatal("nobody is the primary")
	return nil
}

func (c *cluster) watched() (n int) {
	for _, s := range c.servers {
		n += s.lanes.Watches()
	}
	return n
}

// TestWatchCommands: one connection watches, is refused, stops and leaves, and nothing of it
// stays.
func TestWatchCommands(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	s := c.primaryOf(partitionOf("a"))
	w := watchesOf(t, s)
	w.watch(wire.WatchRequest{ID: 1, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Slot: ring.SlotOf("a"), Name: []byte("a"), Values: true})
	if v := w.reply(); string(v.Bytes) != "OK" {
		t.Fatalf("answered %+v", v)
	}
	if got := w.told(); got.Kind != wire.TellBegun {
		t.Fatalf("told %+v", got)
	}
	for what, request := range map[string]string{
		"the same number": string(wire.AppendWatchRequest(nil, &wire.WatchRequest{ID: 1, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Prefix: true})),
		"no partition":    string(wire.AppendWatchRequest(nil, &wire.WatchRequest{ID: 2, Partition: 4, Now: true, Space: wire.UserSpace, Prefix: true})),
		"another space":   string(wire.AppendWatchRequest(nil, &wire.WatchRequest{ID: 2, Partition: partitionOf("a"), Now: true, Space: byte(replica.SpaceSystem), Prefix: true})),
		"a long name":     string(wire.AppendWatchRequest(nil, &wire.WatchRequest{ID: 2, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Prefix: true, Name: make([]byte, wire.KeyBytesMax+1)})),
		"garbage":         "garbage",
	} {
		w.send(wire.CmdWatch, request)
		if v := w.reply(); v.Kind != wire.KindError {
			t.Errorf("%s: %+v", what, v)
		}
	}
	c.set("a", "1")
	if got := w.told(); got.Kind != wire.TellChanged || string(got.Changes[0].Name) != "a" || string(got.Changes[0].Value) != "1" {
		t.Errorf("told %+v", got)
	}
	w.send(wire.CmdUnwatch, "1")
	w.send(wire.CmdUnwatch, "77")
	w.send(wire.CmdUnwatch, "x")
	for _, want := range []wire.Kind{wire.KindSimple, wire.KindSimple, wire.KindError} {
		if v := w.reply(); v.Kind != want {
			t.Errorf("%+v, not %c", v, want)
		}
	}
	for i := range uint64(50) {
		w.watch(wire.WatchRequest{ID: 10 + i, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Prefix: true, Name: []byte(strings.Repeat("x", int(i)))})
	}
	c.wait("50 watches", func() bool { return c.watched() == 50 })
	w.nc.Close()
	c.wait("no watch", func() bool { return c.watched() == 0 })
	if held := s.frontend.Held(); held != 0 {
		t.Errorf("%d bytes are held after the connection has ended", held)
	}
}

// TestWatchElsewhere: who is not the primary says so.
func TestWatchElsewhere(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	for _, s := range c.servers {
		if s == c.primaryOf(partitionOf("a")) {
			continue
		}
		w := watchesOf(t, s)
		w.watch(wire.WatchRequest{ID: 1, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Prefix: true})
		w.reply()
		if got := w.told(); got.Kind != wire.TellEnded || got.Why != wire.WhyMoved || got.Epoch == 0 {
			t.Errorf("told %+v", got)
		}
	}
}

// TestWatchBounds: a connection has so many watches, and however many there are, others' requests
// have their memory.
func TestWatchBounds(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 4, 2)
	s := c.primaryOf(partitionOf("a"))
	w := watchesOf(t, s)
	watch := func(id uint64, name string) wire.Value {
		w.watch(wire.WatchRequest{ID: id, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Slot: ring.SlotOf("a"), Name: []byte(name)})
		for {
			if v := w.reply(); v.Kind != wire.KindPush {
				return v
			}
		}
	}
	for i := range uint64(watchesMax) {
		if v := watch(i, "a"); v.Kind == wire.KindError {
			t.Fatalf("watch %d: %+v", i, v)
		}
	}
	if v := watch(watchesMax, "a"); v.Kind != wire.KindError || !strings.HasPrefix(string(v.Bytes), wire.CodeBusy) {
		t.Errorf("one more: %+v", v)
	}
	if held := s.frontend.Held(); held > 1<<20 {
		t.Errorf("%d bytes of watches count as requests'", held)
	}
	w.nc.Close()
	c.wait("no watch", func() bool { return c.watched() == 0 && s.watchBytes.Load() == 0 })
	w = watchesOf(t, s)
	w.watch(wire.WatchRequest{ID: 1, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Prefix: true, Name: make([]byte, watchPrefixMax+1)})
	if v := w.reply(); v.Kind != wire.KindError {
		t.Errorf("a long prefix: %+v", v)
	}
}

// TestWatchUnread: a client that does not read is told of so much, all of it in order, and then
// that it is too slow. The server has no more for it than that.
func TestWatchUnread(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	s := c.primaryOf(partitionOf("a"))
	w := watchesOf(t, s)
	if err := w.nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if err := w.nc.SetDeadline(time.Now().Add(5 * testWait)); err != nil { // it is many megabytes
		t.Fatal(err)
	}
	w.watch(wire.WatchRequest{ID: 1, Partition: partitionOf("a"), Now: true, Space: wire.UserSpace, Prefix: true, Values: true})
	w.reply()
	begun := w.told()
	c.wait("the watch is counted", func() bool { return c.watched() == 1 }) // by the lane's next tick
	value := string(bytes.Repeat([]byte("v"), 1<<20))
	c.wait("a watch that is over", func() bool {
		c.set("a", value)
		return c.watched() == 0
	})
	if held := s.frontend.Held(); held > 2*tellBytesMax {
		t.Errorf("%d bytes are held for a client that does not read", held)
	}
	at, told := begun.Seq, 0
	for {
		got := w.told()
		if got.Kind == wire.TellEnded {
			if got.Why != wire.WhySlow || told == 0 {
				t.Errorf("ended by %+v after %d", got, told)
			}
			return
		}
		if got.Kind != wire.TellChanged || got.Seq != at+1 || string(got.Changes[0].Value) != value {
			t.Fatalf("told kind %d of %d after %d", got.Kind, got.Seq, at)
		}
		at, told = got.Seq, told+1
	}
}
