// Command viewring runs the services and the commands of viewring. It only
// dispatches: see client/cli, server and viewleader.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"viewring/client"
	"viewring/client/cli"
	"viewring/client/file"
	"viewring/client/s3keys"
	"viewring/internal/metrics"
	"viewring/internal/route"
	"viewring/internal/secure"
	"viewring/internal/unit"
	"viewring/server"
	"viewring/server/gateway"
	"viewring/server/machine"
	"viewring/server/redis"
	"viewring/server/s3"
	"viewring/server/web"
	"viewring/server/zk"
	"viewring/viewleader"
	"viewring/viewleader/page"
)

// sameSignal is for how long another SIGTERM counts as the one that began a drain: timeout(1)
// and shells send it to the process and to its group.
const sameSignal = time.Second

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	terms := make(chan struct{}, 1)
	var drains atomic.Bool
	go func() { // ends with the process
		var began time.Time // of the drain
		for sig := range signals {
			switch {
			case sig == syscall.SIGTERM && drains.CompareAndSwap(true, false):
				began = time.Now()
				terms <- struct{}{}
			case sig == syscall.SIGTERM && time.Since(began) < sameSignal:
			default:
				stop()
			}
		}
	}()
	executable, err := os.Executable()
	if err != nil {
		executable = os.Args[0]
	}
	env := cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())), StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Getenv: os.Getenv, Executable: executable, Version: version(),
	}
	if !machine.Relaxes() { // a service tells what it has to once
		env.Environ = os.Environ()
	}
	return cli.Main(ctx, os.Args[1:], env, cli.Starters{
		ViewLeader: runViewLeader,
		Server: func(ctx context.Context, o cli.ServerOptions) error {
			return runServer(ctx, o, &drains, terms)
		},
		Gateway: func(ctx context.Context, o cli.GatewayOptions) error {
			return runGateway(ctx, o, &drains, terms)
		},
		ZooKeeper: func(ctx context.Context, o cli.ZooKeeperOptions) error {
			return runZooKeeper(ctx, o, &drains, terms)
		},
		HTTP: func(ctx context.Context, o cli.HTTPOptions) error {
			return runHTTP(ctx, o, &drains, terms)
		},
	})
}

// version is what the build knows of itself.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// outside is who looks at a service's process from outside: Prometheus, and the service manager.
type outside struct {
	figures *metrics.Endpoint
	unit    *unit.Unit
	stop    func()

	mu     sync.Mutex
	fronts []front
}

// front is a service that lets its clients go before its end.
type front interface {
	Service() metrics.Service
	Finish(ctx context.Context)
	Wait()
}

// openOutside opens the port for metrics, where one was asked for, and has the process read its
// certificates and its password again when they change, and when SIGHUP says so, which ends no
// service. close ends that.
func openOutside(ctx context.Context, config secure.Config, o cli.MetricsOptions, logger *slog.Logger, services ...string) (*outside, error) {
	signals, again := make(chan os.Signal, 1), make(chan func())
	signal.Notify(signals, syscall.SIGHUP)
	out := &outside{unit: unit.New(logger, services...)}
	if o.Listen != "" {
		var err error
		if out.figures, err = metrics.Open(ctx, metrics.Options{Addr: o.Listen, Pprof: o.Pprof, Version: version(), Logger: logger}, services...); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { config.Run(ctx, again, logger) })
	running.Go(func() { out.unit.Run(ctx) })
	running.Go(func() {
		for {
			select {
			case <-signals:
				select {
				case again <- out.unit.Reloading():
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return
			}
		}
	})
	out.stop = func() {
		cancel()
		running.Wait() // the signal stays caught: it must not end what is still being ended
	}
	return out, nil
}

// add tells of a service that runs now.
func (o *outside) add(s metrics.Service) {
	o.figures.Add(s)
	o.unit.Add(s.Name, s.Ready)
}

// serve tells of a front that runs now, until it has ended.
func (o *outside) serve(f front) {
	o.mu.Lock()
	o.fronts = append(o.fronts, f)
	o.mu.Unlock()
	o.add(f.Service())
	f.Wait()
}

// finishMax bounds the time that a front which is told to end has for the requests under way.
const finishMax = 10 * time.Second

// finish lets the clients of all fronts go that run.
func (o *outside) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, finishMax)
	defer cancel()
	o.mu.Lock()
	fronts := o.fronts
	o.mu.Unlock()
	var running sync.WaitGroup
	for _, f := range fronts {
		running.Go(func() { f.Finish(ctx) })
	}
	running.Wait()
}

