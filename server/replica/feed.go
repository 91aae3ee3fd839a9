package replica

import "viewring/ring"

// A feed tells one listener of all changes of users' keys that this lane commits, whatever
// becomes of partitions: what Redis calls keyspace notifications. WATCHES.md says what it
// promises.

// FedKind says what a Fed tells.
type FedKind uint8

// The kinds of Fed, and which fields they use.
const (
	FedBegan   FedKind = iota + 1 // Version: this server answers reads of the partition, from this commit on
	FedChanges                    // Version, Changes: what one entry did; never none
	FedEnded                      // this server does not answer reads of the partition any more
)

// Fed is what a feed is told.
type Fed struct {
	Partition ring.PartitionID
	Kind      FedKind
	Version   Version
	Changes   []KeyChange // without items
}

// SetFeed begins or ends the feed. It begins with a FedBegan of each partition that is served.
func (c *Core) SetFeed(at Instant, on bool) {
	c.enter(at)
	if c.feeding == on {
		return
	}
	c.feeding = on
	for _, p := range c.parts {
		p.fedOpen = false
		if on && p.lead != nil && p.lead.phase == active {
			p.lead.fed = p.commit
			p.tellFed(FedBegan)
		}
	}
}

// endFeed tells that the partition is not served any more.
func (p *part) endFeed() {
	if p.fedOpen {
		p.tellFed(FedEnded)
	}
}

func (p *part) tellFed(kind FedKind) {
	p.fedOpen = kind == FedBegan
	p.core.out.Fed = append(p.core.out.Fed, Fed{Partition: p.id, Kind: kind, Version: p.versionAt(p.commit)})
}

// feed tells of the changes of one entry.
func (l *primary) feed(v Version, changes []KeyChange) {
	l.fed = v.Seq
	if l.core.feeding && len(changes) > 0 {
		l.core.out.Fed = append(l.core.out.Fed, Fed{Partition: l.part.id, Kind: FedChanges, Version: v, Changes: changes})
	}
}

// beginFeed tells that the partition is served, and what a former primary may have
// committed, and not told.
func (l *primary) beginFeed() {
	if !l.core.feeding || l.phase != active {
		return
	}
	var rows []Row
	err := l.part.rows(l.fed, l.part.commit, func(row Row) bool {
		rows = append(rows, row)
		return true
	})
	if err != nil {
		l.part.spoiled(damaged, "read index", err)
		rows = nil
		l.part.endFeed() // whatever was read here may have changed
	}
	l.part.tellFed(FedBegan)
	for i := range rows {
		l.feed(Version{Term: rows[i].Term, Seq: rows[i].Seq}, rows[i].changes())
	}
	l.fed = l.part.commit
}

// changes are what an entry did to users' keys.
func (e *Entry) changes() (changes []KeyChange) {
	for i := range e.Writes {
		if w := &e.Writes[i]; w.Key.Space() == SpaceUser {
			changes = append(changes, KeyChange{Key: w.Key, Change: w.Change()})
		}
	}
	return changes
}

// changes are what the row's entry did to users' keys.
func (r *Row) changes() (changes []KeyChange) {
	for i, key := range r.Keys {
		if key.Space() == SpaceUser {
			changes = append(changes, KeyChange{Key: key, Change: r.change(i)})
		}
	}
	return changes
}
