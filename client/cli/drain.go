package cli

import (
	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) drainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "drain SERVER",
		Short: "take a server out of service for a planned restart",
		Long: `Take a server, by id or address, out of service: it serves nothing any more but
keeps its data and its place. Returns when it can be restarted without anyone
noticing; started again, it copies what changed and serves. A drain that would
leave too few copies is refused.`,
		Example: "  viewring drain s2",
		Args:    wants("SERVER"),
		RunE: a.memberChange("drain", "drained", (*admin.Cluster).Drain, func(st *admin.Status, id ring.ServerID) (bool, string) {
			for i := range st.View.Partitions {
				if st.View.Partitions[i].IsActing(id) {
					return false, ""
				}
			}
			return true, "is drained; restart it when you like"
		}),
	}
}
