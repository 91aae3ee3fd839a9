package backup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"viewring/client"
	"viewring/client/file"
	records "viewring/client/record"
	"viewring/internal/route"
	"viewring/internal/tree"
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
type Cluster struct {
	router  *route.Client
	files   *file.FS
	records *records.Store
}

// Open finds the cluster. Close it after use. It fails as client.Open does.
func Open(ctx context.Context, opts client.Options) (*Cluster, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	c := &Cluster{router: router}
	if c.files, err = file.Open(ctx, opts); err == nil {
		c.records, err = records.Open(ctx, opts)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the connections. What is under way fails.
func (c *Cluster) Close() error {
	err := c.router.Close()
	if c.files != nil {
		err = errors.Join(err, c.files.Close())
	}
	if c.records != nil {
		err = errors.Join(err, c.records.Close())
	}
	return err
}

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
	return c.watch(ctx, wire.UserSpace, p, from)
}

func (c *Cluster) watch(ctx context.Context, space byte, p ring.PartitionID, from *Version) (changes, error) {
	slot, _ := ring.SlotRange(p, c.Partitions())
	spec := route.WatchSpec{Space: space, Prefix: true, Alone: true, Slot: slot, Values: true}
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

// ask carries out steps in the tree.
func (c *Cluster) ask(ctx context.Context, name string) tree.Ask {
	return func(q *wire.TreeRequest) (wire.TreeReply, error) { return c.router.Tree(ctx, name, q) }
}

// nodeSource is a cluster's tree of paths as a source: the values are wire.TreeNodes.
type nodeSource struct{ *Cluster }

// Page implements source.
func (s nodeSource) Page(ctx context.Context, q *wire.KeyPageRequest) (wire.KeyPage, error) {
	nodes := *q
	nodes.Nodes = true
	return s.router.KeyPage(ctx, &nodes)
}

// Watch implements source.
func (s nodeSource) Watch(ctx context.Context, p ring.PartitionID, from *Version) (changes, error) {
	return s.watch(ctx, wire.MetaSpace, p, from)
}

// Get implements source: of a node, or of a directory's numbers.
func (s nodeSource) Get(ctx context.Context, key []byte) (out wire.DoReply, err error) {
	dir, name := splitNode(key)
	path := pathOf(key)
	ask := s.ask(ctx, fmt.Sprintf("get %.200q", path))
	if name == "" {
		p, err := ask(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: dir})
		if err == nil && (p.Code != wire.TreeOK || p.Directory.Next == 0) {
			err = client.ErrNotFound
		}
		if err != nil {
			return out, err
		}
		return wire.DoReply{Term: p.Directory.Changed.Term, Seq: p.Directory.Changed.Seq, Value: binary.AppendVarint(nil, p.Directory.Next)}, nil
	}
	n, err := tree.Get(ask, path)
	if errors.Is(err, tree.ErrNoNode) {
		err = client.ErrNotFound
	}
	if err != nil {
		return out, err
	}
	n.Name = name
	return wire.DoReply{Term: n.Modified.Term, Seq: n.Modified.Seq, Value: wire.AppendTreeNode(nil, n)}, nil
}

// errAnew: the copy of a partition has to begin anew.
var errAnew = errors.New("the servers don't remember what changed meanwhile")
