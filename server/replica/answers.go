package replica

import (
	"slices"
	"time"
)

// A write has its answer from the server that sequenced it, once it is committed. That may
// be in a later term: a primary that is replaced goes on acting until it has answered
// (rule 6, hole 32), for an acting replica undoes nothing, and a new primary takes the longest
// log.

// waitingWrite is a sequenced request without an answer yet.
type waitingWrite struct {
	seq    uint64
	since  time.Duration
	answer Answer
}

// await keeps a request's answer until an entry that is in the log already is committed.
func (p *part) await(w waitingWrite) {
	i := len(p.waiting)
	for i > 0 && p.waiting[i-1].seq > w.seq {
		i--
	}
	p.waiting = slices.Insert(p.waiting, i, w)
}

// answerCommitted answers the writes that are committed.
func (p *part) answerCommitted() {
	n := 0
	for n < len(p.waiting) && p.waiting[n].seq <= p.commit {
		p.core.answer(p.waiting[n].answer)
		n++
	}
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
}

// answerUnknown answers what was sequenced, and will perhaps be committed by others.
func (p *part) answerUnknown() {
	for _, w := range p.waiting {
		p.core.answer(Answer{Token: w.answer.Token, Status: StatusUnknown})
	}
	p.waiting = nil
}

// expireWaiting answers writes that wait for a commit which does not come. They may still
// take effect.
func (p *part) expireWaiting() {
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		if p.core.now.Mono-w.since > writeTTL {
			p.core.answer(Answer{Token: w.answer.Token, Status: StatusUnknown})
			continue
		}
		kept = append(kept, w)
	}
	p.waiting = kept
}

// owesFlag is what a backup says with an Ack or a State of the answers that it still owes.
func (p *part) owesFlag() uint8 {
	if len(p.waiting) > 0 {
		return flagOwes
	}
	return 0
}
