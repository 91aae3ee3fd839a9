package replica

import (
	"viewring/internal/invariant"
	"viewring/ring"
)

// send hands out a message of partition p.
func (p *part) send(to ring.ServerID, m *Message) {
	m.Partition, m.Term = p.id, p.term
	p.core.out.Send = grow(p.core.out.Send, p.core.sizes.send, Envelope{To: to, Msg: m})
}

// put stores an item, or deletes it where item is nil. known is of what the copy had before.
func (p *part) put(key Key, item []byte, known Presence) {
	if item == nil {
		p.core.op(StoreOp{Kind: DeleteItem, Partition: p.id, Key: key, Known: known})
	} else {
		p.core.op(StoreOp{Kind: PutItem, Partition: p.id, Key: key, Value: item, Known: known})
	}
	p.core.overlay[itemID{p.id, key}] = item
}

// get returns the stored item at the head of the log.
func (p *part) get(key Key) ([]byte, error) {
	if p.inBatch(key) {
		return p.core.overlay[itemID{p.id, key}], nil // nil too where the batch has emptied the partition
	}
	return p.core.st.Get(p.id, key)
}

// inBatch reports whether the batch being filled says what a key has.
func (p *part) inBatch(key Key) bool {
	_, ok := p.core.overlay[itemID{p.id, key}]
	return ok || p.wiping == p.core.number && p.core.batch != nil && p.wiping > 0
}

// putRow stores an index row.
func (p *part) putRow(row Row) {
	p.core.op(StoreOp{Kind: PutIndex, Partition: p.id, Seq: row.Seq, Value: appendRow(make([]byte, 0, rowsBytes([]Row{row})), row)})
}

// putEntryRow stores the index row of an entry.
func (p *part) putEntryRow(e *Entry) {
	p.core.op(StoreOp{Kind: PutIndex, Partition: p.id, Seq: e.Version.Seq, Value: e.appendRow(make([]byte, 0, e.rowBytes()))})
}

// touch makes p's meta part of the batch being filled.
func (p *part) touch() {
	if !p.dirty {
		p.dirty = true
		p.core.dirty = append(p.core.dirty, p)
	}
}

// wipe drops everything stored of p.
func (p *part) wipe() {
	p.core.op(StoreOp{Kind: WipePartition, Partition: p.id})
	for id := range p.core.overlay {
		if id.p == p.id {
			delete(p.core.overlay, id)
		}
	}
	p.wiping = p.core.number
	p.generation++
	p.become(absent)
	p.log, p.commit, p.floor = logState{}, 0, 0
	p.durable, p.durableDigest, p.commitSaved = 0, 0, 0
	if p.damage != sound {
		move(damageNext, &p.damage, sound)
	}
	p.repairer.drop() // nothing waits for them: a copy that acts is not dropped within its term
	p.touch()
}

// mark says what of a partition is durable once a batch is.
type mark struct {
	number     uint64
	p          *part
	generation uint64
	last       Version
	digest     uint64
}

// flushMeta writes p's meta into the batch and notes what its sync will mean.
func (p *part) flushMeta() {
	p.dirty = false
	if p.state != absent {
		p.core.op(StoreOp{Kind: PutMeta, Partition: p.id, Value: appendMeta(make([]byte, 0, metaBytes+metaTermBytes*len(p.log.history)), p.meta)})
	}
	p.commitSaved, p.savedAt = p.commit, p.core.now.Mono
	p.unsynced++
	p.core.marks = append(p.core.marks, mark{number: p.core.number, p: p, generation: p.generation, last: p.log.last, digest: p.log.digest})
}

// onDurable acts on a part of the log having become durable.
func (p *part) onDurable(k mark) {
	p.unsynced--
	if k.generation != p.generation {
		return
	}
	invariant.Check(k.last.Seq >= p.durable, "I5", "partition %d: durable went from %d to %d", p.id, p.durable, k.last.Seq)
	p.durable, p.durableDigest = k.last.Seq, k.digest
	switch {
	case p.learn != nil:
		p.learn.onDurable()
	case p.lead != nil:
		p.lead.tryReconcile()
		p.lead.advanceCommit()
	case p.role == roleBackup:
		if p.stateOwed {
			p.sendState()
		} else {
			p.sendAck(0)
		}
	}
}
