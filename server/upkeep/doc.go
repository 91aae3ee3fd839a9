// Package upkeep is the work that a server does by itself, whoever asks for what: it copies
// partitions that it is to have (Mover), finds expired keys that nobody reads (Sweeper), reads
// everything to find damage (Scrubber), removes the nodes of sessions that have ended (Reaper),
// and watches how full the disk is (Room). It tells the lanes, whose cores decide what to do
// about it.
//
// Each part has a goroutine, Run; the mover has another, RunFetches, and so has the reaper, RunEnds. Lanes call Fetch, Storing
// and Stored, which wait for nothing. What guards a field stands beside it.
package upkeep

import (
	"context"
	"log/slog"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
)

// Views are the views that this server has.
type Views interface {
	View() *ring.View
	Placement() (*ring.View, *ring.Table) // the view, and where its targets are
	Next() <-chan struct{}                // closed with the next adoption
}

// Lanes take what is found. lane.Lanes are some.
type Lanes interface {
	SetFull(full bool)
	// The others may wait.
	Learn(p ring.PartitionID, source ring.ServerID)
	Expired(p ring.PartitionID, keys []replica.Key)
	Corrupt(p ring.PartitionID, keys ...replica.Key) // none: a range that can't be read
	Propose(p ring.PartitionID, r *replica.Request, done func(replica.Answer))
}

// Base is what all parts are made with.
type Base struct {
	Self   ring.ServerID
	Store  *store.Store
	Lanes  Lanes
	Now    func() replica.Instant
	Logger *slog.Logger

	Context context.Context // ends when the server stops
}
