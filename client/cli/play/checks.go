package play

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rsc.io/script"

	"viewring/client/admin"
	"viewring/client/bulk"
	"viewring/ring"
)

func (p *Player) waitVerb(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	switch {
	case len(args) == 1 && args[0] == "balanced":
		return "", p.waitBalanced(ctx, p.cluster.WaitBalanced)
	case len(args) == 1 && args[0] == "agreed":
		if p.workload != nil {
			return "", errors.New("stop the workload first")
		}
		return "", p.waitBalanced(ctx, p.agreed)
	case len(args) == 2 && args[0] == "epoch":
		epoch, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return "", script.ErrUsage
		}
		return "", p.cluster.WaitEpoch(ctx, epoch)
	case len(args) == 2:
		return "", p.cluster.WaitState(ctx, args[0], args[1])
	}
	return "", script.ErrUsage
}

// balancedSeconds is the variable that says how long the cluster took to be balanced.
const balancedSeconds = "balanced.seconds"

// waitBalanced waits as it is told to, and notes how long it took.
func (p *Player) waitBalanced(ctx context.Context, wait func(context.Context) error) error {
	began := p.since
	if len(p.changed) == 0 {
		began = time.Now()
	}
	if err := wait(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	if len(p.changed) > 0 {
		p.spans = append(p.spans, balanced{After: strings.Join(p.changed, ", "), Took: took})
		p.changed = nil
	}
	p.say("balanced after %.1f s, epoch %d", took.Seconds(), p.cluster.admin.View().Epoch)
	return p.set(balancedSeconds, rounded(took.Seconds()))
}

// agreed waits for the first status that says rebalanced and holds it against
// every server's store at that moment, without a second look.
func (p *Player) agreed(ctx context.Context) error {
	var epoch uint64
	err := p.cluster.WaitStatus(ctx, "agreed", func(st *admin.Status) string {
		epoch = st.View.Epoch
		return st.Unbalanced()
	})
	if err != nil {
		return err
	}
	said := time.Now()
	if err := p.cluster.WaitEpoch(ctx, epoch); err != nil { // the audit goes by the client's view
		return err
	}
	audit, err := p.cluster.admin.AuditOnce(ctx)
	if err != nil {
		return err
	}
	p.say("said to be rebalanced: %d keys, %d copies, %d faults in the stores (looked for %v from that moment)",
		audit.Keys, audit.Copies, len(audit.Problems), time.Since(said).Round(time.Millisecond))
	return expectCount("keys were not where they belong when the cluster said it was rebalanced", faultsOf(audit), 0)
}

func faultsOf(a *admin.Audit) []string {
	var faults []string
	for _, f := range a.Problems {
		faults = append(faults, fmt.Sprintf("%q: %s", f.Key, f.What))
	}
	return faults
}

func (p *Player) loadVerb(ctx context.Context, args []string) (string, error) {
	switch {
	case p.cluster == nil:
		return "", errNoCluster
	case len(args) > 0 && isCount(args[0]):
		count, size, err := keyLoad(args)
		if err != nil {
			return "", err
		}
		return "", p.loadKeys(ctx, count, size)
	case len(args) == 2 && args[0] == "start" && p.load == nil:
		files, err := bulk.List(args[1])
		if err != nil {
			return "", err
		}
		if len(files) == 0 {
			return "", fmt.Errorf("%s has no files", args[1])
		}
		p.say("%d files, %.1f MiB", len(files), float64(bulk.Bytes(files))/(1<<20))
		p.load = startLoad(context.Background(), p.client, files)
		return "", nil
	case p.load == nil:
		return "", errors.New("nothing is being loaded: begin with 'load start DIR'")
	case len(args) == 1 && args[0] == "finish":
		if err := p.load.wait(ctx, 100); err != nil {
			return "", err
		}
		p.load.finish()
		p.say("loaded in %.1f s, %d files read back meanwhile", p.load.took.Seconds(), p.load.checked.Load())
		return "", nil
	case len(args) == 1 && strings.HasSuffix(args[0], "%"):
		percent, err := strconv.Atoi(strings.TrimSuffix(args[0], "%"))
		if err != nil {
			return "", script.ErrUsage
		}
		return "", p.load.wait(ctx, percent)
	}
	return "", script.ErrUsage
}

func (p *Player) expectVerb(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	if len(args) > 1 && args[0] == "delta" {
		return "", p.expectDelta(ctx, args[1], args[2:])
	}
	if len(args) != 2 {
		return "", script.ErrUsage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return "", script.ErrUsage
	}
	switch args[0] {
	case "lost":
		return "", p.expectLost(ctx, n)
	case "failed":
		count, failed, _ := p.ledger.sums()
		if count == 0 {
			return "", errors.New("no request was made that could have failed")
		}
		return "", expectCount("requests failed", failed, n)
	case "copies":
		return "", p.expectCopies(ctx, n)
	case "stall":
		return "", p.expectStall(time.Duration(n) * time.Millisecond)
	}
	return "", script.ErrUsage
}

// expectLost reads back everything acknowledged.
func (p *Player) expectLost(ctx context.Context, n int) error {
	if p.workload != nil {
		return errors.New("stop the workload first")
	}
	if p.ledger.readBack() == 0 {
		return errors.New("nothing was written that could be lost")
	}
	_, before, _ := p.ledger.sums()
	p.ledger.checkAll(ctx, p.client)
	_, failed, wrong := p.ledger.sums()
	if err := expectCount("keys could not be read", failed[len(before):], 0); err != nil {
		return err
	}
	p.say("%d keys read back", len(p.ledger.keys()))
	return expectCount("answers contradict what was acknowledged", wrong, n)
}

// expectCount compares a number of faults, and names some of them.
func expectCount(what string, faults []string, n int) error {
	if len(faults) == n {
		return nil
	}
	shown := strings.Join(faults[:min(5, len(faults))], "\n  ")
	return fmt.Errorf("%d %s, not %d:\n  %s", len(faults), what, n, shown)
}

// expectCopies checks in every store that each key is on exactly its targets,
// with equal copies: n of them, or as many as there are servers.
func (p *Player) expectCopies(ctx context.Context, n int) error {
	audit, err := p.cluster.admin.Audit(ctx)
	if err != nil {
		return err
	}
	targets := 0
	for _, m := range p.cluster.admin.View().Members {
		if m.Target() && m.Up {
			targets++
		}
	}
	n = min(n, ring.Copies, targets)
	faults := faultsOf(audit)
	for _, key := range p.ledger.keys() {
		if _, ok := audit.Sums[key]; !ok && p.ledger.get(key).present {
			faults = append(faults, fmt.Sprintf("%q is on no server", key))
		}
	}
	p.say("%d keys, %d copies in the stores of all servers", audit.Keys, audit.Copies)
	if audit.Keys == 0 && len(faults) == 0 {
		return errors.New("there is no key that could have copies")
	}
	if err := expectCount("keys are not as they should be", faults, 0); err != nil {
		return err
	}
	if audit.Copies != n*audit.Keys {
		return fmt.Errorf("%d copies of %d keys, not %d of each", audit.Copies, audit.Keys, n)
	}
	return nil
}

// expectDelta checks that a server that came back copied only what had changed:
// no partition whole, and at most as many keys as said.
func (p *Player) expectDelta(ctx context.Context, name string, most []string) error {
	nodes, err := p.cluster.find(name)
	if err != nil {
		return err
	}
	st, err := p.cluster.admin.Status(ctx)
	if err != nil {
		return err
	}
	s := st.Server(nodes[0].id).Stats
	p.say("%s since its start: %d partitions copied whole, %d by what changed, %d keys", name, s.MovedPartitions, s.DeltaPartitions, s.CopiedKeys)
	if nothing := len(most) > 0 && most[0] == "0"; s.MovedPartitions+s.DeltaPartitions == 0 && !nothing {
		return fmt.Errorf("%s has copied nothing since its start", name)
	}
	if s.MovedPartitions > 0 {
		return fmt.Errorf("%s copied %d partitions whole", name, s.MovedPartitions)
	}
	if len(most) == 0 {
		return nil
	}
	n, err := strconv.ParseUint(most[0], 10, 64)
	if err != nil || len(most) > 1 {
		return script.ErrUsage
	}
	if s.CopiedKeys > n {
		return fmt.Errorf("%s copied %d keys, only %d have changed", name, s.CopiedKeys, n)
	}
	return nil
}
