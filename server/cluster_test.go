package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/store"
)

// testWait bounds what tests wait for.
const testWait = 2 * time.Minute

func testLogger() *slog.Logger {
	if os.Getenv("VIEWRING_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// cluster is servers in this process around a miniLeader.
type cluster struct {
	itemBytes int64
	t         *testing.T
	leader    *miniLeader
	fs        map[ring.ServerID]*crashdisk.FS
	servers   map[ring.ServerID]*Server
}

func startCluster(t *testing.T, servers, partitions, minCopies int) *cluster {
	t.Helper()
	return startClusterKeeping(t, servers, partitions, minCopies, 0)
}

// startClusterKeeping starts one whose servers keep so many bytes of items in
// memory; 0: the default.
func startClusterKeeping(t *testing.T, servers, partitions, minCopies int, itemBytes int64) *cluster {
	t.Helper()
	c := &cluster{t: t, itemBytes: itemBytes, leader: startMiniLeader(t, partitions, minCopies),
		fs: make(map[ring.ServerID]*crashdisk.FS), servers: make(map[ring.ServerID]*Server)}
	t.Cleanup(func() {
		for _, s := range c.servers {
			if err := s.Close(); err != nil {
				t.Errorf("close %v: %v", s.ID(), err)
			}
		}
	})
	for range servers {
		c.join(crashdisk.Mem())
	}
	c.waitBalanced()
	return c
}

func (c *cluster) options(fs disk.FS) Options {
	return Options{Listen: "127.0.0.1:0", Data: "data", LeaderAddrs: c.leader.addrs(), FS: fs, Logger: testLogger(),
		Lanes: 2, Console: io.Discard, ItemBytes: c.itemBytes, Store: store.Options{SegmentBytes: 1 << 20}}
}

func (c *cluster) join(fs *crashdisk.FS) *Server {
	c.t.Helper()
	s := c.start(c.options(fs))
	c.fs[s.ID()] = fs
	return s
}

func (c *cluster) start(opts Options) *Server {
	c.t.Helper()
	s, err := Start(context.Background(), opts)
	if err != nil {
		c.t.Fatal(err)
	}
	c.servers[s.ID()] = s
	return s
}

func (c *cluster) wait(what string, done func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(testWait)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-deadline.C:
			c.t.Fatalf("waited %v: %s", testWait, what)
		}
	}
}

// waitBalanced waits until everywhere acting = targets and no learner or stray is
// left.
func (c *cluster) waitBalanced() {
	c.t.Helper()
	c.wait("acting = targets everywhere", func() bool {
		v, _ := c.leader.view()
		table, err := ring.NewTable(v.Members, len(v.Partitions))
		if err != nil {
			c.t.Fatal(err)
		}
		for i := range v.Partitions {
			acting, targets := slices.Clone(v.Partitions[i].Acting), slices.Clone(table.Targets(ring.PartitionID(i)))
			slices.Sort(acting)
			slices.Sort(targets)
			if !slices.Equal(acting, targets) {
				return false
			}
		}
		for _, s := range c.servers {
			if st := s.stats(); s.lanes.Done() < v.Epoch || st.Learners+st.Strays > 0 {
				return false
			}
		}
		return true
	})
}

