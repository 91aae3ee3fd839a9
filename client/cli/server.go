package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/cli/children"
	"viewring/internal/port"
	"viewring/internal/secure"
)

// ServerOptions are the flags of viewring server.
type ServerOptions struct {
	Leaders       []string
	Listen        string // "" : the first free port from FirstPort
	Advertise     string // "" : where it listens
	Data          string
	Zone          string
	Weight        uint32           // 0: none was said
	KeepZone      bool             // none was said: that of the last start
	RebalanceRate int64            // bytes/s; 0: no limit
	ScrubEvery    time.Duration    // 0: when asked to
	DiskReserve   int64            // bytes; 0: the usual
	Memory        int64            // bytes; 0: the usual
	DrainTimeout  time.Duration    // that a SIGTERM may take to hand over
	Gateway       GatewayOptions   // Listen "": none
	ZooKeeper     ZooKeeperOptions // Listen "": none
	HTTP          HTTPOptions      // Listen "": none
	Secure        secure.Config
	Bounds        Bounds
	Graces        Graces
	Metrics       MetricsOptions
	Monitor       MonitorOptions // of the server's commands, and of its gateway's
	Logger        *slog.Logger
}

// Graces are how long a server keeps contents of files that nothing names.
type Graces struct {
	Replaced time.Duration // for who still reads it
	Writing  time.Duration // without a sign of its writer
	Sweep    time.Duration // between two looks for chunks without a content
}

func gracesFlags(cmd *cobra.Command, g *Graces) {
	f := cmd.Flags()
	f.DurationVar(&g.Replaced, "file-grace", time.Minute, "keep the content of a file that was replaced or removed this long for who still reads it: clients say so every 20s")
	f.DurationVar(&g.Writing, "upload-grace", 15*time.Minute, "give an upload up after this long without news of it: clients send some every minute")
	f.DurationVar(&g.Sweep, "chunk-sweep", time.Hour, "look this often for chunks that no file has")
}

func (g *Graces) check() error {
	if g.Replaced <= 0 || g.Writing <= 0 || g.Sweep <= 0 {
		return usagef("--file-grace, --upload-grace and --chunk-sweep must be above 0")
	}
	return nil
}

func (a *app) serverCmd() *cobra.Command {
	var o ServerOptions
	var child, insecure bool
	var gateway, zk, http string
	var s3 s3Flags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "run a server",
		Long: `Run a server until Ctrl-C: it joins the cluster of --viewleader and stores its
share of the keys in its data folder. Started again on the same folder it is the
same server; an empty folder makes a new one.

SIGTERM drains it first: others take over what it serves, unnoticed by clients,
then it ends with exit code 0. It waits for that up to --drain-timeout, and not at
all when the view leader can't be asked or nobody can take over. Ctrl-C (SIGINT),
or another SIGTERM a second later, ends it at once; nothing acknowledged is lost either way.`,
		Example: "  viewring server --data /var/lib/viewring/s1\n  viewring server --listen :0 --data ./s2 --viewleader localhost:28500",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if child {
				ctx = children.WithParent(ctx)
			}
			if err := o.check(); err != nil {
				return err
			}
			if err := checkAdvertised(ctx, o.Advertise); err != nil {
				return err
			}
			o.KeepZone = !cmd.Flags().Changed("zone")
			if err := o.Metrics.check(insecure); err != nil {
				return err
			}
			if err := o.fillIn(insecure || a.isSafe()); err != nil {
				return err
			}
			o.Leaders, o.Secure, o.Logger = a.leaders(), a.secure, a.logger(slog.LevelInfo)
			var err error
			if o.HTTP.S3, err = s3.options(a); err != nil {
				return err
			}
			if err := o.addFronts(a, gateway, zk, http, insecure); err != nil {
				return err
			}
			return a.starters.Server(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "", "listen at `HOST:PORT`, port 0 for any (default the first free port from 28600)")
	f.StringVar(&o.Advertise, "advertise", "", "tell others to reach it at `HOST:PORT` (default where it listens)")
	f.StringVar(&o.Data, "data", "", "keep everything in this `folder` (default one per port, below the user's data folder)")
	f.StringVar(&o.Zone, "zone", "", "`name` of the zone it stands in: copies go to different zones (default that of its last start)")
	f.Var((*weightFlag)(&o.Weight), "weight", "take this many `shares` of copies and requests, 1 to 64 (default that of its last start, or 1)")
	f.Int64Var(&o.RebalanceRate, "rebalance-rate", 0, "copy in at most this many `bytes` per second (default what clients leave)")
	f.DurationVar(&o.ScrubEvery, "scrub-every", 24*time.Hour, "read and verify everything this often, 0 for when asked to")
	f.Int64Var(&o.DiskReserve, "disk-reserve", 0, "with fewer `bytes` of disk free, take nothing new until twice as many are (default 64 MiB, or what the log needs)")
	f.Int64Var(&o.Memory, "memory", 0, "take about this many `bytes` of memory: index, values kept, buffers (default a sixty-fourth of the machine's, at least 128 MiB)")
	f.DurationVar(&o.DrainTimeout, "drain-timeout", 10*time.Second, "on SIGTERM, wait this long for others to take over")
	f.StringVar(&gateway, "gateway", "", "also let plain Redis clients in at `HOST:PORT`, see 'viewring gateway --help'")
	f.StringVar(&zk, "zk", "", "also let ZooKeeper's clients in at `HOST:PORT`, see 'viewring zk --help'")
	f.StringVar(&http, "http", "", "also serve files to clients of HTTP at `HOST:PORT`, see 'viewring http --help'")
	s3.add(cmd)
	boundsFlags(cmd, &o.Bounds)
	gracesFlags(cmd, &o.Graces)
	metricsFlags(cmd, &o.Metrics)
	monitorFlags(cmd, &o.Monitor)
	insecureFlag(cmd, &insecure)
	childFlag(cmd, &child)
	return cmd
}

