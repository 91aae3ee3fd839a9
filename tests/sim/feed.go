package sim

import (
	"fmt"

	"viewring/ring"
	"viewring/server/replica"
)

// feeding is what the feeds of all servers were told: half of the worlds have them. Together they
// must tell of all that is committed, whatever becomes of servers.
type feeding struct {
	on   bool
	told map[life]map[uint64]bool                       // entries, by seq
	open map[*lane]map[ring.PartitionID]replica.Version // the partitions that a lane says are served, with what was told last
}

func newFeeding(on bool) *feeding {
	return &feeding{on: on, told: make(map[life]map[uint64]bool), open: make(map[*lane]map[ring.PartitionID]replica.Version)}
}

// fed checks what a lane's feed is told: of partitions that are served, and in order; committed
// entries alone.
func (g *watching) fed(l *lane, list []replica.Fed) {
	f := g.feeding
	if f.open[l] == nil {
		f.open[l] = make(map[ring.PartitionID]replica.Version)
	}
	for _, t := range list {
		of := g.lifeOf(t.Partition, t.Version)
		last, open := f.open[l][t.Partition]
		g.w.count(fmt.Sprint("feed ", [...]string{"", "began", "changes", "ended"}[t.Kind]))
		switch {
		case t.Kind == replica.FedEnded:
			delete(f.open[l], t.Partition)
			continue
		case t.Kind == replica.FedBegan:
			f.open[l][t.Partition] = replica.Version{}
			continue
		case !open:
			g.w.violated("watch", "partition %d: the feed of %v is told of %v, and not that the partition is served", t.Partition, l.s, t.Version)
		case t.Version.Compare(last) <= 0:
			g.w.violated("watch", "partition %d: the feed of %v is told of %v after %v", t.Partition, l.s, t.Version, last)
		}
		done := g.lives[of]
		if seq := t.Version.Seq; (seq > uint64(len(done)) || done[seq-1].version != t.Version) && l.adoptedAt != g.w.now {
			g.w.violated("watch", "partition %d: the feed of %v is told of %v, %d entries are committed", t.Partition, l.s, t.Version, len(done))
		}
		f.open[l][t.Partition] = t.Version
		if f.told[of] == nil {
			f.told[of] = make(map[uint64]bool)
		}
		f.told[of][t.Version.Seq] = true
	}
}

// checkFed: all that was committed was told by some server, and who serves no more has said so. A
// server that was removed while it was cut off has not heard of that, and need not have said so while
// it is a primary in the view that it has, even one that does not serve yet: it goes on from a term in
// which it did (server/replica/WATCHES.md).
func (g *watching) checkFed() string {
	if !g.feeding.on {
		return ""
	}
	for _, s := range g.w.servers {
		for _, l := range s.lanes {
			for p := range g.feeding.open[l] {
				goesOn := g.w.stranded(s.id()) && l.core.Detail(p).Lead != ""
				if s.alive && !l.core.Inspect(p).Serving && !goesOn {
					return fmt.Sprintf("watch: partition %d: the feed of %v was not told that it is not served any more", p, s)
				}
			}
		}
	}
	for p := range ring.PartitionID(g.w.partitions) {
		for _, reset := range g.resets[p] {
			of := life{p, reset}
			for i, e := range g.lives[of] {
				if len(e.changes) > 0 && !g.feeding.told[of][uint64(i)+1] {
					return fmt.Sprintf("watch: partition %d: no feed was told of %v", p, e.version)
				}
			}
		}
	}
	return ""
}
