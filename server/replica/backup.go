package replica

import (
	"viewring/internal/invariant"
	"viewring/ring"
)

// onAppend applies entries, or a probe without any, from the term's primary.
func (p *part) onAppend(from ring.ServerID, m *Message) {
	if from != p.view.Primary() {
		return
	}
	switch {
	case p.learn != nil:
		p.learn.onAppend(m)
		return
	case p.role != roleBackup || p.state != whole || m.Flags&flagGap != 0:
		return
	}
	p.followLog(m)
}

// followLog applies entries to a whole copy strictly in order (I5).
func (p *part) followLog(m *Message) {
	if m.Prev.Seq > p.log.last.Seq {
		if p.gapSaid == 0 || p.core.now.Mono-p.gapSaid > resendAfter/4 {
			p.gapSaid = p.core.now.Mono
			p.sendAck(flagGap)
		}
		return
	}
	fresh := false
	for _, e := range m.Entries {
		if e.Version.Seq <= p.log.last.Seq {
			continue // a repetition
		}
		invariant.Check(e.Version.Seq == p.log.last.Seq+1, "I5", "partition %d: entry %v after %v", p.id, e.Version, p.log.last)
		p.applyEntry(e)
		invariant.Check(e.Digest == p.log.digest, "I4", "partition %d term %d: digest %x after entry %v, the primary has %x",
			p.id, p.term, p.log.digest, e.Version, e.Digest)
		fresh = true
	}
	if m.Prev.Seq == p.log.last.Seq && len(m.Entries) == 0 {
		invariant.Check(m.Prev == p.log.last, "I5", "partition %d term %d: our log ends at %v, the primary's at %v", p.id, p.term, p.log.last, m.Prev)
	}
	p.gapSaid, p.successorBy = 0, 0
	p.learnCommit(m.Commit)
	if !fresh && p.quiet() {
		p.sendAck(0)
	}
}

// learnCommit notes what the primary has committed.
func (p *part) learnCommit(commit uint64) {
	if commit = min(commit, p.log.last.Seq); commit > p.commit {
		p.commit = commit
		p.answerCommitted()
		p.releaseHeld()
	}
}

// sendAck tells the primary how far our log is durable.
func (p *part) sendAck(flags uint8) {
	var sub uint64
	if p.learn != nil {
		sub = p.learn.sub
		if p.learn.whole() && p.mayBeReady() {
			if p.learn.phase == following {
				p.learn.become(announced)
			}
			flags |= flagReady
		}
	}
	p.send(p.view.Primary(), &Message{Type: MsgAck, Flags: flags | p.core.roomFlag() | p.owesFlag(), Sub: sub, Seq: p.durable, Digest: p.durableDigest})
}
