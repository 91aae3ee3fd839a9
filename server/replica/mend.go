package replica

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// mendsMax bounds the keys of a partition that are mended at the same time.
const mendsMax = 64

// mender has the keys of a whole acting copy that cannot be read, for one term.
type mender struct {
	core  *Core
	part  *part
	mends map[Key]*mend // Invariant: at most mendsMax; none where the copy is not whole, or does not act
}

// step takes a message about a mend.
func (mr *mender) step(from ring.ServerID, m *Message) {
	switch m.Type {
	case MsgMendAsk:
		mr.onMendAsk(from, m)
	case MsgMend:
		mr.onMend(from, m)
	}
}

// mend is a key of our whole copy whose stored bytes cannot be trusted, while
// another acting replica is asked for its item (hole 27). It ends with the term.
//
// Logs of acting replicas are prefixes of each other, so an answer made at head
// q is the key's state in our own log too, at any head of ours from q on, as long
// as no entry after seq wrote the key: such an entry heals it and ends the mend.
type mend struct {
	phase   mendPhase
	seq     uint64          // our head when the damage was noticed; older answers say nothing
	corrupt []ring.ServerID // who cannot read the key either
	turn    int             // asks so far
	askedAt time.Duration
	answer  *Message // made at a head that our log has not reached yet
	waiting []queued // at the primary: requests that need the key
}

// mendPhase is how far a mend has come.
type mendPhase uint8

const (
	mendSuspected  mendPhase = iota // somebody asked us for the key: we ask on the next tick
	mendAsking                      // another replica is asked
	mendHolding                     // an answer waits for our log to come to its head
	mendDone                        // the item is stored
	mendHealed                      // an entry wrote the key
	mendUnmendable                  // nobody is left to ask
	mendOver                        // the term is, or the copy was dropped
)

var mendNext = []phases{
	mendSuspected:  to(mendAsking, mendHolding, mendHealed, mendUnmendable, mendOver),
	mendAsking:     to(mendAsking, mendHolding, mendHealed, mendUnmendable, mendOver),
	mendHolding:    to(mendHolding, mendDone, mendHealed, mendUnmendable, mendOver),
	mendDone:       0,
	mendHealed:     0,
	mendUnmendable: 0,
	mendOver:       0,
}

func (p mendPhase) String() string {
	return [...]string{"suspected", "asking", "holding", "done", "healed", "unmendable", "over"}[p]
}

func (md *mend) become(next mendPhase) { move(mendNext, &md.phase, next) }

// Mend takes the scrub's word that a key's stored bytes are corrupt; the core
// looks again.
func (c *Core) Mend(at Instant, id ring.PartitionID, key Key) {
	c.enter(at)
	p := c.part(id)
	if p == nil || p.state != whole {
		return
	}
	if _, err := p.get(key); isCorrupt(err) {
		p.mender.begin(key)
	}
}

// mendKey begins to mend a key, or finds the mend under way. It returns nil when
// nobody can be asked.
func (mr *mender) begin(key Key) *mend {
	if md := mr.mends[key]; md != nil {
		return md
	}
	if mr.part.state != whole || !mr.part.isActing() || len(mr.mends) >= mendsMax {
		return nil
	}
	if mr.mends == nil {
		mr.mends = make(map[Key]*mend)
	}
	mr.core.mending.found++
	md := &mend{seq: mr.part.log.last.Seq}
	mr.mends[key] = md
	mr.ask(key, md)
	return mr.mends[key]
}

// mendAsked notes that we cannot read what another replica, which cannot read it
// either, asks us for. We ask the others on the next tick: two copies that are
// both corrupt must not send each other questions for ever.
func (mr *mender) asked(key Key, from ring.ServerID) {
	md := mr.mends[key]
	if md == nil {
		if len(mr.mends) >= mendsMax {
			return
		}
		if mr.mends == nil {
			mr.mends = make(map[Key]*mend)
		}
		mr.core.mending.found++
		md = &mend{seq: mr.part.log.last.Seq, askedAt: mr.core.now.Mono}
		mr.mends[key] = md
	}
	md.doubt(from)
}

// doubt notes that another replica cannot read the key either.
func (md *mend) doubt(id ring.ServerID) {
	if !slices.Contains(md.corrupt, id) {
		md.corrupt = append(md.corrupt, id)
	}
}

// askMend asks the next acting replica for its item, the primary first.
func (mr *mender) ask(key Key, md *mend) {
	var sources []ring.ServerID
	for _, id := range mr.part.view.Acting {
		if id != mr.core.cfg.Self && !slices.Contains(md.corrupt, id) {
			sources = append(sources, id)
		}
	}
	if len(sources) == 0 {
		mr.core.mending.lost++
		md.become(mendUnmendable)
		delete(mr.mends, key)
		for i := range md.waiting {
			mr.core.refuse(&md.waiting[i], StatusCorrupt)
		}
		return
	}
	to := sources[md.turn%len(sources)]
	md.turn++
	if md.phase != mendHolding { // which has an answer to fall back on
		md.become(mendAsking)
	}
	md.askedAt = mr.core.now.Mono
	mr.part.send(to, &Message{Type: MsgMendAsk, Seq: md.seq, Keys: []Key{key}})
}

