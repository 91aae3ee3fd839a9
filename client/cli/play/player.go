package play

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rsc.io/script"

	"viewring/client"
	"viewring/client/cli/children"
	"viewring/internal/chart"
)

// Command runs a command of the command line in this process and returns its
// exit code.
type Command func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int

// Options say how to play.
type Options struct {
	Binary   string // viewring itself
	Command  Command
	Commands []string                  // names of commands that scripts may use as verbs
	Check    func(args []string) error // says what is wrong with a command line, without running it
	Out      io.Writer
	Comment  func(string) string // shapes a script's comments; may be nil
	Env      []string            // KEY=VALUE, for $KEY in scripts
	Version  string              // of viewring, for the note beside results
	OutDir   string              // for what the script leaves; "": a new one in ./results
	Running  *Running            // play on this cluster; nil: on private ones
	Keep     bool                // keep the cluster's folder even when all went well

	// Page has a cluster serve its page: further flags of its view leader, given those that it has, and where
	// browsers find it. nil: there is none.
	Page func(flags []string) (more []string, url string, err error)
}

// patience bounds each waiting verb.
const patience = 3 * time.Minute

// Player plays one script.
type Player struct {
	opts         Options
	dir          string
	out          string    // the folder of what the script leaves; "": it leaves nothing
	outShown     string    // to people
	runner       *runner   // goes through the script
	ended        bool      // by 'stop'
	network      bool      // its clusters have one that can be disturbed
	note         chart.Run // of the results
	tables       map[string]*chart.Table
	commands     []int // process ids of external commands
	strangers    []int // children of this process that are not the script's
	cluster      *Cluster
	ledger       *ledger
	meter        *meter
	client       *client.Client // for workload and load: its counts are the summary's
	workload     *workload
	load         *treeLoad
	timeline     *timeline
	prefix       string   // of all keys that are not the script's own
	trafficKeys  []string // written by traffic, which has its own account of them
	pausedMoving bool     // the script has paused the rebalancing of a running cluster
	loadedKeys   int      // by 'load COUNT'
	traffic      *traffic
	round        time.Time     // of the traffic: since when
	stalls       time.Duration // the longest request of the traffic that has ended
	recorder     *recorder
	spans        []balanced
	summary      *Summary
	remark       bool      // the line shown last was a comment
	changed      []string  // changes since the cluster was balanced
	since        time.Time // of the first of them
}

// balanced is how long the cluster took to be balanced after changes.
type balanced struct {
	After string
	Took  time.Duration
}

// Played is what a script has come to.
type Played struct {
	Summary *Summary // nil: it made none
	Results string   // the folder of its tables and plots; "": it has none
}

// Play checks the script, plays it and ends its cluster. Its folder is kept, and named in
// the error, when something went wrong; a script that is wrong in itself is ErrScript.
func Play(ctx context.Context, name string, script io.Reader, opts Options) (Played, error) {
	text, err := io.ReadAll(script)
	if err != nil {
		return Played{}, fmt.Errorf("read %s: %w", name, err)
	}
	found, err := check(ctx, name, text, opts)
	if err != nil {
		return Played{}, err
	}
	dir, err := os.MkdirTemp("", "viewring-run-")
	if err != nil {
		return Played{}, fmt.Errorf("run %s: %w", name, err)
	}
	m := newMeter()
	p := &Player{opts: opts, dir: dir, meter: m, ledger: newLedger(m), tables: make(map[string]*chart.Table), strangers: children.Descendants()}
	p.note.Began = time.Now()
	_, p.note.About = About(string(text))
	err = p.play(ctx, name, found)
	if ctx.Err() != nil {
		err = fmt.Errorf("run %s: interrupted", name)
	}
	err = errors.Join(err, p.close(ctx))
	err = errors.Join(err, p.leave(name, err))
	if opts.Running == nil && (err != nil || opts.Keep) {
		fmt.Fprintf(opts.Out, "data and logs of the cluster are kept in %s\n", dir)
	} else if rerr := os.RemoveAll(dir); rerr != nil {
		err = fmt.Errorf("run %s: %w", name, rerr)
	}
	return Played{p.summary, p.outShown}, err
}

func (p *Player) play(ctx context.Context, name string, what checked) error {
	p.network = what.network
	if what.writes {
		if err := p.makeOut(name); err != nil {
			return err
		}
	}
	env := append([]string{"HOME=" + p.dir, "TMPDIR=" + p.dir, "CLUSTER=" + p.dir, "OUT=" + p.out}, p.opts.Env...)
	state, err := script.NewState(ctx, p.dir, env)
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	p.runner = &runner{file: name, state: state, show: p.show, ended: &p.ended, wrong: func(_ int, broke error) bool {
		err = broke
		return false
	}}
	if p.opts.Running != nil {
		if err := p.useRunning(ctx); err != nil {
			return err
		}
	}
	p.runner.engine = &script.Engine{Cmds: p.verbs(), Conds: script.DefaultConds()}
	p.runner.run(what.program)
	return errors.Join(err, state.CloseAndWait(io.Discard))
}