func (o *outside) close() {
	o.unit.Ending()
	o.stop()
	o.figures.Close()
}

// handOverMax bounds the time in which another view leader of the group takes over
// from one that was told to end.
const handOverMax = 2 * time.Second

func runViewLeader(ctx context.Context, o cli.ViewLeaderOptions) error {
	machine.Relax()
	out, err := openOutside(ctx, o.Secure, o.Metrics, o.Logger, "viewleader")
	if err != nil {
		return err
	}
	defer out.close()
	pageAt, err := listenFront(ctx, "page", o.Page.Listen, o.Secure.ForUsers(), o.Logger)
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s, err := viewleader.Start(running, viewleader.Options{
		Listen: o.Listen, Advertise: o.Advertise, Peers: o.Peers, Data: o.Data, Partitions: o.Partitions, MinCopies: o.MinCopies,
		Recover: viewleader.RecoverOptions{Wanted: o.Recover, Without: o.RecoverWithout, Unchanged: o.Unchanged, AcceptLoss: o.AcceptLoss},
		Secure:  o.Secure, Heartbeat: o.Heartbeat, DownAfter: o.DownAfter, OutAfter: o.OutAfter, LeaseTTL: o.LeaseTTL, Version: version(), Logger: o.Logger,
	})
	if err != nil {
		return ended(ctx, "view leader", err)
	}
	out.add(s.Service())
	if pageAt != nil {
		defer startPage(ctx, pageAt, o, cmp.Or(o.Advertise, s.Addr())).Close()
	}
	stop := context.AfterFunc(ctx, func() { // ends with the process
		defer out.unit.Draining("handing over to another view leader")()
		handing, cancel := context.WithTimeout(running, handOverMax)
		defer cancel()
		s.HandOver(handing)
		end()
	})
	defer stop()
	if err := s.Wait(); !errors.Is(err, viewleader.ErrRemoved) { // its work is done then
		return ended(ctx, "view leader", err)
	}
	return nil
}

// startPage serves the page of a cluster, of which the view leader at addr is one.
func startPage(ctx context.Context, l net.Listener, o cli.ViewLeaderOptions, addr string) *page.Page {
	at := o.Page.Client
	if len(at.Leaders) == 0 {
		at.Leaders = []string{addr}
	}
	return page.Start(ctx, page.Options{
		Listener: l, Client: at, Describe: cli.Describe, Explain: cli.Explain, Secure: o.Secure, AnyHost: o.Page.AnyHost, Logger: o.Logger,
	})
}

