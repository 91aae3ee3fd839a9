package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
)

const (
	eventsWait  = 2 * time.Second // one question of --follow; elections are looked for between two
	eventsPause = 500 * time.Millisecond
)

func (a *app) eventsCmd() *cobra.Command {
	var follow bool
	var since uint64
	cmd := &cobra.Command{
		Use:   "events",
		Short: "show what happened to the cluster",
		Long: `Show what happened to the cluster and its servers: who joined, went down, came
back, left, which partitions were restored, lost or given up. The view leader
keeps the newest few hundred events. --follow goes on with what happens next.

Elections, and view leaders that joined or left, are told too, without a number:
as the head has seen them since it started.`,
		Example: "  viewring events\n  viewring events --since 40\n  viewring events --follow --json",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				return a.followEvents(cmd.Context(), since)
			}
			return a.onCluster(func(ctx context.Context, c *admin.Cluster, _ []string) error {
				events, err := c.Events(ctx, since, 0)
				if err != nil {
					return err
				}
				if since == 0 {
					elections, err := c.Elections(ctx, time.UnixMilli(0))
					if err != nil {
						return err
					}
					events = inOrder(events, elections)
				}
				if len(events) == 0 && !a.flags.json {
					a.printf("no event after number %d\n", since)
					return nil
				}
				a.printEvents(events)
				return nil
			})(cmd, nil)
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until Ctrl-C")
	cmd.Flags().Uint64Var(&since, "since", 0, "only events with a number above `N`")
	return cmd
}

func (a *app) followEvents(ctx context.Context, since uint64) error {
	c, err := a.openCluster(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	told := make(map[string]time.Time) // elections, each of which another view leader may tell too
	for ctx.Err() == nil {
		elections, err := c.Elections(ctx, time.UnixMilli(0))
		var events []admin.Event
		if err == nil {
			if elections = untold(elections, told); len(elections) > 0 {
				a.printEvents(elections)
			}
			events, err = c.Events(ctx, since, eventsWait)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			a.tell("%v\n", err)
			select {
			case <-time.After(eventsPause):
			case <-ctx.Done():
			}
		case len(events) > 0:
			a.printEvents(events)
			since = events[len(events)-1].Number
		}
	}
	return nil
}

// inOrder are events of both kinds by time.
func inOrder(events, elections []admin.Event) []admin.Event {
	all := slices.Concat(events, elections)
	slices.SortStableFunc(all, func(a, b admin.Event) int { return a.At.Compare(b.At) })
	return all
}

// sameElection is how far apart the times may be at which view leaders saw an election.
const sameElection = 5 * time.Second

// untold leaves out what was told before, by this view leader or another, and notes the rest.
func untold(elections []admin.Event, told map[string]time.Time) (fresh []admin.Event) {
	for _, e := range elections {
		key := e.Kind + " " + e.Detail
		if last, ok := told[key]; ok && e.At.Sub(last) < sameElection {
			continue
		}
		told[key] = e.At
		fresh = append(fresh, e)
	}
	return fresh
}

// eventJSON is an event in the output of events --json.
type eventJSON struct {
	Number uint64 `json:"number"`
	Time   string `json:"time"`
	Epoch  uint64 `json:"epoch"`
	Event  string `json:"event"`
	Server string `json:"server,omitempty"`
	Detail string `json:"detail,omitempty"`
}

func (a *app) printEvents(events []admin.Event) {
	objects := make([]eventJSON, 0, len(events))
	for _, e := range events {
		server := ""
		if e.Server != 0 {
			server = e.Server.String()
		}
		objects = append(objects, eventJSON{e.Number, e.At.UTC().Format(time.RFC3339Nano), e.Epoch, e.Kind, server, e.Detail})
		if !a.flags.json {
			number := strconv.FormatUint(e.Number, 10)
			if e.Number == 0 {
				number = "-"
			}
			epoch := strconv.FormatUint(e.Epoch, 10)
			if e.Number == 0 && e.Epoch == 0 {
				epoch = "-" // of the view leaders: there was no view yet, or none was known
			}
			line := fmt.Sprintf("%5s  %s  epoch %-5s  %-4s  %-13s  %s", number, e.At.Local().Format(time.DateTime), epoch, server, e.Kind, e.Detail)
			a.printf("%s\n", strings.TrimRight(line, " "))
		}
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "events": objects})
	}
}
