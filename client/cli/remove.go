package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) removeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "remove SERVER",
		Short: "take a server that never returns out of the cluster",
		Long: `Take a server, by id or address, that is dead for good out of the cluster: the
others make new copies of what it had. If it does return, it is refused.
Returns when the cluster is whole again, or lacks only what other servers have
that are down. For one that lives use leave.`,
		Example: "  viewring remove s4",
		Args:    wants("SERVER"),
		RunE: a.memberChange("remove", "removed", (*admin.Cluster).Remove, func(st *admin.Status, id ring.ServerID) (bool, string) {
			s := st.Safety()
			if m := st.View.Member(id); m != nil && m.Target() || s.Unavailable > 0 {
				return false, ""
			}
			if s.TooFew == 0 || s.Balanced {
				return true, "is removed; all partitions have their copies"
			}
			down := st.WaitsOnlyFor()
			return len(down) > 0, fmt.Sprintf("is removed; the copies that are still too few wait for %v, which is down", down)
		}),
	}
}
