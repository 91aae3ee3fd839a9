package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/secure"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
)

// redisClient is a cluster-aware client of one goroutine: it follows MOVED, and comes
// again while nothing was done.
type redisClient struct {
	t     *testing.T
	addrs []string
	addr  string
	conn  *wire.Conn
}

func (c *cluster) redisClient(t *testing.T) *redisClient {
	k := &redisClient{t: t}
	for _, s := range c.servers {
		k.addrs = append(k.addrs, s.Addr())
	}
	slices.Sort(k.addrs)
	return k
}

func (k *redisClient) close() {
	if k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}

// errAgain says that a connection is lost or was changed: what it had begun is over.
var errAgain = errors.New("begin again")

// once sends a command to where the last one went. A move to another server is
// errAgain.
func (k *redisClient) once(ctx context.Context, args ...string) (wire.Value, error) {
	if k.conn == nil {
		if k.addr == "" {
			k.addr = k.addrs[0]
			k.addrs = append(k.addrs[1:], k.addr)
		}
		var err error
		if k.conn, err = wire.Dial(ctx, k.addr, (&net.Dialer{}).DialContext, wire.DefaultLimits); err != nil {
			k.conn, k.addr = nil, ""
			return wire.Value{}, errAgain
		}
	}
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	v, err := k.conn.Do(ctx, b...)
	var reply *wire.ServerError
	switch {
	case err == nil:
		return v, nil
	case !errors.As(err, &reply):
		k.close()
		k.addr = ""
		return v, errAgain
	case reply.Code == wire.CodeMoved:
		k.close()
		_, k.addr, _ = wire.ParseMoved(reply.Error())
		return v, errAgain
	case reply.Code == wire.CodeErr, reply.Code == wire.CodeUnknownOutcome:
		return v, err
	}
	k.close() // UNAVAILABLE and the like: nothing was done
	return v, errAgain
}

// do sends a command until it is answered.
func (k *redisClient) do(args ...string) (wire.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	for {
		v, err := k.once(ctx, args...)
		if !errors.Is(err, errAgain) {
			return v, err
		}
		if !wait.For(ctx, time.Millisecond) {
			return v, err
		}
	}
}

// transfer moves one from an account to another, under WATCH. False: try again.
func (k *redisClient) transfer(ctx context.Context, from, to string) (done, unknown bool) {
	steps := [][]string{{"WATCH", from, to}, {"GET", from}, {"GET", to}, {"MULTI"}, nil, nil, {"EXEC"}}
	var got []wire.Value
	for i, step := range steps {
		if step == nil {
			n, err := strconv.Atoi(got[i-3].Text())
			if err != nil {
				k.t.Errorf("%s and %s: %q, %q", from, to, got[1].Text(), got[2].Text())
				return true, false
			}
			if step = []string{"SET", from, strconv.Itoa(n - 1)}; i == 5 {
				step = []string{"SET", to, strconv.Itoa(n + 1)}
			}
		}
		v, err := k.once(ctx, step...)
		if wire.IsCode(err, wire.CodeUnknownOutcome) {
			return true, true
		}
		if err != nil {
			k.close() // ends the MULTI
			return false, i == len(steps)-1
		}
		got = append(got, v)
	}
	return !got[len(got)-1].IsNil(), false
}

