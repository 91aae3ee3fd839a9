package backup

import (
	"context"
	"errors"
	"fmt"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

// source is a cluster to copy from. Any number of goroutines may use it.
type source interface {
	// Term is a partition's, as far as is known here.
	Term(p ring.PartitionID) uint64
	// Page reads a page of a partition, or makes a barrier in its log (wire.KeyPage).
	Page(ctx context.Context, q *wire.KeyPageRequest) (wire.KeyPage, error)
	// Watch has changes of a partition told from a version on, nil: from now on. The first that is told is a TellBegun, or
	// TellAnew.
	Watch(ctx context.Context, p ring.PartitionID, from *Version) (changes, error)
	// Get reads a key as it is; an absent one is client.ErrNotFound, one that is damaged everywhere client.ErrCorrupt.
	Get(ctx context.Context, name []byte) (wire.DoReply, error)
}

// changes are those of a partition that is watched. One goroutine uses them.
type changes interface {
	Next(ctx context.Context) (route.Told, error) // waits
	Try() (route.Told, bool)                      // does not
	Close()
}

// Cluster is a cluster to copy from or to. Any number of goroutines may use it.
type Cluster struct{ router *route.Client }

// Open finds the cluster. Close it after use. It fails as client.Open does.
func Open(ctx context.Context, opts client.Options) (*Cluster, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	return &Cluster{router}, nil
}

// Close ends the connections. What is under way fails.
func (c *Cluster) Close() error { return c.router.Close() }

// ID is the cluster's.
func (c *Cluster) ID() [16]byte { return c.router.View().Cluster }

// Partitions is how many the cluster has.
func (c *Cluster) Partitions() int { return len(c.router.View().Partitions) }

// Page implements source.
func (c *Cluster) Page(ctx context.Context, q *wire.KeyPageRequest) (wire.KeyPage, error) {
	return c.router.KeyPage(ctx, q)
}

// Term implements source.
func (c *Cluster) Term(p ring.PartitionID) uint64 { return c.router.View().Partitions[p].Term }

// Watch implements source.
func (c *Cluster) Watch(ctx context.Context, p ring.PartitionID, from *Version) (changes, error) {
	slot, _ := ring.SlotRange(p, c.Partitions())
	spec := route.WatchSpec{Space: wire.UserSpace, Prefix: true, Alone: true, Slot: slot, Values: true}
	if from != nil {
		spec.From = map[ring.PartitionID]route.Position{p: route.Position(*from)}
	}
	w, err := c.router.Watch(ctx, fmt.Sprintf("watch partition %d", p), spec)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Get implements source.
func (c *Cluster) Get(ctx context.Context, name []byte) (wire.DoReply, error) {
	op := fmt.Sprintf("get %q", name)
	reply, err := c.router.DoAnyName(ctx, op, &wire.DoRequest{Op: wire.DoGet, Key: name})
	if err == nil && reply.Status == wire.DoNotFound {
		err = &route.Error{Op: op, Kind: client.ErrNotFound}
	}
	return reply, err
}

// HasPaths reports whether the cluster has any node at a path.
func (c *Cluster) HasPaths(ctx context.Context) (bool, error) {
	reply, err := c.router.Tree(ctx, "list /", &wire.TreeRequest{Op: wire.TreeNames, Dir: "/", Limit: 1})
	return len(reply.Names) > 0, err
}

// errAnew: the copy of a partition has to begin anew.
var errAnew = errors.New("the servers don't remember what changed meanwhile")
