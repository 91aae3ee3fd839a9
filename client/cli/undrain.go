package cli

import (
	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) undrainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "undrain SERVER",
		Short: "take a drain back: the server serves again",
		Long: `Take the drain of a server back, by id or address, instead of restarting it: it
copies what changed meanwhile and serves again. Returns when it acts wherever it
should; Ctrl-C ends the showing only.

What can't be taken back: a server that is down is to be started, which ends its
drain; one that was sent SIGTERM drains by itself and ends all the same; a leave
or a remove goes on to its end. A server that has left is started again with its
data, and joins as what it was; a removed one never returns.`,
		Example: "  viewring undrain s2",
		Args:    wants("SERVER"),
		RunE: a.memberChange("undrain", "serves", (*admin.Cluster).Undrain, func(st *admin.Status, id ring.ServerID) (bool, string) {
			for i := range st.View.Partitions {
				if p := ring.PartitionID(i); st.IsTarget(p, id) && !st.View.Partitions[i].IsActing(id) {
					return false, ""
				}
			}
			return true, "serves again"
		}),
	}
}
