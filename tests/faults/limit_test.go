package faults

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/tests/harness"
)

// idle connects to a server until it takes no more clients. The connections say
// nothing; closing them makes room again.
func idle(t *testing.T, n *harness.Node) (free func()) {
	t.Helper()
	var conns []net.Conn
	free = func() {
		for _, c := range conns {
			_ = c.Close() // never used
		}
		conns = nil
	}
	t.Cleanup(free)
	harness.Eventually(t, n.Name+" takes no more clients", func() bool {
		c, err := plainDial(t.Context(), "tcp", n.Addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		return full(t, n.Addr)
	})
	return free
}

// full reports whether a server turns a new client away.
func full(t *testing.T, addr string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), doneWithin)
	defer cancel()
	c, err := wire.Dial(ctx, addr, plainDial, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Do(ctx, []byte("PING"))
	return err != nil
}

var plainDial = (&net.Dialer{}).DialContext

// rejected is a server's own count of the connections that it turned away.
func rejected(t *testing.T, c *wire.Conn) string {
	t.Helper()
	v, err := c.Do(t.Context(), []byte("INFO"), []byte("stats"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(v.Text()) {
		if n, ok := strings.CutPrefix(line, "rejected_connections:"); ok {
			return n
		}
	}
	t.Fatalf("INFO says nothing of rejected connections: %q", v.Text())
	return ""
}

// copyLength is how long a server's own copy of a key is; 0 where it has none.
func copyLength(t *testing.T, s *admin.Server, key string, partitions int) (n uint64) {
	t.Helper()
	for c, err := range s.Copies(t.Context(), ring.PartitionOf(ring.SlotOf(key), partitions)) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Key == key {
			n = c.Length
		}
	}
	return n
}

// appender appends to a key, by the library or by a gateway. It reports whether what
// it was told is that the outcome is unknown.
type appender func(ctx context.Context, key, value string) (length int64, unknown bool, err error)

func byLibrary(t *testing.T, c *harness.Cluster) appender {
	cl := c.Open()
	return func(ctx context.Context, key, value string) (int64, bool, error) {
		n, err := cl.Append(ctx, key, []byte(value))
		return n, errors.Is(err, client.ErrUnknownOutcome), err
	}
}

func byGateway(t *testing.T, c *harness.Cluster) appender {
	addr := c.StartGateway()
	conn, err := wire.Dial(t.Context(), addr, plainDial, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func(ctx context.Context, key, value string) (int64, bool, error) {
		v, err := conn.Do(ctx, []byte("APPEND"), []byte(key), []byte(value))
		return v.Int, wire.IsCode(err, wire.CodeUnknownOutcome), err
	}
}

// fullPatience is how long the library is let try where there will be no room: longer
// than it takes until somebody else is primary.
const fullPatience = 5 * time.Second

// TestAnswerAtLimit has an append take effect whose answer is lost with the primary,
// while the servers that come after it take no more clients. What the client is told
// is the append's own answer, or that its outcome is unknown, and never that it was
// refused.
func TestAnswerAtLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		by   func(*testing.T, *harness.Cluster) appender
		room bool // there is room again while the client asks
		slow bool
		wait time.Duration // for the answer
	}{
		{"library, full to the end", byLibrary, false, true, fullPatience},
		{"gateway, full to the end", byGateway, false, true, doneWithin}, // it has a patience of its own
		{"library, room in time", byLibrary, true, true, doneWithin},
		{"gateway, room in time", byGateway, true, false, doneWithin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.slow {
				harness.Slow(t)
			}
			t.Parallel()
			c := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true, ServerFlags: []string{"--max-connections", "12"}})
			testAnswerAtLimit(t, c, tt.by(t, c), tt.room, tt.wait)
		})
	}
}

func testAnswerAtLimit(t *testing.T, c *harness.Cluster, ask appender, room bool, wait time.Duration) {
	const key, first, second = "log", "first;", "second;"
	if n, _, err := ask(t.Context(), key, first); err != nil || n != int64(len(first)) {
		t.Fatalf("the first append: %d, %v", n, err)
	}
	nodes := c.Acting(key, 3)
	primary, backup, paused := nodes[0], nodes[1], nodes[2]
	partitions := len(c.Admin.View().Partitions)
	watch, err := admin.DialServer(t.Context(), backup.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	var freed []func()
	var infos []*wire.Conn
	for _, n := range []*harness.Node{backup, paused} {
		conn, err := wire.Dial(t.Context(), n.Addr, plainDial, wire.DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		infos, freed = append(infos, conn), append(freed, idle(t, n))
	}
	before := []string{rejected(t, infos[0]), rejected(t, infos[1])}

	paused.Pause()
	type answer struct {
		length  int64
		unknown bool
		err     error
	}
	told := make(chan answer, 1)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	go func() {
		n, unknown, err := ask(ctx, key, second)
		told <- answer{n, unknown, err}
	}()
	harness.Eventually(t, "the append is with a backup", func() bool {
		return copyLength(t, watch, key, partitions) == uint64(len(first+second))
	})
	primary.Kill()
	paused.Resume()
	if room {
		// It is not where it had a connection before, which a busy machine brings about.
		harness.Eventually(t, "the client is turned away, or answered", func() bool {
			return len(told) > 0 || rejected(t, infos[0]) != before[0] || rejected(t, infos[1]) != before[1]
		})
		for _, free := range freed {
			free()
		}
	}
	a := <-told
	for _, free := range freed {
		free()
	}
	for _, n := range []*harness.Node{backup, paused} { // it hears of the ends in its own time
		harness.Eventually(t, n.Name+" has room again", func() bool { return !full(t, n.Addr) })
	}
	value, err := c.Client.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("told: %d, %v; the value is %q", a.length, a.err, value.Bytes)
	if n := strings.Count(string(value.Bytes), second); n > 1 {
		t.Errorf("appended %d times: %q", n, value.Bytes)
	}
	switch {
	case a.err == nil && (a.length != int64(len(first+second)) || string(value.Bytes) != first+second):
		t.Errorf("the append answered %d, the value is %q", a.length, value.Bytes)
	case a.err != nil && !a.unknown:
		t.Errorf("told as definite: %v; the value is %q", a.err, value.Bytes)
	case a.err != nil && room:
		t.Errorf("there was room again, and the answer is %v", a.err)
	}
}
