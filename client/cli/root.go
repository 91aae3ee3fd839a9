package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/port"
	"viewring/internal/quiet"
	"viewring/internal/secure"
)

// defaultLeader is where a view leader listens unless told otherwise.
var defaultLeader = net.JoinHostPort("localhost", strconv.Itoa(port.ViewLeader))

const (
	defaultTimeout = 30 * time.Second
	leaderEnv      = envPrefix + "VIEWLEADER"
	certEnv        = envPrefix + "TLS_CERT"
	keyEnv         = envPrefix + "TLS_KEY"
	caEnv          = envPrefix + "TLS_CA"
	passwordEnv    = envPrefix + "PASSWORD_FILE"
)

// app is one run of the command line.
type app struct {
	env      Env
	stdout   io.Writer // env.Stdout as it was given, for other programs
	starters Starters
	args     []string // as given
	keeper   keeping
	flags    struct {
		leaders   string
		timeout   time.Duration
		json      bool
		noColor   bool
		secure    secure.Files
		logFormat string
		logLevel  string
	}
	settings settings
	secure   secure.Config  // of all connections
	command  *cobra.Command // the one that runs
	running  bool           // its arguments made sense
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "viewring",
		Short: "a replicated key/value store that survives joins, crashes and leaves",
		Long: `viewring keeps every key on three servers and goes on while servers join,
crash and leave. Start a cluster with 'viewring up', then try setr and getr
from another shell.`,
		Example:       "  viewring up\n  viewring setr greeting hello\n  viewring getr greeting",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       a.env.Version,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.command = cmd
			if err := a.told(a.checkFlags()); err != nil {
				return err
			}
			if isPlain(cmd) {
				a.running = true
				return nil
			}
			if err := a.loadSecrets(); err != nil {
				return err
			}
			if cmd.Flags().Lookup(childFlagName) == nil { // services do it themselves, and by SIGHUP too
				go a.secure.Run(cmd.Context(), nil, a.logger(slog.LevelWarn))
			}
			a.running = true
			return nil
		},
	}
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	root.SetVersionTemplate("viewring {{.Version}}\n")
	a.setHelp(root)
	root.SetGlobalNormalizationFunc(hyphens)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		a.command = cmd
		text := flagText(err)
		if cmd.Annotations[valueAnnotation] != "" && strings.HasPrefix(text, "unknown flag") {
			text += "; a value that looks like a flag goes behind --"
		}
		return usageError{text}
	})
	f := root.PersistentFlags()
	f.StringVar(&a.flags.leaders, "viewleader", "", "view leader `HOST:PORT[,...]` (default "+defaultLeader+", or $"+leaderEnv+")")
	f.DurationVar(&a.flags.timeout, "timeout", defaultTimeout, "give up after this long")
	f.StringVar(&a.flags.secure.Cert, "tls-cert", "", "certificate `file` of this process, PEM (or $"+certEnv+")")
	f.StringVar(&a.flags.secure.Key, "tls-key", "", "its private key, PEM `file` (or $"+keyEnv+")")
	f.StringVar(&a.flags.secure.CA, "tls-ca", "", "PEM `file` of who signs the others' certificates, one or several (or $"+caEnv+")")
	f.StringVar(&a.flags.secure.Password, "password-file", "", "`file` whose first line is the cluster's password; one in the second is accepted too (or $"+passwordEnv+")")
	f.StringVar(&a.settings.path, configFlag, "", "`file` of flags that are not typed, YAML (or $"+envPrefix+"CONFIG)")
	f.BoolVar(&a.flags.json, "json", false, "print one JSON object (field version is 1)")
	f.BoolVar(&a.flags.noColor, "no-color", false, "print without colors")
	f.StringVar(&a.flags.logFormat, "log-format", "auto", "log as `text`, json, or auto: text on a terminal")
	f.StringVar(&a.flags.logLevel, "log-level", "", "debug, info, warn or error `level` (default info for services, warn for commands)")
	a.addKeeperFlag(root)
	a.addCommands(root)
	return root
}

