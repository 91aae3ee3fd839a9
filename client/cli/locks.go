package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
)

func (a *app) locksCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "locks",
		Short:   "list the locks that are held, who waits for them, and deadlocks",
		Example: "  viewring locks\n  viewring locks --json",
		Args:    wants(),
		RunE: a.onCluster(func(ctx context.Context, c *admin.Cluster, _ []string) error {
			locks, err := c.Locks(ctx)
			if err != nil {
				return err
			}
			a.printLocks(locks)
			return nil
		}),
	}
}

// lockJSON is a lock in the output of locks --json: one for each holder.
type lockJSON struct {
	Lock    []byte   `json:"lock"`
	Client  []byte   `json:"client"`
	Token   uint64   `json:"token"`
	Since   string   `json:"since"`
	Expires string   `json:"expires,omitempty"`
	Shared  bool     `json:"shared,omitempty"`
	Session uint64   `json:"session,omitempty"`
	Lost    bool     `json:"lost,omitempty"`    // its session fell silent; free at expires
	Unheard bool     `json:"unheard,omitempty"` // of its session, since the view leader became the head
	Waiters [][]byte `json:"waiters"`
}

// waitJSON is one step of a deadlock in the output of locks --json.
type waitJSON struct {
	Client  []byte `json:"client"`
	Session uint64 `json:"session,omitempty"`
	Lock    []byte `json:"lock"`
	For     []byte `json:"for"`
	InLine  bool   `json:"in_line,omitempty"` // the other is before it in line, not a holder
}

func (a *app) printLocks(locks admin.Locks) {
	objects := make([]lockJSON, 0, len(locks.Locks))
	rows := make([][]string, 0, len(locks.Locks))
	for _, l := range locks.Locks {
		waiters, names := [][]byte{}, make([]string, 0, len(l.Waiters))
		for _, w := range l.Waiters {
			waiters = append(waiters, []byte(w.Client))
			names = append(names, quoted(w.Client)+sharedWord(w.Shared))
		}
		for _, h := range l.Holders {
			o := lockJSON{Lock: []byte(l.Name), Client: []byte(h.Client), Token: h.Token, Since: h.Since.UTC().Format(time.RFC3339Nano),
				Shared: l.Shared, Session: h.Session, Lost: h.Lost, Unheard: h.Unheard, Waiters: waiters}
			expires := "never"
			if !h.Expires.IsZero() {
				o.Expires = h.Expires.UTC().Format(time.RFC3339Nano)
				expires = h.Expires.Local().Format(time.DateTime)
			}
			objects = append(objects, o)
			rows = append(rows, []string{quoted(l.Name), quoted(h.Client) + sharedWord(l.Shared), strconv.FormatUint(h.Token, 10),
				h.Since.Local().Format(time.DateTime), expires, sessionWord(h), strings.Join(names, ", ")})
			names = nil // told in the first row
		}
	}
	deadlocks := deadlocksJSON(locks.Deadlocks)
	switch {
	case a.flags.json:
		a.printJSON(map[string]any{"version": jsonVersion, "locks": objects, "deadlocks": deadlocks})
		return
	case len(locks.Locks) == 0:
		a.printf("no lock is held\n")
	default:
		a.table([]string{"LOCK", "CLIENT", ">TOKEN", "SINCE", "EXPIRES", "SESSION", "WAITING"}, rows)
	}
	for _, cycle := range locks.Deadlocks {
		a.printf("DEADLOCK: %s\n", deadlockText(cycle))
	}
}

func sharedWord(shared bool) string {
	if shared {
		return " (shared)"
	}
	return ""
}

func sessionWord(h admin.LockHolder) string {
	switch {
	case h.Lost:
		return "lost"
	case h.Unheard:
		return strconv.FormatUint(h.Session, 10) + ", not heard of yet"
	case h.Session != 0:
		return strconv.FormatUint(h.Session, 10)
	}
	return ""
}

func deadlocksJSON(cycles [][]admin.LockWait) [][]waitJSON {
	out := make([][]waitJSON, 0, len(cycles))
	for _, cycle := range cycles {
		waits := make([]waitJSON, 0, len(cycle))
		for _, w := range cycle {
			waits = append(waits, waitJSON{[]byte(w.Client), w.Session, []byte(w.Lock), []byte(w.For), w.Behind})
		}
		out = append(out, waits)
	}
	return out
}

func deadlockText(cycle []admin.LockWait) string {
	steps := make([]string, len(cycle))
	for i, w := range cycle {
		how := "held by"
		if w.Behind {
			how = "after"
		}
		steps[i] = fmt.Sprintf("%s waits for %s %s %s", quoted(w.Client), quoted(w.Lock), how, quoted(w.For))
	}
	return strings.Join(steps, ", ")
}
