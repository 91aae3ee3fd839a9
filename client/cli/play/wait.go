package play

import (
	"context"
	"fmt"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// askInterval is how often the view leader is asked while waiting.
const askInterval = 50 * time.Millisecond

// WaitStatus waits until why returns "": what is still missing otherwise.
func (c *Cluster) WaitStatus(ctx context.Context, what string, why func(*admin.Status) string) error {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	missing := "the view leader has not answered"
	for {
		if st, err := c.admin.Status(ctx); err == nil {
			if missing = why(st); missing == "" {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait %s: %w: %s", what, context.Cause(ctx), missing)
		}
	}
}

// WaitBalanced waits until the cluster is balanced, with those servers up that
// run here and no others. Of a running cluster only the view leader knows.
func (c *Cluster) WaitBalanced(ctx context.Context) error {
	return c.WaitStatus(ctx, "balanced", func(st *admin.Status) string {
		for _, n := range c.servers() {
			if c.isRunning {
				break
			}
			m := st.View.Member(n.id)
			up := m != nil && m.Up
			if runs := n.running() && !n.paused && !c.isCutOff(n); runs != up {
				return fmt.Sprintf("%s is up in the view: %v, in truth: %v", n.name, up, runs)
			}
		}
		return st.Unbalanced()
	})
}

// WaitEpoch waits for a view of at least this epoch.
func (c *Cluster) WaitEpoch(ctx context.Context, epoch uint64) error {
	_, err := c.admin.WaitView(ctx, func(v *ring.View) bool { return v.Epoch >= epoch })
	if err != nil {
		return fmt.Errorf("wait epoch %d: at %d: %w", epoch, c.admin.View().Epoch, err)
	}
	return nil
}

// WaitState waits until a server has a state in the view: up, down, out, gone ….
func (c *Cluster) WaitState(ctx context.Context, name, state string) error {
	nodes, err := c.find(name)
	if err != nil {
		return err
	}
	last := ""
	_, err = c.admin.WaitView(ctx, func(v *ring.View) bool {
		last = "gone"
		if m := v.Member(nodes[0].id); m != nil {
			last = m.State()
		}
		return last == state
	})
	if err != nil {
		return fmt.Errorf("wait %s %s: it is %s: %w", name, state, last, err)
	}
	return nil
}
