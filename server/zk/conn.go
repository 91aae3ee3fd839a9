package zk

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/secure"
	"viewring/server/zk/jute"
)

// conn is a client's connection, and what its session is at this front. One goroutine reads, one
// carries requests out, each after the other, and one writes; those two are there while there is
// something to do.
type conn struct {
	f      *Front
	number uint64 // of those that were accepted
	nc     net.Conn
	r      *bufio.Reader
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	out     output
	session uint64 // 0 before there is one
	opened  bool   // by this connection: not taken up
	ttl     time.Duration
	beat    beat
	known   func()      // it is a guest no more
	trusted atomic.Bool // it has said the password, or none is wanted

	line    line
	working sync.WaitGroup // those that carry requests out, and tell the view leader

	leaves         atomic.Bool // nothing more is read: the front is about to end
	received, sent atomic.Int64
	held           atomic.Int64 // bytes of requests, and of what it is told

	// Of the goroutine that carries requests out.
	watches watches
	built   int64               // bytes of the answer that is made, as far as they are counted
	owned   map[string]struct{} // paths of the session's nodes that were created at this front

	before    *conn // that of the session before, here; nil: none
	inherited sync.Once
	ended     chan struct{} // closed when all that was begun is carried out
}

// request is one that waits for its turn, as it came: that is less than what is made of it.
type request struct {
	jute.Header
	raw  []byte
	came time.Time
}

// readBuffer is for what most requests are: larger ones are read past it.
const readBuffer = 1 << 10

func newConn(f *Front, nc net.Conn) *conn {
	c := &conn{f: f, nc: nc, r: bufio.NewReaderSize(nc, readBuffer), ended: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(f.ctx)
	c.out.init(c)
	c.watches.init(c)
	c.trusted.Store(!f.opts.Secure.WantsPassword())
	return c
}

// drop ends the connection; the session goes on, and its client connects anew.
func (c *conn) drop(why string) { c.hangUp(errors.New(why)) }

func (c *conn) hangUp(why error) {
	c.cancel(why)
	nc := c.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn() // to say farewell would wait for who does not read
	}
	_ = nc.Close() // reading and writing end by it
}

// run serves the connection until it ends.
func (c *conn) run() {
	defer c.drop("the client has left")
	if err := c.greet(); err != nil || c.session == 0 {
		if err != nil && !errors.Is(err, io.EOF) && c.ctx.Err() == nil {
			c.f.stats.garbage.Add(1)
			c.f.opts.Logger.Debug("no client of ZooKeeper", "from", c.nc.RemoteAddr().String(), "err", err)
		}
		return
	}
	if !c.f.take(c) {
		c.beat.stop()
		return
	}
	defer c.f.leave(c)
	why := c.read()
	if c.leaves.Load() { // of whoever ends its session just now, too
		c.beat.stop()
		c.working.Wait()
		c.out.flush()
	}
	c.cancel(why) // what is under way is carried out all the same, and its answer goes nowhere
	c.beat.stop()
	c.working.Wait()
	c.inherit() // so that all before this one has ended too
	c.watches.leave()
	if c.opened && !c.trusted.Load() && c.f.hasLast(c) {
		c.endSession() // a stranger's: it would stay for its time to live
	}
	if why := context.Cause(c.ctx); c.f.ctx.Err() == nil && why != errLeaves && !errors.Is(why, errClosed) && !errors.Is(why, io.EOF) {
		c.f.opts.Logger.Info("a connection has ended", "session", c.name(), "from", c.nc.RemoteAddr().String(), "why", why)
	}
}

// inherit waits until the connection that the session had here before has carried out what it had begun, and
// takes its nodes over. A request takes no longer than the front's patience.
func (c *conn) inherit() {
	c.inherited.Do(func() {
		if c.before != nil {
			<-c.before.ended
			c.before = nil
		}
		c.owned = c.f.takeOwned(c.session)
	})
}

// name is the session as ZooKeeper's tools write it.
func (c *conn) name() string { return fmt.Sprintf("0x%x", c.session) }

// errClosed is why a connection ends whose client has closed its session.
var errClosed = errors.New("the session is closed")

// errLeaves is why a connection ends that the front lets go before its end.
var errLeaves = errors.New("the front is about to end")

// leave lets no further request begin: what the client has asked is carried out and answered, and then it is
// hung up on. Any goroutine may call it.
func (c *conn) leave() {
	c.leaves.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // long ago; a broken connection says so when it is read
}

// greet answers a four-letter word, or opens or takes up the session that the client asks for.
// Without a session there is nothing more to do.
func (c *conn) greet() error {
	if t, ok := c.nc.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(c.ctx, shakeMax)
		defer cancel()
		if err := t.HandshakeContext(ctx); err != nil {
			if secure.HandshakeRefused(err) {
				c.refuse(err.Error())
			}
			return fmt.Errorf("handshake: %w", err)
		}
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(greetingMax)) // a broken connection says so when it is read
	head, err := c.r.Peek(wordBytes)
	if err != nil {
		return err
	}
	if word, ok := words[string(head)]; ok {
		return c.sayWord(word)
	}
	if n := binary.BigEndian.Uint32(head); n > connectMax {
		return fmt.Errorf("a first message of %d bytes", n)
	}
	frame, err := c.frame(connectMax)
	if err != nil {
		return err
	}
	defer c.giveBack(int64(len(frame)))
	hello, err := jute.DecodeConnect(frame)
	if err != nil {
		return err
	}
	return c.begin(&hello)
}

// sayWord answers a four-letter word; the connection ends then.
func (c *conn) sayWord(word func(*Front) string) error {
	text := "This word is for those who have said the password.\n"
	if c.trusted.Load() {
		text = word(c.f)
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.f.opts.Bounds.WriteTimeout)) // as above
	if _, err := io.WriteString(c.nc, text); err != nil {
		return fmt.Errorf("answer a word: %w", err)
	}
	return nil
}

