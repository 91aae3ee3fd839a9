package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
)

// waitInterval is how often wait asks.
const waitInterval = 100 * time.Millisecond

// waitFlags are what wait waits for: all that is given.
type waitFlags struct {
	safe, balanced bool
	epoch          uint64
	servers        int
}

func (a *app) waitCmd() *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use:   "wait --safe|--balanced|--epoch N|--servers N",
		Short: "wait until the cluster is safe, balanced, or in a view",
		Long: `Wait until all that is asked for holds at one moment, and end with exit code 0:

  --safe       every partition is served with all copies that there can be,
               three or one on each server, as the servers say now
  --balanced   every partition is on exactly its servers, each has adopted the
               view, and nothing is left to copy or to drop
  --epoch N    the view is of epoch N or later
  --servers N  N servers or more are up

What does not hold within --timeout (30 s) is exit code 1, and what was missing
is told. If no view leader answers at last it is exit code 3. On a
terminal a line shows meanwhile what is missing.`,
		Example: `  viewring wait --safe
  viewring wait --servers 3 --balanced --timeout 10m
  viewring drain s2 && systemctl restart viewring-s2 && viewring wait --safe`,
		Args: wants(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.safe && !f.balanced && f.epoch == 0 && f.servers == 0 {
				return usagef("wait: for what? --safe, --balanced, --epoch N or --servers N")
			}
			if f.servers < 0 {
				return usagef("--servers is 1 or more, not %d", f.servers)
			}
			return within(a.deadline, a.openAtLast, func(ctx context.Context, c *admin.Cluster, _ []string) error { return a.await(ctx, c, &f) })(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&f.safe, "safe", false, "for all copies of everything")
	cmd.Flags().BoolVar(&f.balanced, "balanced", false, "until nothing is left to copy or to drop")
	cmd.Flags().Uint64Var(&f.epoch, "epoch", 0, "for the view of epoch `N`, or a later one")
	cmd.Flags().IntVar(&f.servers, "servers", 0, "until `N` servers are up")
	return cmd
}

// missing says what does not hold; "" where all does.
func (f *waitFlags) missing(st *admin.Status) string {
	safety := st.Safety()
	var all []string
	miss := func(wanted bool, text string) {
		if wanted && text != "" {
			all = append(all, text)
		}
	}
	miss(f.safe, unsafe(&safety))
	miss(f.balanced, st.Unbalanced())
	miss(st.View.Epoch < f.epoch, fmt.Sprintf("the epoch is %d", st.View.Epoch))
	miss(safety.Up < f.servers, count(safety.Up, "server")+" up")
	return strings.Join(all, "; ")
}

// unsafe says why not all copies are known to be there; "" where they are.
func unsafe(s *admin.Safety) string {
	var why []string
	tell := func(n int, text string) {
		if n > 0 {
			why = append(why, count(n, "partition")+" "+text)
		}
	}
	tell(s.Unavailable, "not served")
	tell(s.ReadOnly, "read-only")
	tell(s.TooFew-s.ReadOnly, "with too few copies")
	if s.Copies == 0 {
		why = append(why, "no server has joined yet")
	}
	if s.Unheard > 0 {
		why = append(why, count(s.Unheard, "server")+" not heard of lately")
	}
	return strings.Join(why, ", ")
}

// openAtLast connects to a cluster that may not be there yet.
func (a *app) openAtLast(ctx context.Context) (*admin.Cluster, error) {
	for {
		c, err := a.openCluster(ctx)
		switch {
		case err == nil || notLetIn(err) != "":
			return c, err
		case ctx.Err() != nil:
			return nil, codeError{exitUnknown, fmt.Errorf("wait: not known within %v: %w", a.flags.timeout, err)}
		}
		select {
		case <-time.After(waitInterval):
		case <-ctx.Done():
		}
	}
}

// await asks until nothing is missing.
func (a *app) await(ctx context.Context, c *admin.Cluster, f *waitFlags) error {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	began, missing, silent := time.Now(), "", errors.New("no answer")
	defer a.clearProgress()
	for {
		st, err := c.Status(ctx)
		if err == nil {
			silent = nil
			if missing = f.missing(st); missing == "" {
				a.clearProgress()
				safety := st.Safety()
				if a.flags.json {
					a.printJSON(map[string]any{"version": jsonVersion, "epoch": st.View.Epoch, "safe": unsafe(&safety) == "", "balanced": safety.Balanced, "up": safety.Up})
				}
				return nil
			}
		} else if ctx.Err() == nil {
			silent, missing = err, err.Error()
		}
		if a.colored(a.env.Stderr) && time.Since(began) > progressEvery {
			a.tell("\r\x1b[K%.*s", columns-1, missing)
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		switch {
		case !errors.Is(ctx.Err(), context.DeadlineExceeded):
			return codeError{exitUnknown, errors.New("wait: interrupted: " + missing)}
		case silent != nil:
			return codeError{exitUnknown, fmt.Errorf("wait: not known within %v: %w", a.flags.timeout, silent)}
		}
		return codeError{exitNotFound, fmt.Errorf("wait: not within %v: %s", a.flags.timeout, missing)}
	}
}
