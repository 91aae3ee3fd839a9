package play

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rsc.io/script"
)

// ErrScript: the script has lines that cannot be played. Nothing of it was.
var ErrScript = errors.New("the script is wrong")

// states are what 'wait SERVER STATE' waits for.
var states = []string{"up", "down", "out", "draining", "leaving", "gone"}

// serversMax is the largest cluster that a script may start.
const serversMax = 32

// checker goes through a script before it is played, and knows what runs by then.
type checker struct {
	opts                    Options
	state                   *script.State
	runner                  *runner              // goes through the script
	lineCheck               func([]string) error // opts.Check, or nil where the command may fail
	servers                 int                  // started so far; 0: there is no cluster
	names                   []string             // of the servers of a running cluster
	workload, traffic, load bool                 // they run
	timeline                bool                 // it runs
	traffed, loaded         bool                 // they have been started
	tables                  map[string][]string  // columns by name
	writes                  bool                 // the script leaves files
	network                 bool                 // it disturbs the network
}

// checked is what the check of a script has found.
type checked struct {
	program []statement
	writes  bool // it leaves files
	network bool // it disturbs the network
}

// unknown stands for what only the playing of a script will tell, in values of variables. What
// it is part of is taken for right.
const unknown = "\uE000"

func isUnknown(text string) bool { return strings.Contains(text, unknown) }

// Check says what is wrong with a script, of every verb and every argument, and plays nothing of
// it. The error is ErrScript.
func Check(ctx context.Context, name string, text []byte, opts Options) error {
	_, err := check(ctx, name, text, opts)
	return err
}

func check(ctx context.Context, name string, text []byte, opts Options) (checked, error) {
	state, err := script.NewState(ctx, os.TempDir(), append([]string{"HOME=", "TMPDIR=", "OUT=", "CLUSTER=" + os.TempDir()}, opts.Env...))
	if err != nil {
		return checked{}, fmt.Errorf("run %s: %w", name, err)
	}
	names, err := serversOf(ctx, opts.Running)
	if err != nil {
		return checked{}, err
	}
	program, wrong := parse(name, string(text))
	lines := strings.Split(string(text), "\n")
	told := make(map[int]bool) // lines, of which each is told once
	ended := false
	c := &checker{opts: opts, state: state, servers: len(names), names: names, tables: make(map[string][]string)}
	r := &runner{file: name, state: state, ended: &ended, each: c.each, wrong: func(line int, err error) bool {
		if !told[line] {
			told[line] = true
			wrong = append(wrong, err)
		}
		c.guess(lines[line-1])
		return !errors.Is(err, errSteps) && ctx.Err() == nil
	}}
	c.runner = r
	r.engine = &script.Engine{Cmds: c.verbs(), Conds: script.DefaultConds()}
	r.run(program)
	if len(wrong) > 0 {
		slices.SortStableFunc(wrong, func(a, b error) int { return lineOf(a) - lineOf(b) })
		return checked{}, fmt.Errorf("%w, nothing was played:\n%s", ErrScript, strings.ReplaceAll(errors.Join(wrong...).Error(), unknown, "…"))
	}
	return checked{program, c.writes, c.network}, nil
}

// guess lets later lines use the variable that a wrong line would set: they are not wrong for that.
func (c *checker) guess(line string) {
	if words := strings.Fields(line); len(words) > 1 && words[0] == "let" && name.MatchString(words[1]) && !c.runner.isKnown(words[1]) {
		_ = c.find(words[1:2]) // of a map
	}
}

func lineOf(err error) int {
	var at *lineError
	if errors.As(err, &at) {
		return at.line
	}
	return 0
}

// mayFail matches the beginning of a line whose command may fail, or should.
var mayFail = regexp.MustCompile(`^(\s*(?:\[[^\]]*\]\s*)*)[!?]\s`)

// each is how a line is checked: that it fails may be the point, but not that it makes no sense.
func (c *checker) each(l line) (line, error) {
	c.lineCheck = c.opts.Check
	if wanted := mayFail.FindStringSubmatch(l.text); wanted != nil {
		l.text, c.lineCheck = wanted[1]+l.text[len(wanted[0]):], nil
	}
	c.writes = c.writes || slices.Contains(l.uses, "OUT")
	return l, nil
}

// verbs are those of a script, which only look at their arguments.
func (c *checker) verbs() map[string]script.Cmd {
	real := (&Player{opts: c.opts}).verbs()
	all := make(map[string]script.Cmd)
	checks := c.checks()
	for name, cmd := range real {
		do := checks[name]
		if do == nil {
			do = func([]string) error { return nil }
		}
		all[name] = script.Command(*cmd.Usage(), func(_ *script.State, args ...string) (script.WaitFunc, error) {
			if err := do(args); err != nil || !cmd.Usage().Async {
				return nil, err
			}
			return func(*script.State) (stdout, stderr string, err error) { return "", "", nil }, nil
		})
	}
	all["env"] = real["env"] // later lines have its variables
	return all
}