// dial connects to a server as a client does.
func dial(t *testing.T, addr string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(context.Background(), addr, (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// do asks any server, follows MOVED and tries again while that may help.
func (c *cluster) do(args ...[]byte) (wire.Value, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	conns := make(map[string]*wire.Conn)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	addr := ""
	for {
		if addr == "" {
			for _, s := range c.servers {
				addr = s.Addr()
			}
		}
		conn := conns[addr]
		if conn == nil {
			var err error
			conn, err = wire.Dial(ctx, addr, (&net.Dialer{}).DialContext, wire.DefaultLimits)
			if err != nil {
				addr = ""
				if !wait.For(ctx, 5*time.Millisecond) {
					return wire.Value{}, err
				}
				continue
			}
			conns[addr] = conn
		}
		v, err := conn.Do(ctx, args...)
		var reply *wire.ServerError
		switch {
		case err == nil || ctx.Err() != nil:
			return v, err
		case !errors.As(err, &reply):
			delete(conns, addr)
			addr = ""
		case reply.Code == wire.CodeMoved:
			_, addr, _ = wire.ParseMoved(reply.Error())
		case reply.Code == wire.CodeErr:
			return v, err
		}
		if !wait.For(ctx, time.Millisecond) {
			return v, err
		}
	}
}

func (c *cluster) set(key, value string) {
	c.t.Helper()
	if _, err := c.do([]byte("SET"), []byte(key), []byte(value)); err != nil {
		c.t.Fatalf("set %q: %v", key, err)
	}
}

func (c *cluster) expect(key, want string) {
	c.t.Helper()
	v, err := c.do([]byte("GET"), []byte(key))
	if err != nil || v.Text() != want {
		c.t.Fatalf("get %q: %.60q, %v, want %.60q", key, v.Text(), err, want)
	}
}

func TestClusterKeepsData(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 16, 2)
	const keys = 200
	key := func(i int) string { return fmt.Sprintf("key %d", i) }
	for i := range keys {
		c.set(key(i), "value of "+key(i))
	}
	for i := range keys {
		c.expect(key(i), "value of "+key(i))
	}
	if v, err := c.do([]byte("DEL"), []byte(key(0))); err != nil || v.Int != 1 {
		t.Errorf("delete: %v, %v", v, err)
	}
	c.expect(key(0), "")

	t.Run("a join", func(t *testing.T) {
		c.t = t
		c.join(crashdisk.Mem())
		c.waitBalanced()
		for i := 1; i < keys; i++ {
			c.expect(key(i), "value of "+key(i))
		}
	})
	t.Run("a crash", func(t *testing.T) {
		c.t = t
		if err := c.servers[2].Close(); err != nil {
			t.Error(err)
		}
		delete(c.servers, 2)
		c.leader.expire(2)
		for i := 1; i < keys; i++ {
			c.expect(key(i), "value of "+key(i))
		}
		c.set("while 2 is away", "x")
	})
	t.Run("its return", func(t *testing.T) {
		c.t = t
		c.join(c.fs[2])
		c.waitBalanced()
		c.expect("while 2 is away", "x")
		for i := 1; i < keys; i++ {
			c.expect(key(i), "value of "+key(i))
		}
	})
	t.Run("taken for dead", func(t *testing.T) {
		c.t = t
		c.leader.expire(3)
		c.waitBalanced()
		if v, _ := c.leader.view(); !v.Member(3).Up {
			t.Error("3 did not come back")
		}
	})
}

func TestPipelineInOrder(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	nc, err := net.Dial("tcp", c.servers[1].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const n = 3 * 1024
	go func() {
		var out bytes.Buffer
		for i := range n {
			out.Write(wire.AppendCommand(nil, []byte("SET"), fmt.Append(nil, "k", i), fmt.Append(nil, i)))
			out.Write(wire.AppendCommand(nil, []byte("GET"), fmt.Append(nil, "k", i)))
			out.Write(wire.AppendCommand(nil, []byte("ECHO"), fmt.Append(nil, i)))
		}
		_, _ = nc.Write(out.Bytes())
	}()
	r := wire.NewReader(nc, wire.DefaultLimits)
	for i := range n {
		for _, want := range []string{"OK", fmt.Sprint(i), fmt.Sprint(i)} {
			v, err := r.ReadValue()
			if err != nil || v.Text() != want {
				t.Fatalf("reply %d: %q, %v, want %q", i, v.Text(), err, want)
			}
		}
	}
}

// TestLargeValues replicates values at the limit, several at once, and copies them
// to a server that joins.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 4, 2)
	value := bytes.Repeat([]byte("0123456789abcdef"), largeBytes/16)
	done := make(chan error)
	const keys = 2
	for i := range keys {
		go func() {
			_, err := c.do([]byte("SET"), fmt.Append(nil, "large", i), value)
			done <- err
		}()
	}
	for range keys {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	c.join(crashdisk.Mem())
	c.waitBalanced()
	for i := range keys {
		c.expect(fmt.Sprint("large", i), string(value))
	}
}

// TestSlowReader has a client ask for much and read nothing: others are served,
// and what is held for it stays within bounds.
func TestSlowReader(t *testing.T) {
	const value, bound = 1 << 20, 32 << 20 // the kernel buffers much less than half of it
	c := startCluster(t, 0, 4, 1)
	opts := c.options(crashdisk.Mem())
	opts.Bounds.Buffered = bound
	s := c.start(opts)
	c.waitBalanced()
	c.set("large", string(make([]byte, value)))
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(bytes.Repeat(wire.AppendCommand(nil, []byte("GET"), []byte("large")), 500)); err != nil {
		t.Fatal(err)
	}
	c.wait("the connection holds what it may", func() bool { return s.frontend.Held() > bound/2 })
	if held := s.frontend.Held(); held > bound {
		t.Errorf("%d bytes held for one connection", held)
	}
	c.set("k", "v")
	c.expect("k", "v")
}

// TestIdleConnections opens many connections that say nothing.
func TestIdleConnections(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	for range 2000 {
		nc, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	c.wait("all are taken", func() bool { return s.frontend.Connected() >= 2000 })
	c.set("k", "v")
	c.expect("k", "v")
}

// cutDialer dials like the network until an address is cut off; its connections
// then break.
type cutDialer struct {
	mu    sync.Mutex
	cut   map[string]bool
	conns map[net.Conn]string
}

func (d *cutDialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut[addr] {
		return nil, errors.New("cut off")
	}
	nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		d.conns[nc] = addr
	}
	return nc, err
}

func (d *cutDialer) cutOff(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut[addr] = true
	for nc, to := range d.conns {
		if to == addr {
			_ = nc.Close()
		}
	}
}

// TestUnreachableBackup cuts one server off from another that the view leader still
// reaches: it has the other ejected, and writes go on.
func TestUnreachableBackup(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, leader: startMiniLeader(t, 4, 2), fs: map[ring.ServerID]*crashdisk.FS{}, servers: map[ring.ServerID]*Server{}}
	dialer := &cutDialer{cut: map[string]bool{}, conns: map[net.Conn]string{}}
	for i := range 3 {
		o := c.options(crashdisk.Mem())
		if i == 0 {
			o.Dial = dialer.dial
		}
		s, err := Start(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c.servers[s.ID()] = s
	}
	c.waitBalanced()
	dialer.cutOff(c.servers[2].Addr())
	for i := range 8 {
		c.set(fmt.Sprint("k", i), "v")
	}
	v, _ := c.leader.view()
	for i := range v.Partitions {
		if p := &v.Partitions[i]; p.Primary() == 1 && p.IsActing(2) {
			t.Errorf("partition %d: 1 leads and 2, which it can't reach, still acts", i)
		}
	}
}

// TestRebalanceRate copies to a joining server at a limited rate, at which fetches
// wait much longer than learners do before they ask again.
func TestRebalanceRate(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 32, 1)
	for i := range 64 {
		c.set(fmt.Sprint("k", i), string(make([]byte, 32<<10)))
	}
	o := c.options(crashdisk.Mem())
	o.RebalanceRate = 512 << 10
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	c.servers[s.ID()] = s
	began := time.Now()
	c.waitBalanced()
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("2 MiB took %v at 512 KiB/s", took)
	}
}
