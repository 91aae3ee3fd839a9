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

// command runs a command of the command line as a verb.
func (p *Player) command(ctx context.Context, args []string) (string, error) {
	out, code := p.run(ctx, args)
	if code != 0 {
		return out, fmt.Errorf("exit code %d", code)
	}
	return out, nil
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
func (p *Player) destroyVerb(_ context.Context, args []string) (string, error) {
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
	if len(args) > 0 {
		p.ledger = newLedger(p.meter)
	}
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

func (p *Player) leaveVerb(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	if len(args) != 1 {
		return "", script.ErrUsage
	}
	p.change(args[0] + " left")
	out, err := p.command(ctx, []string{"leave", args[0]})
	if err != nil {
		return out, err
	}
	if p.cluster.isRunning {
		return out, nil // the process ends as whoever started it wants
	}
	return out, p.cluster.Forget(ctx, args[0])
}

// on is a verb on processes, one after the other.
func on(do func(*Cluster, context.Context, string) error, changes bool) func(*Player, context.Context, []string) (string, error) {
	return func(p *Player, ctx context.Context, args []string) (string, error) {
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
			if err := do(p.cluster, ctx, name); err != nil {
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
	fill(ctx, p.client, p.ledger, p.prefix, n)
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
	p.workload = startWorkload(context.Background(), p.client, p.ledger, p.prefix, rate)
	return nil
}