// checks are what is checked of the verbs' arguments.
func (c *checker) checks() map[string]func([]string) error {
	checks := map[string]func([]string) error{"stdout": matches, "stderr": matches, "grep": matches, "sleep": sleeps}
	for name, v := range allVerbs() {
		checks[name] = func(args []string) error {
			if c.opts.Running != nil && v.private != "" {
				return fmt.Errorf("not on a running cluster: %s", v.private)
			}
			if err := v.check(c, args); err != nil {
				return v.explain(err)
			}
			return c.find(v.sets)
		}
	}
	for _, name := range c.opts.Commands {
		checks[name] = func(args []string) error { return c.command(append([]string{name}, args...)) }
	}
	return checks
}

// find makes variables known, whose values are not.
func (c *checker) find(variables []string) error {
	for _, name := range variables {
		if err := c.state.Setenv(name, unknown); err != nil {
			return err
		}
	}
	return nil
}

// matches checks what stdout and its like are given.
func matches(args []string) error {
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-q" || strings.HasPrefix(a, "-count=") })
	if len(args) == 0 {
		return script.ErrUsage
	}
	if isUnknown(args[0]) {
		return nil
	}
	_, err := regexp.Compile(args[0])
	return err
}

// sleeps checks what 'sleep' is given.
func sleeps(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: sleep DURATION")
	}
	_, err := span(args[0])
	return err
}

// span reads a duration above 0, such as 500ms or 10s.
func span(text string) (time.Duration, error) {
	if isUnknown(text) {
		return time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration such as 500ms, 10s or 2m", text)
	}
	return d, nil
}

// command checks a command line of viewring.
func (c *checker) command(args []string) error {
	if c.lineCheck == nil || slices.ContainsFunc(args, isUnknown) {
		return nil
	}
	return c.lineCheck(args)
}

func (c *checker) exits(args []string) error {
	if len(args) < 2 {
		return script.ErrUsage
	}
	code, err := strconv.Atoi(args[0])
	switch {
	case isUnknown(args[0]):
		return nil
	case err != nil:
		return fmt.Errorf("%q is not an exit code", args[0])
	case code == usageExit:
		return nil
	}
	return c.command(args[1:])
}

// usageExit is the exit code of a command line that makes no sense.
const usageExit = 2

func (c *checker) cluster(args []string) error {
	if len(args) < 2 || args[0] != "servers" {
		return script.ErrUsage
	}
	n, err := number(args[1], 1)
	switch {
	case err != nil:
		return err
	case n > serversMax:
		return fmt.Errorf("at most %d servers", serversMax)
	case c.servers > 0:
		return errors.New("there is a cluster already")
	}
	c.servers = n
	if isUnknown(args[1]) {
		c.servers = serversMax
	}
	return c.command(append([]string{"viewleader"}, args[2:]...))
}

func (c *checker) destroy(args []string) error {
	switch {
	case len(args) > 1 || len(args) == 1 && args[0] != "forget":
		return script.ErrUsage
	case c.workload || c.load || c.traffic:
		return errors.New("stop the workload, the load and the traffic first")
	}
	err := c.started()
	c.servers = 0
	return err
}

// started checks that there is a cluster.
func (c *checker) started() error {
	if c.servers == 0 {
		return errNoCluster
	}
	return nil
}

// number reads a number that is at least so large.
func number(text string, least int) (int, error) {
	if isUnknown(text) {
		return least, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("%q is not a number of %d or more", text, least)
	}
	return n, nil
}

func (c *checker) join(args []string) error {
	if err := c.started(); err != nil || len(args) > 1 {
		return errors.Join(err, usageIf(len(args) > 1))
	}
	n := 1
	if len(args) == 1 {
		var err error
		if n, err = number(args[0], 1); err != nil {
			return err
		}
	}
	c.servers += n
	return nil
}

func usageIf(wrong bool) error {
	if wrong {
		return script.ErrUsage
	}
	return nil
}

// named checks that there may be a server of this name by now.
func (c *checker) named(name string) error {
	if err := c.started(); err != nil {
		return err
	}
	if isUnknown(name) {
		return nil
	}
	if c.opts.Running != nil {
		if !slices.Contains(c.names, name) {
			return fmt.Errorf("no server is named %q here: they are %s", name, strings.Join(c.names, ", "))
		}
		return nil
	}
	text, ok := strings.CutPrefix(name, "s")
	if n, err := strconv.Atoi(text); !ok || err != nil || n < 1 || n > c.servers {
		return fmt.Errorf("no server is named %q here: they are s1 to s%d", name, c.servers)
	}
	return nil
}

