package replica

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// repairsMax bounds the keys of a partition that are repaired at the same time.
const repairsMax = 64

// repairer has the keys of a whole acting copy that cannot be read, for one term.
type repairer struct {
	core    *Core
	part    *part
	repairs map[Key]*repair // Invariant: at most repairsMax; none where the copy is not whole, or does not act
}

// step handles a message about a repair.
func (rr *repairer) step(from ring.ServerID, m *Message) {
	switch m.Type {
	case MsgRepairAsk:
		rr.onRepairAsk(from, m)
	case MsgRepair:
		rr.onRepair(from, m)
	}
}

// repair is a key of our whole copy whose stored bytes cannot be trusted, while
// another acting replica is asked for its item (hole 27). It ends with the term.
//
// Logs of acting replicas are prefixes of each other, so an answer made at head
// q is the key's state in our own log too, at any head of ours from q on, as long
// as no entry after seq wrote the key: such an entry heals it and ends the repair.
type repair struct {
	phase   repairPhase
	seq     uint64          // our head when the damage was noticed. Invariant: no entry after it has written the key
	corrupt []ring.ServerID // who cannot read the key either
	turn    int             // asks so far
	askedAt time.Duration
	answer  *Message // made at a head that our log has not reached yet. Invariant: nil unless holding
	waiting []queued // requests that need the key. Invariant: none unless this is the primary
}

// repairPhase is how far a repair has come.
type repairPhase uint8

const (
	repairSuspected    repairPhase = iota // somebody asked us for the key: we ask on the next tick
	repairAsking                          // another replica is asked
	repairHolding                         // an answer waits for our log to come to its head
	repairDone                            // the item is stored
	repairHealed                          // an entry wrote the key
	repairUnrepairable                    // nobody is left to ask
	repairOver                            // the term is, or the copy was dropped
)

var repairNext = []phases{
	repairSuspected:    to(repairAsking, repairHolding, repairHealed, repairUnrepairable, repairOver),
	repairAsking:       to(repairAsking, repairHolding, repairHealed, repairUnrepairable, repairOver),
	repairHolding:      to(repairHolding, repairDone, repairHealed, repairUnrepairable, repairOver),
	repairDone:         0,
	repairHealed:       0,
	repairUnrepairable: 0,
	repairOver:         0,
}

func (p repairPhase) String() string {
	return [...]string{"suspected", "asking", "holding", "done", "healed", "unrepairable", "over"}[p]
}

func (rp *repair) become(next repairPhase) { move(repairNext, &rp.phase, next) }

// Repair takes the scrub's word that a key's stored bytes are corrupt; the core
// looks again.
func (c *Core) Repair(at Instant, id ring.PartitionID, key Key) {
	c.enter(at)
	p := c.part(id)
	if p == nil || p.state != whole {
		return
	}
	if _, err := p.get(key); isCorrupt(err) {
		p.repairer.begin(key)
	}
}

// begin begins to repair a key, or finds the repair under way. It returns nil when
// nobody can be asked.
func (rr *repairer) begin(key Key) *repair {
	if rp := rr.repairs[key]; rp != nil {
		return rp
	}
	if rr.part.state != whole || !rr.part.isActing() || len(rr.repairs) >= repairsMax {
		return nil
	}
	if rr.repairs == nil {
		rr.repairs = make(map[Key]*repair)
	}
	rr.core.corrupt.found++
	rp := &repair{seq: rr.part.log.last.Seq}
	rr.repairs[key] = rp
	rr.ask(key, rp)
	return rr.repairs[key]
}

// asked notes that we cannot read what another replica, which cannot read it
// either, asks us for. We ask the others on the next tick: two copies that are
// both corrupt must not send each other questions for ever.
func (rr *repairer) asked(key Key, from ring.ServerID) {
	rp := rr.repairs[key]
	if rp == nil {
		if len(rr.repairs) >= repairsMax {
			return
		}
		if rr.repairs == nil {
			rr.repairs = make(map[Key]*repair)
		}
		rr.core.corrupt.found++
		rp = &repair{seq: rr.part.log.last.Seq, askedAt: rr.core.now.Mono}
		rr.repairs[key] = rp
	}
	rp.doubt(from)
}

// doubt notes that another replica cannot read the key either.
func (rp *repair) doubt(id ring.ServerID) {
	if !slices.Contains(rp.corrupt, id) {
		rp.corrupt = append(rp.corrupt, id)
	}
}

// ask asks the next acting replica for its item, the primary first.
func (rr *repairer) ask(key Key, rp *repair) {
	var sources []ring.ServerID
	for _, id := range rr.part.view.Acting {
		if id != rr.core.cfg.Self && !slices.Contains(rp.corrupt, id) {
			sources = append(sources, id)
		}
	}
	if len(sources) == 0 {
		rr.core.corrupt.lost++
		rp.become(repairUnrepairable)
		delete(rr.repairs, key)
		for i := range rp.waiting {
			rr.core.refuse(&rp.waiting[i], StatusCorrupt)
		}
		return
	}
	to := sources[rp.turn%len(sources)]
	rp.turn++
	if rp.phase != repairHolding { // which has an answer to fall back on
		rp.become(repairAsking)
	}
	rp.askedAt = rr.core.now.Mono
	rr.part.send(to, &Message{Type: MsgRepairAsk, Seq: rp.seq, Keys: []Key{key}})
}

