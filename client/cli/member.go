package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

const (
	memberInterval = 200 * time.Millisecond
	memberPatience = 10 * time.Second // without an answer of the view leader
)

// memberChange runs a command that changes a member: it asks for the change, then
// shows progress until over says that it is done, and with what outcome. field
// stands for that in JSON.
func (a *app) memberChange(verb, field string, ask func(*admin.Cluster, context.Context, string) (ring.ServerID, error),
	over func(*admin.Status, ring.ServerID) (bool, string)) func(*cobra.Command, []string) error {
	return a.onClusterWithin(a.longDeadline, func(ctx context.Context, c *admin.Cluster, args []string) error {
		id, err := ask(c, ctx, args[0])
		if err != nil {
			return err
		}
		var outcome string
		done := func(st *admin.Status) (is bool) {
			is, outcome = over(st, id)
			return is
		}
		if err := a.followMember(ctx, c, verb, id, done); err != nil {
			return err
		}
		a.say(map[string]any{"server": id.String(), field: true}, "%v %s", id, outcome)
		return nil
	})
}

// followMember prints progress until done says that a server's leave, drain or
// remove is over. Whatever ends the following, the operation goes on.
func (a *app) followMember(ctx context.Context, c *admin.Cluster, verb string, id ring.ServerID, done func(*admin.Status) bool) error {
	tick := time.NewTicker(memberInterval)
	defer tick.Stop()
	last, heard := "", time.Now()
	for {
		st, err := c.Status(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && time.Since(heard) > memberPatience:
			return fmt.Errorf("%s %v goes on, but can't be followed: %w", verb, id, err)
		case err == nil:
			heard = time.Now()
			if done(st) {
				return nil
			}
			if now := progress(st, verb, id); now != last && !a.flags.json {
				a.printf("%s\n", now)
				last = now
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return codeError{exitUnknown, fmt.Errorf("%s %v goes on in the cluster; 'viewring query_servers --watch' shows it", verb, id)}
		}
	}
}

// progress says what is left on a server, or of one that comes back what it serves.
func progress(st *admin.Status, verb string, id ring.ServerID) string {
	acting := 0
	for i := range st.View.Partitions {
		if st.View.Partitions[i].IsActing(id) {
			acting++
		}
	}
	state := "gone"
	if m := st.View.Member(id); m != nil {
		state = m.State()
	}
	if verb == "undrain" {
		return fmt.Sprintf("%v is %s: it acts for %s; %s", id, state, count(acting, "partition"), rebalancing(st))
	}
	return fmt.Sprintf("%v is %s: %s left on it; %s", id, state, count(acting, "partition"), rebalancing(st))
}