func (c *checker) server(args []string) error {
	if len(args) != 1 {
		return script.ErrUsage
	}
	return c.named(args[0])
}

func (c *checker) processes(args []string) error {
	if len(args) == 0 {
		return script.ErrUsage
	}
	for _, name := range args {
		if name == "leader" || name == "all" {
			if err := c.started(); err != nil {
				return err
			}
		} else if err := c.named(name); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) outage(args []string) error {
	if !c.traffic {
		return errors.New("an outage is measured by traffic: start it first")
	}
	return c.server(args)
}

func (c *checker) fill(args []string) error {
	if len(args) != 1 {
		return script.ErrUsage
	}
	_, err := number(args[0], 1)
	return errors.Join(c.started(), err)
}

func (c *checker) workloadVerb(args []string) error {
	if err := c.started(); err != nil {
		return err
	}
	return toggle(&c.workload, "workload", "stop", args, func(args []string) error {
		if len(args) > 1 {
			return script.ErrUsage
		}
		return optional(args, 1)
	}, func(args []string) error {
		if len(args) != 1 {
			return script.ErrUsage
		}
		_, err := number(args[0], 1)
		return err
	})
}

// optional checks a number, if there is one.
func optional(args []string, least int) error {
	if len(args) == 0 {
		return nil
	}
	_, err := number(args[0], least)
	return err
}

// toggle checks a verb of what is started and ended, with what may be said at its start and
// while it runs.
func toggle(runs *bool, what, end string, args []string, start, during func([]string) error) error {
	switch {
	case len(args) == 0:
		return script.ErrUsage
	case args[0] == "start" && *runs:
		return fmt.Errorf("the %s runs already", what)
	case args[0] == "start":
		*runs = true
		return start(args[1:])
	case !*runs:
		return fmt.Errorf("the %s does not run: begin with '%s start'", what, what)
	case len(args) == 1 && args[0] == end:
		*runs = false
		return nil
	}
	return during(args)
}

func (c *checker) trafficVerb(args []string) error {
	if err := c.started(); err != nil {
		return err
	}
	c.traffed = true
	return toggle(&c.traffic, "traffic", "stop", args, func(args []string) error {
		if n := len(args); n > 0 && args[n-1] == "plain" {
			args = args[:n-1]
		}
		return errors.Join(usageIf(len(args) > 1), optional(args, 1))
	}, func(args []string) error {
		return usageIf(len(args) != 1 || args[0] != "round")
	})
}

func (c *checker) loadVerb(args []string) error {
	if err := c.started(); err != nil {
		return err
	}
	if len(args) > 0 && isCount(args[0]) {
		_, _, err := keyLoad(args)
		return err
	}
	if c.opts.Running != nil {
		return errors.New("not on a running cluster: files would be written over keys of the same names; 'load COUNT' writes keys that nobody else has")
	}
	c.loaded = true
	return toggle(&c.load, "load", "finish", args, func(args []string) error {
		return usageIf(len(args) != 1)
	}, func(args []string) error {
		text, ok := strings.CutSuffix(args[0], "%")
		if !ok || len(args) != 1 {
			return script.ErrUsage
		}
		_, err := number(text, 0)
		return err
	})
}

func (c *checker) wait(args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) == 1 && (args[0] == "balanced" || args[0] == "agreed"):
		return errors.Join(c.started(), c.find([]string{balancedSeconds}))
	case len(args) == 2 && args[0] == "epoch":
		_, err := number(args[1], 0)
		return errors.Join(c.started(), err)
	case len(args) == 2 && !isUnknown(args[1]) && !slices.Contains(states, args[1]):
		return fmt.Errorf("no server is ever %q: they are %s", args[1], strings.Join(states, ", "))
	case len(args) == 2:
		return c.named(args[0])
	}
	return script.ErrUsage
}

// expectations are what can be expected, with the smallest number that makes sense.
var expectations = map[string]int{"lost": 0, "failed": 0, "copies": 1, "stall": 0}

func (c *checker) expect(args []string) error {
	if err := c.started(); err != nil {
		return err
	}
	if len(args) > 1 && args[0] == "delta" {
		if len(args) > 3 {
			return script.ErrUsage
		}
		return errors.Join(c.named(args[1]), optional(args[2:], 0))
	}
	if len(args) != 2 {
		return script.ErrUsage
	}
	least, ok := expectations[args[0]]
	if !ok {
		return fmt.Errorf("%q can't be expected: %s and delta can", args[0], strings.Join(slices.Sorted(maps.Keys(expectations)), ", "))
	}
	if args[0] == "stall" && !c.traffed {
		return errors.New("a stall is measured by traffic, and there was none")
	}
	_, err := number(args[1], least)
	return err
}

func (c *checker) summary(args []string) error {
	if c.servers == 0 || !c.loaded {
		return errNoSummary
	}
	return usageIf(len(args) > 0)
}
