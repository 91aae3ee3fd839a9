package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/client/cli/play"
	"viewring/internal/port"
)

func (a *app) upCmd() *cobra.Command {
	var o upOptions
	var fast bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "run a whole cluster on this machine",
		Long: `Run a view leader and a few servers as child processes, until Ctrl-C. Their data
is in --data: a folder that it makes, keeps and names. Given again, the cluster
goes on where it was. Ctrl-C or SIGTERM ends all at once, without draining, and
so does a terminal that is closed; SIGHUP without a terminal has all processes
read their certificates and their password again. The view leader listens where
--viewleader says, the servers on the first free ports from 28600. With --metrics
the metrics of the view leader are at port 9500, those of s1 at 9501, and so on, or
where --metrics=HOST:PORT says. The address of a page that shows the cluster to a
browser is printed.`,
		Example: "  viewring up\n  viewring up --servers 5 --data ./cluster\n  viewring up --metrics",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && cmd.Flags().Changed("metrics") && strings.Contains(args[0], ":") {
				return usagef("up: unexpected argument %q; say --metrics=%s", args[0], args[0])
			}
			return wants()(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.servers < 0 || o.servers > serversMax {
				return usagef("--servers must be 1 to %d, not %d", serversMax, o.servers)
			}
			if fast {
				o.leaderFlags = append(o.leaderFlags, "--fast")
			}
			if o.metrics != "" {
				var err error
				if o.metrics, err = addrOf("--metrics", o.metrics); err != nil {
					return err
				}
			}
			return a.up(cmd.Context(), &o)
		},
	}
	cmd.Flags().IntVar(&o.servers, "servers", 0, "how many servers (default 3, or as many as --data has)")
	cmd.Flags().StringVar(&o.data, "data", "", "keep everything in this `folder` (default a new one)")
	cmd.Flags().BoolVar(&o.private, "private", false, "use any free ports, beside other clusters")
	cmd.Flags().BoolVar(&fast, "fast", false, "notice dead servers sooner, see 'viewring viewleader --help'")
	cmd.Flags().StringArrayVar(&o.leaderFlags, "viewleader-flag", nil, "pass a `flag` like --out-after=10s on to the view leader")
	cmd.Flags().StringVar(&o.metrics, "metrics", "", "serve the metrics of each process; the first at `HOST:PORT`")
	cmd.Flags().Lookup("metrics").NoOptDefVal = port.Local(metricsFirst)
	return cmd
}

// metricsFirst is the port of the view leader's metrics, with those of the servers behind it.
const metricsFirst = 9500

// serversMax is how many servers up starts at most.
const serversMax = 32

// upOptions are what up was told.
type upOptions struct {
	servers     int // 0: as many as there are, or three
	data        string
	private     bool
	leaderFlags []string
	metrics     string // "": none
}

func (a *app) up(ctx context.Context, o *upOptions) error {
	data, known, err := clusterFolder(o.data)
	if err != nil {
		return codeError{exitRefused, err}
	}
	servers := max(o.servers, known)
	if servers == 0 {
		servers = 3
	}
	logs := &prefixed{to: a.env.Stderr, app: a}
	cfg := play.Config{Binary: a.env.Executable, Dir: data, PublicPorts: !o.private, LeaderFlags: o.leaderFlags, Metrics: o.metrics, Dialer: a.dialer(), Log: logs.named}
	cfg.ServerFlags, err = a.secretFlags()
	if err != nil {
		return codeError{exitRefused, err}
	}
	cfg.LeaderFlags = append(cfg.LeaderFlags, cfg.ServerFlags...)
	if !o.private {
		cfg.LeaderAddr = a.leaders()[0]
		if err := port.Check(cfg.LeaderAddr); err != nil {
			return codeError{exitRefused, fmt.Errorf("port in use: %w; is another cluster up? --viewleader or --private choose another", err)}
		}
	}
	pageFlags, page, err := localPage(cfg.LeaderAddr, o.leaderFlags)
	if err != nil {
		return codeError{exitRefused, fmt.Errorf("up: %w", err)}
	}
	cfg.LeaderFlags = append(cfg.LeaderFlags, pageFlags...)
	if a.env.StderrTerminal {
		cfg.LeaderFlags = append(cfg.LeaderFlags, "--log-format=text")
		cfg.ServerFlags = append(cfg.ServerFlags, "--log-format=text")
	}
	hangUps := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // else nohup has it so
		signal.Notify(hangUps, syscall.SIGHUP)
		defer signal.Stop(hangUps)
	}
	ended := make(chan string, 64) // more than there are starts
	cfg.OnEnd = func(name string) { ended <- name }
	cluster, err := play.Start(ctx, cfg)
	if err == nil {
		defer cluster.Close()
		err = a.startServers(ctx, cluster, servers)
	}
	if ctx.Err() != nil {
		return nil // Ctrl-C while starting
	}
	if err != nil {
		return codeError{exitRefused, fmt.Errorf("up: %w", err)}
	}
	a.welcome(cluster, known > 0, a.pageURL(page))
	for {
		select {
		case <-ctx.Done():
			a.tell("ending all processes; the data stays in %s\n", data)
			return nil
		case <-hangUps:
			if a.env.StdinTerminal || a.env.StdoutTerminal || a.env.StderrTerminal {
				return nil // the terminal is gone, and nobody would end the cluster any more
			}
			cluster.Reload()
		case name := <-ended:
			a.tell("%s has ended\n", name)
			if name == "leader" {
				return codeError{exitUnavailable, errors.New("up: the view leader has ended; so do all")}
			}
		}
	}
}

