package play

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"rsc.io/script"
)

// verb is the body of a script's command. What it returns is matched by stdout.
type verb func(ctx context.Context, args []string) (string, error)

// verbs are the script commands of the engine, those of the cluster, and the
// command line's.
func (p *Player) verbs() map[string]script.Cmd {
	all := script.DefaultCmds()
	wait := all["wait"]
	add := func(name, args, summary string, do verb) {
		all[name] = script.Command(script.CmdUsage{Summary: summary, Args: args}, func(s *script.State, args ...string) (script.WaitFunc, error) {
			if name == "wait" && len(args) == 0 {
				return wait.Run(s)
			}
			ctx, cancel := context.WithTimeout(s.Context(), patience)
			defer cancel()
			out, err := do(ctx, args)
			return func(*script.State) (string, string, error) { return out, "", err }, nil
		})
	}
	for _, name := range p.opts.Commands {
		add(name, "…", "the command of the same name, on this cluster", func(ctx context.Context, args []string) (string, error) {
			out, code := p.run(ctx, append([]string{name}, args...))
			if code != 0 {
				return out, fmt.Errorf("exit code %d", code)
			}
			return out, nil
		})
	}
	add("exits", "CODE COMMAND…", "the command ends with this exit code; of 2 its arguments are not checked before", p.exits)
	add("cluster", "servers N [VIEWLEADER-FLAG…]", "start a private cluster", p.clusterVerb)
	add("destroy", "", "SIGKILL everything and delete its data; 'cluster' starts another", p.destroyVerb)
	add("join", "[N]", "start one more server, or N", p.join)
	add("leave", "SERVER", "the server leaves, its process ends", p.leave)
	add("kill", "SERVER…|leader|all", "end by SIGKILL", p.on(func(_ context.Context, name string) error { return p.cluster.Kill(name) }, true))
	add("terminate", "SERVER", "end by SIGTERM, and wait for its end", p.terminateVerb)
	add("outage", "SERVER", "SIGKILL, and measure until all keys of the traffic can be written again", p.outageVerb)
	add("restart", "SERVER…|leader|all", "end it if it runs, start it on its data", p.on(func(ctx context.Context, name string) error { return p.cluster.Restart(ctx, name) }, true))
	add("pause", "SERVER…|leader|all", "stop by SIGSTOP", p.on(func(_ context.Context, name string) error { return p.cluster.Pause(name) }, true))
	add("resume", "SERVER…|leader|all", "let go on by SIGCONT", p.on(func(_ context.Context, name string) error { return p.cluster.Resume(name) }, false))
	add("fill", "N", "write N keys", p.fillVerb)
	add("workload", "start [PER-SECOND] | N | stop", "write, append and read in the background; wait until N requests are made", p.workloadVerb)
	add("traffic", "start [PER-SECOND] [plain] | round | stop", "write at an even pace, with plain half of it as plain Redis clients, and note each request's time; tell of the last round; stop and read all back", p.trafficVerb)
	add("load", "start DIR | PERCENT% | finish", "load a folder in the background, reading back at random; wait until so much is loaded, or all", p.loadVerb)
	add("wait", "[balanced | agreed | epoch N | SERVER STATE]", "wait until each partition is on exactly its targets, and with agreed every store agrees at that moment; for a view; for a server to be up, down, out or gone; without arguments for background commands", p.waitVerb)
	add("expect", "lost N | failed N | copies N | stall MILLISECONDS | delta SERVER [KEYS]", "check that so many acknowledged keys read back wrong, so many requests went 10 s without an answer, every key is on exactly its targets with equal copies, no request of the traffic took longer, a server that came back copied only what changed, so many KEYS at most. What was never tried fails", p.expectVerb)
	add("summary", "", "print the figures of a load", p.summaryVerb)
	return all
}

// exits runs a command line and compares its exit code.
func (p *Player) exits(ctx context.Context, args []string) (string, error) {
	if len(args) < 2 {
		return "", script.ErrUsage
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return "", script.ErrUsage
	}
	out, code := p.run(ctx, args[1:])
	if code != want {
		return out, fmt.Errorf("exit code %d, not %d", code, want)
	}
	return out, nil
}

