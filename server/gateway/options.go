package gateway

import (
	"log/slog"
	"net"
	"time"

	"viewring/internal/front"
	"viewring/internal/route"
	"viewring/internal/secure"
	"viewring/server/redis"
)

// Options of a Gateway. Client and Listener are required.
type Options struct {
	Client   *route.Client // of the cluster; outlives the gateway
	Listener net.Listener  // closed by the gateway

	Secure secure.Config // what clients must say; the Listener encrypts

	Bounds   Bounds           // of what clients may take
	Monitor  redis.Monitoring // of commands; the zero value: slow ones from 100 ms on, 128 of them
	Patience time.Duration    // with one command, while servers come and go; default 10 s
	Logger   *slog.Logger     // default: none

	Limits func(*front.Limits) // for tests: changes those of connections; default: nothing
}

// Bounds of what clients may take. Buffered bounds one connection's requests, and as much
// again its answers.
type Bounds = front.Bounds

func (o *Options) fill() {
	o.Bounds.Fill()
	if o.Monitor == (redis.Monitoring{}) {
		o.Monitor = redis.Monitoring{SlowerThan: redis.SlowerThan, SlowLen: redis.SlowLen}
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
