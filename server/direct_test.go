package server

import (
	"fmt"
	"net"
	"runtime"
	"strings"
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
			return s.lanes.Of(p).ReadNow(p, replica.MakeKey(slot, replica.SpaceUser, name), nil)
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
			s.lanes.Of(p).InTurn(func(*replica.Core, int64) {
				if a, ok := read(s, name); ok {
					t.Errorf("in the middle of a round %+v was read", a)
				}
			})
		}
	}
}

// TestReadAfterWrite sends a write and, apart from it, reads of the same key and of
// another, one by one and as a pipeline: the replies come in order, and reads see the write.
func TestReadAfterWrite(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	c.set("other", "o")
	nc, err := net.Dial("tcp", c.servers[1].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r := wire.NewReader(nc, wire.DefaultLimits)
	for i := range 400 {
		value := fmt.Sprint("v", i)
		written := [][][]string{{{"SET", "k", value}}, {{"GET", "k"}}, {{"GET", "other"}}, {{"GET", "k"}}}
		switch i % 3 {
		case 1:
			written = [][][]string{written[0], {written[1][0], written[2][0], written[3][0]}}
		case 2:
			written = [][][]string{{written[0][0], written[1][0], written[2][0], written[3][0]}}
		}
		for _, commands := range written {
			sendAll(t, nc, commands)
		}
		for _, want := range []string{"OK", value, "o", value} {
			got, err := r.ReadValue()
			if err != nil || got.Text() != want {
				t.Fatalf("set %d: %+v, %v instead of %s", i, got, err, want)
			}
		}
	}
}

// TestReadsBehindWrite: reads are not answered where they arrive while a write of their
// connection is under way, and are once it is not.
func TestReadsBehindWrite(t *testing.T) {
	cluster := startCluster(t, 1, 4, 1)
	cluster.set("k", "v")
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	c := cluster.servers[1].frontend.Open(theirs).Session().(*conn)
	write := &call{conn: c, style: replyWritten, write: func(w *wire.Writer) { w.WriteSimple("OK") }}
	c.Push(write)
	for range 2 {
		if err := c.runRead(redisCommand("get"), [][]byte{[]byte("k")}); err != nil {
			t.Fatal(err)
		}
	}
	gathered := func() (n int) {
		for _, events := range c.gathered {
			n += len(events)
		}
		return n
	}
	if c.readGathered(); gathered() != 2 {
		t.Fatal("a read overtook a write")
	}
	write.done.Store(true)
	go func() {
		for i := int(ring.PartitionOf(ring.SlotOf("k"), 4)) % len(c.gathered); len(c.gathered[i]) > 0; { // a tick may have the lane's turn
			c.readGathered()
			runtime.Gosched()
		}
	}()
	r := wire.NewReader(ours, wire.DefaultLimits)
	for _, want := range []string{"OK", "v", "v"} {
		if got, err := r.ReadValue(); err != nil || got.Text() != want {
			t.Fatalf("%+v, %v instead of %s", got, err, want)
		}
	}
}

// TestPipelineOfReads: replies come in the order of the commands, short and long ones,
// whoever writes them.
func TestPipelineOfReads(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	long := strings.Repeat("l", 32<<10)
	want := make(map[string]string)
	for i := range 20 {
		key := fmt.Sprint("k", i)
		if want[key] = fmt.Sprint("v", i); i >= 16 {
			want[key] = long + want[key]
		}
		c.set(key, want[key])
	}
	nc, err := net.Dial("tcp", c.servers[1].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r := wire.NewReader(nc, wire.DefaultLimits)
	for i := range 100 {
		var commands [][]string
		for j := range 32 {
			commands = append(commands, []string{"GET", fmt.Sprint("k", (i*7+j)%(16+i%8))}) // at times none is long, or some are absent
		}
		sendAll(t, nc, commands)
		for _, cmd := range commands {
			got, err := r.ReadValue()
			if err != nil || got.Text() != want[cmd[1]] {
				t.Fatalf("round %d: %s is %.20q, %v instead of %.20q", i, cmd[1], got.Text(), err, want[cmd[1]])
			}
		}
	}
}

// sendAll sends commands in one write.
func sendAll(t *testing.T, nc net.Conn, commands [][]string) {
	t.Helper()
	var b []byte
	for _, args := range commands {
		var cmd [][]byte
		for _, a := range args {
			cmd = append(cmd, []byte(a))
		}
		b = wire.AppendCommand(b, cmd...)
	}
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
}
