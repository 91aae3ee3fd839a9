package admin

import (
	"context"
	"strconv"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// Leave begins to take a server, by id or address, out of the cluster without
// losing a copy. It is gone from the view when nothing is left on it.
func (c *Cluster) Leave(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, wire.MemberLeave, server)
}

// Drain takes a server, by id or address, out of service for a planned restart: it hands
// over what it serves, which the view shows, and keeps its data and its place. It is
// client.ErrRefused where too few copies would be left. Started again it serves again.
func (c *Cluster) Drain(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, wire.MemberDrain, server)
}

// Undrain takes a Drain back, of a server that is still up: it copies what changed since, and
// serves again. It is client.ErrRefused of a server that is leaving, which can't be undone, and of one that is down:
// its start ends the drain.
func (c *Cluster) Undrain(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, wire.MemberUndrain, server)
}

// Remove takes a server, by id or address, that never returns out of the cluster: the
// others make new copies of what it had. It is client.ErrRefused while the server is up.
func (c *Cluster) Remove(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, wire.MemberRemove, server)
}

// SetWeight gives a server, by id or address, a part of copies and primaries: one of weight 2
// has twice as much as one of weight 1. What moves for it shows the view; PlanWeight
// says it before. It is client.ErrRefused while a server of a build without weights is there.
func (c *Cluster) SetWeight(ctx context.Context, server string, weight int) (ring.ServerID, error) {
	return c.place(ctx, wire.PlaceWeight, server, strconv.Itoa(weight))
}

// SetZone says in which zone a server, by id or address, stands; PlanZone says before what
// would move for it.
func (c *Cluster) SetZone(ctx context.Context, server, zone string) (ring.ServerID, error) {
	return c.place(ctx, wire.PlaceZone, server, zone)
}

func (c *Cluster) place(ctx context.Context, what, server, value string) (ring.ServerID, error) {
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	id, err := c.router.Leader().Place(brief, what, server, value)
	return id, c.router.LeaderFailed(ctx, "set "+what+" of "+server, err)
}

func (c *Cluster) member(ctx context.Context, verb, server string) (ring.ServerID, error) {
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	id, err := c.router.Leader().Member(brief, verb, server)
	return id, c.router.LeaderFailed(ctx, verb+" "+server, err)
}

// AcceptLoss gives up the data of partitions that no server can serve: they
// begin anew, empty. It returns the epoch in which they do. All of them must be
// lost, or it is client.ErrRefused and nothing is done. The servers that held them must
// be stopped: one that lives and only can't reach the view leader may go on
// serving what it has.
func (c *Cluster) AcceptLoss(ctx context.Context, partitions []ring.PartitionID) (uint64, error) {
	epoch, err := c.router.Leader().AcceptLoss(ctx, partitions)
	return epoch, c.router.LeaderFailed(ctx, "accept-loss", err)
}

// Events returns the events after number since, oldest first, as far as the view
// leader keeps them: the newest few hundred. When there is none it waits for the
// next, and returns none when that takes longer than wait.
func (c *Cluster) Events(ctx context.Context, since uint64, wait time.Duration) ([]Event, error) {
	return c.router.Events(ctx, since, wait)
}

// Elections lists what the head has seen of its group since it started: elections, view leaders
// that joined or left, after a time. Their Number is 0. An earlier build knows of none.
func (c *Cluster) Elections(ctx context.Context, since time.Time) ([]Event, error) {
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	all, err := c.router.Leader().Elections(brief, since)
	return all, c.router.LeaderFailed(ctx, "list elections", err)
}

// Locks lists the locks that are held, and who waits for them.
func (c *Cluster) Locks(ctx context.Context) (Locks, error) {
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	all, err := c.router.Leader().Locks(brief)
	return all, c.router.LeaderFailed(ctx, "list locks", err)
}