// runServer runs a server. While drains is set, a SIGTERM comes through terms
// instead of ending ctx: the server then hands over what it serves before it ends.
func runServer(ctx context.Context, o cli.ServerOptions, drains *atomic.Bool, terms <-chan struct{}) error {
	machine.Relax()
	out, err := openOutside(ctx, o.Secure, o.Metrics, o.Logger, servicesOf(&o)...)
	if err != nil {
		return err
	}
	defer out.close()
	limitHeap, paceHeap := debug.SetMemoryLimit, debug.SetGCPercent // unless the environment says otherwise
	if os.Getenv("GOMEMLIMIT") != "" {
		limitHeap = nil
	}
	if os.Getenv("GOGC") != "" {
		paceHeap = nil
	}
	gatewayAt, err := listenFront(ctx, "gateway", o.Gateway.Listen, o.Gateway.Secure, o.Logger) // before anything begins that it could disturb
	if err != nil {
		return err
	}
	zooKeeperAt, err := listenFront(ctx, "zookeeper front", o.ZooKeeper.Listen, o.ZooKeeper.Secure, o.Logger)
	if err != nil {
		return err
	}
	httpAt, err := listenHTTP(ctx, o.HTTP)
	if err != nil {
		return err
	}
	s, err := server.Start(ctx, server.Options{
		Listen: o.Listen, Advertise: o.Advertise, Data: o.Data, Zone: o.Zone, Weight: o.Weight, KeepZone: o.KeepZone,
		LeaderAddrs: o.Leaders, RebalanceRate: o.RebalanceRate, DiskReserve: o.DiskReserve, Memory: o.Memory, LimitHeap: limitHeap, PaceHeap: paceHeap, ScrubEvery: o.ScrubEvery, Secure: o.Secure, Bounds: server.Bounds(o.Bounds), Graces: server.Graces(o.Graces),
		Monitor: redis.Monitoring(o.Monitor), Version: version(), Logger: o.Logger,
	})
	if err != nil {
		return ended(ctx, "server", err)
	}
	out.add(s.Service())
	beside := besides{gateway: gatewayAt, zooKeeper: zooKeeperAt, http: httpAt, out: out}
	defer beside.start(ctx, o)()
	drains.Store(true)
	go func() { // ends with the process
		<-terms
		over := out.unit.Draining("draining: others take over what this server serves")
		var fronts sync.WaitGroup
		fronts.Go(func() { out.finish(ctx) })
		drain(ctx, s, o)
		fronts.Wait()
		over()
		_ = s.Close() // Wait has its error
	}()
	if err := s.Wait(); !errors.Is(err, server.ErrLeft) { // its work is done then
		return ended(ctx, "server", err)
	}
	return nil
}

// besides are where a server's gateway, ZooKeeper front and HTTP front listen; nil where there is none.
type besides struct {
	gateway, zooKeeper, http net.Listener
	out                      *outside
}

// start lets them serve; end ends them.
func (b besides) start(ctx context.Context, o cli.ServerOptions) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	if b.gateway != nil {
		running.Go(func() { serveGateway(ctx, b.gateway, o.Gateway, b.out) })
	}
	if b.zooKeeper != nil {
		running.Go(func() { serveZooKeeper(ctx, b.zooKeeper, o.ZooKeeper, b.out) })
	}
	if b.http != nil {
		running.Go(func() { serveHTTP(ctx, b.http, o.HTTP, b.out) })
	}
	return func() {
		stop()
		running.Wait()
	}
}

// runGateway runs a gateway.
func runGateway(ctx context.Context, o cli.GatewayOptions, drains *atomic.Bool, terms <-chan struct{}) error {
	return withOutside(ctx, o.Front, "gateway", drains, terms, func(ctx context.Context, out *outside) error {
		l, err := listenFront(ctx, "gateway", o.Listen, o.Secure, o.Logger)
		if err == nil {
			serveGateway(ctx, l, o, out)
		}
		return err
	})
}

// runZooKeeper runs a ZooKeeper front.
func runZooKeeper(ctx context.Context, o cli.ZooKeeperOptions, drains *atomic.Bool, terms <-chan struct{}) error {
	return withOutside(ctx, o.Front, "zk", drains, terms, func(ctx context.Context, out *outside) error {
		l, err := listenFront(ctx, "zookeeper front", o.Listen, o.Secure, o.Logger)
		if err == nil {
			serveZooKeeper(ctx, l, o, out)
		}
		return err
	})
}

// runHTTP runs an HTTP front.
func runHTTP(ctx context.Context, o cli.HTTPOptions, drains *atomic.Bool, terms <-chan struct{}) error {
	return withOutside(ctx, o.Front, "http", drains, terms, func(ctx context.Context, out *outside) error {
		l, err := listenHTTP(ctx, o)
		if err == nil {
			serveHTTP(ctx, l, o, out)
		}
		return err
	})
}

