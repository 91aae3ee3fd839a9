package process

import (
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// harm is what a web page would have done: it empties a server or a gateway, and drains
// a server by the view leader.
const harm = "FLUSHALL\r\nVL.MEMBER drain s2\r\n*1\r\n$8\r\nFLUSHALL\r\n*3\r\n$9\r\nVL.MEMBER\r\n$5\r\ndrain\r\n$2\r\ns2\r\n"

const httpHeaders = "Host: 127.0.0.1\r\nOrigin: http://example.com\r\nContent-Type: text/plain\r\nContent-Length: 120\r\n\r\n"

// strangers are openings of other protocols, each followed by harm in the same packet.
// stays says that the connection may go on, and harm is left out: the first line is
// answered as an unknown command.
var strangers = []struct {
	name, opening string
	stays         bool
}{
	{name: "POST", opening: "POST / HTTP/1.1\r\n" + httpHeaders},
	{name: "GET / HTTP/1.1", opening: "GET / HTTP/1.1\r\n" + httpHeaders},
	{name: "OPTIONS", opening: "OPTIONS / HTTP/1.1\r\n" + httpHeaders},
	{name: "a method that is a command", opening: "FLUSHALL / HTTP/1.1\r\n" + httpHeaders},
	{name: "WebSocket", opening: "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + httpHeaders},
	{name: "HTTP/2", opening: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{name: "Host: alone", opening: "Host: 127.0.0.1\r\n"},
	{name: "TLS's first bytes", opening: string(clientHello())},
	{name: "garbage", opening: garbage()},
	{name: "SSH", opening: "SSH-2.0-OpenSSH_9.2\r\n", stays: true},
}

// clientHello is how a browser begins at https://.
func clientHello() []byte {
	here, there := net.Pipe()
	go func() {
		_ = tls.Client(here, &tls.Config{ServerName: "localhost"}).Handshake() // fails: nobody answers
	}()
	b := make([]byte, 4<<10)
	n, _ := there.Read(b) // a pipe that both ends have open
	_ = there.Close()
	return b[:n]
}

func garbage() string {
	random := rand.New(rand.NewPCG(1, 2))
	b := []byte{0x80}
	for len(b) < 10_000 {
		b = append(b, byte(random.Uint32()))
	}
	return string(b)
}

// Whatever a web page, or any program, sends to a port in another protocol is not
// carried out, at any port that speaks RESP.
func TestOtherProtocols(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { testOtherProtocols(t, nil) })
	t.Run("encrypted", func(t *testing.T) { testOtherProtocols(t, harness.NewSecrets(t)) })
}

func testOtherProtocols(t *testing.T, secrets *harness.Secrets) {
	var flags []string
	if secrets != nil {
		flags = secrets.Flags()
	}
	s, up := harness.Up(t, flags...)
	addr := harness.FreeAddr(t)
	g := s.Start(append([]string{"gateway", "--listen", addr}, flags...)...)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	s.OK(append([]string{"setr", "greeting", "hello"}, flags...)...)
	for name, addr := range map[string]string{"server": serverAddrs(t, s, flags...)[0], "view leader": s.Leader, "gateway": addr} {
		for _, st := range strangers {
			if secrets == nil {
				visit(t, name+": "+st.name, st.opening, st.stays, dialPlain(t, addr))
				continue
			}
			visit(t, name+" (TLS), not encrypted: "+st.name, st.opening, strings.HasPrefix(st.opening, "\x16"), dialPlain(t, addr))
			inside := tls.Client(dialPlain(t, addr), secrets.TLS(t))
			visit(t, name+" (TLS), encrypted: "+st.name, st.opening, st.stays, inside)
		}
		if secrets == nil {
			curl(t, s, name, addr)
		}
	}
	if got := s.OK(append([]string{"getr", "greeting"}, flags...)...); got != "hello" {
		t.Errorf("getr = %q", got)
	}
	if got := s.OK(append([]string{"query_servers"}, flags...)...); strings.Contains(got, "drain") || !strings.Contains(got, "safe: all") {
		t.Errorf("servers: %s", got)
	}
	const said = "a connection of another protocol was closed"
	g.Stderr.Wait(t, said, g.Done)
	harness.Eventually(t, "the view leader and a server have said so", func() bool { return strings.Count(up.Stderr.Text(), said) > 1 })
	if n := strings.Count(up.Stderr.Text()+g.Stderr.Text(), said); n > 12 {
		t.Errorf("%d lines in the logs", n)
	}
}

// visit sends an opening and harm and wants to be shown out.
func visit(t *testing.T, what, opening string, stays bool, c net.Conn) {
	t.Helper()
	if stays {
		_, _ = io.WriteString(c, opening)                    // the reading tells
		_ = c.(interface{ CloseWrite() error }).CloseWrite() // both kinds of connections can
	} else {
		_, _ = io.WriteString(c, opening+harm) // may be cut off
	}
	answer, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: was not closed, %q", what, answer) // so would the others be, each after a minute
	}
	if strings.Contains(string(answer), "+OK") {
		t.Errorf("%s: %q", what, answer)
	}
	t.Logf("%s: %.90q, closed", what, answer)
}

// curl sends the request that emptied a server.
func curl(t *testing.T, s *harness.Shell, what, addr string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("there is no curl; the rows of POST are its bytes")
		return
	}
	r := s.Finish(exec.CommandContext(t.Context(), "curl", "-sS", "--noproxy", "*", "--max-time", "30", "--http0.9", "--data-binary", harm, "http://"+addr+"/"), "")
	if strings.Contains(r.Stdout, "+OK") || r.Code == 28 {
		t.Errorf("curl to %s: exit %d, %q", what, r.Code, r.Stdout+r.Stderr)
	}
	t.Logf("curl to %s: exit %d, %q", what, r.Code, r.Stdout+r.Stderr)
}
