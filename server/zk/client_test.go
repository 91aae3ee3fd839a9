package zk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/server/zk/jute"
	"viewring/tests/local"
)

// The tests share a cluster of three servers within this process.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// patience is for what has to come.
const patience = 2 * time.Minute

// startFront starts a front; change may be nil.
func startFront(t *testing.T, change func(*Options)) *Front {
	t.Helper()
	return startPausing(t, change, nil)
}

// slowed lets a little time pass.
func slowed(what pause) { <-time.After(time.Duration(1+what) * 2 * time.Millisecond) }

// startPausing is startFront of one that lets time pass where others may be faster.
func startPausing(t *testing.T, change func(*Options), pause func(what pause)) *Front {
	t.Helper()
	o := cluster().Options()
	o.Dialer = nil
	rc, err := route.Open(t.Context(), route.Options(o))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Client: rc, Listener: lis, Patience: patience}
	if change != nil {
		change(&opts)
	}
	f := newFront(context.Background(), opts)
	f.pause = pause
	f.start()
	t.Cleanup(func() { f.Close(); rc.Close() })
	return f
}

// client is one of ZooKeeper's, that shows what comes in which order.
type client struct {
	t      *testing.T
	nc     net.Conn
	hello  jute.Connect // the front's
	xid    int32
	zxid   int64    // the highest that was told
	events []string // that came so far, as "event path"
}

// reply is what a request was answered.
type reply struct {
	jute.Reply
	body *jute.Reader
}

// dial connects, to a session of before where one is given.
func dial(t *testing.T, f *Front, of *client) *client {
	t.Helper()
	c := dialRaw(t, f.Addr())
	hello := jute.Connect{Timeout: 30_000, Password: make([]byte, 16), HasReadOnly: true}
	if of != nil {
		hello.Session, hello.Password, hello.LastZxid = of.hello.Session, of.hello.Password, of.zxid
	}
	c.greet(&hello)
	return c
}

func dialRaw(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * patience))
	return &client{t: t, nc: nc}
}

func (c *client) greet(hello *jute.Connect) {
	c.t.Helper()
	c.write(jute.AppendConnect(nil, hello))
	b, err := c.frame()
	if err == nil {
		c.hello, err = jute.DecodeConnected(b)
	}
	if err != nil {
		c.t.Fatalf("connect: %v", err)
	}
	c.zxid = hello.LastZxid
}

func (c *client) write(b []byte) {
	if _, err := c.nc.Write(jute.AppendBytes(nil, b)); err != nil {
		c.t.Logf("write: %v", err) // reading says more
	}
}

func (c *client) frame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(c.nc, b)
	return b, err
}

// send asks without waiting.
func (c *client) send(q jute.Request) (xid int32) {
	if q.Xid == 0 {
		c.xid++
		q.Xid = c.xid
	}
	c.write(jute.AppendRequest(nil, &q))
	return q.Xid
}

// next takes the next message; ok is false of an event.
func (c *client) next() (p reply, ok bool, err error) {
	b, err := c.frame()
	if err != nil {
		return p, false, err
	}
	r := jute.NewReader(b)
	p = reply{r.Reply(), r}
	if p.Xid == jute.EventXid {
		e, path := r.Event()
		c.events = append(c.events, fmt.Sprintf("%d %s", e, path))
		return p, false, r.Err()
	}
	if p.Zxid < c.zxid {
		c.t.Errorf("zxid %x after %x", p.Zxid, c.zxid)
	}
	c.zxid = p.Zxid
	return p, true, nil
}

// try asks and waits for the answer.
func (c *client) try(q jute.Request) (reply, error) {
	xid := c.send(q)
	for {
		p, ok, err := c.next()
		switch {
		case err != nil:
			return p, err
		case ok && p.Xid == jute.PingXid && xid != jute.PingXid:
		case ok && p.Xid != xid:
			return p, fmt.Errorf("an answer to %d, not %d", p.Xid, xid)
		case ok:
			return p, nil
		}
	}
}

// do is try of what is answered.
func (c *client) do(q jute.Request) reply {
	c.t.Helper()
	p, err := c.try(q)
	if err != nil {
		c.t.Fatalf("request of type %d of %q: %v", q.Op, q.Path, err)
	}
	return p
}

// ok is do of what succeeds.
func (c *client) ok(q jute.Request) reply {
	c.t.Helper()
	p := c.do(q)
	if p.Err != jute.OK {
		c.t.Fatalf("request of type %d of %q: %v", q.Op, q.Path, p.Err)
	}
	return p
}

func (c *client) create(path string, flags int32) string {
	c.t.Helper()
	return c.ok(jute.Request{Op: jute.OpCreate, Path: path, ACL: jute.Open, Flags: flags}).body.String()
}

func (c *client) set(path, value string) jute.Stat {
	c.t.Helper()
	return c.ok(jute.Request{Op: jute.OpSetData, Path: path, Data: []byte(value), Version: -1}).body.Stat()
}

func (c *client) remove(path string) {
	c.t.Helper()
	c.ok(jute.Request{Op: jute.OpDelete, Path: path, Version: -1})
}

func (c *client) get(path string, watch bool) (value string, s jute.Stat) {
	c.t.Helper()
	p := c.ok(jute.Request{Op: jute.OpGetData, Path: path, Watch: watch})
	return p.body.String(), p.body.Stat()
}

func (c *client) children(path string, watch bool) []string {
	c.t.Helper()
	return c.ok(jute.Request{Op: jute.OpGetChildren, Path: path, Watch: watch}).body.Strings()
}

func (c *client) exists(path string, watch bool) bool {
	c.t.Helper()
	p := c.do(jute.Request{Op: jute.OpExists, Path: path, Watch: watch})
	if p.Err != jute.OK && p.Err != jute.NoNode {
		c.t.Fatalf("exists %s: %v", path, p.Err)
	}
	return p.Err == jute.OK
}

// until asks again and again, until ok holds of what the front does beside.
func (c *client) until(what string, ok func() bool) {
	c.t.Helper()
	for over := time.Now().Add(patience); !ok(); {
		if c.exists("/", false); time.Now().After(over) {
			c.t.Fatalf("not so within %v: %s", patience, what)
		}
	}
}

// await takes messages until so many events have come.
func (c *client) await(n int) []string {
	c.t.Helper()
	for len(c.events) < n {
		if _, ok, err := c.next(); err != nil || ok {
			c.t.Fatalf("after %q: %v, an answer: %v", c.events, err, ok)
		}
	}
	return c.events
}

// isClosed waits for the front to close the connection, of a client that is not silent: that would
// be a reason.
func (c *client) isClosed() {
	c.t.Helper()
	for {
		if _, err := c.nc.Write(jute.AppendBytes(nil, jute.AppendRequest(nil, &jute.Request{Xid: jute.PingXid, Op: jute.OpPing}))); err != nil {
			return
		}
		if _, _, err := c.next(); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				c.t.Errorf("the connection is not closed: %v", err)
			}
			return
		}
	}
}

// word asks a four-letter word.
func word(t *testing.T, f *Front, text string) string {
	t.Helper()
	c := dialRaw(t, f.Addr())
	if _, err := io.WriteString(c.nc, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c.nc)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}

// lockedBuffer keeps what several write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
