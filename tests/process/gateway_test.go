package process

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/tests/harness"
)

// dialRESP connects to a process as a Redis client does.
func dialRESP(t *testing.T, addr string) *wire.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := wire.Dial(ctx, addr, (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// show is a reply as people read it.
func show(v wire.Value, err error) string {
	switch {
	case err != nil:
		return "-" + strings.TrimPrefix(err.Error(), "-")
	case v.IsNil():
		return "(nil)"
	case v.Kind == wire.KindArray:
		var all []string
		for _, e := range v.Array {
			all = append(all, show(e, e.Err()))
		}
		return "[" + strings.Join(all, " ") + "]"
	}
	return v.Text()
}

func ask(t *testing.T, c *wire.Conn, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var args [][]byte
	for word := range strings.FieldsSeq(command) {
		args = append(args, []byte(word))
	}
	return show(c.Do(ctx, args...))
}

// A gateway is one plain Redis with all keys.
func TestGateway(t *testing.T) {
	t.Parallel()
	s, _ := harness.Up(t)
	addr := harness.FreeAddr(t)
	g := s.Start("gateway", "--listen", addr)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	c := dialRESP(t, addr)
	for _, step := range [][2]string{
		{"PING", "PONG"}, {"SET a 1", "OK"}, {"GET a", "1"}, {"INCR a", "2"}, {"GET nobody", "(nil)"},
		{"SET a x NX", "(nil)"}, {"APPEND a 0", "2"}, {"DEL a", "1"}, {"DEL a", "0"},
		{"NONSENSE x", "-ERR unknown command 'NONSENSE', with args beginning with: 'x' "},
		{"GET", "-ERR wrong number of arguments for 'get' command"},
		{"CLUSTER SLOTS", "-ERR This instance has cluster support disabled"},
		{"EXEC", "-ERR EXEC without MULTI"}, {"MULTI", "OK"}, {"MULTI", "-ERR MULTI calls can not be nested"},
		{"SET {t}a 1", "QUEUED"}, {"SET {u}b 1", "-CROSSSLOT Keys in request don't hash to the same slot"},
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors."}, {"GET {t}a", "(nil)"},
		{"FLUSHALL", "OK"}, {"DBSIZE", "0"}, {"RANDOMKEY", "(nil)"}, {"KEYS *", "[]"},
		{"MSET a 1 b 2 c 3 d 4", "OK"}, {"MGET a b nobody c", "[1 2 (nil) 3]"}, {"EXISTS a b nobody a", "3"}, {"DBSIZE", "4"},
		{"DEL b c nobody", "2"}, {"KEYS a*", "[a]"}, {"UNLINK d a", "2"}, {"RANDOMKEY", "(nil)"},
		{"SET only x", "OK"}, {"RANDOMKEY", "only"}, {"WAIT 2 1000", "2"}, {"MSETNX a 1 b 2", "-CROSSSLOT Keys in request don't hash to the same slot"},
		{"MSETNX {x}a 1 {x}b 2", "1"}, {"GETSET {x}a 5", "1"}, {"INCRBYFLOAT {x}a 0.5", "5.5"},
		{"MULTI", "OK"}, {"INCR {x}b", "QUEUED"}, {"GET {x}b", "QUEUED"}, {"EXEC", "[3 3]"},
		{"WATCH {x}b", "OK"}, {"SET {x}b 7", "OK"}, {"MULTI", "OK"}, {"SET {x}b 8", "QUEUED"}, {"EXEC", "(nil)"}, {"GET {x}b", "7"},
		{"WATCH {x}b", "OK"}, {"GET {x}b", "7"}, {"MULTI", "OK"}, {"SET {x}b 8", "QUEUED"}, {"EXEC", "[OK]"}, {"GET {x}b", "8"},
		{"SET s v PX 100000", "OK"}, {"TTL s", "100"},
		{"SETBIT bits 6 1", "0"}, {"GETBIT bits 6", "1"}, {"GETBIT bits 7", "0"}, {"GET bits", "\x02"}, {"TTL bits", "-1"},
		{"MULTI", "OK"}, {"SETBIT bits 7 1", "QUEUED"}, {"GETBIT bits 7", "QUEUED"}, {"COMMAND COUNT", "-ERR Command not allowed inside a transaction"}, {"DISCARD", "OK"},
		{"HELLO x", "-ERR Protocol version is not an integer or out of range"}, {"CLIENT SETNAME me", "OK"}, {"CLIENT GETNAME", "me"}, {"SELECT 1", "-ERR DB index is out of range"},
	} {
		if got := ask(t, c, step[0]); got != step[1] {
			t.Errorf("%s: %s, want %s", step[0], got, step[1])
		}
	}
	if info := ask(t, c, "INFO"); !strings.Contains(info, "redis_version:"+redis.Version+"\r\n") || !strings.Contains(info, "redis_mode:standalone\r\n") || !strings.Contains(info, "cluster_enabled:0") {
		t.Errorf("INFO:\n%s", info)
	}
	testGatewayScan(t, c)
	if err := g.Cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-g.Done
	if code := g.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d after Ctrl-C", code)
	}
}

// SCAN and KEYS go through all servers.
func testGatewayScan(t *testing.T, c *wire.Conn) {
	const keys = 3000
	ask(t, c, "FLUSHALL")
	var set strings.Builder
	set.WriteString("MSET")
	for i := range keys {
		fmt.Fprintf(&set, " key/%d %d", i, i)
	}
	if got := ask(t, c, set.String()); got != "OK" {
		t.Fatalf("MSET of %d keys: %s", keys, got)
	}
	seen := map[string]int{}
	cursor, pages := "0", 0
	for pages == 0 || cursor != "0" {
		v, err := c.Do(t.Context(), []byte("SCAN"), []byte(cursor), []byte("MATCH"), []byte("key/*"), []byte("COUNT"), []byte("100"))
		if err != nil || len(v.Array) != 2 {
			t.Fatalf("SCAN %s: %s", cursor, show(v, err))
		}
		for _, name := range v.Array[1].Array {
			seen[name.Text()]++
		}
		cursor = v.Array[0].Text()
		pages++
	}
	if len(seen) != keys {
		t.Errorf("SCAN showed %d of %d keys in %d pages", len(seen), keys, pages)
	}
	if got := len(strings.Fields(ask(t, c, "KEYS key/*"))); got != keys {
		t.Errorf("KEYS showed %d of %d keys", got, keys)
	}
	if got := ask(t, c, "FLUSHALL") + ask(t, c, "DBSIZE"); got != "OK0" {
		t.Errorf("FLUSHALL and DBSIZE: %s", got)
	}
}

// While a server is killed a pipeline goes on: every increment is done exactly
// once, in order, and is answered.
func TestGatewayFailover(t *testing.T) {
	t.Parallel()
	cluster := harness.NewCluster(t, harness.Config{Servers: 4})
	addr := harness.FreeAddr(t)
	g := harness.NewShell(t, cluster.Leader.Addr).Start("gateway", "--listen", addr)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	c := dialRESP(t, addr)
	const keys, rounds = 64, 120
	killed := make(chan struct{})
	for round := 1; round <= rounds; round++ {
		if round == rounds/3 {
			victim := cluster.Acting("key/0", 1)[0]
			go func() { // while requests are under way
				victim.Kill()
				close(killed)
			}()
		}
		var answers [keys]<-chan wire.Result
		for k := range keys {
			p, err := c.Start(t.Context(), wire.AppendCommand(nil, []byte("INCR"), fmt.Appendf(nil, "key/%d", k)), 1, wire.Room{})
			if err != nil {
				t.Fatal(err)
			}
			answers[k] = p.Done()
		}
		for k, answer := range answers {
			select {
			case r := <-answer:
				if want := fmt.Sprintf(":%d\r\n", round); r.Err != nil || string(r.Raw) != want {
					t.Fatalf("round %d, key/%d: %q, %v; want %q", round, k, r.Raw, r.Err, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("round %d, key/%d: no answer", round, k)
			}
		}
	}
	<-killed
}
