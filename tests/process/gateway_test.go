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
	"viewring/tests/harness"
)

// dialRESP connects to a process as a Redis client does.
func dialRESP(t *testing.T, addr string) *wire.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var args [][]byte
	for word := range strings.FieldsSeq(command) {
		args = append(args, []byte(word))
	}
	return show(c.Do(ctx, args...))
}

// A gateway is one plain Redis with all keys.
func TestGateway(t *testing.T) {
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
	} {
		if got := ask(t, c, step[0]); got != step[1] {
			t.Errorf("%s: %s, want %s", step[0], got, step[1])
		}
	}
	if info := ask(t, c, "INFO"); !strings.Contains(info, "redis_mode:standalone") || !strings.Contains(info, "cluster_enabled:0") {
		t.Errorf("INFO:\n%s", info)
	}
	if err := g.Cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-g.Done
	if code := g.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d after Ctrl-C", code)
	}
}

// While a server is killed a pipeline goes on: every increment is done exactly
// once, in order, and is answered.
func TestGatewayFailover(t *testing.T) {
	cluster := harness.NewCluster(t, harness.Config{Servers: 4})
	addr := harness.FreeAddr(t)
	g := harness.NewShell(t, cluster.Leader.Addr).Start("gateway", "--listen", addr)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	c := dialRESP(t, addr)
	const keys, rounds = 64, 60
	for round := 1; round <= rounds; round++ {
		if round == rounds/3 {
			cluster.Acting("key/0")[0].Kill()
		}
		var answers [keys]<-chan wire.Result
		for k := range keys {
			p, err := c.Start(t.Context(), wire.AppendCommand(nil, []byte("INCR"), fmt.Appendf(nil, "key/%d", k)), 1)
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
}
