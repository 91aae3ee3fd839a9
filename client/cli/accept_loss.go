package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) acceptLossCmd() *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "accept-loss PARTITION… | --all-unavailable",
		Short: "give up the data of partitions whose servers never return",
		Long: `Give up what was in partitions that no server can serve, because all that held
them are gone for good: they begin anew, empty. PARTITION is a number or a range;
--all-unavailable stands for all that can't be served now. Without --yes it only
shows what would be given up, and who held it last; with it that is said on standard
error, and Ctrl-C calls it off while a lease is waited out. One of those servers, started
again on its data, brings everything back; after accept-loss its copies are dropped.

The servers that held them must be stopped. One that lives, and only can't reach the
view leader, may go on serving the old data to who can reach it, and acknowledge
writes that are lost when it hears of the loss.`,
		Example: "  viewring accept-loss --all-unavailable\n  viewring accept-loss 3 7-9,12 --yes",
		Aliases: []string{"accept_loss"},
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) != all {
				return usagef("accept-loss: want either PARTITION… or --all-unavailable")
			}
			_, err := partitionsOf(args)
			return err
		},
		RunE: a.onCluster(func(ctx context.Context, c *admin.Cluster, args []string) error {
			st, err := c.Status(ctx)
			if err != nil {
				return err
			}
			ps, err := partitionsOf(args)
			if err == nil {
				ps, err = lostOf(st, ps, all)
			}
			if err != nil {
				return codeError{exitRefused, err}
			}
			if len(ps) == 0 {
				a.say(map[string]any{"partitions": []lossJSON{}}, "no partition is unavailable: nothing is to be given up")
				return nil
			}
			if !yes {
				a.showLoss(a.env.Stdout, st, ps)
				return codeError{exitRefused, fmt.Errorf("accept-loss: nothing was done: --yes gives up %s", count(len(ps), "partition"))}
			}
			a.showLoss(a.env.Stderr, st, ps)
			epoch, err := c.AcceptLoss(ctx, ps)
			if err != nil {
				return err
			}
			a.say(map[string]any{"partitions": lossObjects(st, ps), "epoch": epoch},
				"gave up %s, which begin anew, empty, in epoch %d", count(len(ps), "partition"), epoch)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&all, "all-unavailable", false, "all partitions that no server can serve")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// partitionsOf reads numbers and ranges, as in "3" "7-9,12", and sorts them.
func partitionsOf(args []string) ([]ring.PartitionID, error) {
	var ps []ring.PartitionID
	for _, arg := range args {
		for word := range strings.SplitSeq(arg, ",") {
			low, high, isRange := strings.Cut(word, "-")
			if !isRange {
				high = low
			}
			first, err := strconv.ParseUint(low, 10, 16)
			last, lerr := strconv.ParseUint(high, 10, 16)
			if err != nil || lerr != nil || first > last {
				return nil, usagef("accept-loss: %q is not a partition like 3, or a range like 7-9", word)
			}
			for p := first; p <= last; p++ {
				ps = append(ps, ring.PartitionID(p))
			}
		}
	}
	slices.Sort(ps)
	return slices.Compact(ps), nil
}

// lostOf checks that the partitions are lost, or finds all that are.
func lostOf(st *admin.Status, ps []ring.PartitionID, all bool) ([]ring.PartitionID, error) {
	v := st.View
	if all {
		for i := range v.Partitions {
			if v.Unserved(ring.PartitionID(i)) {
				ps = append(ps, ring.PartitionID(i))
			}
		}
		return ps, nil
	}
	for _, p := range ps {
		if int(p) >= len(v.Partitions) {
			return nil, fmt.Errorf("accept-loss: there is no partition %d, the last is %d", p, len(v.Partitions)-1)
		}
		if !v.Unserved(p) {
			return nil, fmt.Errorf("accept-loss: partition %d is not lost: it is on %v", p, v.Partitions[p].Acting)
		}
	}
	return ps, nil
}

// lossJSON is a partition in the output of accept-loss --json.
type lossJSON struct {
	Partition ring.PartitionID `json:"partition"`
	Held      []holderJSON     `json:"held_by"`
}

// holderJSON is a server that held a partition last.
type holderJSON struct {
	Server  string `json:"server"`
	Address string `json:"address"`
	Down    string `json:"down_since"`
}

func lossObjects(st *admin.Status, ps []ring.PartitionID) []lossJSON {
	objects := make([]lossJSON, 0, len(ps))
	for _, p := range ps {
		o := lossJSON{Partition: p, Held: []holderJSON{}}
		for _, id := range st.View.Holders(p) {
			h := holderJSON{Server: id.String(), Down: st.Server(id).Down.UTC().Format(time.RFC3339Nano)}
			if m := st.View.Member(id); m != nil {
				h.Address = m.Addr
			}
			o.Held = append(o.Held, h)
		}
		objects = append(objects, o)
	}
	return objects
}

// showLoss says what is given up, together what the same servers held. JSON has it in
// the answer, or in the error that says that nothing was done.
func (a *app) showLoss(w io.Writer, st *admin.Status, ps []ring.PartitionID) {
	if a.flags.json {
		return
	}
	var order []string
	held := make(map[string][]ring.PartitionID)
	for _, p := range ps {
		who := slices.Clone(st.View.Holders(p))
		slices.Sort(who)
		key := fmt.Sprint(who)
		if held[key] == nil {
			order = append(order, key)
		}
		held[key] = append(held[key], p)
	}
	for _, key := range order {
		fmt.Fprintf(w, "%s\n", heldTogether(held[key]))
		who := slices.Clone(st.View.Holders(held[key][0]))
		slices.Sort(who)
		if len(who) == 0 {
			fmt.Fprintf(w, "    nobody holds it: the server that held it last came back without its data\n")
		}
		for _, id := range who {
			m, since := st.View.Member(id), st.Server(id).Down
			fmt.Fprintf(w, "    %v  %s  down since %s, for %s\n", id, m.Addr, since.Local().Format(time.DateTime), span(time.Since(since)))
		}
	}
	fmt.Fprintf(w, `Any of these servers, started again on its data, brings its partitions back. With
--yes the partitions begin anew, empty, and those copies are dropped when they return.
Make sure first that these servers are stopped, and not only cut off from the view leader:
one that lives may go on serving the old data, and take writes that will be lost.
`)
}

// heldTogether names partitions that the same servers held.
func heldTogether(ps []ring.PartitionID) string {
	var words []string
	for i := 0; i < len(ps); {
		j := i
		for j+1 < len(ps) && ps[j+1] == ps[j]+1 {
			j++
		}
		word := fmt.Sprint(ps[i])
		if j > i {
			word += fmt.Sprintf("-%d", ps[j])
		}
		words = append(words, word)
		i = j + 1
	}
	const shown = 20
	if len(words) > shown {
		words = append(words[:shown], "…")
	}
	return fmt.Sprintf("%s: %s, held last by", count(len(ps), "partition"), strings.Join(words, ","))
}
