package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

// joinsMax is how many servers one plan may add: a ring of more takes seconds.
const joinsMax = 1000

func (a *app) planCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "show what a change of servers would move; change nothing",
		Long: `Show what a change of servers would move, without making it: copies and bytes from
whom to whom, what each server holds before and after, and how many copies are
left of each partition meanwhile.`,
		Example: "  viewring plan join\n  viewring plan leave s3\n  viewring plan remove s3 s4 --json",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: one of join, leave, remove, set-weight and set-zone is missing", cmd.CommandPath())
		},
	}
	cmd.AddCommand(a.planJoinCmd(), a.planPlaceCmd(weightVerb), a.planPlaceCmd(zoneVerb),
		a.planServersCmd("leave", "left", `Show what would move if servers, by id or address, left the cluster: see leave.
They keep their copies until others have them.`, (*admin.Status).PlanLeave),
		a.planServersCmd("remove", "were gone", `Show what would be copied if servers, by id or address, were gone with all that
they have: see remove.`, (*admin.Status).PlanRemove))
	return cmd
}

func (a *app) planJoinCmd() *cobra.Command {
	var zones []string
	var weights []int
	number := 1
	cmd := &cobra.Command{
		Use:   "join",
		Short: "show what would move if servers joined",
		Long: `Show what would move if servers joined. The view leader gives out ids: should
another server join first, other copies move, about as many.`,
		Example: "  viewring plan join\n  viewring plan join --count 2 --zone east,west\n  viewring plan join --weight 4",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if number < 1 || number > joinsMax {
				return usagef("--count must be from 1 to %d, not %d", joinsMax, number)
			}
			if len(zones) > 1 && len(zones) != number {
				return usagef("--zone takes one zone for all, or one for each of the %d servers, not %d", number, len(zones))
			}
			if len(weights) > 1 && len(weights) != number {
				return usagef("--weight takes one weight for all, or one for each of the %d servers, not %d", number, len(weights))
			}
			each := make([]admin.Newcomer, number)
			for i := range each {
				if len(zones) > 0 {
					each[i].Zone = zones[i%len(zones)]
				}
				if len(weights) > 0 {
					each[i].Weight = weights[i%len(weights)]
					if err := checkWeight(each[i].Weight); err != nil {
						return err
					}
				}
			}
			return a.plan("join", func(st *admin.Status, _ []ring.ServerID) (*admin.Plan, error) { return st.PlanJoin(each...) })(cmd, nil)
		},
	}
	cmd.Flags().IntVar(&number, "count", number, "how many servers")
	cmd.Flags().StringSliceVar(&zones, "zone", nil, "the `zone` of all of them, or of each, with commas")
	cmd.Flags().IntSliceVar(&weights, "weight", nil, "the `weight` of all of them, or of each, with commas (default 1)")
	return cmd
}

func (a *app) planServersCmd(verb, would, long string, plan func(*admin.Status, ...ring.ServerID) (*admin.Plan, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " SERVER...",
		Short:   "show what would move if servers " + would,
		Long:    long,
		Example: "  viewring plan " + verb + " s3\n  viewring plan " + verb + " s3 localhost:28603",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wants("SERVER")(cmd, args)
			}
			return nil
		},
		RunE: a.plan(verb, func(st *admin.Status, ids []ring.ServerID) (*admin.Plan, error) { return plan(st, ids...) }),
	}
}

// plan runs one of the plans on the servers that the arguments name.
func (a *app) plan(verb string, plan func(*admin.Status, []ring.ServerID) (*admin.Plan, error)) func(*cobra.Command, []string) error {
	return a.onCluster(func(ctx context.Context, c *admin.Cluster, args []string) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		var ids []ring.ServerID
		for _, arg := range args {
			id, err := serverNamed(st, arg)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		p, err := plan(st, ids)
		if err != nil {
			return err
		}
		if a.flags.json {
			a.printJSON(planJSON(verb, p))
		} else {
			a.printPlan(p)
		}
		return nil
	})
}

// serverNamed finds a member by id or address.
func serverNamed(st *admin.Status, name string) (ring.ServerID, error) {
	for _, m := range st.View.Members {
		if m.ID.String() == name || m.Addr == name {
			return m.ID, nil
		}
	}
	return 0, fmt.Errorf("there is no server %q: 'viewring query_servers' lists them", name)
}

