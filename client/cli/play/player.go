package play

import (
	"bufio"
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
	Keep     bool                // keep the cluster's folder even when all went well

	// Page has a cluster serve its page: further flags of its view leader, given those that it has, and where
	// browsers find it. nil: there is none.
	Page func(flags []string) (more []string, url string, err error)
}

// patience bounds each waiting verb.
const patience = 3 * time.Minute

// Player plays one script.
type Player struct {
	opts     Options
	dir      string
	cluster  *Cluster
	ledger   *ledger
	client   *client.Client // for workload and load: its counts are the summary's
	workload *workload
	load     *treeLoad
	traffic  *traffic
	round    time.Time     // of the traffic: since when
	stalls   time.Duration // the longest request of the traffic that has ended
	recorder *recorder
	spans    []balanced
	summary  *Summary
	changed  []string  // changes since the cluster was balanced
	since    time.Time // of the first of them
}

// balanced is how long the cluster took to be balanced after changes.
type balanced struct {
	After string
	Took  time.Duration
}

// Play checks the script, plays it and ends its cluster. Its folder is kept, and named in
// the error, when something went wrong; a script that is wrong in itself is ErrScript.
func Play(ctx context.Context, name string, script io.Reader, opts Options) (*Summary, error) {
	text, err := io.ReadAll(script)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if err := Check(ctx, name, text, opts); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "viewring-run-")
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	p := &Player{opts: opts, dir: dir, ledger: newLedger()}
	err = p.play(ctx, name, bytes.NewReader(text))
	err = errors.Join(err, p.close())
	if ctx.Err() != nil {
		err = fmt.Errorf("run %s: interrupted", name)
	}
	if err != nil || opts.Keep {
		fmt.Fprintf(opts.Out, "data and logs of the cluster are kept in %s\n", dir)
	} else if rerr := os.RemoveAll(dir); rerr != nil {
		err = fmt.Errorf("run %s: %w", name, rerr)
	}
	return p.summary, err
}

func (p *Player) play(ctx context.Context, name string, text io.Reader) error {
	env := append([]string{"HOME=" + p.dir, "TMPDIR=" + p.dir, "CLUSTER=" + p.dir}, p.opts.Env...)
	state, err := script.NewState(ctx, p.dir, env)
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	engine := &script.Engine{Cmds: p.verbs(), Conds: script.DefaultConds()}
	lines := &echo{from: bufio.NewReader(text), out: p.opts.Out, comment: p.opts.Comment}
	err = engine.Execute(state, name, bufio.NewReader(lines), io.Discard)
	return errors.Join(err, state.CloseAndWait(io.Discard))
}

// close ends what still runs, in the order in which they use each other.
func (p *Player) close() error {
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
	if p.client != nil {
		_ = p.client.Close() // has nothing to lose
	}
	if p.cluster != nil {
		return p.cluster.Close()
	}
	return nil
}

// echo hands on a script line by line, and shows each as the engine takes it.
type echo struct {
	from    *bufio.Reader
	out     io.Writer
	comment func(string) string
	rest    []byte
}

func (e *echo) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		line, err := e.from.ReadBytes('\n')
		if len(line) == 0 {
			return 0, err
		}
		e.rest = line
		e.show(strings.TrimSpace(string(line)))
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *echo) show(line string) {
	if text, ok := strings.CutPrefix(line, "#"); ok {
		if e.comment != nil {
			text = e.comment(strings.TrimSpace(text))
		}
		fmt.Fprintf(e.out, "\n%s\n", strings.TrimSpace(text))
	} else if line != "" {
		fmt.Fprintf(e.out, "> %s\n", line)
	}
}

// say tells what a verb found.
func (p *Player) say(format string, args ...any) { fmt.Fprintf(p.opts.Out, "  "+format+"\n", args...) }

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
	p.cluster, err = Start(ctx, Config{Binary: p.opts.Binary, Dir: filepath.Join(p.dir, "cluster"), LeaderFlags: leaderFlags})
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
	var out bytes.Buffer
	w := io.MultiWriter(&out, &indent{to: p.opts.Out, start: true})
	code = p.opts.Command(ctx, args, strings.NewReader(""), w, &indent{to: p.opts.Out, start: true}, p.getenv)
	if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		fmt.Fprintln(p.opts.Out)
	}
	return out.String(), code
}

func (p *Player) getenv(key string) string {
	switch key {
	case "VIEWRING_VIEWLEADER":
		if p.cluster != nil {
			return p.cluster.LeaderAddr()
		}
	case "XDG_CACHE_HOME":
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
