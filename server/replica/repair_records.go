package replica

// doWithout decides what becomes of a primary that cannot read all records. While
// others act, it waits: for a key to be repaired, or for its own leaving. Alone, it
// serves without: reads, learners, and mutations whose ids cannot be among those of
// the records that it lacks. When others act again, they repair it.
func (l *primary) doWithout(rs *records, unread []Key, err error) bool {
	if err != nil && !isCorrupt(err) {
		l.core.fail("load request records", err)
		return false
	}
	for _, key := range unread {
		l.part.repairer.begin(key)
	}
	if err != nil {
		l.part.spoil(unfit)
	}
	if len(l.part.view.Acting) > 1 {
		l.unloadedAt = l.core.now.Mono
		return false
	}
	rs.unreadTo = l.core.now.Wall + bornAheadMax.Milliseconds()
	return true
}

// doubts reports whether the record of an id that has none may be one that could
// not be read.
func (rs *records) doubts(id RequestID) bool { return rs.unreadTo != 0 && id.Born <= rs.unreadTo }
