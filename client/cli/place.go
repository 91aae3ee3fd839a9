package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

// place is what such a command gives a server.
type place struct {
	weight int
	zone   string
}

// placeVerb is a command that gives a server another place on the ring.
type placeVerb struct {
	name, value  string // of the command, of its argument
	short, long  string
	field        string // in JSON
	read         func(value string) (place, error)
	plan         func(st *admin.Status, id ring.ServerID, p place) (*admin.Plan, error)
	set          func(ctx context.Context, c *admin.Cluster, server string, p place) (ring.ServerID, error)
	told         func(p place) (object any, words string)
	exampleValue string
}

var weightVerb = placeVerb{
	name: "set-weight", value: "WEIGHT", field: "weight", exampleValue: "2",
	short: "give a server a larger or smaller part of the data",
	long: `Give a server, by id or address, another weight: a server of weight 2 has twice the
copies and the requests of one of weight 1, as far as there are copies to have (no
server has a partition twice). Weights are 1 to 64; a server that is to hold nothing
can leave. The view leader remembers it, over restarts too; it gives way when the server
is started with another --weight than before.`,
	read: func(value string) (place, error) {
		n, err := strconv.Atoi(value)
		if err != nil {
			return place{}, usagef("WEIGHT is a number from 1 to %d, not %q", ring.WeightMax, value)
		}
		return place{weight: n}, checkWeight(n)
	},
	plan: func(st *admin.Status, id ring.ServerID, p place) (*admin.Plan, error) {
		return st.PlanWeight(id, p.weight)
	},
	set: func(ctx context.Context, c *admin.Cluster, server string, p place) (ring.ServerID, error) {
		return c.SetWeight(ctx, server, p.weight)
	},
	told: func(p place) (any, string) { return p.weight, fmt.Sprintf("has weight %d", p.weight) },
}

var zoneVerb = placeVerb{
	name: "set-zone", value: "ZONE", field: "zone", exampleValue: "east",
	short: "say in which zone a server stands",
	long: `Say in which zone, such as a rack, a server stands, by id or address. No two copies
of a partition are in one zone while there are three zones with servers. "" is the
zone of those that were given none. The view leader remembers it, over restarts too; it
gives way when the server is started with another --zone than before.`,
	read: func(value string) (place, error) { return place{zone: value}, nil },
	plan: func(st *admin.Status, id ring.ServerID, p place) (*admin.Plan, error) { return st.PlanZone(id, p.zone) },
	set: func(ctx context.Context, c *admin.Cluster, server string, p place) (ring.ServerID, error) {
		return c.SetZone(ctx, server, p.zone)
	},
	told: func(p place) (any, string) { return p.zone, fmt.Sprintf("stands in zone %q", p.zone) },
}

func checkWeight(n int) error {
	if n < 1 || n > ring.WeightMax {
		return usagef("a weight is from 1 to %d, not %d", ring.WeightMax, n)
	}
	return nil
}

// placeCmd changes the place of a server, and shows before what that moves.
func (a *app) placeCmd(verb placeVerb) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   verb.name + " SERVER " + verb.value,
		Short: verb.short,
		Long: verb.long + `

What it would move is shown first. On a terminal it asks; elsewhere it needs --yes.
The copying goes on by itself: 'viewring query_servers --watch' shows it.`,
		Example: "  viewring " + verb.name + " s3 " + verb.exampleValue + "\n  viewring " + verb.name + " s3 " + verb.exampleValue + " --yes",
		Args:    wants("SERVER", verb.value),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := verb.read(args[1])
			if err != nil {
				return err
			}
			return a.onClusterWithin(a.longDeadline, func(ctx context.Context, c *admin.Cluster, args []string) error {
				return a.place(ctx, c, verb, args[0], to, yes)
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	return cmd
}

func (a *app) place(ctx context.Context, c *admin.Cluster, verb placeVerb, server string, to place, yes bool) error {
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	id, err := serverNamed(st, server)
	if err != nil {
		return err
	}
	p, err := verb.plan(st, id, to)
	if err != nil {
		return err
	}
	if !a.flags.json {
		a.printPlan(p)
	}
	if !yes {
		if err := a.agreed(ctx, verb.name); err != nil {
			return err
		}
	}
	if _, err := verb.set(ctx, c, id.String(), to); err != nil {
		return err
	}
	object, words := verb.told(to)
	a.say(map[string]any{"server": id.String(), verb.field: object, "plan": planJSON(verb.name, p)}, "%v %s", id, words)
	return nil
}

// agreed asks whether to go on, where somebody is there to answer.
func (a *app) agreed(ctx context.Context, verb string) error {
	refused := codeError{exitRefused, fmt.Errorf("%s: nothing was done: --yes does it", verb)}
	if !a.env.StdinTerminal || a.flags.json {
		return refused
	}
	a.tell("Do it? [y/N] ")
	answers := make(chan string, 1)
	go func() { // it ends with the process, if nobody answers
		line, err := bufio.NewReader(a.env.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		answers <- line
	}()
	select {
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		}
		return codeError{exitRefused, fmt.Errorf("%s: nothing was done", verb)}
	case <-ctx.Done():
		a.tell("\n")
		return codeError{exitRefused, fmt.Errorf("%s: nothing was done", verb)}
	}
}

// planPlaceCmd shows what such a change would move.
func (a *app) planPlaceCmd(verb placeVerb) *cobra.Command {
	return &cobra.Command{
		Use:     verb.name + " SERVER " + verb.value,
		Short:   "show what would move: see " + verb.name,
		Example: "  viewring plan " + verb.name + " s3 " + verb.exampleValue,
		Args:    wants("SERVER", verb.value),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := verb.read(args[1])
			if err != nil {
				return err
			}
			return a.plan(verb.name, func(st *admin.Status, ids []ring.ServerID) (*admin.Plan, error) {
				return verb.plan(st, ids[0], to)
			})(cmd, args[:1])
		},
	}
}

// weightFlag is the weight that a server is started with; 0: none was said.
type weightFlag uint32

func (w *weightFlag) Type() string { return "shares" }

func (w *weightFlag) String() string {
	if *w == 0 {
		return ""
	}
	return strconv.Itoa(int(*w))
}

func (w *weightFlag) Set(value string) error {
	p, err := weightVerb.read(value)
	*w = weightFlag(p.weight)
	return err
}