// await keeps a request at the primary until its key is repaired. Bounded: by
// the partition's queue, and by queueTTL.
func (rr *repairer) await(key Key, q queued) {
	rp := rr.begin(key)
	switch {
	case rp == nil:
		rr.core.refuse(&q, StatusCorrupt)
	case len(rp.waiting) >= queueMax/repairsMax:
		rr.core.refuse(&q, StatusBusy)
	default:
		if q.read != nil {
			q.read.become(readRepairing)
		}
		rp.waiting = append(rp.waiting, q)
	}
}

// onRepairAsk answers with what our log has of a key. Our head must have reached
// the requester's: before, the key may lack the requester's last write of it.
func (rr *repairer) onRepairAsk(from ring.ServerID, m *Message) {
	if rr.part.state != whole || !rr.part.isActing() || len(m.Keys) != 1 {
		return // it asks again, another one next time
	}
	if rr.part.log.last.Seq < m.Seq {
		return
	}
	key := m.Keys[0]
	item, err := rr.part.get(key)
	if err == nil && item != nil {
		_, err = DecodeItem(key, item)
	}
	out := &Message{Type: MsgRepair, Seq: rr.part.log.last.Seq}
	switch {
	case isCorrupt(err):
		out.Flags, item = flagCorrupt, nil
		rr.asked(key, from)
	case err != nil:
		rr.core.fail("read for repairing", err)
		return
	}
	out.Items = []PageItem{{Key: key, Item: item}}
	rr.part.send(from, out)
}

// onRepair handles another replica's answer.
func (rr *repairer) onRepair(from ring.ServerID, m *Message) {
	if len(m.Items) != 1 || !rr.part.view.IsActing(from) {
		return
	}
	key := m.Items[0].Key
	rp := rr.repairs[key]
	if rp == nil || m.Seq < rp.seq {
		return // over, or an answer to an earlier repair of the key
	}
	if m.Flags&flagCorrupt != 0 || !intact(m.Items) {
		rp.doubt(from)
		rr.ask(key, rp)
		return
	}
	rp.answer = m
	rp.become(repairHolding)
	rr.apply(key, rp)
}

// apply stores the item as it was: its version, no entry, no index row. It
// waits for our log to have what the source's log had.
func (rr *repairer) apply(key Key, rp *repair) {
	if rr.part.log.last.Seq < rp.answer.Seq {
		return
	}
	item := rp.answer.Items[0].Item
	v, err := versionOf(item)
	rr.core.fail("repair", err)
	invariant.Check(v.Seq <= rp.seq, "H27", "partition %d term %d: %v is repaired by a state of %v, our log did not write it after %d",
		rr.part.id, rr.part.term, key, v, rp.seq)
	rr.part.put(key, item, NotKnown)
	rp.become(repairDone)
	rr.core.corrupt.repaired++
	delete(rr.repairs, key)
	for _, q := range rp.waiting {
		rr.part.lead.goOn(q)
	}
}

// goOn lets a request whose key is readable go on.
func (l *primary) goOn(q queued) {
	if !l.serves() || q.write != nil && (l.flightBytes > l.core.cfg.Limits.FlightBytes || l.quiesced()) {
		l.enqueue(q)
		return
	}
	l.serve(q)
}

// healed ends the repair of a key that an entry of our log has just written. What
// waited goes on with the commit of that entry.
func (rr *repairer) healed(key Key) {
	rp := rr.repairs[key]
	if rp == nil {
		return
	}
	rp.become(repairHealed)
	delete(rr.repairs, key)
	rr.core.corrupt.repaired++
	for i := range rp.waiting {
		rp.waiting[i].requeue()
	}
	if rr.part.lead != nil {
		rr.part.lead.queue = append(rp.waiting, rr.part.lead.queue...)
	}
}

// drop ends all repairs and returns what waited for them.
func (rr *repairer) drop() (waiting []queued) {
	for _, key := range sortedKeys(rr.repairs) {
		rp := rr.repairs[key]
		rp.become(repairOver)
		waiting = append(waiting, rp.waiting...)
	}
	rr.repairs = nil
	return waiting
}

// tick asks again, and answers who has waited too long.
func (rr *repairer) tick() {
	for _, key := range sortedKeys(rr.repairs) {
		rp := rr.repairs[key]
		kept := rp.waiting[:0]
		for _, q := range rp.waiting {
			if rr.core.now.Mono-q.since > queueTTL {
				rr.core.refuse(&q, StatusCorrupt)
				continue
			}
			kept = append(kept, q)
		}
		rp.waiting = kept
		if rp.phase == repairHolding {
			rr.apply(key, rp)
		} else if rr.core.now.Mono-rp.askedAt >= askAfter {
			rr.ask(key, rp)
		}
	}
}
