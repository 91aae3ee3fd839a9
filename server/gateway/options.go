package gateway

import (
	"cmp"
	"log/slog"
	"net"
	"time"

	"viewring/internal/route"
	"viewring/internal/secure"
)

// Options of a Gateway. Client and Listener are required.
type Options struct {
	Client   *route.Client // of the cluster; outlives the gateway
	Listener net.Listener  // closed by the gateway

	Secure secure.Config // what clients must say; the Listener encrypts

	Bounds   Bounds        // of what clients may take
	Patience time.Duration // with one command, while servers come and go; default 10 s
	Logger   *slog.Logger  // default: none
}

// Bounds of what clients may take. The zero value of a field means its default.
type Bounds struct {
	Connections  int           // default 10,000
	Pipeline     int           // commands of one connection without an answer, beyond which it is not read; default 1024
	Buffered     int64         // bytes of one connection's requests under way, and of its answers; default 128 MiB
	Request      int           // bytes of one command; default 64 MiB
	WriteTimeout time.Duration // for a client that does not read its answers; default 10 s
}

func (o *Options) fill() {
	b := &o.Bounds
	b.Connections = cmp.Or(b.Connections, 10_000)
	b.Pipeline = cmp.Or(b.Pipeline, 1024)
	b.Buffered = cmp.Or(b.Buffered, 128<<20)
	b.Request = cmp.Or(b.Request, 64<<20)
	b.WriteTimeout = cmp.Or(b.WriteTimeout, 10*time.Second)
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
