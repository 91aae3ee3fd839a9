package sim

import (
	"bytes"

	"viewring/ring"
	"viewring/server/replica"
)

// onTheSpot is the share of reads that are asked for where they arrive, and compared
// how many of these are read by the lane as well.
const (
	onTheSpot = 0.5
	compared  = 0.3
)

// readNow answers a read where it arrives, between two rounds of the lane, as a server
// does with most; false when the core can't.
func (l *lane) readNow(p ring.PartitionID, token uint64, key replica.Key) bool {
	s := l.s
	if !s.w.chance(onTheSpot) {
		return false
	}
	a, ok := l.core.ReadNow(s.instant(), p, key, cutOf(token))
	if !ok {
		s.w.count("reads not on the spot")
		return false
	}
	s.w.count("reads on the spot")
	l.checkAbsent(p, key, &a)
	if !l.core.Leased(s.instant(), p) {
		s.unleased[token] = s.w.now
	}
	if s.w.chance(compared) {
		l.checkSame(p, key, &a)
	}
	a.Token = token
	s.w.mixAnswer(&a)
	s.answer(l, a)
	return true
}

// checkAbsent is I3 for what has no version: who has to have what is committed has the
// delete.
func (l *lane) checkAbsent(p ring.PartitionID, key replica.Key, a *replica.Answer) {
	w := l.s.w
	term := l.core.Inspect(p).Term
	if a.Status != replica.StatusNotFound {
		return
	}
	for _, id := range l.core.Committers(p) {
		if has, known := w.byID(id).disk.hasSynced(p, key); known && has && !l.believesLost(id, p) && !w.dropped(id, p, term) {
			w.violated("I3", "%v reads in partition %d that a key is absent, %v has it synced", l.s, p, id)
		}
	}
}

// cutOf lets half of the reads be of a part: one that comes to all of the value, so that
// whoever looks at answers need not know.
func cutOf(token uint64) replica.Cut {
	if token%2 == 0 {
		return nil
	}
	return func(length int) (from, to int) { return 0, length }
}

// fetch does what a read wants of the storage.
func (d *disk) fetch(r *replica.Read) {
	if r.Cut != nil {
		r.Piece, _, r.Err = d.GetPart(r.Partition, r.Key, r.Cut)
		return
	}
	r.Item, r.Err = d.Get(r.Partition, r.Key)
}

// checkSame has the lane read the same key at the same instant: it must come to the
// same answer, and at once, unless a write of the key waits for room or for a handoff,
// which the lane lets no read overtake. On the spot one may: no client of both is there
// that has not waited for its write.
func (l *lane) checkSame(p ring.PartitionID, key replica.Key, a *replica.Answer) {
	s := l.s
	s.tokens++
	token := s.tokens
	var lanes *replica.Answer
	s.asks[token] = func(b replica.Answer) { lanes = &b }
	defer delete(s.asks, token)
	at := s.instant()
	l.core.Read(at, replica.Read{Token: token, Partition: p, Key: key, Cut: cutOf(token)})
	r, _ := l.core.Ready()
	for _, e := range r.Send { // a Fetch may have waited for the batch before to be visible: any call lets it go
		if e.Msg.Type != replica.MsgPage {
			s.w.violated("read", "%v is between two rounds and sends %v: %+v", s, e.To, e.Msg)
		}
		s.send(e.To, e.Msg)
	}
	if r.Batch != nil || len(r.Answers)+len(r.ToLeader) > 0 || len(r.Reads) > 1 {
		s.w.violated("read", "%v is between two rounds and wants something: %+v", s, r)
	}
	if len(r.Reads) == 0 {
		return // a write waits
	}
	s.disk.fetch(&r.Reads[0])
	l.core.Served(at, r.Reads)
	l.ready()
	if lanes == nil || lanes.Status != a.Status || lanes.Version != a.Version || !bytes.Equal(lanes.Value, a.Value) || lanes.Expiry != a.Expiry {
		s.w.violated("read", "%v reads in partition %d on the spot %+v, and by its lane %+v", s, p, *a, lanes)
	}
}
