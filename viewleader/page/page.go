package page

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/secure"
)

// Bounds of what those who look may take.
const (
	connectionsMax = 128              // more wait
	watchersMax    = 48               // that are told of changes at a time; more are answered 503
	explainsMax    = 2                // at a time; more wait
	headMax        = 16 << 10         // bytes of a request's head
	keyMax         = 4 << 10          // bytes of a key that is explained
	headTimeout    = 5 * time.Second  // until a head is complete, and the TLS handshake
	writeTimeout   = 10 * time.Second // for one answer, or one thing that a watcher is told
	idleTimeout    = 30 * time.Second // between two requests of a connection
	stopMax        = time.Second      // for requests under way
)

// Options of a Page. Listener, Describe and Explain are required, and Client or Source.
type Options struct {
	Listener net.Listener   // closed by the page
	Client   client.Options // how to reach the cluster
	Source   Source         // for tests: instead of a cluster
	Files    Files          // likewise

	// Describe says of a status what query_servers --json says, and Explain of a key what explain
	// --json says. The results are encoded as JSON.
	Describe func(*admin.Status) any
	Explain  func(status *admin.Status, key string) (any, error)

	Secure  secure.Config // the password that requests must have; the Listener encrypts
	AnyHost bool          // serve requests whatever host they say they are for, where there is no password
	Logger  *slog.Logger  // default: none

	Every time.Duration // how often those who look are told; default 1 s
}

// Page is a running page. Any goroutine may call its methods.
type Page struct {
	opts     Options
	local    bool // it listens at this machine only
	server   *http.Server
	hub      *hub
	refused  secure.Refusals
	explains chan struct{} // a place for each that is under way
	browses  chan struct{} // likewise
	cancel   context.CancelFunc
	ended    chan struct{}
}

// Start serves until ctx ends or Close.
func Start(ctx context.Context, opts Options) *Page {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Every = cmp.Or(opts.Every, time.Second)
	p := &Page{opts: opts, explains: make(chan struct{}, explainsMax), browses: make(chan struct{}, browsesMax), ended: make(chan struct{})}
	if tcp, ok := opts.Listener.Addr().(*net.TCPAddr); ok {
		p.local = tcp.IP.IsLoopback()
	}
	ctx, p.cancel = context.WithCancel(ctx)
	p.hub = newHub(&p.opts)
	p.server = &http.Server{
		Handler: p.handler(), ReadHeaderTimeout: headTimeout, ReadTimeout: headTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headMax,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
	go p.run(ctx)
	opts.Logger.Info("the page is served", "addr", p.Addr())
	return p
}

// Addr returns where it listens.
func (p *Page) Addr() string { return p.opts.Listener.Addr().String() }

// Close stops the page, and returns when everything in it has ended.
func (p *Page) Close() {
	p.cancel()
	<-p.ended
}

func (p *Page) run(ctx context.Context) {
	defer close(p.ended)
	var running sync.WaitGroup
	defer running.Wait()
	defer p.cancel() // where the listener was closed by somebody else
	running.Go(func() { p.hub.run(ctx) })
	running.Go(func() {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopMax)
		defer cancel()
		if p.server.Shutdown(stopping) != nil {
			_ = p.server.Close() // cut off
		}
	})
	err := p.server.Serve(netutil.LimitListener(p.opts.Listener, connectionsMax))
	if !errors.Is(err, http.ErrServerClosed) {
		p.opts.Logger.Warn("the page is not served any more", "err", err)
	}
}