// addFronts says what listens beside a server, where an address was said for it.
func (o *ServerOptions) addFronts(a *app, gateway, zk, http string, insecure bool) (err error) {
	for _, addr := range []*string{&gateway, &zk, &http} {
		if *addr == "" {
			continue
		}
		if *addr, err = listenAddr(*addr, insecure || a.isSafe()); err != nil {
			return err
		}
	}
	front := func(listen string) Front {
		return Front{Listen: listen, Secure: a.secure, Client: a.clientOptions(slog.LevelInfo), Logger: o.Logger}
	}
	if gateway != "" {
		o.Gateway = GatewayOptions{front(gateway), o.Bounds, o.Monitor}
	}
	if zk != "" {
		o.ZooKeeper = ZooKeeperOptions{front(zk), o.Bounds}
	}
	if http != "" {
		bounds := HTTPBounds{Connections: o.Bounds.Connections, Bodies: httpBodiesUsed / 4, ReadTimeout: httpReadTimeout, ReadRate: httpReadRate, WriteTimeout: o.Bounds.WriteTimeout}
		o.HTTP = HTTPOptions{Front: front(http), Bounds: bounds, AnyHost: insecure, S3: o.HTTP.S3}
	}
	return nil
}

// memoryMin is the least that a server can be told to do with, bytes.
const memoryMin = 128 << 20

func (o *ServerOptions) check() error {
	switch {
	case o.RebalanceRate < 0:
		return usagef("--rebalance-rate cannot be negative")
	case o.ScrubEvery < 0:
		return usagef("--scrub-every cannot be negative")
	case o.DrainTimeout <= 0:
		return usagef("--drain-timeout must be above 0, not %v", o.DrainTimeout)
	case o.DiskReserve < 0:
		return usagef("--disk-reserve cannot be negative")
	case o.Memory != 0 && o.Memory < memoryMin:
		return usagef("--memory must be at least %d", memoryMin)
	}
	if err := o.Graces.check(); err != nil {
		return err
	}
	if err := o.Monitor.check(); err != nil {
		return err
	}
	return o.Bounds.check()
}

// fillIn fills in what was not said. Without a folder the port makes the name of
// one, so that the first server started always finds its own again.
func (o *ServerOptions) fillIn(anywhere bool) error {
	if o.Listen == "" && o.Data == "" {
		var err error
		if o.Listen, err = port.FirstFree(nil); err != nil {
			return codeError{exitRefused, err}
		}
	}
	if o.Data == "" {
		_, port, _ := net.SplitHostPort(o.Listen) // checked below
		if port == "0" {
			return usagef("server: --listen with port 0 needs --data FOLDER")
		}
		o.Data = dataFolder("server-" + port)
	}
	if o.Listen != "" {
		listen, err := listenAddr(o.Listen, anywhere)
		if err != nil {
			return err
		}
		o.Listen = listen
	}
	return makeFolder(o.Data)
}

// insecureFlag adds --insecure.
func insecureFlag(cmd *cobra.Command, insecure *bool) {
	cmd.Flags().BoolVar(insecure, "insecure", false, "listen beyond this machine without TLS or without a password")
}

// isSafe reports whether who connects is asked for a certificate and a password.
func (a *app) isSafe() bool { return a.secure.Encrypted() && a.secure.WantsPassword() }

// listenAddr checks an address to listen at. Without a host it is loopback; others
// are refused unless anywhere will do.
func listenAddr(listen string, anywhere bool) (string, error) {
	addr, err := addrOf("--listen", listen)
	if err == nil && !anywhere && !isLoopback(addr) {
		err = codeError{exitRefused, fmt.Errorf("listening at %s would let everyone in who can reach it: "+
			"give --tls-cert, --tls-key, --tls-ca and --password-file, or say --insecure if that is meant", listen)}
	}
	if err != nil {
		return "", err
	}
	return addr, nil
}

// addrOf checks an address that a flag says to listen at. Without a host it is loopback.
func addrOf(flag, listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", usagef("%s must be HOST:PORT, not %q%s", flag, listen, bracketsHint(listen))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return "", usagef("%s: %q is not a port", flag, port)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// bracketsHint says how an IPv6 address is written, where that is what was meant.
func bracketsHint(addr string) string {
	if strings.Count(addr, ":") > 1 && !strings.HasPrefix(addr, "[") {
		return "; an IPv6 address goes in brackets, like [::1]:28600"
	}
	return ""
}

// lookUpMax bounds the search for a name.
const lookUpMax = 5 * time.Second

// checkAdvertised refuses an address at which nobody could reach this process.
func checkAdvertised(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("--advertise must be HOST:PORT, not %q: say the port too%s", addr, bracketsHint(addr))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return usagef("--advertise: %q is not a port that others can connect to", port)
	}
	switch ip := net.ParseIP(host); {
	case host == "":
		return usagef("--advertise %q has no host: say the name or the IP address at which others reach this process", addr)
	case ip != nil && (ip.IsUnspecified() || ip.IsMulticast()):
		return usagef("--advertise: others can't reach %s: say the address of this machine that they can", host)
	case ip != nil:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpMax)
	defer cancel()
	var dns *net.DNSError
	if _, err := net.DefaultResolver.LookupHost(ctx, host); errors.As(err, &dns) && dns.IsNotFound {
		return usagef("--advertise: no host is called %q: say a name that all servers and clients can look up, or an IP address", host)
	}
	return nil
}

// makeFolder makes a data folder, or says why it can't.
func makeFolder(data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return codeError{exitRefused, fmt.Errorf("data folder: %w", err)}
	}
	return nil
}
