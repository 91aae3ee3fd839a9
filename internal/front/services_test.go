package front_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/front"
	"viewring/internal/route"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server"
	"viewring/server/gateway"
	"viewring/tests/harness"
	"viewring/viewleader"
)

// service is one of the three that clients connect to.
type service struct {
	name    string
	addr    string
	reached *front.Reached
	t       *testing.T
}

// startServices starts a view leader, a server and a gateway whose limits adjust has changed.
func startServices(t *testing.T, config secure.Config, adjust func(*front.Limits)) []*service {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return config.Listener(l)
	}
	logger := slog.New(slog.DiscardHandler)
	ctx := context.WithoutCancel(t.Context()) // Close ends all
	leader, err := viewleader.Start(ctx, viewleader.Options{Listener: listen(), Data: t.TempDir(), FS: crashdisk.Mem(), Partitions: 16, MinCopies: 1,
		Secure: config, Limits: adjust, DownAfter: time.Minute, OutAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, leader.Close()) })
	s, err := server.Start(ctx, server.Options{Listen: "127.0.0.1:0", Data: t.TempDir(), FS: crashdisk.Mem(), LeaderAddrs: []string{leader.Addr()},
		Lanes: 1, Secure: config, Logger: logger, Limits: adjust})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s.Close()) })
	opts := client.Options{Leaders: []string{leader.Addr()}, ViewCache: client.NoViewCache,
		Dialer: client.DialFunc(config.Dialer(nil)), Persist: true, ConnectTimeout: time.Minute}
	c, err := client.Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, c.Close()) })
	if _, err := c.Set(ctx, "large", []byte(strings.Repeat("x", 90_000)), client.Always()); err != nil {
		t.Fatal(err)
	}
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, router.Close()) })
	g := gateway.Start(ctx, gateway.Options{Client: router, Listener: listen(), Secure: config, Limits: adjust})
	t.Cleanup(func() { closed(t, g.Close()) })
	return []*service{
		{"server", s.Addr(), s.Reached(), t},
		{"view leader", leader.Addr(), leader.Reached(), t},
		{"gateway", g.Addr(), g.Reached(), t},
	}
}

func closed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("close: %v", err)
	}
}

// dial connects, without TLS.
func (s *service) dial() net.Conn {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	return nc
}

// say sends and returns all that comes until the other side hangs up.
func (s *service) say(text string) string {
	s.t.Helper()
	nc := s.dial()
	if _, err := io.WriteString(nc, text); err != nil {
		s.t.Fatal(err)
	}
	answer, err := io.ReadAll(nc)
	if err != nil {
		s.t.Errorf("%s: %.60q: %.60q, then %v", s.name, text, answer, err)
	}
	return string(answer)
}

// ask sends a line and returns the line that comes.
func ask(nc net.Conn, line string) (string, error) {
	if _, err := io.WriteString(nc, line+"\r\n"); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(nc).ReadString('\n')
	return strings.TrimRight(answer, "\r\n"), err
}

// ping is a command of so many bytes whose answer has as many.
func ping(bytes int) []byte {
	return wire.AppendCommand(nil, []byte("PING"), []byte(strings.Repeat("p", bytes)))
}

// unread is so long an answer that the goroutine which reads the connection leaves it to the
// other one, and reads on: what comes next meets the limit, however the two take turns.
const unread = 70_000

// flood sends a command a thousand times a second, and reads nothing. It goes on by itself, until
// the test is over or the other side hangs up.
func (s *service) flood(command []byte) {
	s.t.Helper()
	nc := s.dial()
	if err := nc.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil { // so that it fills soon
		s.t.Fatal(err)
	}
	go func() {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for range pace.C {
			if _, err := nc.Write(command); err != nil {
				return
			}
		}
	}()
}

