package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

func (a *app) locksCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "locks",
		Short:   "list the locks that are held",
		Example: "  viewring locks\n  viewring locks --json",
		Args:    wants(),
		RunE: a.onCluster(func(ctx context.Context, c *client.Client, _ []string) error {
			locks, err := c.Locks(ctx)
			if err != nil {
				return err
			}
			a.printLocks(locks)
			return nil
		}),
	}
}

// lockJSON is a lock in the output of locks --json.
type lockJSON struct {
	Lock    []byte   `json:"lock"`
	Client  []byte   `json:"client"`
	Token   uint64   `json:"token"`
	Since   string   `json:"since"`
	Expires string   `json:"expires,omitempty"`
	Waiters [][]byte `json:"waiters"`
}

func (a *app) printLocks(locks []client.Lock) {
	objects := make([]lockJSON, 0, len(locks))
	rows := make([][]string, 0, len(locks))
	for _, l := range locks {
		o := lockJSON{Lock: []byte(l.Name), Client: []byte(l.Holder), Token: l.Token, Since: l.Since.UTC().Format(time.RFC3339Nano), Waiters: [][]byte{}}
		expires, waiters := "never", make([]string, 0, len(l.Waiters))
		if !l.Expires.IsZero() {
			o.Expires = l.Expires.UTC().Format(time.RFC3339Nano)
			expires = l.Expires.Local().Format(time.DateTime)
		}
		for _, w := range l.Waiters {
			o.Waiters = append(o.Waiters, []byte(w))
			waiters = append(waiters, quoted(w))
		}
		objects = append(objects, o)
		rows = append(rows, []string{quoted(l.Name), quoted(l.Holder), strconv.FormatUint(l.Token, 10),
			l.Since.Local().Format(time.DateTime), expires, strings.Join(waiters, ", ")})
	}
	switch {
	case a.flags.json:
		a.printJSON(map[string]any{"version": jsonVersion, "locks": objects})
	case len(locks) == 0:
		a.printf("no lock is held\n")
	default:
		a.table([]string{"LOCK", "CLIENT", ">TOKEN", "SINCE", "EXPIRES", "WAITING"}, rows)
	}
}
