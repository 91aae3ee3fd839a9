package replica

import "viewring/ring"

// ReadAll reads keys of a partition at one moment, where all of them can be answered
// at once: nothing uncommitted lies on any, none is expired or corrupt, and the lease
// holds (rules 3 and 4). An item is the zero Item for an absent key; values alias what
// the storage returned. When it is not ok nothing is known, and each key is a Read's.
//
// The reads take place at that instant: the lease holds then, and nothing changes here
// before the return. A caller that builds more on them than an answer asks Leased again.
func (c *Core) ReadAll(at Instant, id ring.PartitionID, keys []Key) (items []Item, ok bool) {
	c.enter(at)
	p := c.part(id)
	if !c.answersNow(p) {
		return nil, false
	}
	items = make([]Item, len(keys))
	for i, key := range keys {
		if _, uncommitted := p.lead.pending[key]; uncommitted {
			return nil, false
		}
		stored, err := c.get(p, key)
		if err != nil {
			return nil, false
		}
		if stored == nil {
			continue
		}
		if items[i], err = DecodeItem(key, stored); err != nil || items[i].Version.Seq > p.commit || c.expired(&items[i]) {
			return nil, false
		}
	}
	return items, true
}

// answersNow reports whether a partition can be read at this instant.
func (c *Core) answersNow(p *part) bool {
	return p != nil && p.lead != nil && p.lead.active && !p.lead.mute && c.leased(p)
}

// ReadNow answers a read of one key, or with a cut of a part of its value, as ReadAll would:
// what most reads of a server are answered by, without a turn in its lane.
func (c *Core) ReadNow(at Instant, id ring.PartitionID, key Key, cut Cut) (a Answer, ok bool) {
	if cut != nil {
		return c.readPartNow(at, id, key, cut)
	}
	items, ok := c.ReadAll(at, id, []Key{key})
	if !ok {
		return a, false
	}
	pc := Piece{Item: items[0]}
	pc.cut(nil)
	return pc.answer(), true
}

func (c *Core) readPartNow(at Instant, id ring.PartitionID, key Key, cut Cut) (a Answer, ok bool) {
	c.enter(at)
	p := c.part(id)
	if !c.answersNow(p) {
		return a, false
	}
	if _, uncommitted := p.lead.pending[key]; uncommitted {
		return a, false
	}
	pc, err := c.getPart(p, key, cut)
	if err != nil || pc.Version.Seq > p.commit || !pc.Version.IsZero() && c.expired(&pc.Item) {
		return a, false
	}
	return pc.answer(), true
}
