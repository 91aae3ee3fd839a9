package server

import (
	"fmt"
	"net"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// TestReadNow asks lanes on the spot: they answer what is there and what is not, but
// not in the middle of a round, after one that failed, or for a partition that another
// server serves.
func TestReadNow(t *testing.T) {
	c := startCluster(t, 2, 4, 1)
	v, _ := c.leader.view()
	for i := range 8 {
		c.set(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for i := range 8 {
		name := fmt.Sprint("k", i)
		slot := ring.SlotOf(name)
		p := ring.PartitionOf(slot, len(v.Partitions))
		read := func(s *Server, name string) (replica.Answer, bool) {
			return s.laneOf(p).readNow(p, replica.MakeKey(slot, replica.SpaceUser, name), nil)
		}
		for id, s := range c.servers {
			if id != v.Partitions[p].Primary() {
				if a, ok := read(s, name); ok {
					t.Errorf("%v is not primary of %s and says %+v", id, name, a)
				}
				continue
			}
			c.wait("the value is read on the spot", func() bool { // a tick may come between
				a, ok := read(s, name)
				return ok && a.Status == replica.StatusOK && string(a.Value) == fmt.Sprint("v", i)
			})
			c.wait("an absent key is read on the spot", func() bool {
				a, ok := read(s, "absent")
				return ok && a.Status == replica.StatusNotFound
			})
			l := s.laneOf(p)
			l.turn.Lock()
			if a, ok := read(s, name); ok {
				t.Errorf("in the middle of a round %+v was read", a)
			}
			l.failed = true
			l.turn.Unlock()
			for range 20 { // of which a tick takes some
				if a, ok := read(s, name); ok {
					t.Fatalf("after a round that failed %+v was read", a)
				}
			}
			l.turn.Lock()
			l.failed = false
			l.turn.Unlock()
		}
	}
}

// TestReadAfterWrite sends a write and, apart from it, a read of the same key and one of
// another: the replies come in order, and the first read sees the write.
func TestReadAfterWrite(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	c.set("other", "o")
	nc, err := net.Dial("tcp", c.servers[1].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r := wire.NewReader(nc, wire.DefaultLimits)
	for i := range 200 {
		value := fmt.Sprint("v", i)
		for _, args := range [][]string{{"SET", "k", value}, {"GET", "k"}, {"GET", "other"}} {
			var b [][]byte
			for _, a := range args {
				b = append(b, []byte(a))
			}
			if _, err := nc.Write(wire.AppendCommand(nil, b...)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"OK", value, "o"} {
			got, err := r.ReadValue()
			if err != nil || got.Text() != want {
				t.Fatalf("set %d: %+v, %v instead of %s", i, got, err, want)
			}
		}
	}
}

// TestOneWriter: while the replies that a client does not take are being written, the
// connection's reading goroutine writes none, though no call is in line any more.
func TestOneWriter(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	c.set("large", string(make([]byte, 8<<20)))
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil { // so that it fills
		t.Fatal(err)
	}
	if _, err := nc.Write(wire.AppendCommand(nil, []byte("GET"), []byte("large"))); err != nil {
		t.Fatal(err)
	}
	conn := s.clients.of(nc.LocalAddr().String())
	c.wait("the reply is being written", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.mu.writing && len(conn.mu.calls) == 0
	})
	if conn.takeWriter() {
		t.Fatal("two goroutines write replies")
	}
	if _, err := wire.NewReader(nc, wire.DefaultLimits).ReadValue(); err != nil {
		t.Fatal(err)
	}
	c.wait("the reply is written", conn.takeWriter)
	conn.leaveWriter()
}

// of returns the connection of a client's address, once it is there.
func (k *clients) of(addr string) (found *conn) {
	for found == nil {
		k.mu.Lock()
		for c, info := range k.mu.all {
			if info.addr == addr {
				found = c
			}
		}
		k.mu.Unlock()
	}
	return found
}