// awaitMend keeps a request at the primary until its key is mended. Bounded: by
// the partition's queue, and by queueTTL.
func (mr *mender) await(key Key, q queued) {
	md := mr.begin(key)
	switch {
	case md == nil:
		mr.core.refuse(&q, StatusCorrupt)
	case len(md.waiting) >= queueMax/mendsMax:
		mr.core.refuse(&q, StatusBusy)
	default:
		if q.read != nil {
			q.read.become(readRepairing)
		}
		md.waiting = append(md.waiting, q)
	}
}

// onMendAsk answers with what our log has of a key. Our head must have reached
// the asker's: before, the key may lack the asker's last write of it.
func (mr *mender) onMendAsk(from ring.ServerID, m *Message) {
	if mr.part.state != whole || !mr.part.isActing() || len(m.Keys) != 1 {
		return // it asks again, another one next time
	}
	if mr.part.log.last.Seq < m.Seq {
		return
	}
	key := m.Keys[0]
	item, err := mr.part.get(key)
	if err == nil && item != nil {
		_, err = DecodeItem(key, item)
	}
	out := &Message{Type: MsgMend, Seq: mr.part.log.last.Seq}
	switch {
	case isCorrupt(err):
		out.Flags, item = flagCorrupt, nil
		mr.asked(key, from)
	case err != nil:
		mr.core.fail("read for mending", err)
		return
	}
	out.Items = []PageItem{{Key: key, Item: item}}
	mr.part.send(from, out)
}

// onMend takes another replica's item.
func (mr *mender) onMend(from ring.ServerID, m *Message) {
	if len(m.Items) != 1 || !mr.part.view.IsActing(from) {
		return
	}
	key := m.Items[0].Key
	md := mr.mends[key]
	if md == nil || m.Seq < md.seq {
		return // over, or an answer to an earlier mend of the key
	}
	if m.Flags&flagCorrupt != 0 || !intact(m.Items) {
		md.doubt(from)
		mr.ask(key, md)
		return
	}
	md.answer = m
	md.become(mendHolding)
	mr.take(key, md)
}

// takeMend stores the item as it was: its version, no entry, no index row. It
// waits for our log to have what the source's log had.
func (mr *mender) take(key Key, md *mend) {
	if mr.part.log.last.Seq < md.answer.Seq {
		return
	}
	item := md.answer.Items[0].Item
	v, err := versionOf(item)
	mr.core.fail("mend", err)
	invariant.Check(v.Seq <= md.seq, "H27", "partition %d term %d: %v is mended by a state of %v, our log did not write it after %d",
		mr.part.id, mr.part.term, key, v, md.seq)
	mr.part.put(key, item, NotKnown)
	md.become(mendDone)
	mr.core.mending.mended++
	delete(mr.mends, key)
	for _, q := range md.waiting {
		mr.part.lead.goOn(q)
	}
}

// goOn lets a request whose key is readable go on.
func (l *primary) goOn(q queued) {
	if !l.serves() || q.write != nil && (l.flightBytes > l.core.cfg.Limits.FlightBytes || l.hushed()) {
		l.enqueue(q)
		return
	}
	l.serve(q)
}

// healed ends the mend of a key that an entry of our log has just written. What
// waited goes on with the commit of that entry.
func (mr *mender) healed(key Key) {
	md := mr.mends[key]
	if md == nil {
		return
	}
	md.become(mendHealed)
	delete(mr.mends, key)
	mr.core.mending.mended++
	for i := range md.waiting {
		md.waiting[i].requeue()
	}
	if mr.part.lead != nil {
		mr.part.lead.queue = append(md.waiting, mr.part.lead.queue...)
	}
}

// drop ends all mends and returns what waited for them.
func (mr *mender) drop() (waiting []queued) {
	for _, key := range sortedKeys(mr.mends) {
		md := mr.mends[key]
		md.become(mendOver)
		waiting = append(waiting, md.waiting...)
	}
	mr.mends = nil
	return waiting
}

// tickMends asks again, and answers who has waited too long.
func (mr *mender) tick() {
	for _, key := range sortedKeys(mr.mends) {
		md := mr.mends[key]
		kept := md.waiting[:0]
		for _, q := range md.waiting {
			if mr.core.now.Mono-q.since > queueTTL {
				mr.core.refuse(&q, StatusCorrupt)
				continue
			}
			kept = append(kept, q)
		}
		md.waiting = kept
		if md.phase == mendHolding {
			mr.take(key, md)
		} else if mr.core.now.Mono-md.askedAt >= askAfter {
			mr.ask(key, md)
		}
	}
}
