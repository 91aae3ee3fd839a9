package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"viewring/client/admin"
)

func (a *app) scrubCmd() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "scrub [--server ADDR]",
		Short: "read and verify everything that the servers store, now",
		Long: `Make every server read what it stores, verify all checksums, and fetch what is
corrupt from another server. Servers do so by themselves as well, see 'viewring
server --scrub-every'. Exit code 5: something could not be repaired so far, because
every copy is corrupt, or because a damaged copy cannot be spared: it is made anew
once more than min-copies servers have the partition.`,
		Example: "  viewring scrub\n  viewring scrub --server s1 --json",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.longDeadline(cmd.Context())
			defer cancel()
			if server != "" {
				s, err := a.dialServer(ctx, server, "")
				if err != nil {
					return err
				}
				return a.scrub(ctx, []*scrubbed{{name: server, server: s}})
			}
			return a.scrubAll(ctx)
		},
	}
	serverFlag(cmd, &server)
	return cmd
}

// scrubbed is one server's scrub.
type scrubbed struct {
	name   string
	server *admin.Server // nil: it could not be reached
	result admin.Scrub
	err    error
}

func (a *app) scrubAll(ctx context.Context) error {
	members, err := a.dialAll(ctx)
	if err != nil {
		return err
	}
	var all []*scrubbed
	for _, d := range members {
		all = append(all, &scrubbed{name: d.name, server: d.server, err: d.err})
	}
	return a.scrub(ctx, all)
}

// scrub runs the scrubs side by side and prints what came of them.
func (a *app) scrub(ctx context.Context, all []*scrubbed) error {
	var running sync.WaitGroup
	var progress sync.Mutex
	for _, s := range all {
		if s.server == nil {
			continue
		}
		running.Go(func() {
			defer s.server.Close()
			s.result, s.err = s.server.Scrub(ctx, func(now admin.Scrub) {
				progress.Lock()
				defer progress.Unlock()
				s.result = now
				a.printProgress(all)
			})
		})
	}
	running.Wait()
	if a.colored(a.env.Stderr) {
		a.tell("\r\x1b[K")
	}
	return a.printScrubs(all)
}

// printProgress shows on a terminal how far the scrubs have come, on one line.
func (a *app) printProgress(all []*scrubbed) {
	if !a.colored(a.env.Stderr) {
		return
	}
	var items, bytes, corrupt uint64
	for _, s := range all {
		items, bytes, corrupt = items+s.result.Items, bytes+s.result.Bytes, corrupt+s.result.Corrupt
	}
	a.tell("\r\x1b[K%d items, %s read, %d corrupt", items, size(bytes), corrupt)
}

func (a *app) printScrubs(all []*scrubbed) error {
	objects := []map[string]any{}
	var rows [][]string
	var unrepairable uint64
	var bad error
	for _, s := range all {
		if s.err == nil && s.result.Failed != "" {
			s.err = errors.New(s.result.Failed)
		}
		r := s.result
		object := map[string]any{"server": s.name, "items": r.Items, "bytes": r.Bytes, "corrupt": r.Corrupt, "mended": r.Repaired, "unmendable": r.Unrepairable}
		state := "done"
		if s.err != nil {
			state = s.err.Error()
			object["error"] = state
			bad = errors.Join(bad, fmt.Errorf("%s was not scrubbed: %w", s.name, s.err))
		}
		unrepairable += r.Unrepairable
		objects = append(objects, object)
		rows = append(rows, []string{s.name, decimal(r.Items), size(r.Bytes), decimal(r.Corrupt), decimal(r.Repaired), decimal(r.Unrepairable), state})
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "servers": objects})
	} else {
		a.table([]string{"SERVER", ">ITEMS", ">BYTES", ">CORRUPT", ">REPAIRED", ">NOT REPAIRED", "STATE"}, rows)
	}
	switch {
	case unrepairable > 0:
		return codeError{exitUnavailable, fmt.Errorf("%d of what is corrupt could not be repaired", unrepairable)}
	case bad != nil:
		return codeError{exitUnknown, bad}
	}
	return nil
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
