package front_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/front"
	"viewring/internal/route"
	"viewring/internal/secure"
	"viewring/internal/wire"
	"viewring/server/web"
	"viewring/server/zk"
	"viewring/tests/harness"
)

// port is one that clients connect to: how one logs in there, and what begins a long request.
type port struct {
	addr  string
	login func(nc net.Conn) error // says the password and asks for something
	long  func(bytes int) []byte  // a request of so many bytes, before the password
	half  []byte                  // of one that is not complete, after it; nil: bounded by the number of connections
	whole []byte                  // a complete one that is as long
}

const thePassword = "open sesame"

// rows are the names in the first column of the table of ports.
var rows = regexp.MustCompile(`(?m)^\| port: ([a-zA-Z ]+) \|`)

// What a client can take before the password, or in the middle of a request, is bounded for all
// connections together at each port of the table in DESIGN.md: those who say nothing keep nobody out,
// and what they took is given back.
func TestPorts(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range rows.FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, m[1])
	}
	ports := startPorts(t)
	for name := range ports {
		if !slices.Contains(listed, name) {
			t.Errorf("DESIGN.md has no row for %s", name)
		}
	}
	for _, name := range listed {
		p, ok := ports[name]
		if !ok {
			t.Errorf("nothing is tested of %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.crowd(t)
			p.tooLong(t)
			p.halves(t)
		})
	}
}

// guests is how many connections may be there without a password.
const guests = 10

// crowd is how many say nothing, at fronts too, whose guests are half of all.
const crowd = 25

// crowd connects more than may and says nothing: whoever has the password gets in, and those who were first
// are hung up on.
func (p *port) crowd(t *testing.T) {
	var silent []net.Conn
	for range crowd {
		silent = append(silent, p.dial(t))
	}
	nc := p.dial(t)
	if err := p.login(nc); err != nil {
		t.Fatalf("with the password: %v", err)
	}
	if _, err := io.ReadAll(silent[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the first silent one is still there")
	}
	if err := p.login(nc); err != nil {
		t.Errorf("whoever is in is not left in peace: %v", err)
	}
	for _, c := range silent {
		c.Close()
	}
}

// tooLong sends much before the password.
func (p *port) tooLong(t *testing.T) {
	nc := p.dial(t)
	_, _ = nc.Write(p.long(64 << 10)) // may be cut off
	answer, err := io.ReadAll(io.LimitReader(nc, 4<<10))
	if errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(answer), strings.Repeat("p", 1000)) {
		t.Errorf("a long request before the password: %.100q, %v", answer, err)
	}
}

// reading bounds the bytes of unfinished commands.
const reading = 1 << 20

// halves leaves many long requests unfinished: a complete one passes all the same.
func (p *port) halves(t *testing.T) {
	if p.half == nil {
		return
	}
	var first net.Conn
	for range 8 {
		nc := p.dial(t)
		if err := p.login(nc); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = nc
		}
		if _, err := nc.Write(p.half); err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, "a complete request passes", func() bool { // once the halves have come
		nc := p.dial(t)
		defer nc.Close()
		if p.login(nc) != nil {
			return false
		}
		if _, err := nc.Write(p.whole); err != nil {
			return false
		}
		line, err := bufio.NewReader(nc).ReadString('\n')
		return err == nil && line[0] != '-'
	})
	if _, err := io.ReadAll(first); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the first unfinished one is still there")
	} else if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func (p *port) dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// startPorts starts one of each.
