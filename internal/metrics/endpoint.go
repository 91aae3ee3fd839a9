package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"viewring/internal/port"
)

// Bounds of what clients may take.
const (
	connectionsMax = 32               // more wait
	scrapesMax     = 4                // at a time; more are answered 503
	scrapeMax      = 10 * time.Second // that one may take
	headMax        = 16 << 10         // bytes of a request's head
	headTimeout    = 5 * time.Second
	writeTimeout   = 30 * time.Second // for an answer, but for profiles
	idleTimeout    = 90 * time.Second // between two requests of a connection: longer than Prometheus' interval, mostly
	profileMax     = 5 * time.Minute  // that a profile or a trace may take
	stopMax        = 2 * time.Second  // for requests under way
)

// Options of an Endpoint. Addr is required.
type Options struct {
	Addr    string // host:port
	Pprof   bool   // serve /debug/pprof too
	Version string // of the build
	Logger  *slog.Logger

	head time.Duration // for tests: instead of headTimeout
}

// Service is what runs in the process.
type Service struct {
	Name string // server, gateway, …: for /readyz

	// Collect tells its figures, in time for ctx. It may be called by several goroutines at once.
	Collect func(ctx context.Context, s *Sink)
	// Ready says why it can't do its work now, or nil.
	Ready func() error
	// Healthy says why it never will again, unless it is started anew, or nil. nil: it always may.
	Healthy func() error
}

// Endpoint serves. Any goroutine may call its methods; those of a nil Endpoint do nothing, so that who
// has been asked for none need not care.
type Endpoint struct {
	opts     Options
	listener net.Listener
	server   *http.Server
	ended    chan struct{}

	mu struct {
		sync.Mutex
		waiting  []string // services that are to come
		services []Service
	}
}

// Open listens and serves. Until the services of these names are added the process is not ready.
func Open(ctx context.Context, opts Options, services ...string) (*Endpoint, error) {
	l, err := port.Listen(ctx, opts.Addr, opts.Logger)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	e := &Endpoint{opts: opts, listener: l, ended: make(chan struct{})}
	head := cmp.Or(opts.head, headTimeout)
	e.mu.waiting = services
	e.server = &http.Server{
		Handler: e.handler(), ReadHeaderTimeout: head, ReadTimeout: head, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headMax,
		ErrorLog: slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(e.ended)
		if err := e.server.Serve(netutil.LimitListener(l, connectionsMax)); !errors.Is(err, http.ErrServerClosed) {
			opts.Logger.Warn("metrics are not served any more", "err", err)
		}
	}()
	opts.Logger.Info("metrics are served", "addr", e.Addr(), "pprof", opts.Pprof)
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		opts.Logger.Warn("whoever reaches this address reads the metrics: there is no password and no TLS", "addr", e.Addr())
	}
	return e, nil
}

// Addr returns where it listens.
func (e *Endpoint) Addr() string { return e.listener.Addr().String() }

// Add tells of a service from now on.
func (e *Endpoint) Add(s Service) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.services = append(e.mu.services, s)
	e.mu.waiting = slices.DeleteFunc(slices.Clone(e.mu.waiting), func(name string) bool { return name == s.Name })
}

// Close stops serving. Requests under way are given a moment.
func (e *Endpoint) Close() {
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	if e.server.Shutdown(ctx) != nil {
		_ = e.server.Close() // cut off
	}
	<-e.ended
}

// known returns the services that there are, and the names of those to come.
func (e *Endpoint) known() (services []Service, waiting []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.services[:len(e.mu.services):len(e.mu.services)], e.mu.waiting
}

func (e *Endpoint) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{e})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesMax, Timeout: scrapeMax, ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{e.opts.Logger},
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, e.unhealthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, e.unready()) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "/metrics /healthz /readyz") // who has gone misses it
	})
	if e.opts.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", long(pprof.Profile))
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", long(pprof.Trace))
	}
	return mux
}

// long lets an answer take longer than others.
func long(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(profileMax)) // a broken connection says so when it is written to
		serve(w, r)
	}
}

// say answers with what is wrong, one line each.
func say(w http.ResponseWriter, wrong []string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	text := "ok"
	if len(wrong) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = strings.Join(wrong, "\n")
	}
	_, _ = fmt.Fprintln(w, text) // who has gone misses it
}

func (e *Endpoint) unhealthy() (wrong []string) {
	services, _ := e.known()
	for _, s := range services {
		if s.Healthy == nil {
			continue
		}
		if err := s.Healthy(); err != nil {
			wrong = append(wrong, s.Name+": "+err.Error())
		}
	}
	return wrong
}

func (e *Endpoint) unready() (wrong []string) {
	services, waiting := e.known()
	for _, name := range waiting {
		wrong = append(wrong, name+": it starts, and waits for its cluster")
	}
	for _, s := range services {
		if err := s.Ready(); err != nil {
			wrong = append(wrong, s.Name+": "+err.Error())
		}
	}
	return append(wrong, e.unhealthy()...)
}

// What every process tells.
var (
	buildInfo = Gauge("build_info", "1, with the version of this build and of the Go that built it.", "version", "goversion")
	ready     = Gauge("ready", "Whether the service can do its work now, as /readyz says.", "service")
)

// collector asks the services at each scrape.
type collector struct{ e *Endpoint }

// Describe tells nothing: which series there are shows with what has happened.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeMax/2)
	defer cancel()
	s := &Sink{to}
	s.Put(buildInfo, 1, c.e.opts.Version, runtime.Version())
	services, waiting := c.e.known()
	for _, name := range waiting {
		s.PutBool(ready, false, name)
	}
	for _, service := range services {
		s.PutBool(ready, service.Ready() == nil, service.Name)
		service.Collect(ctx, s)
	}
}

// errorLog writes what goes wrong at a scrape.
type errorLog struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) {
	l.logger.Warn("a scrape failed", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
