package cli

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/cli/children"
	"viewring/internal/port"
	"viewring/internal/secure"
	"viewring/ring"
)

// ViewLeaderOptions are the flags of viewring viewleader.
type ViewLeaderOptions struct {
	Listen     string
	Advertise  string   // "": Listen
	Peers      []string // of the group; none: this one alone
	Data       string
	Partitions int // 0: as many as the cluster has
	MinCopies  int
	Heartbeat  time.Duration
	DownAfter  time.Duration
	OutAfter   time.Duration
	LeaseTTL   time.Duration // 0: the usual

	Recover        bool // its data is lost: ask the servers
	RecoverWithout []ring.ServerID
	Unchanged      bool // since the newest view that is reported no other joined, and min-copies was not lowered
	AcceptLoss     bool

	Metrics MetricsOptions
	Page    PageOptions
	Secure  secure.Config
	Logger  *slog.Logger
}

const viewleaderLong = `Run a view leader until Ctrl-C: it keeps the view (epoch, servers, who serves
what) and the locks, in its data folder. No read or write of a key waits for it.

--fast halves the time until others serve what a dead server served, from about
0.7 to 0.35 s: heartbeats every 50 ms, down after 300 ms, leases of 300 ms. The
price: three times the heartbeats, and a server that stalls for 0.3 s, on a busy
machine or disk, is declared dead and loses its part until it has copied what it
missed. Nothing acknowledged is at stake: leases are waited out, however long.

--peers names all view leaders of a group of three or five, this one among them: the
same list for each. Any minority of them may die. They form the group when all are
there; from then on each knows the others from its data folder. One that comes back
without its data takes its own place anew. See also 'viewring viewleaders --help'.

--recover is for when the only view leader, or a majority of a group, has lost its data
or was put back to an older state. Make sure that no other view leader of the cluster
runs. Start this one with --recover, an empty data folder and the flags of before, at an
address that the servers know. It asks them what they have seen, tells on stderr who has reported
and who is missing, and goes on by itself when all have. Servers that were stopped
can report too: start them. No acknowledged write is lost; locks and sessions are, and
tokens go on far above those of before. Servers that left or were removed are
unknown to it: they need empty folders. --recover-without names servers that will not
come back: that is refused where writes that only they have may have been acknowledged.
Nobody here knows what happened while they ran on: --recover-unchanged says that no other
server joined or came back, and that min-copies was not lowered, neither by its flag nor
because servers left. --recover-accept-loss goes on whatever may be lost; make sure then
that their processes are stopped.
A folder that has data is not recovered over.`

