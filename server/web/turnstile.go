package web

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/files"
	"viewring/internal/secure"
)

// turnstile is a listener that lets a bounded number of connections in.
type turnstile struct {
	net.Listener
	most   int64
	inside atomic.Int64
	gate   files.Gate
	guests *secure.Guests
	told   func() // of each that is turned away
	refuse func(from, why string)
}

func newTurnstile(l net.Listener, most int, told func(), refuse func(from, why string)) *turnstile {
	return &turnstile{Listener: l, most: int64(most), gate: files.NewGate(), guests: secure.NewGuests(min(guestsMax, (most+1)/2)), told: told, refuse: refuse}
}

const turnAwayMax = 50 * time.Millisecond // to tell a connection that there is no room

const tooMany = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: " + retryAfter + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\nConnection: close\r\n\r\ntoo many connections\n"

// Accept is that of net.Listener.
func (t *turnstile) Accept() (net.Conn, error) {
	for {
		nc, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if t.inside.Add(1) <= t.most && t.gate.Judge(nc) == files.Everybody {
			return t.admit(nc), nil
		}
		t.inside.Add(-1)
		t.told()
		if _, encrypted := nc.(*tls.Conn); !encrypted { // that would wait for the client
			_ = nc.SetWriteDeadline(time.Now().Add(turnAwayMax))
			_, _ = nc.Write([]byte(tooMany)) // who does not listen misses it
		}
		_ = nc.Close()
	}
}

// visitor is a connection that was let in, until it is closed.
type visitor struct {
	net.Conn
	leave  func()
	refuse func(from, why string)
	known  func() // it is a guest no more
	read   bool   // something was: the handshake is over
}

// Read is that of net.Conn. The first shakes hands, where the connection is encrypted.
func (v *visitor) Read(p []byte) (int, error) {
	n, err := v.Conn.Read(p)
	if _, encrypted := v.Conn.(*tls.Conn); encrypted && !v.read && n == 0 && secure.HandshakeRefused(err) {
		v.refuse(v.RemoteAddr().String(), err.Error())
	}
	v.read = true
	return n, err
}

func (t *turnstile) admit(nc net.Conn) net.Conn {
	boundUnsent(nc)
	cut := nc
	if over, ok := nc.(*tls.Conn); ok {
		cut = over.NetConn() // to say farewell would wait
	}
	known := t.guests.Enter(context.Background(), func() { _ = cut.Close() }) // its reading ends by it
	return &visitor{Conn: nc, known: known, leave: sync.OnceFunc(func() { t.inside.Add(-1) }), refuse: t.refuse}
}

// Close is that of net.Conn.
func (v *visitor) Close() error {
	defer v.leave()
	defer v.known()
	return v.Conn.Close()
}
