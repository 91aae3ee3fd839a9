package gateway

import (
	"context"
	"errors"

	"viewring/internal/metrics"
	"viewring/internal/tally"
	"viewring/server/redis"
)

// The families of a gateway.
var (
	commandFamilies = metrics.NewCommands("gateway", "commands", "command", "outcome", "From the arrival of a command to its reply.")
	connFamilies    = metrics.NewConnections("gateway")

	viewEpoch  = metrics.Gauge("gateway_view_epoch", "Epoch of the view that the gateway uses.")
	unanswered = metrics.Counter("gateway_commands_unanswered_total", "Commands of which the servers gave no answer.")
	requests   = metrics.Counter("gateway_requests_total", "Requests to servers.")
	retries    = metrics.Counter("gateway_retries_total", "Requests that were sent again.")
	held       = metrics.Gauge("gateway_request_bytes", "Bytes of requests that are under way.")
)

// Service is the gateway as its process's port for metrics shows it. It is ready as soon as it is there: it
// has found its cluster.
func (g *Gateway) Service() metrics.Service {
	return metrics.Service{Name: "gateway", Collect: g.collect, Ready: g.ready}
}

func (g *Gateway) ready() error {
	if g.finishing.Load() {
		return errors.New("it lets its clients go, and ends")
	}
	return g.ctx.Err()
}

func (g *Gateway) collect(_ context.Context, to *metrics.Sink) {
	g.monitor.Each(func(name string, c *tally.OpCounts) {
		to.PutCommand(commandFamilies, name, c, func(i int) string { return redis.Ended(i).String() })
	})
	to.PutConnections(connFamilies, g.frontend)
	st := g.opts.Client.Stats()
	to.Put(viewEpoch, float64(g.opts.Client.View().Epoch))
	to.Put(unanswered, float64(g.stats.failures.Load()))
	to.Put(requests, float64(st.Requests))
	to.Put(retries, float64(st.Retries))
	to.Put(held, float64(max(0, g.frontend.Held())))
}
