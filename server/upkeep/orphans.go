package upkeep

import (
	"context"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// Orphans deletes chunks whose content has ended or is gone: such as were put so late that the
// janitor had deleted them already. It looks at all that this server is primary of, again and
// again.
type Orphans struct {
	b       Base
	views   Views
	cluster Cluster
	graces  Graces
}

// NewOrphans returns one that has nothing begun.
func NewOrphans(b *Base, views Views, cluster Cluster, graces Graces) *Orphans {
	return &Orphans{b: *b, views: views, cluster: cluster, graces: graces}
}

// Run looks, until the server stops.
func (o *Orphans) Run() {
	for wait.For(o.b.Context, o.graces.Sweep) {
		v := o.views.View()
		for p := range v.Partitions {
			if v.Partitions[p].Primary() == o.b.Self {
				o.sweep(v, ring.PartitionID(p))
			}
			if o.b.Context.Err() != nil {
				return
			}
		}
	}
}

// sweep looks at the chunks of one partition.
func (o *Orphans) sweep(v *ring.View, p ring.PartitionID) {
	chunks := make(map[wire.Content][]orphan)
	add := func(key replica.Key) {
		if c, ok := orphanOf(key); ok {
			chunks[c.Content] = append(chunks[c.Content], c)
		}
	}
	err := o.b.Store.KeysOf(p, replica.SpaceChunk, add)
	if err == nil {
		err = o.b.Store.KeysOf(p, replica.SpaceFile, add)
	}
	if err != nil {
		o.b.Logger.Warn("chunks can't be looked at", "partition", p, "err", err)
		return
	}
	for content, found := range chunks {
		gone, err := o.gone(v, content)
		for _, c := range found {
			if gone && err == nil {
				err = o.remove(&c)
			}
		}
		switch {
		case o.b.Context.Err() != nil:
			return
		case err != nil:
			o.b.Logger.Debug("chunks of a content can't be looked after", "home", content.Home, "content", content.Version, "err", err)
		case gone:
			o.b.Logger.Info("chunks of a file that is gone were deleted", "home", content.Home, "content", content.Version, "parts", len(found))
		}
	}
}

// gone reports whether a content has ended or is absent for good. That it is absent says so only
// while nobody has given up what its home has lost.
func (o *Orphans) gone(v *ring.View, c wire.Content) (bool, error) {
	if home := ring.PartitionOf(c.Home, len(v.Partitions)); v.Partitions[home].ResetTerm > c.Version.Term {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(o.b.Context, janitorTimeout)
	defer cancel()
	p, err := o.cluster.Tree(ctx, "look for a file's content", &wire.TreeRequest{Op: wire.TreeContent, Home: c.Home, Nonce: c.Version})
	if err != nil {
		return false, err
	}
	return p.Code == wire.TreeNoContent || p.Code == wire.TreeOK && p.Content.State == wire.ContentEnded, nil
}
