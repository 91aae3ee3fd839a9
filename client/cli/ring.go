package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/cli/rings"
	"viewring/internal/chart"
	"viewring/ring"
)

// Bounds on what the ring is studied with: more takes minutes.
const (
	studyServersMax = 2000
	studyPointsMax  = 4096
	studyListMax    = 100 // numbers in one list
	studyKeysMax    = 10_000_000
)

// study is what the commands of 'ring' have in common.
type study struct {
	servers, points string
	partitions      int
	keys, sets      int
	csv             bool
}

func (a *app) ringCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ring",
		Short: "study the ring without a cluster: moves, balance, cost",
		Long: `Study the ring with the code that places a cluster's data: what moves when a
server joins, how even the copies are, what a view costs. No cluster is needed,
and none is asked. Each prints a table: for people, with --csv for scripts.`,
		Example: "  viewring ring moved\n  viewring ring balance --servers 20 --points 1,16,128\n  viewring ring cost --servers 3,100,1000 --csv",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: one of moved, balance and cost is missing", cmd.CommandPath())
		},
		Annotations: map[string]string{plainAnnotation: "true"},
	}
	cmd.AddCommand(a.ringMovedCmd(), a.ringBalanceCmd(), a.ringCostCmd())
	return cmd
}

func (a *app) ringMovedCmd() *cobra.Command {
	var s study
	cmd := &cobra.Command{
		Use:   "moved",
		Short: "show what moves when a server joins: percent of all copies of keys",
		Long: `Show what moves when one server joins as many: percent of all copies of keys.
The ring stands beside the minimum, which is what the newcomer gets, and beside
mod N: each key on the server hash mod N, and on the two that follow.`,
		Example: "  viewring ring moved\n  viewring ring moved --servers 3..100 --csv\n  viewring ring moved --points 8",
		Args:    wants(),
	}
	s.addTo(cmd, "3..12", "how many servers there are before one joins")
	cmd.Flags().StringVar(&s.points, "points", strconv.Itoa(ring.Chosen.Points), "virtual `points` of a server")
	cmd.Flags().IntVar(&s.keys, "keys", 20_000, "`number` of keys that are looked at")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		points, err := single("--points", s.points, studyPointsMax)
		if err != nil {
			return err
		}
		if s.keys < 1 || s.keys > studyKeysMax {
			return usagef("--keys must be from 1 to %d, not %d", studyKeysMax, s.keys)
		}
		choices := ring.Chosen
		choices.Points = points
		return studied(a, cmd.Context(), &s, "servers ring minimum mod_n", s.servers, func(n int) (rings.Moved, []string, error) {
			m, err := rings.Join(n, s.partitions, s.keys, choices)
			return m, []string{strconv.Itoa(m.Servers), fixed(m.Ring, 1), fixed(m.Minimum, 1), fixed(m.ModN, 1)}, err
		})
	}
	return cmd
}

func (a *app) ringBalanceCmd() *cobra.Command {
	var s study
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "show how even copies are with few and with many virtual points",
		Long: `Show how even copies are with few and with many virtual points of each server:
the most copies of a server over the mean, and what moves at a join over what
the newcomer gets. Both are the mean of some sets of servers: plain, where no
server is ever full, and bounded, where servers are full as in a cluster.`,
		Example: "  viewring ring balance\n  viewring ring balance --servers 50 --points 1,16,128,512 --csv",
		Args:    wants(),
	}
	s.addTo(cmd, "10", "how many servers there are")
	cmd.Flags().StringVar(&s.points, "points", "1,2,4,8,16,32,64,128,256,512", "virtual `points` of a server, several with commas")
	cmd.Flags().IntVar(&s.sets, "sets", 10, "`number` of sets of servers")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		servers, err := single("--servers", s.servers, studyServersMax)
		if err != nil {
			return err
		}
		if s.sets < 1 || s.sets > studyListMax {
			return usagef("--sets must be from 1 to %d, not %d", studyListMax, s.sets)
		}
		return studied(a, cmd.Context(), &s, "points plain bounded plain_moved bounded_moved", s.points, func(n int) (rings.Evenness, []string, error) {
			e, err := rings.Balance(servers, s.partitions, n, s.sets)
			return e, []string{strconv.Itoa(e.Points), fixed(e.Plain, 3), fixed(e.Bounded, 3), fixed(e.PlainMoved, 3), fixed(e.BoundedMoved, 3)}, err
		})
	}
	return cmd
}