// limits are what each service must hold to: which limits are set, and how one is met.
var limits = []struct {
	name   string
	adjust func(*front.Limits)
	secure bool // with a password
	meet   func(t *testing.T, s *service)
}{
	{name: "protocol errors", meet: func(t *testing.T, s *service) {
		for text, want := range map[string]string{
			"*1\r\n:5\r\n":           "-ERR Protocol error: expected '$', got ':'\r\n",
			"PING\r\n*1\r\n$-5\r\n":  "+PONG\r\n-ERR Protocol error: invalid bulk length -5\r\n",
			"PING 'x\r\nPING\r\n":    "-ERR Protocol error: unbalanced quotes in request\r\n",
			"GET / HTTP/1.1\r\n\r\n": "-ERR Protocol error: not RESP but HTTP\r\n",
			"PING\r\nQUIT\r\nPING":   "+PONG\r\n+OK\r\n",
		} {
			if got := s.say(text); got != want {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
		}
	}},
	{name: "bytes of a command", adjust: func(l *front.Limits) { l.Request = 100_000 }, meet: func(t *testing.T, s *service) {
		const want = "-ERR Protocol error: protocol limit exceeded: a bulk of 100001 bytes, at most 100000\r\n"
		if got := s.say("*2\r\n$4\r\nPING\r\n$100001\r\n"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if n := s.reached.Requests.Load(); n != 1 {
			t.Errorf("%d counted", n)
		}
	}},
	{name: "time of a command", adjust: func(l *front.Limits) { l.RequestTimeout = time.Second }, meet: func(t *testing.T, s *service) {
		const want = "+PONG\r\n-ERR Protocol error: the rest of a command did not come within 1s\r\n"
		if got := s.say("PING\r\n*1\r\n$4\r\nPI"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if n := s.reached.Late.Load(); n != 1 {
			t.Errorf("%d counted", n)
		}
	}},
	{name: "connections", adjust: func(l *front.Limits) {
		l.Connections = 20
		l.Reserved = min(l.Reserved, 4)
		l.PeerTimeout = time.Second
	}, meet: meetCrowd},
	{name: "pipeline", adjust: func(l *front.Limits) { l.Pipeline = 10 }, meet: func(t *testing.T, s *service) {
		s.flood(ping(unread))
		harness.Eventually(t, "the connection is not read for a while", func() bool { return s.reached.Pipelines.Load() > 0 })
	}},
	{name: "who does not read", adjust: func(l *front.Limits) { l.WriteTimeout = 300 * time.Millisecond }, meet: func(t *testing.T, s *service) {
		s.flood(ping(unread))
		harness.Eventually(t, "it is cut off", func() bool { return s.reached.Cut.Load() > 0 })
	}},
	{name: "bytes of a connection", adjust: func(l *front.Limits) { l.Buffered = 160_000 }, meet: func(t *testing.T, s *service) {
		if s.name == "server" { // which holds values, and answers "busy"
			s.flood(wire.AppendCommand(nil, []byte("GET"), []byte("large")))
			harness.Eventually(t, "commands are refused", func() bool { return s.reached.Buffers.Load() > 0 })
			return
		}
		s.flood(ping(unread))
		harness.Eventually(t, "the connection is not read for a while", func() bool { return s.reached.Pipelines.Load() > 0 })
	}},
	{name: "bytes of all", adjust: func(l *front.Limits) {
		l.Buffered, l.Total = 130_000, 140_000
		l.Pipeline = 1 << 30         // a line that is full of refusals holds none of those bytes
		l.WriteTimeout = time.Minute // who floods stays
	}, meet: meetTotal},
	{name: "password", secure: true, adjust: func(l *front.Limits) { l.PasswordTimeout = 2 * time.Second }, meet: meetPassword},
}

// TestServices: every limit holds in every service.
func TestServices(t *testing.T) {
	for _, l := range limits {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var config secure.Config
			if l.secure {
				var err error
				if config, err = secure.Load(secure.Files{Password: harness.NewSecrets(t).Password}); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range startServices(t, config, l.adjust) {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					s.t = t
					l.meet(t, s)
				})
			}
		})
	}
}