func (a *app) addCommands(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: groupCluster, Title: "Run a cluster:"},
		&cobra.Group{ID: groupKeys, Title: "Keys and files:"},
		&cobra.Group{ID: groupServers, Title: "Servers:"},
		&cobra.Group{ID: groupLocks, Title: "Locks:"},
		&cobra.Group{ID: groupPlay, Title: "Try and measure:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			if strings.Contains(c.Name(), "_") {
				c.Aliases = append(c.Aliases, strings.ReplaceAll(c.Name(), "_", "-"))
			}
			root.AddCommand(c)
		}
	}
	add(groupCluster, a.upCmd(), a.viewleaderCmd(), a.viewleadersCmd(), a.serverCmd(), a.gatewayCmd(), a.zkCmd(), a.httpCmd(), a.certsCmd())
	add(groupKeys, a.setrCmd(), a.getrCmd(), a.delrCmd(), a.keysCmd(), a.incrCmd(), a.appendCmd(), a.expireCmd(), a.ttlCmd(), a.watchCmd(), a.metaCmd(), a.fileCmd(), a.recordCmd(), a.s3Cmd(), a.bulkCmd(),
		a.backupCmd(), a.restoreCmd(), a.exportCmd(), a.importCmd())
	add(groupServers, a.queryServersCmd(), a.eventsCmd(), a.explainCmd(), a.waitCmd(), a.doctorCmd(), a.planCmd(), a.placeCmd(weightVerb), a.placeCmd(zoneVerb), a.rebalanceCmd(), a.leaveCmd(), a.drainCmd(), a.undrainCmd(), a.removeCmd(), a.acceptLossCmd(), a.scrubCmd(),
		a.printCmd(), a.setCmd(), a.getCmd(), a.queryAllKeysCmd())
	add(groupLocks, a.lockGetCmd(), a.lockReleaseCmd(), a.locksCmd())
	add(groupPlay, a.shellCmd(), a.demoCmd(), a.runCmd(), a.benchCmd(), a.ringCmd(), a.reportCmd())
	root.AddCommand(a.versionCmd())
	a.addCompletion(root, a.words())
	a.addSettings(root)
}

const (
	groupCluster = "cluster"
	groupKeys    = "keys"
	groupServers = "servers"
	groupLocks   = "locks"
	groupPlay    = "play"
)

