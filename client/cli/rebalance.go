package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
)

// rebalanceAsk is what is asked of each server.
type rebalanceAsk func(context.Context, *admin.Server) (admin.Rebalancing, error)

func (a *app) rebalanceCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "hold back the copying between servers, or let it go on",
		Long: `Hold back the copying in of servers, all or one, or let it go on; each remembers it
over restarts. It gives way to clients by itself: a rate is the most that it takes when
they leave more. While it is paused, partitions stay short of the copies that are still to
be made. Reads and writes are not held back.`,
		Example: "  viewring rebalance status\n  viewring rebalance pause --server s4\n  viewring rebalance rate 10485760",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: one of pause, resume, rate and status is missing", cmd.CommandPath())
		},
	}
	status := func(ctx context.Context, s *admin.Server) (admin.Rebalancing, error) { return s.Rebalancing(ctx) }
	pause := func(ctx context.Context, s *admin.Server) (admin.Rebalancing, error) { return s.PauseRebalancing(ctx) }
	resume := func(ctx context.Context, s *admin.Server) (admin.Rebalancing, error) { return s.ResumeRebalancing(ctx) }
	cmd.AddCommand(
		a.rebalanceVerb("status", "show how the copying goes", status),
		a.rebalanceVerb("pause", "ask for nothing more until resume", pause),
		a.rebalanceVerb("resume", "let it go on", resume),
		a.rebalanceRateCmd())
	return cmd
}

func (a *app) rebalanceVerb(verb, short string, ask rebalanceAsk) *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:     verb + " [--server ADDR]",
		Short:   short,
		Example: "  viewring rebalance " + verb + "\n  viewring rebalance " + verb + " --server s4 --json",
		Args:    wants(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.rebalance(cmd.Context(), server, ask) },
	}
	serverFlag(cmd, &server)
	return cmd
}

func (a *app) rebalanceRateCmd() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:     "rate BYTES [--server ADDR]",
		Short:   "copy in at most this many bytes per second, 0 for no limit",
		Example: "  viewring rebalance rate 10485760\n  viewring rebalance rate 0 --server s4",
		Args:    wants("BYTES"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rate, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || rate < 0 {
				return usagef("BYTES is a number per second, 0 for no limit, not %q", args[0])
			}
			return a.rebalance(cmd.Context(), server, func(ctx context.Context, s *admin.Server) (admin.Rebalancing, error) {
				return s.LimitRebalancing(ctx, rate)
			})
		},
	}
	serverFlag(cmd, &server)
	return cmd
}

// rebalanceAnswer is what one server says.
type rebalanceAnswer struct {
	name string
	says admin.Rebalancing
	err  error
}

// rebalance asks one server, or all members at once, and shows what they say. One of several
// that can't be asked is shown with the reason, and the exit code says so.
func (a *app) rebalance(ctx context.Context, server string, ask rebalanceAsk) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	if server != "" {
		s, err := a.dialServer(ctx, server, "")
		if err != nil {
			return err
		}
		defer s.Close()
		says, err := ask(ctx, s)
		if err != nil {
			return err
		}
		a.printRebalancing([]*rebalanceAnswer{{name: server, says: says}})
		return nil
	}
	all, err := a.askAll(ctx, ask)
	if err != nil {
		return err
	}
	a.printRebalancing(all)
	var bad error
	for _, r := range all {
		if r.err != nil {
			bad = errors.Join(bad, fmt.Errorf("%s: %w", r.name, r.err))
		}
	}
	if bad != nil {
		return codeError{exitUnavailable, bad}
	}
	return nil
}

// askAll asks all members side by side.
func (a *app) askAll(ctx context.Context, ask rebalanceAsk) ([]*rebalanceAnswer, error) {
	members, err := a.dialAll(ctx)
	if err != nil {
		return nil, err
	}
	var all []*rebalanceAnswer
	var asking sync.WaitGroup
	for _, d := range members {
		r := &rebalanceAnswer{name: d.name, err: d.err}
		all = append(all, r)
		if d.server == nil {
			continue
		}
		asking.Go(func() {
			defer d.server.Close()
			r.says, r.err = ask(ctx, d.server)
		})
	}
	asking.Wait()
	return all, nil
}

