package cli

import (
	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/ring"
)

func (a *app) leaveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "leave SERVER",
		Short: "take a server out of the cluster without losing a copy",
		Long: `Take a server, by id or address, out of the cluster: the others take over its
copies, then it is gone from the view. Shows progress and returns when that is
done; Ctrl-C ends the showing, not the leaving. The last server is refused.`,
		Example: "  viewring leave s3\n  viewring leave localhost:28602",
		Args:    wants("SERVER"),
		RunE: a.memberChange("leave", "left", (*admin.Cluster).Leave, func(st *admin.Status, id ring.ServerID) (bool, string) {
			return st.View.Member(id) == nil, "has left; its process ends by itself"
		}),
	}
}
