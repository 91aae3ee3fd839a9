package replica

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// mendsMax bounds the keys of a partition that are mended at the same time.
const mendsMax = 64

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
	if _, err := c.get(p, key); isCorrupt(err) {
		c.mendKey(p, key)
	}
}

// mendKey begins to mend a key, or finds the mend under way. It returns nil when
// nobody can be asked.
func (c *Core) mendKey(p *part, key Key) *mend {
	if md := p.mends[key]; md != nil {
		return md
	}
	if p.state != whole || !p.isActing() || len(p.mends) >= mendsMax {
		return nil
	}
	if p.mends == nil {
		p.mends = make(map[Key]*mend)
	}
	c.mending.found++
	md := &mend{seq: p.log.last.Seq}
	p.mends[key] = md
	c.askMend(p, key, md)
	return p.mends[key]
}

// mendAsked notes that we cannot read what another replica, which cannot read it
// either, asks us for. We ask the others on the next tick: two copies that are
// both corrupt must not send each other questions for ever.
func (c *Core) mendAsked(p *part, key Key, from ring.ServerID) {
	md := p.mends[key]
	if md == nil {
		if len(p.mends) >= mendsMax {
			return
		}
		if p.mends == nil {
			p.mends = make(map[Key]*mend)
		}
		c.mending.found++
		md = &mend{seq: p.log.last.Seq, askedAt: c.now.Mono}
		p.mends[key] = md
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
func (c *Core) askMend(p *part, key Key, md *mend) {
	var sources []ring.ServerID
	for _, id := range p.view.Acting {
		if id != c.cfg.Self && !slices.Contains(md.corrupt, id) {
			sources = append(sources, id)
		}
	}
	if len(sources) == 0 {
		c.mending.lost++
		md.become(mendUnmendable)
		delete(p.mends, key)
		for i := range md.waiting {
			c.refuse(&md.waiting[i], StatusCorrupt)
		}
		return
	}
	to := sources[md.turn%len(sources)]
	md.turn++
	if md.phase != mendHolding { // which has an answer to fall back on
		md.become(mendAsking)
	}
	md.askedAt = c.now.Mono
	c.send(p, to, &Message{Type: MsgMendAsk, Seq: md.seq, Keys: []Key{key}})
}

// awaitMend keeps a request at the primary until its key is mended. Bounded: by
// the partition's queue, and by queueTTL.
func (c *Core) awaitMend(p *part, key Key, q queued) {
	md := c.mendKey(p, key)
	switch {
	case md == nil:
		c.refuse(&q, StatusCorrupt)
	case len(md.waiting) >= queueMax/mendsMax:
		c.refuse(&q, StatusBusy)
	default:
		if q.read != nil {
			q.read.become(readRepairing)
		}
		md.waiting = append(md.waiting, q)
	}
}

// onMendAsk answers with what our log has of a key. Our head must have reached
// the asker's: before, the key may lack the asker's last write of it.
func (c *Core) onMendAsk(p *part, from ring.ServerID, m *Message) {
	if p.state != whole || !p.isActing() || len(m.Keys) != 1 {
		return // it asks again, another one next time
	}
	if p.log.last.Seq < m.Seq {
		return
	}
	key := m.Keys[0]
	item, err := c.get(p, key)
	if err == nil && item != nil {
		_, err = DecodeItem(key, item)
	}
	out := &Message{Type: MsgMend, Seq: p.log.last.Seq}
	switch {
	case isCorrupt(err):
		out.Flags, item = flagCorrupt, nil
		c.mendAsked(p, key, from)
	case err != nil:
		c.fail("read for mending", err)
		return
	}
	out.Items = []PageItem{{Key: key, Item: item}}
	c.send(p, from, out)
}

// onMend takes another replica's item.
func (c *Core) onMend(p *part, from ring.ServerID, m *Message) {
	if len(m.Items) != 1 || !p.view.IsActing(from) {
		return
	}
	key := m.Items[0].Key
	md := p.mends[key]
	if md == nil || m.Seq < md.seq {
		return // over, or an answer to an earlier mend of the key
	}
	if m.Flags&flagCorrupt != 0 || !intact(m.Items) {
		md.doubt(from)
		c.askMend(p, key, md)
		return
	}
	md.answer = m
	md.become(mendHolding)
	c.takeMend(p, key, md)
}

// takeMend stores the item as it was: its version, no entry, no index row. It
// waits for our log to have what the source's log had.
func (c *Core) takeMend(p *part, key Key, md *mend) {
	if p.log.last.Seq < md.answer.Seq {
		return
	}
	item := md.answer.Items[0].Item
	v, err := versionOf(item)
	c.fail("mend", err)
	invariant.Check(v.Seq <= md.seq, "H27", "partition %d term %d: %v is mended by a state of %v, our log did not write it after %d",
		p.id, p.term, key, v, md.seq)
	c.put(p, key, item, NotKnown)
	md.become(mendDone)
	c.mending.mended++
	delete(p.mends, key)
	for _, q := range md.waiting {
		c.goOn(p, q)
	}
}

// goOn lets a request whose key is readable go on.
func (c *Core) goOn(p *part, q queued) {
	if l := p.lead; !l.serves() || q.write != nil && (l.flightBytes > c.cfg.Limits.FlightBytes || c.hushed(l)) {
		c.enqueue(p, q)
		return
	}
	c.serve(p, q)
}

// healed ends the mend of a key that an entry of our log has just written. What
// waited goes on with the commit of that entry.
func (c *Core) healed(p *part, key Key) {
	md := p.mends[key]
	if md == nil {
		return
	}
	md.become(mendHealed)
	delete(p.mends, key)
	c.mending.mended++
	for i := range md.waiting {
		md.waiting[i].requeue()
	}
	if p.lead != nil {
		p.lead.queue = append(md.waiting, p.lead.queue...)
	}
}

// dropMends ends all mends of a term and returns what waited for them.
func (p *part) dropMends() []queued {
	var waiting []queued
	for _, key := range sortedKeys(p.mends) {
		md := p.mends[key]
		md.become(mendOver)
		waiting = append(waiting, md.waiting...)
	}
	p.mends = nil
	return waiting
}

// tickMends asks again, and answers who has waited too long.
func (c *Core) tickMends(p *part) {
	for _, key := range sortedKeys(p.mends) {
		md := p.mends[key]
		kept := md.waiting[:0]
		for _, q := range md.waiting {
			if c.now.Mono-q.since > queueTTL {
				c.refuse(&q, StatusCorrupt)
				continue
			}
			kept = append(kept, q)
		}
		md.waiting = kept
		if md.phase == mendHolding {
			c.takeMend(p, key, md)
		} else if c.now.Mono-md.askedAt >= askAfter {
			c.askMend(p, key, md)
		}
	}
}
