package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"viewring/client/file"
	"viewring/internal/files"
	"viewring/internal/secure"
	"viewring/internal/tally"
	"viewring/internal/wait"
	"viewring/server/web/dav"
)

// Front is a running front. It stops when its context ends or with Close.
type Front struct {
	opts     Options
	server   *http.Server
	door     *turnstile
	budget   *budget
	cluster  atomic.Pointer[cluster] // nil until it was found
	healthy  health
	csrf     *http.CrossOriginProtection
	local    bool // it listens at this machine only
	turnedAt atomic.Int64
	refused  secure.Refusals
	meters   meters

	finishing atomic.Bool
	cancel    context.CancelFunc
	stopped   chan struct{} // closed when everything has ended
}

// cluster is what a front serves.
type cluster struct {
	files *file.FS
	share *dav.Share
	s3    S3 // nil: none
}

// Start serves.
func Start(ctx context.Context, opts Options) *Front {
	opts.fill()
	f := &Front{opts: opts, budget: newBudget(opts.Bounds.Bodies, opts.Bounds.ReadRate), csrf: http.NewCrossOriginProtection(), stopped: make(chan struct{})}
	if tcp, ok := opts.Listener.Addr().(*net.TCPAddr); ok {
		f.local = tcp.IP.IsLoopback()
	}
	f.server = &http.Server{
		Handler:           http.HandlerFunc(f.serve),
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headMax,
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return secure.WithGuest(ctx, nc.(*visitor).known)
		},
		ErrorLog: slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
	f.door = newTurnstile(opts.Listener, opts.Bounds.Connections, f.turnedAway, f.refuse)
	f.meters.ops = tally.NewOps(len(methodNames))
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx)
	opts.Logger.Info("http front is up", "addr", f.Addr())
	return f
}

// Addr returns the address that the front listens at.
func (f *Front) Addr() string { return f.opts.Listener.Addr().String() }

// Finish lets requests end that are under way, before the front's end, and returns when all have, or with ctx.
// Nobody new is let in. Close ends it.
func (f *Front) Finish(ctx context.Context) {
	f.finishing.Store(true)
	if err := f.server.Shutdown(ctx); err != nil {
		f.opts.Logger.Warn("requests are cut off", "err", err)
	}
}

// Close stops the front and returns when everything in it has ended. Requests under way are cut off:
// see Finish.
func (f *Front) Close() error {
	f.cancel()
	f.Wait()
	return nil
}

// Wait returns when the front has stopped.
func (f *Front) Wait() { <-f.stopped }

// run serves until the context ends.
func (f *Front) run(ctx context.Context) {
	defer close(f.stopped)
	defer f.cancel() // where the listener was closed by somebody else
	var running sync.WaitGroup
	defer func() {
		running.Wait()
		if c := f.cluster.Swap(nil); c != nil {
			_ = c.files.Close() // nobody uses it any more
		}
	}()
	running.Go(func() { f.find(ctx) })
	running.Go(func() {
		<-ctx.Done()
		_ = f.server.Close() // cuts off, as it should
	})
	files.NewGate().Compare(f.opts.Logger, "http front", f.opts.Bounds.Connections)
	err := f.server.Serve(f.door)
	if !errors.Is(err, http.ErrServerClosed) {
		f.opts.Logger.Warn("the http front has stopped", "err", err)
		f.cancel()
	}
	<-ctx.Done() // requests may be under way: see Finish
}

// find finds the cluster, however long that takes.
func (f *Front) find(ctx context.Context) {
	for {
		files, err := f.opts.Open(ctx)
		if err == nil {
			c := &cluster{files: files, share: &dav.Share{Files: files, ETag: etagOf, ContentType: contentType}}
			if f.opts.S3 != nil {
				c.s3 = f.opts.S3(files, f.budget.take)
			}
			f.cluster.Store(c)
			return
		}
		if ctx.Err() != nil {
			return
		}
		f.opts.Logger.Warn("waiting for the cluster", "err", err)
		if !wait.For(ctx, openPause) {
			return
		}
	}
}

// refuse notes a login that was refused.
func (f *Front) refuse(from, why string) { f.refused.Note(f.opts.Logger, from, why) }

// turnedAway says that there are too many connections, now and then.
func (f *Front) turnedAway() {
	f.meters.refused.Add(1)
	now := time.Now().UnixNano()
	if was := f.turnedAt.Load(); now-was > int64(10*time.Second) && f.turnedAt.CompareAndSwap(was, now) {
		f.opts.Logger.Warn("clients are turned away", "connections", f.opts.Bounds.Connections)
	}
}