func (a *app) ringCostCmd() *cobra.Command {
	var s study
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "show what it costs to know where keys are",
		Long: `Show what a cluster of so many servers costs whoever must know where keys are:
the time to compute the targets of all partitions, once for each change of
members; and the bytes of a view, whole, and of one that follows it because a
server is down.`,
		Example: "  viewring ring cost\n  viewring ring cost --servers 1000 --partitions 16384 --json",
		Args:    wants(),
	}
	s.addTo(cmd, "3,10,30,100,300,1000", "how many servers there are")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return studied(a, cmd.Context(), &s, "servers table_ms view_kib delta_bytes", s.servers, func(n int) (rings.Costs, []string, error) {
			c, err := rings.Cost(n, s.partitions)
			return c, []string{strconv.Itoa(c.Servers), fixed(c.Table, 2), fixed(c.View, 1), fixed(c.Delta, 0)}, err
		})
	}
	return cmd
}

func (s *study) addTo(cmd *cobra.Command, servers, usage string) {
	f := cmd.Flags()
	f.StringVar(&s.servers, "servers", servers, usage+": `numbers` with commas, and A..B")
	f.IntVar(&s.partitions, "partitions", 1024, "`number` of partitions, a power of two")
	f.BoolVar(&s.csv, "csv", false, "print the table as CSV")
}

// studied prints the table that a study makes of a list of numbers, row by row.
func studied[R any](a *app, ctx context.Context, s *study, columns, list string, row func(n int) (R, []string, error)) error {
	most, flag := studyServersMax, "--servers"
	if list == s.points {
		most, flag = studyPointsMax, "--points"
	}
	numbers, err := listed(flag, list, 1, most)
	if err != nil {
		return err
	}
	if !ring.ValidPartitions(s.partitions) {
		return usagef("--partitions must be a power of two up to %d, not %d", ring.Slots, s.partitions)
	}
	if s.csv && a.flags.json {
		return usagef("give --csv or --json, not both")
	}
	t := chart.Table{Name: "ring", Columns: strings.Fields(columns)}
	rows := []R{}
	for _, n := range numbers {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r, cells, err := row(n)
		if err != nil {
			return err
		}
		rows = append(rows, r)
		t.Rows = append(t.Rows, cells)
	}
	switch {
	case a.flags.json:
		a.printJSON(map[string]any{"version": jsonVersion, "partitions": s.partitions, "rows": rows})
	case s.csv:
		return t.WriteCSV(a.env.Stdout)
	default:
		head := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			head[i] = ">" + strings.ToUpper(c)
		}
		a.table(head, t.Rows)
	}
	return nil
}

// listed reads numbers with commas between, and A..B for all from A to B.
func listed(flag, text string, least, most int) (numbers []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "..")
		first, err := strconv.Atoi(from)
		last := first
		if isRange && err == nil {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < least || last > most || last < first {
			return nil, usagef("%s wants numbers from %d to %d, such as 3,10 or 3..12, not %q", flag, least, most, part)
		}
		for n := first; n <= last; n++ {
			numbers = append(numbers, n)
		}
		if len(numbers) > studyListMax {
			return nil, usagef("%s names more than %d numbers", flag, studyListMax)
		}
	}
	return numbers, nil
}

// single is one number, from 1 to most, where other commands take several.
func single(flag, text string, most int) (int, error) {
	all, err := listed(flag, text, 1, most)
	if err == nil && len(all) != 1 {
		err = usagef("%s is one number here", flag)
	}
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

func fixed(f float64, digits int) string { return strconv.FormatFloat(f, 'f', digits, 64) }
