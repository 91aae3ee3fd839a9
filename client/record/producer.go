package record

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Producer appends records in the name of something that outlives processes, and numbers
// them: the file remembers the number of the last one, and takes each once. One process at a
// time is a producer: the last that has joined.
type Producer struct {
	f     *File
	id    [16]byte
	epoch uint64
	nonce uint64 // of the join
	known bool
	last  Appended // of the last batch when it joined

	mu      sync.Mutex // held by an append
	next    int64      // sequence of the next record
	pending *pending
}

// pending is a batch of which it is not known what came of it.
type pending struct {
	sequence, count int64
	sum             uint64
}

// producerID is the id of a name. No random one is the same.
func producerID(name string) (id [16]byte) {
	sum := sha256.Sum256([]byte("viewring named producer\x00" + name))
	return [16]byte(sum[:])
}

// Join makes this process the only one that appends as the producer of a name: what others, who
// joined before, have sent and what has not landed is refused from now on, and they are told ErrFenced.
func (f *File) Join(ctx context.Context, name string) (*Producer, error) {
	o := f.s.op(ctx, fmt.Sprintf("join as %q", name), f.path)
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	nonce := binary.BigEndian.Uint64(random[:])
	at := f.at.Load()
	id := producerID(name)
	p, err := f.records(o).Join(&at, id, nonce)
	f.at.Store(at)
	switch {
	case err != nil:
		return nil, o.failed(err)
	case p.Code == wire.RecordTooMany:
		return nil, o.failed(ErrTooManyProducers)
	case p.Code != wire.RecordOK:
		return nil, o.failed(fmt.Errorf("%w: unexpected outcome %d", client.ErrRefused, p.Code))
	}
	out := &Producer{f: f, id: id, epoch: p.Epoch, nonce: nonce, known: p.Known, next: p.Next}
	if p.Known {
		out.last = Appended{Place: p.Place, Time: time.UnixMilli(p.Time), Known: true}
	}
	return out, nil
}

// Known reports whether the file remembered the producer when it joined. One that is not known has not
// appended to it; or what it had appended is lost, by an operator's word.
func (p *Producer) Known() bool { return p.known }

// Next is the sequence of the record that comes next: that of the first is what the first Append says.
func (p *Producer) Next() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

// Append appends records, the first of which has that sequence, and the others the next. It must be Next, or lower: records
// that are in the file already, by an earlier call or process, are not appended again, and are taken to be the same. A
// higher one is ErrGap, unless the producer is new. It is repeated until it is answered, or ctx ends. After client.ErrUnknownOutcome the same
// records must be sent again, with the same sequence, before others are: else ErrPending. Calls come one after the other.
func (p *Producer) Append(ctx context.Context, sequence int64, records ...[]byte) (Appended, error) {
	o := p.f.s.op(ctx, "append to", p.f.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := p.append(o, sequence, records)
	return out, o.failed(err)
}

func (p *Producer) append(o *op, sequence int64, records [][]byte) (Appended, error) {
	b, _, err := p.f.batch(records)
	if err == nil && sequence < 0 {
		err = fmt.Errorf("the sequence %d", sequence)
	}
	if err != nil {
		return Appended{}, err
	}
	this := pending{sequence, int64(len(records)), wire.RecordSum(b)}
	if p.pending != nil && *p.pending != this {
		return Appended{}, ErrPending
	}
	q := &wire.RecordRequest{Producer: p.id, Named: true, Epoch: p.epoch, Nonce: p.nonce, Sequence: sequence, Count: this.count, Records: b}
	out, err := p.f.append(o, q)
	var overlap *overlapError
	if errors.As(err, &overlap) { // the rest of it
		var rest Appended
		if rest, err = p.append(o, overlap.Next, records[overlap.Next-sequence:]); err == nil {
			out = Appended{Place: -1, Last: rest.Last, Time: rest.Time, Known: rest.Known}
		}
		out.Count = this.count
	}
	p.pending = nil
	switch {
	case err == nil:
		p.next, p.known = max(p.next, sequence+this.count), true
	case errors.Is(err, client.ErrUnknownOutcome), errors.Is(err, tree.ErrMaybe):
		p.pending = &this
	}
	return out, err
}