// set gives a variable of the script a value.
func (p *Player) set(name string, value any) error {
	return p.runner.state.Setenv(name, fmt.Sprint(value))
}

// close ends what still runs, in the order in which they use each other.
func (p *Player) close(ctx context.Context) error {
	var err error
	if p.timeline != nil {
		err = p.timeline.end()
	}
	if p.workload != nil {
		p.workload.end()
	}
	if p.load != nil {
		p.load.abort()
	}
	if p.traffic != nil {
		p.traffic.end()
	}
	if p.recorder != nil {
		p.recorder.end()
	}
	err = errors.Join(err, p.clean(ctx))
	if p.client != nil {
		_ = p.client.Close() // has nothing to lose
	}
	if p.cluster != nil {
		err = errors.Join(err, p.cluster.Close())
	}
	p.endCommands()
	return err
}

// show shows a line as it is played.
func (p *Player) show(line string) {
	if text, ok := strings.CutPrefix(line, "#"); ok {
		if p.opts.Comment != nil {
			text = p.opts.Comment(strings.TrimSpace(text))
		}
		if !p.remark {
			fmt.Fprintln(p.opts.Out)
		}
		fmt.Fprintf(p.opts.Out, "%s\n", strings.TrimSpace(text))
	} else {
		fmt.Fprintf(p.opts.Out, "> %s\n", line)
	}
	p.remark = strings.HasPrefix(line, "#")
}

// say tells what a verb found.
func (p *Player) say(format string, args ...any) { fmt.Fprintf(p.opts.Out, "  "+format+"\n", args...) }

// print shows what a command has printed.
func (p *Player) print(text string) {
	for line := range strings.Lines(text) {
		p.say("%s", strings.TrimSuffix(line, "\n"))
	}
}

// change notes that the cluster has to rebalance.
func (p *Player) change(what string) {
	if len(p.changed) == 0 {
		p.since = time.Now()
	}
	p.changed = append(p.changed, what)
}

// page adds to the view leader's flags those for the page, and returns its address; "": there is none.
func (p *Player) page(flags []string) (all []string, url string, err error) {
	if p.opts.Page == nil {
		return flags, "", nil
	}
	more, url, err := p.opts.Page(flags)
	return slices.Concat(flags, more), url, err
}

// start makes the private cluster.
func (p *Player) start(ctx context.Context, servers int, leaderFlags []string) error {
	if p.cluster != nil {
		return errors.New("there is a cluster already")
	}
	leaderFlags, page, err := p.page(leaderFlags)
	if err != nil {
		return err
	}
	p.cluster, err = Start(ctx, Config{Binary: p.opts.Binary, Dir: filepath.Join(p.dir, "cluster"), LeaderFlags: leaderFlags, Network: p.network})
	if err != nil {
		return err
	}
	if page != "" {
		p.say("see it at %s", page)
	}
	for range servers {
		if _, err := p.cluster.Add(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.cluster.WaitBalanced(ctx); err != nil {
		return err
	}
	p.client, err = client.Open(ctx, client.Options{Leaders: []string{p.cluster.LeaderAddr()}, ViewCache: p.viewCache(), Persist: true})
	if err != nil {
		return err
	}
	p.recorder = record(context.WithoutCancel(ctx), p.cluster.admin) // beyond this verb
	return nil
}

func (p *Player) viewCache() string { return filepath.Join(p.dir, "view") }

// run runs a command of the command line against the cluster.
func (p *Player) run(ctx context.Context, args []string) (stdout string, code int) {
	p.noteMoving(args)
	var out bytes.Buffer
	w := io.MultiWriter(&out, &indent{to: p.opts.Out, start: true})
	code = p.opts.Command(ctx, args, strings.NewReader(""), w, &indent{to: p.opts.Out, start: true}, p.getenv)
	if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		fmt.Fprintln(p.opts.Out)
	}
	return out.String(), code
}

// What commands are told of the cluster.
const (
	leaderVariable = "VIEWRING_VIEWLEADER"
	cacheVariable  = "XDG_CACHE_HOME"
)

func (p *Player) getenv(key string) string {
	switch key {
	case leaderVariable:
		if p.cluster != nil {
			return p.cluster.LeaderAddr()
		}
	case cacheVariable:
		return filepath.Join(p.dir, "cache")
	}
	return ""
}

// indent puts a command's output beside the script's lines.
type indent struct {
	to    io.Writer
	start bool // of a line
}

func (w *indent) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		if w.start {
			if _, err := io.WriteString(w.to, "  "); err != nil {
				return 0, err
			}
		}
		if _, err := w.to.Write(line); err != nil {
			return 0, err
		}
		w.start = line[len(line)-1] == '\n'
	}
	return len(b), nil
}
