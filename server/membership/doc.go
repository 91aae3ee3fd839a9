// Package membership is this server's place in the cluster. It owns the view that the server has
// adopted (Views), its membership at the view leader: registration, heartbeats, the report
// that a view leader without its data asks for (Member), and what the replication cores ask
// the view leader (Queue).
//
// Five goroutines run in it: RunHeartbeats, RunPolls, RunAdoption, RunChanges and
// RunConfirms. RunAdoption alone adopts, whoever brought the view. What a field belongs to,
// or guards it, stands beside it.
package membership
