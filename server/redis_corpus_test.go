package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
)

// The corpus is scripts of commands with the replies of Redis 7, byte for byte. A line
// is one of
//
//	> SET k v        a command, as typed into telnet
//	2> GET k         the same on a second connection
//	"+OK\r\n"        its reply
//	~                its reply differs from run to run: only its kind is compared
//	# …              a comment
//
// To record it from the redis-server on this machine: VIEWRING_REDIS_RECORD=1.
const corpus = "testdata/redis/*.txt"

type scriptLine struct {
	text    string // as it stands
	who     string // connection, "" for a line that is no command
	command string
	loose   bool   // compare the kind alone
	reply   string // recorded
}

func readScript(t *testing.T, path string) (lines []scriptLine) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		who, command, isCommand := strings.Cut(line, "> ")
		switch {
		case line == "" || line[0] == '#':
			lines = append(lines, scriptLine{text: line})
		case line == "~":
			lines[len(lines)-1].loose = true
		case line[0] == '"':
			reply, err := strconv.Unquote(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", path, n+1, err)
			}
			lines[len(lines)-1].reply = reply
		case isCommand && len(who) <= 1:
			lines = append(lines, scriptLine{text: line, who: "conn" + who, command: command})
		default:
			t.Fatalf("%s:%d: %q", path, n+1, line)
		}
	}
	return lines
}

// rawReader remembers the bytes that a Reader took.
type rawReader struct {
	src   io.Reader
	taken bytes.Buffer
}

func (r *rawReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.taken.Write(p[:n])
	return n, err
}

// player sends commands to a server and returns the bytes of the replies.
type player struct {
	t     *testing.T
	addr  string
	conns map[string]*playerConn
}

type playerConn struct {
	nc     net.Conn
	raw    *rawReader
	reader *wire.Reader
}

func newPlayer(t *testing.T, addr string) *player {
	return &player{t: t, addr: addr, conns: make(map[string]*playerConn)}
}

func (p *player) hangUp() {
	for _, c := range p.conns {
		_ = c.nc.Close()
	}
	clear(p.conns)
}

func (p *player) play(who, command string) string {
	p.t.Helper()
	c := p.conns[who]
	if c == nil {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			p.t.Fatal(err)
		}
		raw := &rawReader{src: nc}
		c = &playerConn{nc: nc, raw: raw, reader: wire.NewReader(raw, wire.DefaultLimits)}
		p.conns[who] = c
	}
	if err := c.nc.SetDeadline(time.Now().Add(testWait)); err != nil {
		p.t.Fatal(err)
	}
	// Redis takes lines that are typed as they are; arguments may so be empty or binary.
	args, err := wire.NewReader(strings.NewReader(command+"\n"), wire.DefaultLimits).ReadCommand()
	if err != nil {
		p.t.Fatalf("%s: %v", command, err)
	}
	if _, err := c.nc.Write(wire.AppendCommand(nil, args...)); err != nil {
		p.t.Fatal(err)
	}
	c.raw.taken.Reset()
	if _, err := c.reader.ReadValue(); err != nil {
		p.t.Fatalf("%s: %v (%q)", command, err, c.raw.taken.String())
	}
	return c.raw.taken.String()
}

func (l *scriptLine) matches(got string) bool {
	if l.loose && got != "" && l.reply != "" {
		return got[0] == l.reply[0]
	}
	return got == l.reply
}

// playScript plays a script on a server and compares.
func playScript(t *testing.T, p *player, path string, lines []scriptLine) {
	defer p.hangUp()
	p.play("conn", "FLUSHALL")
	for n, l := range lines {
		if l.who == "" {
			continue
		}
		if got := p.play(l.who, l.command); !l.matches(got) {
			t.Errorf("%s, command %d, %s:\n got %q\nwant %q", filepath.Base(path), n, l.text, got, l.reply)
		}
	}
}

func scripts(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(corpus)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	return paths
}

// TestRedisCorpus: a server replies as Redis 7 does, to the byte.
func TestRedisCorpus(t *testing.T) {
	c := startCluster(t, 1, 8, 1)
	for _, path := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			playScript(t, newPlayer(t, c.servers[1].Addr()), path, readScript(t, path))
		})
	}
}

// TestRedisItself plays the corpus on the redis-server of this machine: is it what
// Redis says?
func TestRedisItself(t *testing.T) {
	t.Parallel()
	addr := startRedis(t)
	record := os.Getenv("VIEWRING_REDIS_RECORD") != ""
	for _, path := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			lines := readScript(t, path)
			if record {
				recordScript(t, newPlayer(t, addr), path, lines)
				return
			}
			playScript(t, newPlayer(t, addr), path, lines)
		})
	}
}

func recordScript(t *testing.T, p *player, path string, lines []scriptLine) {
	defer p.hangUp()
	p.play("conn", "FLUSHALL")
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text + "\n")
		if l.who == "" {
			continue
		}
		fmt.Fprintf(&b, "%s\n", strconv.QuoteToASCII(p.play(l.who, l.command)))
		if l.loose {
			b.WriteString("~\n")
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// startRedis starts a Redis Cluster of one node that has all slots.
func startRedis(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server here")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, port := splitAddr(addr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--port", strconv.FormatInt(port, 10), "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-port", "0", "--proto-max-bulk-len", strconv.Itoa(wire.ValueBytesMax))
	if port+10_000 > 65535 {
		t.Skip("no port for Redis's bus")
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := &cluster{t: t}
	var conn *wire.Conn
	c.wait("redis-server answers", func() bool {
		conn, err = wire.Dial(context.Background(), addr, (&net.Dialer{}).DialContext, wire.DefaultLimits)
		return err == nil
	})
	defer conn.Close()
	if v, err := ask(t, conn, "INFO", "server"); err != nil || !strings.Contains(v.Text(), "redis_version:7.") {
		t.Skip("the redis-server here is not version 7")
	}
	if _, err := ask(t, conn, "CLUSTER", "ADDSLOTSRANGE", "0", "16383"); err != nil {
		t.Fatal(err)
	}
	c.wait("redis-server serves", func() bool {
		v, err := ask(t, conn, "CLUSTER", "INFO")
		return err == nil && strings.Contains(v.Text(), "cluster_state:ok")
	})
	return addr
}