// withOutside has a front served that has a process of its own, until ctx ends, or until its clients
// have left after a SIGTERM.
func withOutside(ctx context.Context, o cli.Front, name string, drains *atomic.Bool, terms <-chan struct{}, serve func(context.Context, *outside) error) error {
	out, err := openOutside(ctx, o.Secure, o.Metrics, o.Logger, name)
	if err != nil {
		return err
	}
	defer out.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	drains.Store(true)
	go func() { // ends with the process
		<-terms
		defer out.unit.Draining("ending: requests under way are answered")()
		out.finish(ctx)
		stop()
	}()
	return serve(ctx, out)
}

// servicesOf names what runs in a server's process.
func servicesOf(o *cli.ServerOptions) []string {
	names := []string{"server"}
	for _, front := range []struct{ name, listen string }{{"gateway", o.Gateway.Listen}, {"zk", o.ZooKeeper.Listen}, {"http", o.HTTP.Listen}} {
		if front.listen != "" {
			names = append(names, front.name)
		}
	}
	return names
}

// listenHTTP is listenFront, where clients with the password need no certificate.
func listenHTTP(ctx context.Context, o cli.HTTPOptions) (net.Listener, error) {
	return listenFront(ctx, "http front", o.Listen, o.Secure.ForUsers(), o.Logger)
}

// listenFront returns nil where nobody is to listen.
func listenFront(ctx context.Context, what, addr string, config secure.Config, logger *slog.Logger) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := config.Listen(ctx, addr, logger)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return l, nil
}

func serveGateway(ctx context.Context, l net.Listener, o cli.GatewayOptions, out *outside) {
	serveFront(ctx, l, o.Client, o.Logger, func(c *route.Client) {
		g := gateway.Start(ctx, gateway.Options{Client: c, Listener: l, Secure: o.Secure, Bounds: gateway.Bounds(o.Bounds), Monitor: redis.Monitoring(o.Monitor), Logger: o.Logger})
		out.serve(g)
	})
}

func serveZooKeeper(ctx context.Context, l net.Listener, o cli.ZooKeeperOptions, out *outside) {
	serveFront(ctx, l, o.Client, o.Logger, func(c *route.Client) {
		f := zk.Start(ctx, zk.Options{Client: c, Listener: l, Secure: o.Secure, Bounds: zk.Bounds(o.Bounds), Logger: o.Logger})
		out.serve(f)
	})
}

func serveHTTP(ctx context.Context, l net.Listener, o cli.HTTPOptions, out *outside) {
	f := web.Start(ctx, web.Options{
		Listener: l, Secure: o.Secure, Bounds: web.Bounds(o.Bounds), AnyHost: o.AnyHost, Logger: o.Logger,
		Open: func(ctx context.Context) (*file.FS, error) { return file.Open(ctx, o.Client) },
		S3: func(files *file.FS, room web.Room) web.S3 {
			h := s3.New(s3.Options{Files: files, Keys: s3keys.NewCache(s3keys.NewStore(files, o.S3.Secret)), Domains: o.S3.Domains, UploadsEnd: o.S3.UploadsEnd, Room: room, Logger: o.Logger})
			go h.Run(ctx) // ends with the front
			return h
		},
	})
	out.serve(f)
}

// serveFront finds the cluster, however long that takes, and has it served.
func serveFront(ctx context.Context, l net.Listener, o client.Options, logger *slog.Logger, serve func(*route.Client)) {
	defer l.Close()
	for {
		c, err := route.Open(ctx, route.Options(o))
		if err == nil {
			defer c.Close()
			serve(c)
			return
		}
		if ctx.Err() != nil {
			return
		}
		logger.Warn("waiting for the cluster", "err", err)
	}
}

// drain has the server hand over what it serves; SIGINT or another SIGTERM ends it.
func drain(ctx context.Context, s *server.Server, o cli.ServerOptions) {
	o.Logger.Info("draining before the end", "timeout", o.DrainTimeout)
	ctx, cancel := context.WithTimeout(ctx, o.DrainTimeout)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		o.Logger.Warn("this server ends without a hand-over", "err", err)
		return
	}
	o.Logger.Info("drained: other servers serve what this one served")
}

// ended is the error of a service that has ended: none when it was told to.
func ended(ctx context.Context, what string, err error) error {
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