// hyphens lets people write flags with underscores.
func hyphens(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

func unknownCommand(root *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q", name)
	root.SuggestionsMinimumDistance = 2
	if like := root.SuggestionsFor(strings.ReplaceAll(name, "-", "_")); len(like) > 0 {
		text += "; did you mean " + strings.Join(like, " or ") + "?"
	}
	return usageError{text}
}

// wants checks the number of arguments and names those that are missing.
func wants(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			verb := "is"
			if len(names)-len(args) > 1 {
				verb = "are"
			}
			return usagef("%s: %s %s missing", cmd.CommandPath(), strings.Join(names[len(args):], " and "), verb)
		}
		if len(args) > len(names) {
			return usagef("%s: unexpected argument %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

func (a *app) checkFlags() error {
	if a.flags.timeout <= 0 {
		return usagef("--timeout must be above 0, not %v", a.flags.timeout)
	}
	switch a.flags.logFormat {
	case "auto", "text", "json":
	default:
		return usagef("--log-format must be text, json or auto, not %q", a.flags.logFormat)
	}
	if _, err := a.level(slog.LevelInfo); err != nil {
		return err
	}
	for _, addr := range a.leaders() {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return usagef("--viewleader must be HOST:PORT, not %q", addr)
		}
	}
	return nil
}

// loadSecrets reads the files for TLS and the password.
func (a *app) loadSecrets() (err error) {
	if a.secure, err = secure.Load(a.flags.secure); err != nil {
		f := &a.flags.secure
		err = a.toldOfFiles(err, map[string]string{"tls-cert": f.Cert, "tls-key": f.Key, "tls-ca": f.CA, "password-file": f.Password})
		return codeError{exitRefused, err}
	}
	return nil
}

// dialer makes the connections of commands.
func (a *app) dialer() client.DialFunc { return a.secure.Dialer(nil) }

// leaders returns the view leader's addresses.
func (a *app) leaders() []string { return addresses(cmp.Or(a.flags.leaders, defaultLeader)) }

// addresses splits a list of addresses.
func addresses(text string) (addrs []string) {
	for addr := range strings.SplitSeq(text, ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// deadline bounds a command by --timeout.
func (a *app) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.flags.timeout)
}

// onKeys makes a command's run of what it does with a client of the cluster, within its
// deadline.
func (a *app) onKeys(do func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return within(a.deadline, a.open, do)
}

// onCluster does so with what operators do.
func (a *app) onCluster(do func(ctx context.Context, c *admin.Cluster, args []string) error) func(*cobra.Command, []string) error {
	return a.onClusterWithin(a.deadline, do)
}

// onClusterWithin does so within another bound.
func (a *app) onClusterWithin(bound func(context.Context) (context.Context, context.CancelFunc),
	do func(ctx context.Context, c *admin.Cluster, args []string) error) func(*cobra.Command, []string) error {
	return within(bound, a.openCluster, do)
}

// within makes a command's run of what it does with what it opens.
func within[C io.Closer](bound func(context.Context) (context.Context, context.CancelFunc), open func(context.Context) (C, error),
	do func(ctx context.Context, c C, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, cancel := bound(cmd.Context())
		defer cancel()
		c, err := open(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return do(ctx, c, args)
	}
}

// longDeadline bounds a command that takes as long as it takes, if --timeout is given.
func (a *app) longDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if f := a.command.Flag("timeout"); f != nil && f.Changed {
		return a.deadline(ctx)
	}
	return context.WithCancel(ctx)
}

// open connects to the cluster, for its keys and locks.
func (a *app) open(ctx context.Context) (*client.Client, error) {
	return opened(ctx, a.clientOptions(slog.LevelWarn), client.Open)
}

// openCluster connects to the cluster, for what operators do.
func (a *app) openCluster(ctx context.Context) (*admin.Cluster, error) {
	return opened(ctx, a.clientOptions(slog.LevelWarn), admin.Open)
}

// opened opens a client, and adds to the error what people may do about it.
func opened[C any](ctx context.Context, opts client.Options, open func(context.Context, client.Options) (*C, error)) (*C, error) {
	c, err := open(ctx, opts)
	if why := cmp.Or(notLetIn(err), guess(err)); why != "" {
		return nil, fmt.Errorf("%w (%s)", err, why)
	}
	if err != nil && len(opts.Leaders) == 1 && opts.Leaders[0] == defaultLeader {
		err = fmt.Errorf("%w ('viewring up' starts a cluster here)", err)
	}
	return c, err
}

// clientOptions say how to find the cluster.
func (a *app) clientOptions(level slog.Level) client.Options {
	opts := client.Options{Leaders: a.leaders(), Dialer: a.dialer(), Logger: a.logger(level)}
	if dir := a.env.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		opts.ViewCache = client.ViewCacheIn(dir, opts.Leaders)
	}
	return opts
}

func (a *app) level(normal slog.Level) (slog.Level, error) {
	if a.flags.logLevel == "" {
		return normal, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.flags.logLevel)); err != nil {
		return level, usagef("--log-level must be debug, info, warn or error, not %q", a.flags.logLevel)
	}
	return level, nil
}

// logger writes to stderr: for people on a terminal, JSON elsewhere.
func (a *app) logger(normal slog.Level) *slog.Logger {
	level, err := a.level(normal)
	if err != nil {
		level = normal // checkFlags has refused it already
	}
	if a.flags.logFormat == "json" || a.flags.logFormat == "auto" && !a.env.StderrTerminal {
		return slog.New(quiet.New(slog.NewJSONHandler(a.env.Stderr, &slog.HandlerOptions{Level: level})))
	}
	return slog.New(quiet.New(tint.NewTextHandler(a.env.Stderr, &tint.Options{
		Level: level, TimeFormat: "15:04:05.000", NoColor: !a.colored(a.env.Stderr),
	})))
}

// path is the command as typed, for hints.
func (a *app) path() string {
	if a.command == nil {
		return "viewring"
	}
	return a.command.CommandPath()
}

// colored says whether w shows colors.
func (a *app) colored(w io.Writer) bool {
	if a.flags.noColor || a.env.Getenv("NO_COLOR") != "" || a.env.Getenv("TERM") == "dumb" {
		return false
	}
	return w == a.env.Stdout && a.env.StdoutTerminal || w == a.env.Stderr && a.env.StderrTerminal
}

// stdinPath is the argument that stands for standard input.
const stdinPath = "-"