func (a *app) printRebalancing(all []*rebalanceAnswer) {
	objects, rows := []map[string]any{}, [][]string{}
	for _, r := range all {
		if r.err != nil {
			objects = append(objects, map[string]any{"server": r.name, "error": r.err.Error()})
			rows = append(rows, []string{r.name, r.err.Error(), "", "", "", "", ""})
			continue
		}
		objects = append(objects, rebalancingObject(r.name, &r.says))
		rows = append(rows, rebalancingRow(r.name, &r.says))
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "servers": objects})
		return
	}
	a.table([]string{"SERVER", "STATE", ">LIMIT", ">DONE", ">LEFT", ">RATE", ">TO GO"}, rows)
	for _, r := range all {
		if r.says.PausedBy != "" {
			a.printf("%s: paused by %s at %s\n", r.name, r.says.PausedBy, r.says.PausedAt.Local().Format(time.DateTime))
		}
		if text := paceText(&r.says); text != "" {
			a.printf("%s: %s\n", r.name, text)
		}
		for i := range r.says.Waits {
			a.printf("%s: %s\n", r.name, waitText(r.name, &r.says.Waits[i], r.says.Limit, ""))
		}
	}
	for _, r := range all {
		if s := &r.says.Stops; s.Count > 0 {
			a.printf("%s: changes of hands stopped writes for at most %d ms (lately %d)\n", r.name, s.Longest.Milliseconds(), s.Late.Milliseconds())
		}
	}
}

// paceText says how clients hold back what a server copies and what others copy from it; "":
// they don't.
func paceText(r *admin.Rebalancing) string {
	text := ""
	switch {
	case r.HeldBy == admin.HeldByOwn:
		text = fmt.Sprintf("held back for its clients: it copies in at most %s/s now", size(r.Allowed))
	case r.HeldBy == admin.HeldBySources:
		text = fmt.Sprintf("held back for clients of those that it copies from: at most %s/s now", size(r.Allowed))
	}
	if r.Learners == 0 || r.Gives == 0 {
		return text
	}
	if text != "" {
		text += "; "
	}
	return text + fmt.Sprintf("others copy at most %s/s from it, for its clients", size(r.Gives))
}

func rebalancingRow(name string, r *admin.Rebalancing) []string {
	state, limit, left := "done", "none", ""
	switch {
	case r.Paused:
		state = "paused"
	case r.Left > 0:
		state = "copying"
	}
	if r.Limit > 0 {
		limit = size(r.Limit) + "/s"
	}
	if r.Left > 0 && !r.Paused && r.TimeLeft >= 0 {
		left = toGo(r.TimeLeft)
	}
	return []string{name, state, limit, decimal(r.Done), decimal(r.Left), rateNow(r.Rate), left}
}

// rebalancingObject is a server in the output of rebalance --json.
func rebalancingObject(name string, r *admin.Rebalancing) map[string]any {
	seconds := -1.0
	if r.TimeLeft >= 0 && !r.Paused {
		seconds = r.TimeLeft.Seconds()
	}
	waits := []map[string]any{}
	for _, w := range r.Waits {
		waits = append(waits, map[string]any{"for": waitingFor(w.Why, w.On), "copies": w.Copies, "partition": w.Partition, "seconds": w.For.Seconds(),
			"text": waitText(name, &w, r.Limit, "")})
	}
	since := ""
	if r.PausedBy != "" {
		since = r.PausedAt.UTC().Format(time.RFC3339Nano)
	}
	return map[string]any{"allowed": r.Allowed, "held_by": heldBy(r.HeldBy), "gives": r.Gives, "learners": r.Learners, "paused_by": r.PausedBy, "paused_since": since, "done": r.Done, "done_bytes": r.DoneBytes, "waits": waits,
		"server": name, "paused": r.Paused, "limit": r.Limit, "left": r.Left, "running": r.Running,
		"copied_bytes": r.Bytes, "rate": r.Rate, "left_bytes": r.LeftBytes, "seconds": seconds,
		"stops": r.Stops.Count, "longest_stop_seconds": r.Stops.Longest.Seconds(), "late_stop_seconds": r.Stops.Late.Seconds()}
}