func (p *Player) clusterVerb(ctx context.Context, args []string) (string, error) {
	if len(args) < 2 || args[0] != "servers" {
		return "", script.ErrUsage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 || n > serversMax {
		return "", script.ErrUsage
	}
	if err := p.start(ctx, n, args[2:]); err != nil {
		return "", err
	}
	p.say("view leader at %s, servers %s", p.cluster.LeaderAddr(), strings.Join(p.cluster.names(), " "))
	return "", nil
}

// destroyVerb ends a cluster with all that it has. What it acknowledged is still known.
func (p *Player) destroyVerb(context.Context, []string) (string, error) {
	switch {
	case p.cluster == nil:
		return "", errNoCluster
	case p.workload != nil || p.load != nil || p.traffic != nil:
		return "", errors.New("stop the workload, the load and the traffic first")
	}
	p.recorder.end()
	_ = p.client.Close() // has nothing to lose
	err := errors.Join(p.cluster.Kill("all"), p.cluster.Close(), os.RemoveAll(p.cluster.Dir()), os.RemoveAll(p.viewCache()))
	p.recorder, p.client, p.cluster, p.changed = nil, nil, nil, nil
	return "", err
}

var errNoCluster = errors.New("no cluster yet: start with 'cluster servers N'")

func (p *Player) join(ctx context.Context, args []string) (string, error) {
	n, err := 1, error(nil)
	if len(args) > 0 {
		n, err = strconv.Atoi(args[0])
	}
	switch {
	case p.cluster == nil:
		return "", errNoCluster
	case err != nil || len(args) > 1:
		return "", script.ErrUsage
	}
	for range n {
		name, err := p.cluster.Add(ctx)
		if err != nil {
			return "", err
		}
		p.change(name + " joined")
		p.say("%s has joined", name)
	}
	return "", nil
}

func (p *Player) leave(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	if len(args) != 1 {
		return "", script.ErrUsage
	}
	p.change(args[0] + " left")
	out, code := p.run(ctx, []string{"leave", args[0]})
	if code != 0 {
		return out, fmt.Errorf("exit code %d", code)
	}
	return out, p.cluster.Forget(ctx, args[0])
}

// on is a verb on processes, one after the other.
func (p *Player) on(do func(context.Context, string) error, changes bool) verb {
	return func(ctx context.Context, args []string) (string, error) {
		if p.cluster == nil {
			return "", errNoCluster
		}
		if len(args) == 0 {
			return "", script.ErrUsage
		}
		for _, name := range args {
			if changes && name != "leader" {
				p.change(name + " failed or restarted")
			}
			if err := do(ctx, name); err != nil {
				return "", err
			}
		}
		return "", nil
	}
}

func (p *Player) fillVerb(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	if len(args) != 1 {
		return "", script.ErrUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return "", script.ErrUsage
	}
	fill(ctx, p.client, p.ledger, n)
	if ctx.Err() != nil {
		return "", fmt.Errorf("not all of %d keys could be written: %w", n, context.Cause(ctx))
	}
	return "", nil
}

func (p *Player) workloadVerb(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	if len(args) == 0 || len(args) > 2 {
		return "", script.ErrUsage
	}
	if args[0] == "start" {
		return "", p.startWorkload(args[1:])
	}
	n, err := strconv.Atoi(args[0])
	switch {
	case p.workload == nil:
		return "", errors.New("the workload does not run")
	case args[0] == "stop":
		p.workload.end()
		before := p.workload.before
		p.workload = nil
		n, failed, wrong := p.ledger.sums()
		if n == before {
			return "", errors.New("the workload has made no request: wait for some first, as by 'workload 100'")
		}
		st := p.client.Stats()
		p.say("%d requests, %d retries, longest %v, %d failed, %d contradicted", n, st.Retries, st.Longest.Round(time.Millisecond), len(failed), len(wrong))
		return "", nil
	case err != nil:
		return "", script.ErrUsage
	}
	return "", p.ledger.wait(ctx, n)
}

func (p *Player) startWorkload(args []string) error {
	rate, err := normalRate, error(nil)
	if len(args) > 0 {
		rate, err = strconv.Atoi(args[0])
	}
	switch {
	case err != nil || rate < 1:
		return script.ErrUsage
	case p.workload != nil:
		return errors.New("the workload runs already")
	}
	p.workload = startWorkload(context.Background(), p.client, p.ledger, rate)
	return nil
}
