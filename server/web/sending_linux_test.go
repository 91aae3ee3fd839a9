package web

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnsent: little of an answer waits in the kernel, with TLS too.
func TestUnsent(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		plain, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		l := plain
		if encrypted {
			l = tls.NewListener(plain, &tls.Config{})
		}
		client, err := net.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		nc, err := newTurnstile(l, 1, func() {}, func(string, string) {}).Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		under := nc.(*visitor).Conn
		if encrypted {
			under = under.(*tls.Conn).NetConn()
		}
		raw, err := under.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT) }); err != nil || got != unsentMax {
			t.Errorf("TLS %v: %d, %v", encrypted, got, err)
		}
	}
}
