package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/tests/harness"
)

// What a client may take is bounded, at servers and gateways, and whoever goes too
// far is told so, counted, and disturbs nobody.
func TestBounds(t *testing.T) {
	t.Parallel()
	bounds := []string{"--max-connections", "40", "--max-pipeline", "100", "--max-request", "100000", "--max-buffered", "2000000", "--write-timeout", "300ms"}
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, ServerFlags: bounds, Direct: true})
	s := harness.NewShell(t, cluster.Leader.Addr)
	gateway := harness.FreeAddr(t)
	g := s.Start(append([]string{"gateway", "--listen", gateway}, bounds...)...)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	for what, addr := range map[string]string{"server": cluster.Servers[0].Addr, "gateway": gateway} {
		t.Run(what, func(t *testing.T) {
			testLargeRequest(t, addr)
			testSlowReader(t, addr, s)
			testCrowd(t, addr)
		})
	}
	cluster.WaitBalanced() // the crowd has parted no servers
	var o struct{ Servers []map[string]any }
	harness.Eventually(t, "query_servers shows what was refused", func() bool {
		if err := json.Unmarshal([]byte(s.OK("query_servers", "--json")), &o); err != nil {
			t.Fatal(err)
		}
		for _, m := range o.Servers {
			if m["clients_refused"].(float64) > 0 && m["clients_cut_off"].(float64) > 0 && m["requests_refused"].(float64) > 0 {
				return true
			}
		}
		return false
	})
}

func dialPlain(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func testLargeRequest(t *testing.T, addr string) {
	c := dialPlain(t, addr)
	fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$200000\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "-ERR Protocol error: protocol limit exceeded") {
		t.Errorf("a request of 200000 bytes: %q, %v", answer, err)
	}
}

// testSlowReader asks for much and reads nothing of it.
func testSlowReader(t *testing.T, addr string, s *harness.Shell) {
	key := "large"
	if r := s.Run(strings.Repeat("x", 90_000), "setr", key, "-"); r.Code != 0 {
		t.Fatalf("setr: %s", r.Stderr)
	}
	c := dialPlain(t, addr)
	fmt.Fprintf(c, "ECHO %s\r\n", strings.Repeat("y", 50_000))
	go func() { // ends when the other side hangs up
		line := []byte(fmt.Sprintf("ECHO %s\r\n", strings.Repeat("y", 50_000)))
		for range 2000 {
			if _, err := c.Write(line); err != nil {
				return
			}
		}
	}()
	harness.Eventually(t, "a slow reader is cut off", func() bool { return strings.Contains(info(t, addr), "client_output_buffer_limit_disconnections:1") })
}

// info is what INFO says; nothing while there are too many connections.
func info(t *testing.T, addr string) string {
	t.Helper()
	c := dialPlain(t, addr)
	defer c.Close()
	fmt.Fprintf(c, "INFO stats\r\nQUIT\r\n")
	answer, err := io.ReadAll(c)
	if err != nil && !turnedAway(err) {
		t.Fatalf("INFO: %v", err)
	}
	return string(answer)
}

// turnedAway reports whether a connection ended as one does that was closed before
// what it sent was read: the reason may have been lost with it.
func turnedAway(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// testCrowd connects more than may.
func testCrowd(t *testing.T, addr string) {
	var crowd []net.Conn
	refused := 0
	for range 60 {
		c := dialPlain(t, addr)
		crowd = append(crowd, c)
		fmt.Fprintf(c, "PING\r\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		switch {
		case line == "+PONG\r\n":
		case strings.HasPrefix(line, "-ERR max number of clients reached") || turnedAway(err):
			refused++
		default:
			t.Fatalf("PING: %q, %v", line, err)
		}
	}
	if refused < 20 {
		t.Errorf("%d of 60 connections were refused, at most 40 may be", refused)
	}
	for _, c := range crowd {
		c.Close()
	}
	harness.Eventually(t, "there is room again", func() bool { return strings.Contains(info(t, addr), "rejected_connections") })
}
