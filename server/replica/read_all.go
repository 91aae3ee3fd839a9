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
	p := c.readable(at, id)
	if p == nil {
		return nil, false
	}
	items = make([]Item, len(keys))
	for i, key := range keys {
		if items[i], ok = p.lead.reads.readOne(key); !ok {
			return nil, false
		}
	}
	return items, true
}

// readable returns a partition whose reads can be answered at once, or nil.
func (c *Core) readable(at Instant, id ring.PartitionID) *part {
	c.enter(at)
	p := c.part(id)
	if p == nil || p.lead == nil || !p.lead.serves() || p.lead.phase == mute || !p.lead.leased() {
		return nil
	}
	return p
}

// readOne reads a key of a partition that is readable.
func (rd *reader) readOne(key Key) (it Item, ok bool) {
	if _, uncommitted := rd.lead.pending[key]; uncommitted {
		return it, false
	}
	stored, err := rd.part.get(key)
	if err != nil {
		return it, false
	}
	if stored == nil {
		return it, true
	}
	it, err = DecodeItem(key, stored)
	return it, err == nil && it.Version.Seq <= rd.part.commit && !rd.core.expired(&it)
}

// ReadNow answers a read of one key, or with a cut of a part of its value, as ReadAll would:
// what most reads of a server are answered by, without a turn in its lane.
func (c *Core) ReadNow(at Instant, id ring.PartitionID, key Key, cut Cut) (a Answer, ok bool) {
	p := c.readable(at, id)
	if p == nil {
		return a, false
	}
	if cut != nil {
		return p.lead.reads.readPart(key, cut)
	}
	it, ok := p.lead.reads.readOne(key)
	if !ok {
		return a, false
	}
	pc := Piece{Item: it}
	pc.cut(nil)
	return pc.answer(), true
}

// readPart is readOne for a part of a value.
func (rd *reader) readPart(key Key, cut Cut) (a Answer, ok bool) {
	if _, uncommitted := rd.lead.pending[key]; uncommitted {
		return a, false
	}
	pc, err := rd.part.getPart(key, cut)
	if err != nil || pc.Version.Seq > rd.part.commit || !pc.Version.IsZero() && rd.core.expired(&pc.Item) {
		return a, false
	}
	return pc.answer(), true
}