// TestTransfers moves money between accounts under WATCH while others look at all of
// them at once, and servers join and crash: the sum is always there.
func TestTransfers(t *testing.T) {
	t.Parallel()
	const accounts, each, movers, rounds = 4, 1000, 4, 60
	c := startCluster(t, 3, 16, 2)
	setup := c.redisClient(t)
	defer setup.close()
	var names []string
	for i := range accounts {
		names = append(names, fmt.Sprintf("{bank}%d", i))
		if _, err := setup.do("SET", names[i], strconv.Itoa(each)); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(v wire.Value) (n int) {
		for _, e := range v.Array {
			m, err := strconv.Atoi(e.Text())
			if err != nil {
				t.Errorf("%q", e.Text())
			}
			n += m
		}
		return n
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*testWait)
	defer cancel()
	var moving, looking sync.WaitGroup
	var transfers, aborts, looks atomic.Int64
	var over atomic.Bool
	for m := range movers {
		k := c.redisClient(t)
		moving.Go(func() {
			defer k.close()
			for i := 0; i < rounds; {
				done, unknown := k.transfer(ctx, names[(m+i)%accounts], names[(m+i+1)%accounts])
				if done || unknown { // either way it is all or nothing
					i++
					transfers.Add(1)
				} else {
					aborts.Add(1)
					wait.For(ctx, time.Millisecond)
				}
				if ctx.Err() != nil {
					t.Error("no progress")
					return
				}
			}
		})
	}
	for i := range 2 {
		k := c.redisClient(t)
		looking.Go(func() {
			defer k.close()
			for !over.Load() && ctx.Err() == nil {
				v, err := wire.Value{}, error(nil)
				if i == 0 {
					v, err = k.do(append([]string{"MGET"}, names...)...)
				} else {
					v, err = k.snapshot(ctx, names)
				}
				if err == nil && sum(v) != accounts*each {
					t.Errorf("a sum of %d: %v", sum(v), v)
					return
				}
				looks.Add(1)
			}
		})
	}
	c.join(crashdisk.Mem())
	c.waitBalanced()
	slot := ring.SlotOf(names[0])
	v, _ := c.leader.view()
	primary := v.Partitions[ring.PartitionOf(slot, 16)].Primary()
	if err := c.servers[primary].Close(); err != nil {
		t.Error(err)
	}
	delete(c.servers, primary)
	c.leader.expire(primary)
	moving.Wait()
	over.Store(true)
	looking.Wait()
	final, err := setup.do(append([]string{"MGET"}, names...)...)
	if err != nil || sum(final) != accounts*each {
		t.Errorf("at the end %v, %v", final, err)
	}
	t.Logf("%d transfers, %d to be tried again, looked at %d times", transfers.Load(), aborts.Load(), looks.Load())
}

// snapshot reads keys between MULTI and EXEC.
func (k *redisClient) snapshot(ctx context.Context, names []string) (wire.Value, error) {
	steps := [][]string{{"MULTI"}}
	for _, n := range names {
		steps = append(steps, []string{"GET", n})
	}
	for _, step := range steps {
		if _, err := k.once(ctx, step...); err != nil {
			k.close()
			return wire.Value{}, errAgain
		}
	}
	v, err := k.once(ctx, "EXEC")
	if err != nil {
		k.close()
	}
	return v, err
}

// TestReadModifyWrite has clients change one key at once, by commands that read it
// first and by those that do not: none is lost.
func TestReadModifyWrite(t *testing.T) {
	const clients, rounds = 6, 40
	c := startCluster(t, 3, 8, 2)
	var all sync.WaitGroup
	for i := range clients {
		k := c.redisClient(t)
		all.Go(func() {
			defer k.close()
			for range rounds {
				command := []string{"INCRBYFLOAT", "sum", "1"}
				if i%2 == 1 {
					command = []string{"INCR", "sum"}
				}
				if _, err := k.do(command...); err != nil {
					t.Errorf("%v: %v", command, err)
				}
				if _, err := k.do("SETRANGE", "places", strconv.Itoa(i), strconv.Itoa(i)); err != nil {
					t.Errorf("setrange: %v", err)
				}
				if v, err := k.do("GETSET", "places", "012345"[:i+1]+strings.Repeat("x", clients-i-1)); err != nil || len(v.Bytes) < i+1 {
					t.Errorf("getset: %q, %v", v.Bytes, err)
				}
			}
		})
	}
	all.Wait()
	c.expect("sum", strconv.Itoa(clients*rounds))
}

// TestMixedPipeline sends what takes the short way and what does not in one pipeline:
// each sees what came before it.
func TestMixedPipeline(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	nc, err := net.Dial("tcp", c.servers[1].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const rounds = 300
	round := []struct{ command, want string }{
		{"SET k hello", "OK"}, {"SETRANGE k 1 EY", "5"}, {"GET k", "hEYlo"}, {"APPEND k !", "6"}, {"GETSET k 1", "hEYlo!"},
		{"INCR k", "2"}, {"INCRBYFLOAT k 0.5", "2.5"}, {"MSET {k}a x {k}b y", "OK"}, {"EXISTS k {k}a {k}b", "3"}, {"DBSIZE", "3"},
		{"MULTI", "OK"}, {"RENAME {k}a {k}c", "QUEUED"}, {"EXEC", ""}, {"GET {k}c", "x"}, {"DEL k {k}b {k}c", "3"}, {"DBSIZE", "0"},
	}
	go func() {
		var out bytes.Buffer
		for range rounds {
			for _, step := range round {
				out.WriteString(step.command + "\r\n")
			}
		}
		_, _ = nc.Write(out.Bytes())
	}()
	r := wire.NewReader(nc, wire.DefaultLimits)
	for i := range rounds {
		for _, step := range round {
			if v, err := r.ReadValue(); err != nil || v.Text() != step.want {
				t.Fatalf("round %d, %s: %q, %v, want %q", i, step.command, v.Text(), err, step.want)
			}
		}
	}
}

// TestMultiMoved queues commands at a server that is not the keys' primary.
func TestMultiMoved(t *testing.T) {
	c := startCluster(t, 3, 16, 2)
	v, _ := c.leader.view()
	primary := v.Partitions[ring.PartitionOf(ring.SlotOf("k"), 16)].Primary()
	other := primary%3 + 1
	conn := dial(t, c.servers[other].Addr())
	for _, command := range []string{"MGET k {k}x", "SETRANGE k 0 x", "WATCH k", "MSET k 1 {k}x 2", "RENAME k {k}x", "EXPIRE k 10 NX"} {
		if _, err := ask(t, conn, strings.Fields(command)...); !wire.IsCode(err, wire.CodeMoved) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if _, err := ask(t, conn, "MULTI"); err != nil {
		t.Fatal(err)
	}
	_, err := ask(t, conn, "SET", "k", "v")
	var reply *wire.ServerError
	if !errors.As(err, &reply) {
		t.Fatalf("queued: %v", err)
	}
	if _, addr, ok := wire.ParseMoved(reply.Error()); !ok || addr != c.servers[primary].Addr() {
		t.Errorf("%v, want %s", reply, c.servers[primary].Addr())
	}
	if _, err := ask(t, conn, "EXEC"); err == nil || !strings.HasPrefix(err.Error(), "EXECABORT") {
		t.Errorf("EXEC: %v", err)
	}
	k := c.redisClient(t)
	defer k.close()
	if v, err := k.do("GETSET", "k", "v"); err != nil || !v.IsNil() {
		t.Errorf("after MOVED: %v, %v", v, err)
	}
}

// TestWait counts the copies that there are.
func TestWait(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 8, 2)
	v, _ := c.leader.view()
	primary := v.Partitions[ring.PartitionOf(ring.SlotOf("k"), 8)].Primary()
	conn := dial(t, c.servers[primary].Addr())
	copies := func(args ...string) int64 {
		t.Helper()
		v, err := ask(t, conn, append([]string{"WAIT"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return v.Int
	}
	if _, err := ask(t, conn, "SET", "k", "v"); err != nil {
		t.Fatal(err)
	}
	if n := copies("2", "0"); n != 2 {
		t.Errorf("%d of 2 backups", n)
	}
	if n := copies("3", "20"); n != 2 {
		t.Errorf("%d of 2 backups", n)
	}
	victim := primary%3 + 1
	if err := c.servers[victim].Close(); err != nil {
		t.Error(err)
	}
	delete(c.servers, victim)
	c.leader.expire(victim)
	for _, command := range []string{"MULTI", "WAIT 9 0", "EXEC"} { // there it does not wait
		if v, err := ask(t, conn, strings.Fields(command)...); err != nil || command == "EXEC" && len(v.Array) != 1 {
			t.Errorf("%s: %v, %v", command, v, err)
		}
	}
	c.wait("one backup", func() bool { return copies("2", "1") == 1 })
	waited := make(chan int64)
	go func() { waited <- copies("2", "0") }()
	c.join(c.fs[victim])
	if n := <-waited; n != 2 {
		t.Errorf("%d backups after the return", n)
	}
}

// TestPassword: nothing is done for who has not said it.
func TestPassword(t *testing.T) {
	c := startCluster(t, 0, 8, 1)
	opts := c.options(crashdisk.Mem())
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if opts.Secure, err = secure.Load(secure.Files{Password: file}); err != nil {
		t.Fatal(err)
	}
	s := c.start(opts)
	conn := dial(t, s.Addr())
	const wrongPassword = "WRONGPASS invalid username-password pair or user is disabled."
	for _, step := range []struct {
		command []string
		want    string
	}{
		{[]string{"GET", "k"}, secure.NoAuth},
		{[]string{wire.CmdParts}, secure.NoAuth},
		{[]string{"MULTI"}, secure.NoAuth},
		{[]string{"HELLO", "3"}, secure.HelloNoAuth},
		{[]string{"AUTH", "open"}, wrongPassword},
		{[]string{"AUTH", "someone", "open sesame"}, wrongPassword},
		{[]string{"HELLO", "3", "AUTH", "default", "x"}, wrongPassword},
		{[]string{"PING"}, secure.NoAuth},
		{[]string{"AUTH", "open sesame"}, "OK"},
		{[]string{"PING"}, "PONG"},
		{[]string{"RESET"}, "RESET"},
		{[]string{"PING"}, secure.NoAuth},
		{[]string{"HELLO", "2", "AUTH", "default", "open sesame"}, ""},
		{[]string{"PING"}, "PONG"},
	} {
		v, err := ask(t, conn, step.command...)
		if got := v.Text(); got != step.want {
			t.Errorf("%q: %q, %v, want %q", step.command, got, err, step.want)
		}
	}
}