func (a *app) viewleaderCmd() *cobra.Command {
	var o ViewLeaderOptions
	var child, insecure, fast bool
	var peers, without string
	cmd := &cobra.Command{
		Use:   "viewleader",
		Short: "run a view leader",
		Long:  viewleaderLong,
		Example: `  viewring viewleader --data /var/lib/viewring/leader
  viewring viewleader --fast
  viewring viewleader --page 127.0.0.1:28430
  viewring viewleader --data /var/lib/viewring/leader --recover
  viewring viewleader --data /var/lib/viewring/leader --recover \
    --recover-without s3 --recover-unchanged
  viewring viewleader --listen 10.0.0.1:28500 --insecure \
    --peers 10.0.0.1:28500,10.0.0.2:28500,10.0.0.3:28500`,
		Args: wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if child {
				ctx = children.WithParent(ctx)
			}
			if o.Data == "" {
				o.Data = dataFolder("viewleader")
			}
			var err error
			if o.Listen, err = listenAddr(o.Listen, insecure || a.isSafe()); err != nil {
				return err
			}
			if o.Peers, err = peerList(ctx, peers, o.Advertise, o.Listen); err != nil {
				return err
			}
			if o.RecoverWithout, err = o.without(without); err != nil {
				return err
			}
			if err := makeFolder(o.Data); err != nil {
				return err
			}
			if err := o.fill(fast, cmd.Flags().Changed); err != nil {
				return err
			}
			if err := a.checkBeside(&o, insecure); err != nil {
				return err
			}
			o.Secure, o.Logger = a.secure, a.logger(slog.LevelInfo)
			return a.starters.ViewLeader(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", port.Local(port.ViewLeader), "listen at `HOST:PORT`")
	f.StringVar(&peers, "peers", "", "form a group of the view leaders at `HOST:PORT,...`, this one among them")
	f.StringVar(&o.Advertise, "advertise", "", "others reach this view leader at `HOST:PORT` (default --listen)")
	f.StringVar(&o.Data, "data", "", "keep everything in this `folder` (default below the user's data folder)")
	f.IntVar(&o.Partitions, "partitions", 1024, "`number` of partitions, a power of two; fixed when the cluster is made")
	f.IntVar(&o.MinCopies, "min-copies", 2, "acknowledge writes only with at least this `number` of copies on disk")
	f.DurationVar(&o.Heartbeat, "heartbeat", 150*time.Millisecond, "servers send heartbeats this often")
	f.DurationVar(&o.DownAfter, "down-after", 900*time.Millisecond, "a silent server is down after this long")
	f.DurationVar(&o.OutAfter, "out-after", 5*time.Minute, "a server down for this long loses its place")
	f.BoolVar(&fast, "fast", false, "notice dead servers sooner: shorter --heartbeat, --down-after and leases")
	f.BoolVar(&o.Recover, "recover", false, "the data is lost: on an empty folder, go on from what the servers report")
	f.StringVar(&without, "recover-without", "", "with --recover: do not wait for the servers `s3,s4,...`")
	f.BoolVar(&o.Unchanged, "recover-unchanged", false, "with --recover-without: no other server joined since, and min-copies was not lowered")
	f.BoolVar(&o.AcceptLoss, "recover-accept-loss", false, "with --recover-without: even if acknowledged writes may be lost")
	pageFlag(cmd, &o.Page)
	metricsFlags(cmd, &o.Metrics)
	insecureFlag(cmd, &insecure)
	childFlag(cmd, &child)
	return cmd
}

// without reads --recover-without.
func (o *ViewLeaderOptions) without(text string) (ids []ring.ServerID, err error) {
	if text == "" && !o.AcceptLoss && !o.Unchanged {
		return nil, nil
	}
	if text == "" || !o.Recover {
		return nil, usagef("--recover-without needs --recover; --recover-unchanged and --recover-accept-loss need both")
	}
	for name := range strings.SplitSeq(text, ",") {
		id, err := ring.ParseServerID(strings.TrimSpace(name))
		if err != nil {
			return nil, usagef("--recover-without: %v", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// peerList reads --peers, and checks --advertise, which names this view leader among them.
func peerList(ctx context.Context, text, advertise, listen string) ([]string, error) {
	if err := checkAdvertised(ctx, advertise); err != nil {
		return nil, err
	}
	self := advertise
	if self == "" {
		self = listen
	}
	peers := addresses(text)
	for _, addr := range peers {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, usagef("--peers must be HOST:PORT,HOST:PORT,…, not %q%s", addr, bracketsHint(addr))
		}
	}
	if len(peers) > 0 && !slices.Contains(peers, self) {
		return nil, usagef("--peers must name this view leader, %s, too (--advertise says where others reach it)", self)
	}
	return peers, nil
}

// hasten is --fast; what was given stays.
func (o *ViewLeaderOptions) hasten(given func(string) bool) {
	if !given("heartbeat") {
		o.Heartbeat = 50 * time.Millisecond
	}
	if !given("down-after") {
		o.DownAfter = 300 * time.Millisecond
	}
	o.LeaseTTL = 300 * time.Millisecond
}

// fill checks the flags, and leaves what was not given to the cluster that is there.
func (o *ViewLeaderOptions) fill(fast bool, given func(flag string) bool) error {
	if fast {
		o.hasten(given)
	}
	if err := o.check(); err != nil {
		return err
	}
	if !given("partitions") {
		o.Partitions = 0
	}
	return nil
}

func (o *ViewLeaderOptions) check() error {
	switch {
	case o.Partitions < 1 || o.Partitions > ring.Slots || o.Partitions&(o.Partitions-1) != 0:
		return usagef("--partitions must be a power of two up to %d, not %d", ring.Slots, o.Partitions)
	case o.MinCopies < 1 || o.MinCopies > ring.Copies:
		return usagef("--min-copies must be 1 to %d, not %d", ring.Copies, o.MinCopies)
	case o.Heartbeat <= 0 || o.DownAfter <= o.Heartbeat || o.OutAfter < o.DownAfter:
		return usagef("--heartbeat %v, --down-after %v and --out-after %v must grow in this order", o.Heartbeat, o.DownAfter, o.OutAfter)
	}
	return nil
}

const childFlagName = "exit-with-parent"

// childFlag adds the hidden flag that up gives to the processes that it starts.
func childFlag(cmd *cobra.Command, child *bool) {
	cmd.Flags().BoolVar(child, childFlagName, false, "end when the pipe at file descriptor 3 ends")
	_ = cmd.Flags().MarkHidden(childFlagName) // the flag was just added
}

// dataFolder is where a service keeps its data unless told otherwise.
func dataFolder(name string) string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "viewring", name)
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "viewring", name)
	}
	return filepath.Join(".", "viewring-data", name)
}
