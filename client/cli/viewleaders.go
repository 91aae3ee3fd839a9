package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/admin"
)

func (a *app) viewleadersCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "viewleaders",
		Short: "show the group of view leaders, and change it",
		Long: `Show the view leaders: which is the head, who is up, and how many entries of the
log each has still to get. The group goes on while a majority is up and connected.
Exit code 5 when it is not.

add lets a new one in: start it with an empty data folder and --peers, the addresses
of the group and its own. remove takes one out for good, up or not. To replace one,
add the new one first. One that lost its data folder needs neither: started again
at its address, it takes its own place anew.`,
		Example: `  viewring viewleaders
  viewring viewleaders --json
  viewring viewleaders add 10.0.0.4:28500
  viewring viewleaders remove 10.0.0.2:28500`,
		Args: wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			g, err := admin.ViewLeaders(ctx, a.leaderOptions())
			if err != nil {
				return err
			}
			return a.printViewLeaders(g)
		},
	}
	cmd.AddCommand(a.groupChangeCmd("add", "ADDRESS", "let a view leader join the group", "viewring viewleaders add 10.0.0.4:28500", "expected", admin.AddViewLeader),
		a.groupChangeCmd("remove", "VIEWLEADER", "take a view leader, by address or id, out of the group for good", "viewring viewleaders remove 2", "removed", admin.RemoveViewLeader))
	return cmd
}

func (a *app) groupChangeCmd(verb, what, short, example, outcome string, do func(context.Context, client.Options, string) error) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " " + what,
		Short:   short,
		Example: "  " + example,
		Args:    wants(what),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			if err := do(ctx, a.leaderOptions(), args[0]); err != nil {
				return err
			}
			a.say(map[string]any{"viewleader": args[0], outcome: true}, "view leader %s is %s", args[0], outcome)
			if verb == "add" && !a.flags.json {
				a.sayPeers(ctx, args[0])
			}
			return nil
		},
	}
}

// sayPeers says how a view leader that is expected is started.
func (a *app) sayPeers(ctx context.Context, addr string) {
	g, err := admin.ViewLeaders(ctx, a.leaderOptions())
	if err != nil {
		return // it is expected all the same
	}
	peers := g.Awaited
	for i := range g.Members {
		peers = append(peers, g.Members[i].Addr)
	}
	if !slices.Contains(peers, addr) {
		return // it has joined already
	}
	slices.Sort(peers)
	a.printf("start it on an empty folder, with\n  --listen %s --peers %s\n", addr, strings.Join(slices.Compact(peers), ","))
}

// leaderOptions are for what needs the view leaders only.
func (a *app) leaderOptions() client.Options {
	return client.Options{Leaders: a.leaders(), Dialer: a.dialer(), ViewCache: client.NoViewCache, Logger: a.logger(slog.LevelWarn)}
}

// viewLeaderObject is a view leader in the output of viewleaders --json.
type viewLeaderObject struct {
	ID      uint64 `json:"id"` // 0: expected
	Address string `json:"address"`
	Role    string `json:"role"`
	Up      bool   `json:"up"`
	Lag     uint64 `json:"lag"`
	Expires string `json:"certificate_expires,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func viewLeaderRole(m *admin.ViewLeader) string {
	switch {
	case m.Head:
		return "head"
	case m.Voter:
		return "follower"
	}
	return "joining"
}

// viewLeaderProblem is what a connection to a view leader has shown to be wrong, "" for nothing. That one
// which is silent can't be reached says no more.
func viewLeaderProblem(m *admin.ViewLeader, now time.Time) string {
	if m.Unreachable != nil && m.Up {
		return "no connection from here: " + m.Unreachable.Error()
	}
	return certificateProblem(m.CertExpires, now)
}

// printViewLeaders shows the group, and fails when it can't decide anything.
func (a *app) printViewLeaders(g *admin.ViewLeaderGroup) error {
	objects := []viewLeaderObject{}
	var rows [][]string
	var problems []string
	for i := range g.Members {
		m := &g.Members[i]
		o := viewLeaderObject{ID: m.ID, Address: m.Addr, Role: viewLeaderRole(m), Up: m.Up, Lag: m.Lag}
		if !m.CertExpires.IsZero() {
			o.Expires = m.CertExpires.UTC().Format(time.RFC3339)
		}
		if o.Problem = viewLeaderProblem(m, time.Now()); o.Problem != "" {
			problems = append(problems, fmt.Sprintf("view leader %d at %s: %s", m.ID, m.Addr, o.Problem))
		}
		objects = append(objects, o)
		state, lag := "up", strconv.FormatUint(m.Lag, 10)
		if !m.Up {
			state = "silent"
		}
		if !g.HasHead {
			lag = "?"
		}
		rows = append(rows, []string{strconv.FormatUint(m.ID, 10), m.Addr, o.Role, state, lag})
	}
	for _, addr := range g.Awaited {
		objects = append(objects, viewLeaderObject{Address: addr, Role: "expected"})
		rows = append(rows, []string{"", addr, "expected", "", ""})
	}
	want, up := g.Majority()
	answer := map[string]any{"version": jsonVersion, "cluster": hex.EncodeToString(g.Cluster[:]), "has_head": g.HasHead,
		"majority": want, "up": up, "members": objects}
	if !a.flags.json {
		a.table([]string{"ID", "ADDRESS", "ROLE", "STATE", ">LAG"}, rows)
		for _, text := range problems {
			a.printf("%s\n", a.paint(a.env.Stdout, yellow, text))
		}
	} else if g.HasHead {
		a.printJSON(answer)
	}
	switch {
	case !g.HasHead:
		err := fmt.Errorf("no view leader is the head: %d of the %d that make a majority answer", up, want)
		return answeredError{codeError{exitUnavailable, err}, answer}
	case !a.flags.json && up-want == 0:
		a.printf("%s\n", a.paint(a.env.Stdout, yellow, fmt.Sprintf("%d up, a majority is %d: none may fail", up, want)))
	case !a.flags.json:
		a.printf("%d up, a majority is %d: %d may fail\n", up, want, up-want)
	}
	return nil
}
