package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/viewleader/roster"
)

func ask(t *testing.T, c *wire.Conn, args ...string) (wire.Value, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	return c.Do(ctx, b...)
}

// TestRedisConnection: what the corpus can't hold, because it differs from server to
// server or ends the connection.
func TestRedisConnection(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	conn := dial(t, c.servers[1].Addr())
	if v, err := ask(t, conn, "COMMAND", "COUNT"); err != nil || v.Int != int64(len(redis.Table)) {
		t.Errorf("%v, %v", v, err)
	}
	for command, want := range map[string]string{
		"CLIENT SETINFO LIB-NAME x": "OK", "CLIENT SETINFO lib-ver 1.2": "OK", "CLIENT SETINFO x y": "ERR Unrecognized option 'x'",
		"CLIENT SETINFO lib-ver \x01": "ERR lib-ver cannot contain spaces, newlines or special characters.", "CLIENT NO-TOUCH on": "OK",
	} {
		v, err := ask(t, conn, strings.Fields(command)...)
		if got := v.Text(); got != want {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
	if v, err := ask(t, conn, "CLIENT", "LIST"); err != nil || !strings.Contains(v.Text(), " lib-name=x lib-ver=1.2\n") {
		t.Errorf("%q, %v", v.Text(), err)
	}
	for _, command := range []string{"CLUSTER SLOTS", "CLUSTER SHARDS", "COMMAND", "HELLO", "HELLO 3"} {
		if v, err := ask(t, conn, strings.Fields(command)...); err != nil || len(v.Array) == 0 {
			t.Errorf("%s: %+v, %v", command, v, err)
		}
	}
	if v, err := ask(t, conn, "GET", "absent"); err != nil || !v.IsNil() {
		t.Errorf("an absent key under RESP3: %+v, %v", v, err)
	}
	if v, err := ask(t, conn, "QUIT"); err != nil || v.Text() != "OK" {
		t.Errorf("quit: %+v, %v", v, err)
	}
	<-conn.Done()
}

// TestTableIsServed: every row of the table has a way to be carried out, and nothing is in
// our hands that the table does not leave there.
func TestTableIsServed(t *testing.T) {
	left := maps.Clone(hosted)
	for _, cmd := range redisCommands {
		h, ours := hosted[cmd.row.Name]
		delete(left, cmd.row.Name)
		switch {
		case cmd.run == nil && len(cmd.row.Subs) == 0:
			t.Errorf("nobody carries out %s", cmd.row.Name)
		case ours && (cmd.row.Talks() || cmd.row.Evaluates()):
			t.Errorf("%s is carried out in two ways", cmd.row.Name)
		case (h.part != nil) != (cmd.row.Gateway.Way == redis.ToAll):
			t.Errorf("%s has parts for gateways or has not", cmd.row.Name)
		}
	}
	for name := range left {
		t.Errorf("there is no %s", name)
	}
}

func TestOwnCommands(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	s := c.servers[1]
	conn := dial(t, s.Addr())
	for i := range 20 {
		c.set(fmt.Sprint("key", i), "replicated")
	}
	if v, err := ask(t, conn, wire.CmdLSet, "key1", "mine"); err != nil || v.Text() != "OK" {
		t.Fatalf("set local: %v, %v", v, err)
	}
	c.expect("key1", "replicated")
	if v, err := ask(t, conn, wire.CmdLGet, "key1"); err != nil || v.Text() != "mine" {
		t.Errorf("get local: %v, %v", v, err)
	}
	if v, err := ask(t, conn, wire.CmdLGet, "key2"); err != nil || !v.IsNil() {
		t.Errorf("get an absent local name: %v, %v", v, err)
	}
	var names []string
	for cursor := ""; ; {
		v, err := ask(t, conn, wire.CmdKeys, cursor, "3")
		if err != nil {
			t.Fatal(err)
		}
		page, err := wire.DecodeKeysPage(v.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Names {
			names = append(names, fmt.Sprint(n.Local, n.Name))
		}
		if cursor = string(page.Next); cursor == "" {
			break
		}
	}
	if len(names) != 21 || !slices.Contains(names, "truekey1") || !slices.Contains(names, "falsekey19") {
		t.Errorf("names %v", names)
	}
	checkCopies(t, conn, 20, "replicated")
	for _, bad := range [][]string{{wire.CmdKeys, "", "0"}, {wire.CmdKeys, "", "x"}, {wire.CmdCopies, "8", "", "1"},
		{wire.CmdViewOf, "x"}, {wire.CmdDo, "\x09"}, {wire.CmdFrame, "x"}} {
		if _, err := ask(t, conn, bad...); !wire.IsCode(err, wire.CodeErr) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	v, err := ask(t, conn, wire.CmdViewOf, "0")
	if err != nil {
		t.Fatal(err)
	}
	if view, err := ring.DecodeView(v.Bytes, nil); err != nil || view.Member(1) == nil {
		t.Errorf("view: %v, %v", view, err)
	}
	if v, err := ask(t, conn, wire.CmdViewOf, "999999"); err != nil || !v.IsNil() {
		t.Errorf("a view newer than any: %v, %v", v, err)
	}
}

func checkCopies(t *testing.T, conn *wire.Conn, want int, value string) {
	t.Helper()
	v, err := ask(t, conn, wire.CmdParts)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := wire.DecodeParts(v.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	copies := 0
	for _, p := range parts {
		for cursor := ""; ; {
			v, err := ask(t, conn, wire.CmdCopies, fmt.Sprint(p), cursor, "2")
			if err != nil {
				t.Fatal(err)
			}
			page, err := wire.DecodeCopiesPage(v.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page.Copies {
				if k.Corrupt || k.Length != uint64(len(value)) || k.Sum != xxhash.Sum64String(value) || k.Seq == 0 {
					t.Errorf("copy %+v", k)
				}
				copies++
			}
			if cursor = string(page.Next); cursor == "" {
				break
			}
		}
	}
	if copies != want {
		t.Errorf("%d copies, want %d", copies, want)
	}
}

// lockedBuffer is a console that a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestPrint(t *testing.T) {
	leader := startMiniLeader(t, 8, 1)
	c := &cluster{t: t, leader: leader}
	var out lockedBuffer
	o := c.options(crashdisk.Mem())
	o.Console = &out
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn := dial(t, s.Addr())
	for _, text := range []string{"hello", "", "two\nlines\xff", "gr\u00fcn\x1b[31mred\a"} {
		if v, err := ask(t, conn, wire.CmdPrint, text); err != nil || v.Text() != "OK" {
			t.Errorf("print: %v, %v", v, err)
		}
	}
	// What a terminal would obey is shown instead.
	if want := "hello\n\n" + `two\nlines\xff` + "\n" + `grün\x1b[31mred\a` + "\n"; out.String() != want {
		t.Errorf("console %q, want %q", out.String(), want)
	}
}

func TestDoRequests(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	conn := dial(t, c.servers[1].Addr())
	do := func(q wire.DoRequest) (wire.DoReply, error) {
		v, err := ask(t, conn, wire.CmdDo, string(wire.AppendDoRequest(nil, &q)))
		if err != nil {
			return wire.DoReply{}, err
		}
		return wire.DecodeDoReply(v.Bytes)
	}
	id := wire.DoRequest{Client: [16]byte{9}, Born: time.Now().UnixMilli()}
	add := id
	add.Number, add.Op, add.Key, add.Value = 1, wire.DoAppend, []byte("log"), []byte("line")
	for range 3 { // one request id: done once
		if p, err := do(add); err != nil || p.Status != wire.DoOK || p.Number != 4 {
			t.Fatalf("append: %+v, %v", p, err)
		}
	}
	got, err := do(wire.DoRequest{Key: []byte("log")})
	if err != nil || string(got.Value) != "line" || got.Seq == 0 {
		t.Fatalf("get: %+v, %v", got, err)
	}
	set := id
	set.Number, set.Op, set.Key, set.Cond, set.Term, set.Seq = 2, wire.DoSet, []byte("log"), wire.DoIfVersion, got.Term, got.Seq
	if p, err := do(set); err != nil || p.Status != wire.DoOK {
		t.Errorf("set at the present version: %+v, %v", p, err)
	}
	set.Number = 3
	if p, err := do(set); err != nil || p.Status != wire.DoCondFailed {
		t.Errorf("set at an old version: %+v, %v", p, err)
	}
	big := id
	big.Number, big.Op, big.Key, big.Value = 4, wire.DoSet, []byte("big"), make([]byte, wire.ValueBytesMax+1)
	if _, err := do(big); !wire.IsCode(err, wire.CodeTooLarge) {
		t.Errorf("a value over the limit: %v", err)
	}
	big.Value = big.Value[1:]
	if p, err := do(big); err != nil || p.Status != wire.DoOK {
		t.Errorf("a value at the limit: %+v, %v", p, err)
	}
	if p, err := do(wire.DoRequest{Key: []byte("big")}); err != nil || !bytes.Equal(p.Value, big.Value) {
		t.Errorf("read it back: %d bytes, %v", len(p.Value), err)
	}
	if _, err := do(wire.DoRequest{Key: make([]byte, wire.KeyBytesMax+1)}); !wire.IsCode(err, wire.CodeTooLarge) {
		t.Errorf("a key over the limit: %v", err)
	}
	if p, err := do(wire.DoRequest{Key: nil, Op: wire.DoSet, Value: []byte("x")}); err != nil || p.Status != wire.DoOK {
		t.Errorf("the empty key: %+v, %v", p, err)
	}
}

func TestMoved(t *testing.T) {
	c := startCluster(t, 3, 16, 2)
	v, _ := c.leader.view()
	moved := 0
	for i := range 50 {
		key := fmt.Sprint("k", i)
		slot := ring.SlotOf(key)
		primary := v.Partitions[ring.PartitionOf(slot, 16)].Primary()
		for id, s := range c.servers {
			_, err := ask(t, dial(t, s.Addr()), "SET", key, "v")
			if id == primary {
				if err != nil {
					t.Errorf("at the primary: %v", err)
				}
				continue
			}
			var reply *wire.ServerError
			if !errors.As(err, &reply) {
				t.Fatalf("at another server: %v", err)
			}
			at, addr, ok := wire.ParseMoved(reply.Error())
			if !ok || at != slot || addr != c.servers[primary].Addr() {
				t.Errorf("%v, want slot %d at %v", reply, slot, primary)
			}
			moved++
		}
	}
	if moved != 100 {
		t.Errorf("moved %d times", moved)
	}
}

// TestGarbage sends what is no protocol: an error and an end, and the server goes
// on for others.
func TestGarbage(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	for _, garbage := range []string{"*1\r\n$-5\r\n", "*2\r\n:1\r\n", "*99999999\r\n", "*1\r\n$99999999999\r\n", strings.Repeat("x", 1<<20)} {
		nc, err := net.Dial("tcp", c.servers[1].Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(testWait))
		_, _ = io.WriteString(nc, garbage)
		answer, _ := io.ReadAll(nc) // a reset is an end too
		if len(answer) > 0 && !strings.HasPrefix(string(answer), "-ERR Protocol error") {
			t.Errorf("%.20q: %q", garbage, answer)
		}
		_ = nc.Close()
	}
	for _, hello := range []wire.Hello{{}, {Cluster: [16]byte{1}, From: 2, To: 7}, {Cluster: [16]byte{1}, From: 1, To: 1}} {
		if _, err := ask(t, dial(t, c.servers[1].Addr()), wire.CmdLink, string(wire.AppendHello(nil, &hello))); !wire.IsCode(err, wire.CodeRefused) {
			t.Errorf("hello %+v: %v", hello, err)
		}
	}
	c.set("k", "v")
}

// TestFailedStoreStopsServer breaks the disk under a server: it stops and says why.
func TestFailedStoreStopsServer(t *testing.T) {
	leader := startMiniLeader(t, 8, 1)
	c := &cluster{t: t, leader: leader}
	broken := errors.New("the disk is gone")
	var failing atomic.Bool
	fs := crashdisk.Mem()
	fs.Watch(func(st crashdisk.Step) error {
		if failing.Load() && st.Kind == crashdisk.WriteSync {
			return broken
		}
		return nil
	})
	s, err := Start(context.Background(), c.options(fs))
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s.Addr())
	c.servers = map[ring.ServerID]*Server{s.ID(): s}
	c.set("k", "v")
	failing.Store(true)
	if _, err := ask(t, conn, "SET", "k", "w"); err == nil {
		t.Error("a write was acknowledged by a broken disk")
	}
	if err := s.Wait(); !errors.Is(err, broken) {
		t.Errorf("stopped with %v", err)
	}
}

// TestSecondProcess starts servers that the view leader must refuse.
func TestSecondProcess(t *testing.T) {
	leader := startMiniLeader(t, 8, 1)
	c := &cluster{t: t, leader: leader}
	disk := crashdisk.Mem()
	s, err := Start(context.Background(), c.options(disk))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(context.Background(), c.options(disk)); err == nil {
		t.Error("a second process on one data folder")
	}
	copied := disk.CrashClone(0, rand.New(rand.NewPCG(1, 2)))
	twin, err := Start(context.Background(), c.options(copied))
	if err != nil {
		t.Fatalf("the first start of a copy is taken for a restart: %v", err)
	}
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("the one that it replaces: %v", err)
	}
	late := disk.CrashClone(0, rand.New(rand.NewPCG(1, 2)))
	if _, err := Start(context.Background(), c.options(late)); !wire.IsCode(err, wire.CodeRefused) {
		t.Errorf("a second copy: %v", err)
	}
	if err := twin.Close(); err != nil {
		t.Error(err)
	}
}

// TestStopsWhileWaiting ends a server that never found a view leader.
func TestStopsWhileWaiting(t *testing.T) {
	c := &cluster{t: t, leader: startMiniLeader(t, 8, 1)}
	c.leader.stop()
	ctx, cancel := context.WithCancel(context.Background())
	o := c.options(crashdisk.Mem())
	started := make(chan error, 1)
	go func() {
		_, err := Start(ctx, o)
		started <- err
	}()
	cancel()
	if err := <-started; err == nil || !strings.Contains(err.Error(), "view leader") {
		t.Errorf("stopped: %v", err)
	}
}

// TestUnserved takes both holders of a partition for dead: the third server says
// so, and sends nobody to their addresses.
func TestUnserved(t *testing.T) {
	c := startCluster(t, 2, 16, 1)
	v, _ := c.leader.view()
	var dead []ring.Incarnated
	for id := ring.ServerID(1); id <= 2; id++ {
		if err := c.servers[id].Close(); err != nil { // or it would soon be back
			t.Fatal(err)
		}
		dead = append(dead, ring.Incarnated{ID: id, Incarnation: v.Member(id).Incarnation})
	}
	c.leader.apply(roster.Command{Kind: roster.KindExpire, Who: dead})
	third := c.join(crashdisk.Mem())
	key := "k"
	conn := dial(t, third.Addr())
	c.wait("the third server knows", func() bool {
		_, err := ask(t, conn, "GET", key)
		return wire.IsCode(err, wire.CodeClusterDown)
	})
	var reply *wire.ServerError
	if _, err := ask(t, conn, "SET", key, "v"); !errors.As(err, &reply) || reply.Code != wire.CodeClusterDown || !strings.Contains(reply.Message, "held last by s") {
		t.Errorf("SET: %v", err)
	}
	q := wire.DoRequest{Key: []byte(key), Op: wire.DoGet}
	if _, err := ask(t, conn, wire.CmdDo, string(wire.AppendDoRequest(nil, &q))); !wire.IsCode(err, wire.CodeUnavailable) {
		t.Errorf("%s: %v", wire.CmdDo, err)
	}
	if v, err := ask(t, conn, "CLUSTER", "INFO"); err != nil || !strings.Contains(v.Text(), "cluster_state:fail") {
		t.Errorf("CLUSTER INFO: %v, %v", v.Text(), err)
	}
}
