package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// Stats is what a core says of its partitions.
type Stats struct {
	Primaries, Backups, Learners, Strays int
	Inactive                             int    // primaries that do not serve yet
	Watches                              int    // of clients, at primaries
	Keys, Bytes                          int64  // user keys and their values, all copies here
	FullCopies, DeltaCopies              uint64 // begun since start
	CopiedKeys                           uint64
	DigestMismatches                     uint64 // learners that had to start over
	Corrupt                              uint64 // keys and metas found unreadable since start
	Repaired, Unrepairable               uint64 // of these: healed; corrupt on every acting replica
}

// Stats counts. It does no I/O.
func (c *Core) Stats() Stats {
	s := Stats{FullCopies: c.moved.full, DeltaCopies: c.moved.delta, CopiedKeys: c.moved.keys, DigestMismatches: c.moved.mismatches,
		Corrupt: c.corrupt.found, Repaired: c.corrupt.repaired, Unrepairable: c.corrupt.lost}
	for _, p := range c.parts {
		s.Keys += p.log.keys
		s.Bytes += p.log.bytes
		switch {
		case p.role == rolePrimary:
			s.Primaries++
			if p.lead != nil && !p.lead.serves() {
				s.Inactive++
			}
			if p.lead != nil {
				s.Watches += len(p.lead.watchers.all)
			}
		case p.role == roleBackup:
			s.Backups++
		case p.role == roleLearner:
			s.Learners++
		case p.state != absent:
			s.Strays++
		}
	}
	return s
}

// Copy is a partition's state for whoever inspects a core: tests and tools.
type Copy struct {
	Whole    bool
	Acting   bool
	Serving  bool // an active primary
	Term     uint64
	Last     Version
	Durable  uint64
	Commit   uint64
	Floor    uint64 // the change index has what came after
	Digest   uint64
	Keys     int64
	Learning bool
}

// Inspect returns the state of a partition of this lane.
func (c *Core) Inspect(id ring.PartitionID) Copy {
	p := c.part(id)
	if p == nil {
		return Copy{}
	}
	return Copy{Whole: p.state == whole, Acting: p.role == rolePrimary || p.role == roleBackup,
		Serving: c.Serves(id), Term: p.term, Last: p.log.last, Durable: p.durable,
		Commit: p.commit, Floor: p.floor, Digest: p.log.digest, Keys: p.log.keys, Learning: p.learn != nil}
}

// Serves reports whether reads of a partition are answered here: this is its active primary.
func (c *Core) Serves(id ring.PartitionID) bool {
	p := c.part(id)
	return p != nil && p.lead != nil && p.lead.serves()
}

// Leased reports whether a read would be answered now without asking the view
// leader.
func (c *Core) Leased(at Instant, id ring.PartitionID) bool {
	p := c.part(id)
	if p == nil || p.lead == nil || !p.lead.serves() {
		return false
	}
	c.now.Mono = max(c.now.Mono, at.Mono)
	return p.lead.leased()
}

// Lag is what a primary waits for.
type Lag struct {
	Waiting int           // writes without an answer
	Since   time.Duration // when the oldest of them was taken up (Instant.Mono); 0: there is none
}

// Lag returns what a partition's primary waits for, and calls each with the acting backups
// and how many entries of the log each has not acknowledged. It is for whoever inspects a core.
func (c *Core) Lag(id ring.PartitionID, each func(peer ring.ServerID, entries uint64)) (l Lag) {
	p := c.part(id)
	if p == nil || p.lead == nil || !p.lead.serves() {
		return l
	}
	if l.Waiting = len(p.waiting); l.Waiting > 0 {
		l.Since = p.waiting[0].since
	}
	for _, f := range p.lead.followers {
		if f.acting() {
			each(f.id, p.log.last.Seq-min(f.match, p.log.last.Seq))
		}
	}
	return l
}

// Committers returns the replicas that must have every committed entry: acting
// and, once a handoff to them was asked for, proposed ones.
func (c *Core) Committers(id ring.PartitionID) []ring.ServerID {
	p := c.part(id)
	if p == nil {
		return nil
	}
	ids := slices.Clone(p.view.Acting)
	if p.lead != nil {
		for _, f := range p.lead.followers {
			if f.phase == followerNamed {
				ids = append(ids, f.id)
			}
		}
	}
	return ids
}

// MetaLast returns the seq of the last entry that a stored meta stands for; 0
// for one that cannot be read, or of a copy that is not whole.
func MetaLast(meta []byte) uint64 {
	m, err := decodeMeta(meta)
	if err != nil || m.state != whole {
		return 0
	}
	return m.log.last.Seq
}