// growth is how much is made room for before it has come.
const growth = 64 << 10

// frame reads a message of at most most bytes, which are given back when it is done with.
func (c *conn) frame(most int) ([]byte, error) {
	var head [wordBytes]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(head[:])))
	if n < 0 || n > most {
		return nil, fmt.Errorf("a message of %d bytes, at most %d are allowed", n, most)
	}
	return c.body(n)
}

// body reads n bytes, and makes room, which is counted, as they come.
func (c *conn) body(n int) (b []byte, err error) {
	for len(b) < n {
		step := min(n-len(b), max(len(b), growth))
		if !c.reserve(int64(step)) {
			c.giveBack(int64(len(b)))
			return nil, errFull
		}
		b = append(b, make([]byte, step)...)
		if _, err := io.ReadFull(c.r, b[len(b)-step:]); err != nil {
			c.giveBack(int64(len(b)))
			return nil, err
		}
	}
	return b, nil
}

// most is how long a request may be.
func (c *conn) most() int {
	if !c.trusted.Load() {
		return min(guestMax, c.f.opts.Bounds.Request)
	}
	return c.f.opts.Bounds.Request
}

// read takes the client's messages until it leaves, or has to.
func (c *conn) read() error {
	if c.trusted.Load() {
		c.known()
	} else {
		_ = c.nc.SetReadDeadline(time.Now().Add(greetingMax))
	}
	for {
		if c.trusted.Load() {
			_ = c.nc.SetReadDeadline(time.Now().Add(c.ttl)) // a broken connection says so when it is read
		}
		if c.leaves.Load() { // looked at behind the deadline, which leave sets too
			return errLeaves
		}
		b, err := c.frame(c.most())
		switch {
		case err != nil && c.leaves.Load():
			return errLeaves
		case err != nil:
			return readFailed(err)
		}
		c.received.Add(1)
		c.f.stats.received.Add(1)
		c.beat.heard()
		q := &request{raw: b, came: time.Now()}
		if q.Header, err = jute.DecodeHeader(b); err != nil {
			c.giveBack(int64(len(b)))
			return err
		}
		may := c.mayAsk(q)
		if q.Op == jute.OpPing || q.Op == jute.OpAuth || !may {
			c.giveBack(int64(len(b)))
		}
		switch {
		case q.Op == jute.OpPing:
			c.out.reply(jute.PingXid, 0, jute.OK, nil)
		case !may:
			return errors.New("it has not said the password")
		case q.Op == jute.OpAuth && !c.auth(q):
			return errors.New("a password that is not the cluster's, or of a scheme that is not known")
		case q.Op == jute.OpAuth:
		case !c.enqueue(q):
			return context.Cause(c.ctx)
		case q.Op == jute.OpClose:
			return c.farewell()
		}
	}
}

func readFailed(err error) error {
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return errors.New("the client was silent")
	}
	return err
}

// mayAsk is false of who has to say the password first, and says so.
func (c *conn) mayAsk(q *request) bool {
	if c.trusted.Load() || q.Op == jute.OpPing || q.Op == jute.OpAuth || q.Op == jute.OpClose {
		return true
	}
	c.out.reply(q.Xid, 0, jute.NoAuth, nil)
	c.out.flush()
	return false
}

// auth judges what a client says of itself: the cluster's password stands behind "digest", as that of
// any user. Without a password in the cluster all is well, because it is good for nothing.
func (c *conn) auth(of *request) bool {
	q, err := jute.DecodeRequest(of.raw)
	_, password, _ := strings.Cut(string(q.Data), ":")
	ok := err == nil && (q.Scheme == "digest" || q.Scheme == "auth" || q.Scheme == "world" || q.Scheme == "ip")
	if ok && c.f.opts.Secure.WantsPassword() && q.Scheme == "digest" {
		text := c.f.opts.Secure.Auth([][]byte{[]byte(password)})
		if ok = text == ""; ok {
			c.trusted.Store(true)
			c.known()
		} else {
			c.refuse(secure.LoginText(text))
		}
	}
	if !ok {
		c.f.stats.logins.Add(1)
		c.out.reply(jute.AuthXid, 0, jute.AuthFailed, nil)
		c.out.flush()
		return false
	}
	c.out.reply(jute.AuthXid, 0, jute.OK, nil)
	return true
}

// refuse notes a login that was refused.
func (c *conn) refuse(why string) {
	c.f.refused.Note(c.f.opts.Logger, c.nc.RemoteAddr().String(), why)
}

// errFull says that more bytes are under way than the front is to hold.
var errFull = errors.New("too many bytes of requests and answers are under way")

// reserve counts n more bytes that are held for the client; false where all clients hold too many, and this one
// more than each may. Any goroutine may call it.
func (c *conn) reserve(n int64) bool {
	if held := c.held.Add(n); c.f.stats.held.Add(n) > c.f.opts.Total && held > spare {
		c.giveBack(n)
		c.f.stats.turnedAway.Add(1)
		return false
	}
	return true
}

// giveBack ends what reserve began.
func (c *conn) giveBack(n int64) {
	c.held.Add(-n)
	c.f.stats.held.Add(-n)
}

// build is reserve for an answer that is being made: serve gives it back.
func (c *conn) build(n int) error {
	if !c.reserve(int64(n)) {
		return errFull
	}
	c.built += int64(n)
	return nil
}

// farewell waits until the client hangs up, to whom the end of its session is being told.
func (c *conn) farewell() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(greetingMax))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.r, connectMax)) // nothing that it says counts
	return errClosed
}