func (a *app) printPlan(p *admin.Plan) {
	var rows [][]string
	for _, s := range p.Servers {
		id := s.ID.String()
		switch {
		case s.New:
			id += " (new)"
		case s.Gone:
			id += " (goes)"
		}
		rows = append(rows, []string{id, strconv.Itoa(s.Copies), size(s.Bytes), strconv.Itoa(s.After), size(s.BytesAfter), strconv.Itoa(s.Gains)})
	}
	a.table([]string{"SERVER", ">COPIES", ">BYTES", ">THEN", ">BYTES", ">TO COPY"}, rows)
	rows = nil
	for _, r := range p.Routes {
		rows = append(rows, []string{r.From.String(), r.To.String(), strconv.Itoa(r.Copies), size(r.Bytes)})
	}
	if len(rows) > 0 {
		a.printf("\n")
		a.table([]string{"FROM", "TO", ">COPIES", ">BYTES"}, rows)
	}
	a.printf("\n%s\n", strings.Join(planSentences(p), "\n"))
}

// planSentences sums a plan up, a line each.
func planSentences(p *admin.Plan) []string {
	lines := []string{
		fmt.Sprintf("%s to be made, about %s", partitionCopies(p.Copies), size(p.Bytes)),
		fmt.Sprintf("%d move; the fewest possible is %d", p.Moved, p.Fewest),
		fmt.Sprintf("most loaded, over its part by weight: copies %.2f, then %.2f; primaries %.2f, then %.2f",
			p.Balance.Copies, p.BalanceAfter.Copies, p.Balance.Primaries, p.BalanceAfter.Primaries),
	}
	if p.Pending > 0 {
		lines = append(lines, fmt.Sprintf("%d of them are to be made anyway: the cluster rebalances", p.Pending))
	}
	switch {
	case p.Bytes == 0:
	case p.Time == 0:
		lines = append(lines, "time: unknown, for no server has copied anything since its start")
	default:
		lines = append(lines, "time: about "+span(p.Time)+", at the rates at which servers copied last")
	}
	if len(p.Paused) > 0 {
		lines = append(lines, "but the copying of "+joined(p.Paused)+" is paused: see 'viewring rebalance --help'")
	}
	few := 0
	for n, partitions := range p.Meanwhile {
		if n < p.Wanted && partitions > 0 {
			few += partitions
			lines = append(lines, fmt.Sprintf("meanwhile %s of %s would be left", copiesLeft(n), count(partitions, "partition")))
		}
	}
	if few == 0 {
		lines = append(lines, "meanwhile no partition has fewer copies than it should")
	}
	return lines
}

func partitionCopies(n int) string {
	if n == 1 {
		return "1 copy of a partition is"
	}
	return fmt.Sprintf("%d copies of partitions are", n)
}

func copiesLeft(n int) string {
	if n == 0 {
		return "NO COPY"
	}
	return copies(n)
}

// planJSON is a plan in the output of plan --json.
func planJSON(verb string, p *admin.Plan) map[string]any {
	servers := []map[string]any{}
	for _, s := range p.Servers {
		servers = append(servers, map[string]any{
			"id": s.ID.String(), "new": s.New, "goes": s.Gone, "weight_then": s.Weight, "zone_then": s.Zone, "copies": s.Copies, "copies_then": s.After,
			"to_copy": s.Gains, "bytes": s.Bytes, "bytes_then": s.BytesAfter,
		})
	}
	routes := []map[string]any{}
	for _, r := range p.Routes {
		routes = append(routes, map[string]any{"from": r.From.String(), "to": r.To.String(), "copies": r.Copies, "bytes": r.Bytes})
	}
	seconds := -1.0
	if p.Time > 0 || p.Copies == 0 {
		seconds = p.Time.Seconds()
	}
	return map[string]any{
		"version": jsonVersion, "change": verb, "servers": servers, "routes": routes, "copies": p.Copies, "pending": p.Pending,
		"moved": p.Moved, "fewest": p.Fewest, "bytes": p.Bytes, "seconds": seconds, "wanted": p.Wanted, "meanwhile": p.Meanwhile,
		"balance": balanceObject(p.Balance), "balance_then": balanceObject(p.BalanceAfter),
	}
}

func balanceObject(b admin.Balance) map[string]any {
	return map[string]any{"copies": b.Copies, "primaries": b.Primaries}
}
