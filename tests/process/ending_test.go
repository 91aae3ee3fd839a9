package process

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"viewring/server/zk/jute"
	"viewring/tests/harness"
)

// underWay is a front of which a client has asked something that the servers do not answer yet.
type underWay struct {
	name, metrics string
	d             *harness.Daemon
	conn          net.Conn
	answered      func(*bufio.Reader) error
}

// TestEnding: a gateway and the fronts that are told to end by SIGTERM answer what is under way first. They let
// nobody new in meanwhile, and say that they are not ready; and so does a server that drains.
func TestEnding(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true, LeaderFlags: []string{"--partitions", "64"}, ServerFlags: []string{"--metrics", ":0"}})
	s := harness.NewShell(t, strings.Join(c.Options().Leaders, ","))
	testReadyInADrain(t, s, c.Servers[0])
	fronts := []*underWay{startFront(t, s, "gateway"), startFront(t, s, "zk"), startFront(t, s, "http")}
	nodes := append(slices.Clone(c.Servers), c.Leader)
	for _, n := range nodes {
		n.Pause()
	}
	for _, f := range fronts {
		f.begin(t)
	}
	for _, f := range fronts {
		_ = f.d.Cmd.Process.Signal(syscall.SIGTERM)
		harness.Eventually(t, f.name+" is not ready any more", func() bool {
			status, body := fetch(t, "http://"+f.metrics+"/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, f.name+": it lets ")
		})
		if nc, err := net.Dial("tcp", f.conn.RemoteAddr().String()); err == nil {
			nc.Close()
			t.Errorf("%s lets clients in while it ends", f.name)
		}
	}
	for _, n := range nodes {
		n.Resume()
	}
	for _, f := range fronts {
		if err := f.answered(bufio.NewReader(f.conn)); err != nil {
			t.Errorf("%s: what was under way: %v", f.name, err)
		}
		harness.Eventually(t, f.name+" ends", func() bool {
			select {
			case <-f.d.Done:
				return true
			default:
				return false
			}
		})
		if code := f.d.Cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with exit code %d", f.name, code)
		}
	}
}

// testReadyInADrain: /readyz of a server says that it drains, until it serves again.
func testReadyInADrain(t *testing.T, s *harness.Shell, n *harness.Node) {
	d := n.Daemon()
	d.Stderr.Wait(t, "metrics are served", d.Done)
	at := "http://" + metricsAddr.FindStringSubmatch(d.Stderr.Text())[1] + "/readyz"
	ready := func(wanted int, text string) {
		t.Helper()
		var status int
		var body string
		harness.Eventually(t, fmt.Sprintf("%s answers %d", at, wanted), func() bool { status, body = fetch(t, at); return status == wanted })
		if !strings.Contains(body, text) {
			t.Errorf("/readyz: %d, %q", status, body)
		}
	}
	ready(http.StatusOK, "ok")
	s.OK("drain", n.ID().String())
	ready(http.StatusServiceUnavailable, "server: ")
	s.OK("undrain", n.ID().String())
	ready(http.StatusOK, "ok")
}

func startFront(t *testing.T, s *harness.Shell, name string) *underWay {
	addr := harness.FreeAddr(t)
	f := &underWay{name: name, d: s.Start(name, "--listen", addr, "--metrics", ":0")}
	f.d.Stderr.Wait(t, "metrics are served", f.d.Done)
	f.metrics = metricsAddr.FindStringSubmatch(f.d.Stderr.Text())[1]
	harness.Eventually(t, name+" is ready", func() bool { status, _ := fetch(t, "http://"+f.metrics+"/readyz"); return status == http.StatusOK })
	f.conn = dialPlain(t, addr)
	if name == "zk" {
		zkAsk(t, f.conn, jute.AppendConnect(nil, &jute.Connect{Timeout: 30_000, Password: make([]byte, 16)}))
	}
	return f
}

// begin asks for something, and waits until the front has begun with it.
func (f *underWay) begin(t *testing.T) {
	t.Helper()
	switch f.name {
	case "gateway":
		fmt.Fprint(f.conn, "SET greeting hello\r\n")
		f.await(t, `viewring_gateway_request_bytes [1-9]`)
		f.answered = func(r *bufio.Reader) error { return wantLine(r, "+OK") }
	case "zk":
		_, _ = f.conn.Write(jute.AppendBytes(nil, jute.AppendRequest(nil, &jute.Request{Xid: 1, Op: jute.OpExists, Path: "/"})))
		f.await(t, `viewring_zk_requests_waiting 1`)
		f.answered = func(r *bufio.Reader) error {
			_, err := io.ReadFull(r, make([]byte, 20))
			return err
		}
	case "http":
		fmt.Fprint(f.conn, "PUT /f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
		f.answered = func(r *bufio.Reader) error { return wantLine(r, "HTTP/1.1 201") }
	}
}

// await waits until the metrics say so.
func (f *underWay) await(t *testing.T, pattern string) {
	t.Helper()
	harness.Eventually(t, f.name+" has begun", func() bool {
		_, scrape := fetch(t, "http://"+f.metrics+"/metrics")
		return regexp.MustCompile(`(?m)^` + pattern).MatchString(scrape)
	})
}

func wantLine(r *bufio.Reader, begin string) error {
	line, err := r.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, begin) {
		err = fmt.Errorf("answered %q", line)
	}
	return err
}
