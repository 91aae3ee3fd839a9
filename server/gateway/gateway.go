package gateway

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/secure"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// Gateway is a running gateway. It stops when its context ends or with Close.
type Gateway struct {
	opts  Options
	front *redis.Front

	ctx     context.Context // ends with the gateway
	cancel  context.CancelFunc
	running sync.WaitGroup
	stopped chan struct{} // closed when everything has ended

	stats     stats
	strangers wire.Strangers

	mu struct {
		sync.Mutex
		closed   bool
		sessions map[*session]struct{}
	}
}

// stats are counted since the start.
type stats struct {
	connections, refused, slow    atomic.Uint64
	tooLarge                      atomic.Uint64
	commands, failures, pipelines atomic.Uint64
}

// acceptPause is the time after an accept that failed.
const acceptPause = 50 * time.Millisecond

// Start serves.
func Start(ctx context.Context, opts Options) *Gateway {
	opts.fill()
	g := &Gateway{opts: opts, front: newFront(&opts), stopped: make(chan struct{})}
	g.mu.sessions = make(map[*session]struct{})
	g.ctx, g.cancel = context.WithCancel(ctx)
	g.running.Go(g.accept)
	go g.finish()
	opts.Logger.Info("gateway is up", "addr", g.Addr())
	return g
}

// newFront is what a gateway shows to its clients.
func newFront(o *Options) *redis.Front {
	f := &redis.Front{Mode: redis.ModeStandalone, Auth: o.Secure.Auth, Password: o.Secure.WantsPassword(), NoAuth: secure.HelloNoAuth,
		Now: time.Now, Started: time.Now(), System: runtime.GOOS + " " + runtime.GOARCH, Process: os.Getpid()}
	if _, port, err := net.SplitHostPort(o.Listener.Addr().String()); err == nil {
		f.Port, _ = strconv.ParseInt(port, 10, 32) // 0 where it is none
	}
	return f
}

// Addr returns the address that the gateway listens at.
func (g *Gateway) Addr() string { return g.opts.Listener.Addr().String() }

// Close stops the gateway and returns when everything in it has ended.
func (g *Gateway) Close() error {
	g.cancel()
	g.Wait()
	return nil
}

// Wait returns when the gateway has stopped.
func (g *Gateway) Wait() { <-g.stopped }

func (g *Gateway) finish() {
	<-g.ctx.Done()
	_ = g.opts.Listener.Close() // accept ends by it
	g.mu.Lock()
	g.mu.closed = true
	for s := range g.mu.sessions {
		_ = s.nc.Close() // its goroutines end by it
	}
	g.mu.Unlock()
	g.running.Wait()
	close(g.stopped)
}

// accept takes connections until the listener is closed.
func (g *Gateway) accept() {
	for {
		nc, err := g.opts.Listener.Accept()
		if err == nil {
			g.take(nc)
			continue
		}
		if g.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		g.opts.Logger.Warn("a connection could not be accepted", "err", err)
		wait.For(g.ctx, acceptPause) // out of file descriptors, most likely: do not spin
	}
}

// take starts serving a connection, unless there are too many.
func (g *Gateway) take(nc net.Conn) {
	g.mu.Lock()
	full := len(g.mu.sessions) >= g.opts.Bounds.Connections
	if g.mu.closed || full {
		g.mu.Unlock()
		if full {
			g.stats.refused.Add(1)
			_ = nc.SetWriteDeadline(time.Now().Add(acceptPause))
			_, _ = nc.Write([]byte("-" + wire.TooManyClients + "\r\n")) // best effort
		}
		_ = nc.Close()
		return
	}
	s := newSession(g, nc)
	g.mu.sessions[s] = struct{}{}
	g.running.Add(1)
	g.mu.Unlock()
	g.stats.connections.Add(1)
	go func() {
		defer g.running.Done()
		s.serve()
		g.mu.Lock()
		delete(g.mu.sessions, s)
		g.mu.Unlock()
	}()
}

// connected is how many clients there are.
func (g *Gateway) connected() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.mu.sessions)
}
