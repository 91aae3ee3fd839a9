package play

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// Running is a cluster that runs already, which a script is played on.
type Running struct {
	Client    client.Options // how to reach it
	Variables []string       // NAME=VALUE, how external commands reach it beside its address
}

// cleanPatience bounds the removal of what a script has written to a running cluster.
const cleanPatience = time.Minute

// cleanBatch is how many keys are removed at once.
const cleanBatch = 256

// attach opens a running cluster: its processes are not this one's.
func attach(ctx context.Context, r *Running) (*Cluster, error) {
	operator, err := admin.Open(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	addr := strings.Join(r.Client.Leaders, ",")
	return &Cluster{admin: operator, isRunning: true, leader: &node{name: "leader", addr: addr, listen: addr}}, nil
}

// members are the servers of a running cluster, as far as is known now.
func (c *Cluster) members() (nodes []*node) {
	for _, m := range c.admin.View().Members {
		nodes = append(nodes, &node{name: m.ID.String(), addr: m.Addr, id: m.ID})
	}
	return nodes
}

// serversOf are the names of a running cluster's servers.
func serversOf(ctx context.Context, r *Running) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	c, err := attach(ctx, r)
	if err != nil {
		return nil, err
	}
	defer c.admin.Close() // has nothing to lose
	return c.names(), nil
}

// useRunning has the script play on a running cluster. Keys that are not the script's own have names
// that nobody else uses, so that they can be removed.
func (p *Player) useRunning(ctx context.Context) (err error) {
	r := p.opts.Running
	if p.cluster, err = attach(ctx, r); err != nil {
		return err
	}
	opts := r.Client
	opts.Persist = true
	if p.client, err = client.Open(ctx, opts); err != nil {
		return err
	}
	p.prefix = "viewring-run/" + rand.Text() + "/"
	p.say("on the cluster at %s: servers %s", p.cluster.LeaderAddr(), strings.Join(p.cluster.names(), " "))
	return nil
}

// clean removes from a running cluster the keys that are not the script's own, and lets it rebalance
// again if the script has paused that.
func (p *Player) clean(ctx context.Context) error {
	if p.opts.Running == nil || p.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience) // after an interrupt, too
	defer cancel()
	var errs []error
	if p.pausedMoving {
		if _, err := p.command(ctx, []string{"rebalance", "resume"}); err != nil {
			errs = append(errs, fmt.Errorf("rebalancing is still paused, 'viewring rebalance resume' ends that: %w", err))
		}
	}
	keys := append(p.ledger.keys(), p.trafficKeys...)
	if len(keys) == 0 {
		return errors.Join(errs...)
	}
	p.say("removing the %d keys that were written", len(keys))
	left, why := 0, error(nil)
	for batch := range slices.Chunk(keys, cleanBatch) {
		for _, err := range p.client.DeleteMany(ctx, batch) {
			if err != nil && !errors.Is(err, client.ErrNotFound) {
				left, why = left+1, err
			}
		}
	}
	if left > 0 {
		errs = append(errs, fmt.Errorf("%d keys are left that begin with %s, 'viewring keys' finds them: %w", left, p.prefix, why))
	}
	return errors.Join(errs...)
}

// noteMoving notes whether the script has paused the rebalancing of a running cluster.
func (p *Player) noteMoving(args []string) {
	if len(args) > 1 && args[0] == "rebalance" && (args[1] == "pause" || args[1] == "resume") {
		p.pausedMoving = args[1] == "pause"
	}
}

// member finds a running cluster's server by its name.
func (c *Cluster) member(name string) ([]*node, error) {
	for _, n := range c.members() {
		if n.name == name {
			return []*node{n}, nil
		}
	}
	if id, err := ring.ParseServerID(name); err == nil { // one that is gone can be waited for
		return []*node{{name: name, id: id}}, nil
	}
	return nil, fmt.Errorf("no server %q here", name)
}
