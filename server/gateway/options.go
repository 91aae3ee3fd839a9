package gateway

import (
	"log/slog"
	"net"
	"time"

	"viewring/client"
	"viewring/internal/secure"
)

// Options of a Gateway. Client and Listener are required.
type Options struct {
	Client   *client.Client // of the cluster; outlives the gateway
	Listener net.Listener   // closed by the gateway

	Secure secure.Config // what clients must say; the Listener encrypts

	ConnectionsMax int           // default 20000
	PipelineMax    int           // commands of one connection under way; default 1024
	RequestMax     int           // bytes of one command; default 64 MiB
	Patience       time.Duration // with one command, while servers come and go; default 10 s
	WriteTimeout   time.Duration // for a client that does not read; default 10 s
	Logger         *slog.Logger  // default: none
}

func (o *Options) fill() {
	if o.ConnectionsMax == 0 {
		o.ConnectionsMax = 20_000
	}
	if o.PipelineMax == 0 {
		o.PipelineMax = 1024
	}
	if o.RequestMax == 0 {
		o.RequestMax = 64 << 20
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
