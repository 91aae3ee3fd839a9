package zk

import (
	"net"
	"testing"

	"viewring/internal/route"
	"viewring/server/zk/jute"
)

// BenchmarkGet is of one client that waits for each answer; servers are in the same process.
func BenchmarkGet(b *testing.B) {
	rc, err := route.Open(b.Context(), route.Options(cluster().Options()))
	if err != nil {
		b.Fatal(err)
	}
	defer rc.Close()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := Start(b.Context(), Options{Client: rc, Listener: lis})
	defer f.Close()
	nc, err := net.Dial("tcp", f.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	c := &client{nc: nc}
	c.write(jute.AppendConnect(nil, &jute.Connect{Timeout: 60_000, Password: make([]byte, 16)}))
	if _, err := c.frame(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if p, err := c.try(jute.Request{Op: jute.OpGetData, Path: "/"}); err != nil || p.Err != jute.OK {
			b.Fatal(p.Err, err)
		}
	}
}
