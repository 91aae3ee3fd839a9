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
	if p == nil || p.lead == nil || !p.lead.active || p.lead.mute || !c.leased(p) {
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

// ReadNow answers a read of one key as ReadAll would: what most reads of a server are
// answered by, without a turn in its lane.
func (c *Core) ReadNow(at Instant, id ring.PartitionID, key Key) (a Answer, ok bool) {
	items, ok := c.ReadAll(at, id, []Key{key})
	if !ok {
		return a, false
	}
	it := &items[0]
	if it.Version.IsZero() {
		return Answer{Status: StatusNotFound}, true
	}
	return Answer{Status: StatusOK, Version: it.Version, Value: it.Value, Expiry: it.Expiry}, true
}