// meetCrowd connects more than may. Of who is turned away before what it sent is read, the
// reason may be lost.
func meetCrowd(t *testing.T, s *service) {
	refusals := []string{"-" + wire.TooManyClients, "-BUSY too many connections", ""}
	refused := 0
	var crowd []net.Conn
	for range 30 {
		nc := s.dial()
		crowd = append(crowd, nc)
		got, err := ask(nc, "PING")
		switch {
		case got == "+PONG":
		case got == refusals[0], got == refusals[1], errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			refused++
		default:
			t.Fatalf("%q, %v", got, err)
		}
	}
	if n := int(s.reached.Connections.Load()); refused < 10 || n < refused {
		t.Errorf("%d of 30 were refused, at most 20 may come; %d counted", refused, n)
	}
	for range 10 { // who says nothing is kept for a while, where there are places for peers
		s.dial()
	}
	harness.Eventually(t, "those beyond the places for peers are turned away", func() bool { return s.reached.Connections.Load() >= uint64(refused)+6 })
	if peer, ok := map[string]string{"server": "VR.VIEWOF 0", "view leader": "VL.HEARTBEAT x"}[s.name]; ok {
		harness.Eventually(t, "a peer is let in", func() bool { // those who are turned away may be on their way out
			got, err := ask(s.dial(), peer)
			return err == nil && got != refusals[0] && got != refusals[1]
		})
	}
	for _, nc := range crowd {
		nc.Close()
	}
	harness.Eventually(t, "there is room again", func() bool {
		got, _ := ask(s.dial(), "PING")
		return got == "+PONG"
	})
}

// meetTotal: while one client has nearly all, another gets no more than its own.
func meetTotal(t *testing.T, s *service) {
	command, other := ping(unread), ping(80_000)
	if s.name == "server" {
		command = wire.AppendCommand(nil, []byte("GET"), []byte("large"))
		other = wire.AppendCommand(nil, []byte("SET"), []byte("k"), []byte(strings.Repeat("v", 60_000)))
	}
	s.flood(command)
	nc := s.dial()
	r := wire.NewReader(nc, wire.DefaultLimits)
	harness.Eventually(t, "another client's command is refused", func() bool {
		if _, err := nc.Write(other); err != nil {
			t.Fatal(err)
		}
		v, err := r.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		return v.Kind == wire.KindError && strings.HasPrefix(v.Text(), "BUSY")
	})
	if n := s.reached.Buffers.Load(); n == 0 {
		t.Error("it is not counted")
	}
	if got, err := ask(nc, "PING"); got != "+PONG" {
		t.Errorf("a small one: %q, %v", got, err)
	}
}

// meetPassword: without the password nothing is answered, and not for long.
func meetPassword(t *testing.T, s *service) {
	nc := s.dial()
	for _, step := range [][2]string{
		{"VL.LOCKS", "-NOAUTH Authentication required."}, {"PING", "-NOAUTH Authentication required."},
		{"AUTH guess", "-WRONGPASS invalid username-password pair or user is disabled."}, {"PING", "-NOAUTH Authentication required."},
		{"AUTH 'open sesame'", "+OK"}, {"PING", "+PONG"},
	} {
		if step[0] == "VL.LOCKS" && s.name != "view leader" {
			continue // they judge what is no command before
		}
		if got, err := ask(nc, step[0]); got != step[1] {
			t.Fatalf("%s: %q, %v, want %q", step[0], got, err, step[1])
		}
	}
	if got := s.say(""); got != "-NOAUTH Authentication required.\r\n" {
		t.Errorf("who says nothing is told %q", got)
	}
	if n := s.reached.Late.Load(); n != 1 {
		t.Errorf("%d counted", n)
	}
	if got, err := ask(nc, "PING"); got != "+PONG" {
		t.Errorf("who has said it, for longer than that: %q, %v", got, err)
	}
}

// TestHandshake: who comes to an encrypted port and says nothing is hung up on.
func TestHandshake(t *testing.T) {
	t.Parallel()
	secrets := harness.NewSecrets(t)
	config, err := secure.Load(secure.Files{Cert: secrets.Cert, Key: secrets.Key, CA: secrets.CA})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range startServices(t, config, func(l *front.Limits) { l.PasswordTimeout = 2 * time.Second }) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.t = t
			if got, err := io.ReadAll(s.dial()); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("was not hung up on: %q", got)
			}
			if n := s.reached.Late.Load(); n != 1 {
				t.Errorf("%d counted", n)
			}
		})
	}
}