// secretFlags are the flags by which children find the files that this process was
// given.
func (a *app) secretFlags() ([]string, error) {
	var flags []string
	f := &a.flags.secure
	for _, s := range [][2]string{{"--tls-cert", f.Cert}, {"--tls-key", f.Key}, {"--tls-ca", f.CA}, {"--password-file", f.Password}} {
		if s[1] == "" {
			continue
		}
		path, err := filepath.Abs(s[1])
		if err != nil {
			return nil, err
		}
		flags = append(flags, s[0], path)
	}
	return flags, nil
}

// clusterFolder makes the folder, and counts the servers that it knows.
func clusterFolder(data string) (dir string, known int, err error) {
	if data == "" {
		dir, err = os.MkdirTemp("", "viewring-")
		return dir, 0, err
	}
	dir, err = filepath.Abs(data)
	if err != nil {
		return "", 0, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", 0, fmt.Errorf("data folder: %w", err)
	}
	for {
		info, err := os.Stat(filepath.Join(dir, "s"+strconv.Itoa(known+1)))
		if errors.Is(err, os.ErrNotExist) {
			return dir, known, nil
		}
		if err != nil || !info.IsDir() {
			return "", 0, fmt.Errorf("data folder: %s is not a cluster's", dir)
		}
		known++
	}
}

func (a *app) startServers(ctx context.Context, cluster *play.Cluster, n int) error {
	for range n {
		if _, err := cluster.Add(ctx); err != nil {
			return err
		}
	}
	ready, cancel := context.WithTimeout(ctx, upPatience)
	defer cancel()
	err := cluster.WaitStatus(ready, "until all copies are made", (*admin.Status).Unbalanced)
	if err != nil && ctx.Err() == nil {
		a.tell("the cluster goes on rebalancing: %v\n", err)
	}
	return nil
}

// upPatience is how long up waits for all copies before it says so.
const upPatience = 15 * time.Second

// welcome says what runs, and what to type next.
func (a *app) welcome(cluster *play.Cluster, resumed bool, page string) {
	addrs := cluster.Addrs()
	var list, names []string
	for i := 1; len(list) < len(addrs); i++ {
		if addr, ok := addrs["s"+strconv.Itoa(i)]; ok {
			names = append(names, addr)
			list = append(list, fmt.Sprintf("s%d %s", i, addr))
		}
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "viewleader": cluster.LeaderAddr(), "servers": names, "page": page, "data": cluster.Dir(), "resumed": resumed, "metrics": append([]string{}, cluster.Metrics()...)})
		return
	}
	word := "is up"
	if resumed {
		word = "is up again"
	}
	to := ""
	if cluster.LeaderAddr() != port.Local(port.ViewLeader) && cluster.LeaderAddr() != defaultLeader {
		to = " --viewleader " + cluster.LeaderAddr()
	}
	a.printf("\n%s: view leader %s, %s\n", a.paint(a.env.Stdout, green, "the cluster "+word), cluster.LeaderAddr(), strings.Join(list, ", "))
	a.printf("its data is in %s; 'viewring up --data %s' goes on with it\n", cluster.Dir(), cluster.Dir())
	a.printf("see it at %s\n\n", a.paint(a.env.Stdout, bold, page))
	a.printf("from another shell:\n")
	redis := a.secretLines()
	for _, line := range []string{"setr greeting hello", "getr greeting", "query_servers", "bulk load DIR"} {
		name, rest, _ := strings.Cut(line, " ")
		a.printf("  %s\n", strings.TrimSpace(self()+" "+name+to+" "+rest))
	}
	a.printf("  redis-cli -c -p %s%s GET greeting\n", names[0][strings.LastIndex(names[0], ":")+1:], redis)
	if metrics := cluster.Metrics(); len(metrics) > 0 {
		a.printf("\nmetrics of the view leader and the servers:\n")
		for _, addr := range metrics {
			a.printf("  http://%s/metrics\n", addr)
		}
	}
	a.printf("\nCtrl-C ends it.\n\n")
}

// secretLines prints the variables by which commands in another shell find the files of TLS and the
// password, if the cluster has any, and returns the flags by which redis-cli does.
func (a *app) secretLines() (redis string) {
	for _, s := range []struct{ flag, file, redis string }{
		{"tls-cert", a.flags.secure.Cert, ` --tls --cert "$%s"`}, {"tls-key", a.flags.secure.Key, ` --key "$%s"`},
		{"tls-ca", a.flags.secure.CA, ` --cacert "$%s"`}, {"password-file", a.flags.secure.Password, ` -a "$(head -n 1 "$%s")"`},
	} {
		if s.file == "" {
			continue
		}
		path, err := filepath.Abs(s.file)
		if err != nil {
			path = s.file // good in this folder
		}
		a.printf("  export %s='%s'\n", envName(s.flag), path)
		redis += fmt.Sprintf(s.redis, envName(s.flag))
	}
	return redis
}

// self is how the user called this program.
func self() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	return os.Args[0]
}

// prefixed writes the children's logs line by line, each after its name.
type prefixed struct {
	mu  sync.Mutex // one line at a time
	to  io.Writer
	app *app
}

func (p *prefixed) named(name string) io.Writer {
	return &prefixedLog{out: p, prefix: p.app.paint(p.to, dim, fmt.Sprintf("%-6s │", name)) + " "}
}

type prefixedLog struct {
	out    *prefixed
	prefix string
	rest   []byte // of a line not ended yet
}

func (l *prefixedLog) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		l.out.mu.Lock()
		_, err := fmt.Fprintf(l.out.to, "%s%s\n", l.prefix, l.rest[:i])
		l.out.mu.Unlock()
		if err != nil {
			return 0, err
		}
		l.rest = l.rest[i+1:]
	}
}
