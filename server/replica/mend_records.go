package replica

// doWithout decides what becomes of a primary that cannot read all records. While
// others act, it waits: for a key to be mended, or for its own leaving. Alone, it
// serves without: reads, learners, and mutations whose ids cannot be among those of
// the records that it lacks. When others act again, they mend it.
func (c *Core) doWithout(p *part, rs *records, unread []Key, err error) bool {
	if err != nil && !isCorrupt(err) {
		c.fail("load request records", err)
		return false
	}
	for _, key := range unread {
		c.mendKey(p, key)
	}
	if err != nil {
		c.spoil(p, unfit)
	}
	if len(p.view.Acting) > 1 {
		p.lead.unloadedAt = c.now.Mono
		return false
	}
	rs.unreadTo = c.now.Wall + bornAheadMax.Milliseconds()
	return true
}

// doubts reports whether the record of an id that has none may be one that could
// not be read.
func (rs *records) doubts(id RequestID) bool { return rs.unreadTo != 0 && id.Born <= rs.unreadTo }
