package gateway

import (
	"context"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"viewring/internal/front"
	"viewring/internal/secure"
	"viewring/server/redis"
)

// Gateway is a running gateway. It stops when its context ends or with Close.
type Gateway struct {
	opts  Options
	front *redis.Front

	ctx     context.Context // ends with the gateway
	cancel  context.CancelFunc
	stopped chan struct{} // closed when everything has ended

	stats     stats
	finishing atomic.Bool
	frontend  *front.Server
	monitor   *redis.Monitor
}

// spare bytes are each client's own, however many the others have under way.
const spare = 4 << 10

// stats are counted since the start.
type stats struct {
	commands, failures atomic.Uint64
}

// Start serves.
func Start(ctx context.Context, opts Options) *Gateway {
	opts.fill()
	g := &Gateway{opts: opts, stopped: make(chan struct{}), monitor: redis.NewMonitor(opts.Monitor, time.Now)}
	g.front = g.newFront()
	g.front.Monitor = g.monitor
	g.ctx, g.cancel = context.WithCancel(ctx)
	limits := front.Limits{Bounds: opts.Bounds, Spare: spare}
	if opts.Limits != nil {
		opts.Limits(&limits)
	}
	g.frontend = front.New(g.ctx, front.Options{Name: "gateway", Limits: limits, Secure: opts.Secure, Logger: opts.Logger, InTurn: true, Open: g.newSession})
	go func() {
		defer close(g.stopped)
		g.frontend.Serve(opts.Listener)
	}()
	opts.Logger.Info("gateway is up", "addr", g.Addr())
	return g
}

// newFront is what a gateway shows to its clients.
func (g *Gateway) newFront() *redis.Front {
	o := &g.opts
	judge := func(from string, args [][]byte) string { return g.frontend.Judge(from, args) }
	f := &redis.Front{Mode: redis.ModeStandalone, Auth: judge, Password: o.Secure.WantsPassword(), NoAuth: secure.HelloNoAuth,
		Now: time.Now, Started: time.Now(), System: runtime.GOOS + " " + runtime.GOARCH, Process: os.Getpid()}
	if _, port, err := net.SplitHostPort(o.Listener.Addr().String()); err == nil {
		f.Port, _ = strconv.ParseInt(port, 10, 32) // 0 where it is none
	}
	return f
}

// Addr returns the address that the gateway listens at.
func (g *Gateway) Addr() string { return g.opts.Listener.Addr().String() }

// Reached tells how often clients met a limit.
func (g *Gateway) Reached() *front.Reached { return g.frontend.Reached() }

// Close stops the gateway and returns when everything in it has ended.
func (g *Gateway) Close() error {
	g.cancel()
	g.Wait()
	return nil
}

// Finish lets the gateway's clients go before its end, and returns when all have left, or with ctx:
// nobody new is let in, and what clients have sent is carried out and answered. Close ends it.
func (g *Gateway) Finish(ctx context.Context) {
	g.finishing.Store(true)
	g.frontend.Retire(ctx)
}

// Wait returns when the gateway has stopped.
func (g *Gateway) Wait() { <-g.stopped }