func startPorts(t *testing.T) map[string]*port {
	t.Helper()
	name := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(name, []byte(thePassword), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := secure.Load(secure.Files{Password: name})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*port)
	// No deadline of the password ends what the bounds should end.
	for _, s := range startServices(t, config, func(l *front.Limits) { l.Guests, l.Reading, l.PasswordTimeout = guests, reading, time.Hour }) {
		bytes := 600 << 10
		half := append([]byte("*2\r\n$4\r\nPING\r\n"), fmt.Sprintf("$%d\r\n%s", bytes+1, strings.Repeat("p", bytes))...)
		all[s.name] = &port{addr: s.addr, login: redisLogin, long: ping, half: half, whole: append(half[:len(half):len(half)], "p\r\n"...)}
	}
	opts := client.Options{Leaders: []string{all["view leader"].addr}, ViewCache: client.NoViewCache, Dialer: client.DialFunc(config.Dialer(nil)), ConnectTimeout: time.Minute}
	router, err := route.Open(t.Context(), route.Options(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, router.Close()) })
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ctx := context.WithoutCancel(t.Context()) // Close ends all
	z := zk.Start(ctx, zk.Options{Client: router, Listener: listen(), Secure: config, Total: reading, Bounds: zk.Bounds{Connections: 2*guests + 20}})
	t.Cleanup(func() { closed(t, z.Close()) })
	all["ZooKeeper"] = &port{addr: z.Addr(), login: zooKeeperLogin, long: zooKeeperLong}
	w := web.Start(ctx, web.Options{Listener: listen(), Secure: config, Bounds: web.Bounds{Connections: 2*guests + 20},
		Open: func(ctx context.Context) (*file.FS, error) { return file.Open(ctx, opts) }})
	t.Cleanup(func() { closed(t, w.Close()) })
	all["HTTP"] = &port{addr: w.Addr(), login: webLogin, long: webLong}
	harness.Eventually(t, "the HTTP front has found the cluster", func() bool { return webLogin(all["HTTP"].dial(t)) == nil })
	return all
}

func redisLogin(nc net.Conn) error {
	r := bufio.NewReader(nc)
	for _, args := range [][]string{{"AUTH", thePassword}, {"PING"}} {
		words := make([][]byte, len(args))
		for i, a := range args {
			words[i] = []byte(a)
		}
		if _, err := nc.Write(wire.AppendCommand(nil, words...)); err != nil {
			return err
		}
		if line, err := r.ReadString('\n'); err != nil || line[0] != '+' {
			return fmt.Errorf("%s: %q, %w", args[0], line, err)
		}
	}
	return nil
}

// sessions are the connections on which zooKeeperLogin has opened one.
var sessions sync.Map

// zooKeeperLogin opens a session and says the password, or says it again.
func zooKeeperLogin(nc net.Conn) error {
	_, open := sessions.LoadOrStore(nc, true)
	if !open {
		hello := make([]byte, 44)
		binary.BigEndian.PutUint32(hello[12:], 10_000) // the time to live
		binary.BigEndian.PutUint32(hello[24:], 16)     // a password of zeros
		if _, err := zooKeeperAsk(nc, hello); err != nil {
			return err
		}
	}
	auth := binary.BigEndian.AppendUint32(nil, 0xfffffffc) // -4
	auth = binary.BigEndian.AppendUint32(auth, 100)
	auth = binary.BigEndian.AppendUint32(auth, 0)
	for _, s := range []string{"digest", "user:" + thePassword} {
		auth = append(binary.BigEndian.AppendUint32(auth, uint32(len(s))), s...)
	}
	answer, err := zooKeeperAsk(nc, auth)
	if err == nil && (len(answer) < 16 || binary.BigEndian.Uint32(answer[12:]) != 0) {
		err = fmt.Errorf("the password is answered %x", answer)
	}
	return err
}

func zooKeeperAsk(nc net.Conn, q []byte) ([]byte, error) {
	if _, err := nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(q))), q...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(nc, b)
	return b, err
}

func zooKeeperLong(bytes int) []byte {
	hello := binary.BigEndian.AppendUint32(nil, 44)
	hello = append(hello, make([]byte, 44)...)
	binary.BigEndian.PutUint32(hello[4+12:], 10_000)
	binary.BigEndian.PutUint32(hello[4+24:], 16)
	return append(binary.BigEndian.AppendUint32(hello, uint32(bytes)), make([]byte, bytes)...)
}

func webLogin(nc net.Conn) error {
	q, err := http.NewRequest(http.MethodGet, "http://localhost/?list", nil)
	if err != nil {
		return err
	}
	q.SetBasicAuth("anybody", thePassword)
	if err := q.Write(nc); err != nil {
		return err
	}
	a, err := http.ReadResponse(bufio.NewReader(nc), q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		return err
	}
	if a.StatusCode != http.StatusOK {
		return errors.New(a.Status)
	}
	return nil
}

func webLong(bytes int) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("p", bytes) + "\r\n\r\n")
}
