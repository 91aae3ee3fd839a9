package play

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	servers                 int  // started so far; 0: there is no cluster
	workload, traffic, load bool // they run
	traffed, loaded         bool // they have been started
}

// Check says what is wrong with a script, of every verb and every argument, and plays nothing of
// it. The error is ErrScript.
func Check(ctx context.Context, name string, text []byte, opts Options) error {
	c := &checker{opts: opts}
	verbs := (&Player{opts: opts}).verbs()
	state, err := script.NewState(ctx, os.TempDir(), append([]string{"CLUSTER=" + os.TempDir()}, opts.Env...))
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	engine := &script.Engine{Cmds: c.verbs(verbs), Conds: script.DefaultConds()}
	var wrong []error
	for n, line := range strings.Split(string(text), "\n") {
		wanted := mayFail.FindStringSubmatch(line)
		c.opts.Check = opts.Check
		if wanted != nil { // that it fails may be the point
			line, c.opts.Check = wanted[1]+line[len(wanted[0]):], nil
		}
		alone := strings.Repeat("\n", n) + line // with its number
		if err := engine.Execute(state, name, bufio.NewReader(strings.NewReader(alone)), io.Discard); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w, nothing was played:\n%w", ErrScript, errors.Join(wrong...))
	}
	return nil
}

// mayFail matches the beginning of a line whose command may fail, or should.
var mayFail = regexp.MustCompile(`^(\s*(?:\[[^\]]*\]\s*)*)[!?]\s`)

// verbs are those of a script, which only look at their arguments.
func (c *checker) verbs(real map[string]script.Cmd) map[string]script.Cmd {
	all := make(map[string]script.Cmd)
	checks := c.checks()
	for name, cmd := range real {
		do := checks[name]
		if do == nil {
			do = func([]string) error { return nil }
		}
		all[name] = script.Command(*cmd.Usage(), func(_ *script.State, args ...string) (script.WaitFunc, error) {
			return nil, do(args)
		})
	}
	all["env"] = real["env"] // later lines have its variables
	return all
}

// checks are what is checked of the verbs' arguments.
func (c *checker) checks() map[string]func([]string) error {
	checks := map[string]func([]string) error{
		"cluster": c.cluster, "join": c.join, "kill": c.processes, "restart": c.processes, "pause": c.processes, "resume": c.processes,
		"leave": c.server, "terminate": c.server, "outage": c.outage, "fill": c.fill, "workload": c.workloadVerb,
		"traffic": c.trafficVerb, "load": c.loadVerb, "wait": c.wait, "expect": c.expect, "exits": c.exits, "summary": c.summary,
		"destroy": c.destroy,
		"stdout":  matches, "stderr": matches, "grep": matches,
	}
	for _, name := range c.opts.Commands {
		checks[name] = func(args []string) error { return c.command(append([]string{name}, args...)) }
	}
	return checks
}

// matches checks what stdout and its like are given.
func matches(args []string) error {
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-q" || strings.HasPrefix(a, "-count=") })
	if len(args) == 0 {
		return script.ErrUsage
	}
	_, err := regexp.Compile(args[0])
	return err
}

// command checks a command line of viewring.
func (c *checker) command(args []string) error {
	if c.opts.Check == nil {
		return nil
	}
	return c.opts.Check(args)
}

func (c *checker) exits(args []string) error {
	if len(args) < 2 {
		return script.ErrUsage
	}
	code, err := strconv.Atoi(args[0])
	switch {
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
	return c.command(append([]string{"viewleader"}, args[2:]...))
}

func (c *checker) destroy(args []string) error {
	switch {
	case len(args) > 0:
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
		return c.started()
	case len(args) == 2 && args[0] == "epoch":
		_, err := number(args[1], 0)
		return errors.Join(c.started(), err)
	case len(args) == 2 && !slices.Contains(states, args[1]):
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
