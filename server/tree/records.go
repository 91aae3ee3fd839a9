package tree

import (
	"encoding/binary"
	"fmt"
	"slices"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// Steps in chunks of record files (RECORDS.md).

const bucketFormat = 1

// Bounds of a bucket, in producers.
const (
	bucketNamedMax   = 512
	bucketUnnamedMax = 64
	bucketCarried    = 32 // unnamed ones that go on to the next chunk
)

// producer is what a bucket knows of one.
type producer struct {
	id      [16]byte
	named   bool
	fresh   bool // it has joined, and not appended
	epoch   uint64
	nonce   uint64 // of its last join
	first   int64  // sequence of its last batch
	records int64  // of its last batch
	place   int64  // of its last batch
	time    int64
}

// next is the sequence that follows those which are in the file.
func (p *producer) next() int64 { return p.first + p.records }

// producerBytesMin is what a producer takes at least.
const producerBytesMin = 16 + 1 + 1 + 8 + 4

const (
	producerNamed = 1 << iota
	producerFresh
)

func encodeBucket(all []producer) []byte {
	b := []byte{bucketFormat}
	b = binary.AppendUvarint(b, uint64(len(all)))
	for i := range all {
		p := &all[i]
		flags := byte(0)
		if p.named {
			flags |= producerNamed
		}
		if p.fresh {
			flags |= producerFresh
		}
		b = append(append(b, p.id[:]...), flags)
		b = binary.AppendUvarint(b, p.epoch)
		b = binary.BigEndian.AppendUint64(b, p.nonce)
		for _, n := range []int64{p.first, p.records, p.place, p.time} {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return b
}

// decodeBucket reads what encodeBucket wrote; nothing of no bucket.
func decodeBucket(b []byte) ([]producer, error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := codec.NewReader(b)
	if f := r.Byte(); f != bucketFormat {
		return nil, fmt.Errorf("%w: bucket format %d, this build reads %d", replica.ErrCorrupt, f, bucketFormat)
	}
	all := make([]producer, r.Count(producerBytesMin))
	for i := range all {
		p := &all[i]
		r.Fixed(p.id[:])
		flags := r.Byte()
		p.named, p.fresh = flags&producerNamed != 0, flags&producerFresh != 0
		p.epoch, p.nonce = r.Uvarint(), r.Uint64()
		for _, n := range []*int64{&p.first, &p.records, &p.place, &p.time} {
			*n = int64(r.Uvarint() & (1<<62 - 1))
		}
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("%w: bucket: %w", replica.ErrCorrupt, err)
	}
	return all, nil
}

// recordStep is a step in a chunk while it is evaluated.
type recordStep struct {
	q    *wire.RecordRequest
	term uint64 // of the partition in the view that the server knows,
	life uint64 // and its reset term
	made *wire.RecordReply
}

// RecordKey is the key of what a RecordGet reads and a RecordDelete deletes.
func RecordKey(q *wire.RecordRequest) replica.Key {
	return recordKey(&q.Chunk, q.Part, q.Index)
}

func recordKey(c *wire.Chunk, part wire.RecordPart, index uint32) replica.Key {
	space := replica.SpaceFile
	if part == wire.RecordBatchPart {
		space = replica.SpaceChunk
	}
	return replica.MakeKey(c.Slot(), space, c.PartName(part, index))
}

// FillRecord makes r the request to the core that carries out a step but RecordGet, at a server
// whose view has the chunk's partition in term, reset in life. The reply is filled in once r is answered
// with StatusOK; a RecordDelete has none.
func FillRecord(q *wire.RecordRequest, term, life uint64, r *replica.Request) *wire.RecordReply {
	r.Frees = q.Op.Frees()
	if q.Op == wire.RecordDelete {
		r.Op, r.Key = replica.OpDelete, RecordKey(q)
		return &wire.RecordReply{}
	}
	s := recordStep{q: q, term: term, life: life, made: &wire.RecordReply{}}
	r.Op, r.Keys, r.Evaluate = replica.OpEvaluate, s.keys(), s.evaluate
	r.Key = r.Keys[0]
	return s.made
}

// keys are the head, and the buckets that the step looks at.
func (s recordStep) keys() []replica.Key {
	keys := []replica.Key{s.key(wire.RecordHeadPart, 0)}
	switch s.q.Op {
	case wire.RecordAppend, wire.RecordJoin:
		keys = append(keys, s.key(wire.RecordBucketPart, wire.RecordBucketOf(s.q.Producer)))
	case wire.RecordOpen:
		for b := range uint32(wire.RecordBuckets) {
			if s.q.Head.Buckets&(1<<b) != 0 {
				keys = append(keys, s.key(wire.RecordBucketPart, b))
			}
		}
	}
	return keys
}

func (s recordStep) key(part wire.RecordPart, index uint32) replica.Key {
	return recordKey(&s.q.Chunk, part, index)
}

// answer is the outcome of a step that changes nothing but writes.
func (s recordStep) answer(p wire.RecordReply, writes ...replica.KeyWrite) replica.Outcome {
	*s.made = p
	return replica.Outcome{Writes: writes, Answer: replica.Answer{Status: replica.StatusOK}}
}

func (s recordStep) code(c wire.RecordCode) replica.Outcome {
	return s.answer(wire.RecordReply{Code: c})
}

// evaluate is the replica.Evaluation of the step.
func (s recordStep) evaluate(found []replica.Item, version replica.Version, now int64) replica.Outcome {
	var head *wire.RecordHead
	if !found[0].Version.IsZero() {
		h, err := wire.DecodeRecordHead(found[0].Value)
		if err != nil {
			return s.code(wire.RecordUnreadable)
		}
		head = &h
	}
	switch s.q.Op {
	case wire.RecordOpen:
		return s.open(head, version)
	case wire.RecordErase:
		return s.erase(head)
	}
	if head == nil || head.State == wire.RecordIsErased {
		return s.code(wire.RecordNone)
	}
	bucket, err := decodeBucket(found[1].Value)
	if err != nil {
		return s.code(wire.RecordUnreadable)
	}
	if s.q.Op == wire.RecordJoin {
		return s.join(head, bucket)
	}
	if out, done := s.mayAppend(head, bucket, now); done {
		return out
	}
	batch := s.key(wire.RecordBatchPart, uint32(head.Batches))
	if len(found) < 3 {
		return replica.Outcome{More: []replica.Key{batch}}
	}
	if !found[2].Version.IsZero() {
		return s.code(wire.RecordUnreadable) // a batch is never written again
	}
	return s.append(head, bucket, batch, now)
}

// open makes the head of a chunk that has none, if its partition is as it was when the chunk was
// reserved. A view of another term than that of the log might not know of a reset.
func (s recordStep) open(head *wire.RecordHead, version replica.Version) replica.Outcome {
	switch {
	case version.Term != s.term:
		return s.code(wire.RecordAgain)
	case head != nil:
		return s.answer(wire.RecordReply{State: head.State})
	case s.life != s.q.Life:
		return s.code(wire.RecordLost)
	}
	h := s.q.Head
	h.State, h.Records, h.Batches, h.Bytes, h.FirstTime = wire.RecordIsOpen, 0, 0, 0, 0
	keys := s.keys()
	if len(s.q.Buckets) != len(keys)-1 {
		return s.code(wire.RecordUnreadable)
	}
	writes := []replica.KeyWrite{{Key: keys[0], Value: wire.AppendRecordHead(nil, &h)}}
	for i, b := range s.q.Buckets {
		all, err := decodeBucket(b)
		if err != nil {
			return s.code(wire.RecordUnreadable)
		}
		writes = append(writes, replica.KeyWrite{Key: keys[1+i], Value: encodeBucket(carried(all))})
	}
	return s.answer(wire.RecordReply{State: h.State}, writes...)
}

// carried are the producers that go on to the next chunk: all that are named, and of the others
// the newest. They are in the order of their last batches.
func carried(all []producer) []producer {
	drop := -bucketCarried
	for i := range all {
		if !all[i].named {
			drop++
		}
	}
	return slices.DeleteFunc(all, func(p producer) bool {
		drops := !p.named && drop > 0
		if drops {
			drop--
		}
		return drops
	})
}

// erase lets nothing more into a chunk.
func (s recordStep) erase(head *wire.RecordHead) replica.Outcome {
	if head == nil {
		return s.code(wire.RecordNone)
	}
	p := wire.RecordReply{State: wire.RecordIsErased, Batches: head.Batches}
	if head.State == wire.RecordIsErased {
		return s.answer(p)
	}
	head.State = wire.RecordIsErased
	return s.answer(p, s.writeHead(head))
}

func (s recordStep) writeHead(h *wire.RecordHead) replica.KeyWrite {
	return replica.KeyWrite{Key: s.key(wire.RecordHeadPart, 0), Value: wire.AppendRecordHead(nil, h)}
}

// writeBucket writes the producer's bucket, which h has from then on.
func (s recordStep) writeBucket(h *wire.RecordHead, all []producer) replica.KeyWrite {
	b := wire.RecordBucketOf(s.q.Producer)
	h.Buckets |= 1 << b
	return replica.KeyWrite{Key: s.key(wire.RecordBucketPart, b), Value: encodeBucket(all)}
}

func (s recordStep) find(all []producer) *producer {
	if i := slices.IndexFunc(all, func(p producer) bool { return p.id == s.q.Producer }); i >= 0 {
		return &all[i]
	}
	return nil
}

func count(all []producer, named bool) (n int) {
	for i := range all {
		if all[i].named == named {
			n++
		}
	}
	return n
}

// join makes a process the only one that appends as a named producer.
func (s recordStep) join(head *wire.RecordHead, all []producer) replica.Outcome {
	p := s.find(all)
	switch {
	case p != nil && p.nonce == s.q.Nonce:
		return s.joined(p)
	case head.State != wire.RecordIsOpen:
		return s.code(wire.RecordClosed)
	case p == nil && count(all, true) >= bucketNamedMax:
		return s.code(wire.RecordTooMany)
	case p == nil:
		all = append(all, producer{id: s.q.Producer, named: true, fresh: true, time: head.LastTime})
		p = &all[len(all)-1]
	}
	p.epoch++
	p.nonce = s.q.Nonce
	bucket := s.writeBucket(head, all)
	out := s.joined(p)
	out.Writes = []replica.KeyWrite{s.writeHead(head), bucket}
	return out
}

func (s recordStep) joined(p *producer) replica.Outcome {
	return s.answer(wire.RecordReply{Epoch: p.epoch, Next: p.next(), Known: !p.fresh, Place: p.place, Time: p.time})
}

// mayAppend comes to the outcome of an append that is not to be carried out; done is false of one
// that is.
func (s recordStep) mayAppend(head *wire.RecordHead, all []producer, now int64) (out replica.Outcome, done bool) {
	q := s.q
	if most := head.ChunkBytes / wire.RecordBatchShare; q.Size > most {
		return s.answer(wire.RecordReply{Code: wire.RecordTooLarge, Next: most}), true
	}
	p := s.find(all)
	if p != nil && s.isFenced(p) {
		return s.answer(wire.RecordReply{Code: wire.RecordFenced, Epoch: p.epoch}), true
	}
	known := p != nil && !p.fresh
	if known && p.next() >= q.Sequence+q.Count {
		place := int64(-1)
		if p.first == q.Sequence && p.records == q.Count {
			place = p.place
		}
		return s.answer(wire.RecordReply{Code: wire.RecordKnown, Place: place, Next: p.next(), Time: p.time}), true
	}
	switch {
	case head.State != wire.RecordIsOpen:
		return s.code(wire.RecordClosed), true
	case known && p.next() < q.Sequence:
		return s.answer(wire.RecordReply{Code: wire.RecordGap, Next: p.next()}), true
	case known && p.next() > q.Sequence:
		return s.answer(wire.RecordReply{Code: wire.RecordOverlap, Next: p.next()}), true
	case p == nil && q.Named && count(all, true) >= bucketNamedMax:
		return s.code(wire.RecordTooMany), true
	}
	full := p == nil && !q.Named && count(all, false) >= bucketUnnamedMax
	if head.Batches > 0 && (full || !fits(head, q, now)) {
		head.State = wire.RecordIsClosed
		return s.answer(wire.RecordReply{Code: wire.RecordClosed}, s.writeHead(head)), true
	}
	return out, false
}

// isFenced reports whether another process has joined since as the producer. Who joined in a chunk that is
// lost may have an epoch above, or the same as somebody who joined after it; in place of nobody it may go on.
func (s recordStep) isFenced(p *producer) bool {
	q := s.q
	return q.Epoch < p.epoch || q.Epoch == p.epoch && q.Nonce != p.nonce || q.Epoch > p.epoch && q.Sequence != p.next()
}

// fits reports whether a batch has room in a chunk that is not empty.
func fits(h *wire.RecordHead, q *wire.RecordRequest, now int64) bool {
	return h.Bytes+int64(len(q.Records)+wire.RecordBatchHeadMax) <= h.ChunkBytes && h.Batches < wire.RecordBatchesMax &&
		h.Records+q.Count <= wire.RecordsInChunkMax && (h.ClosesIn == 0 || now-h.FirstTime <= h.ClosesIn)
}

// append writes a batch, with the head and the bucket that know of it.
func (s recordStep) append(head *wire.RecordHead, all []producer, key replica.Key, now int64) replica.Outcome {
	q := s.q
	now = max(now, head.LastTime)
	batch := wire.RecordBatch{First: head.First + head.Records, Time: now, Producer: q.Producer, Sequence: q.Sequence, Count: q.Count, Sum: q.Sum, Records: q.Records}
	value := wire.AppendRecordBatch(make([]byte, 0, len(q.Records)+wire.RecordBatchHeadMax), &batch)
	p := producer{id: q.Producer, named: q.Named, epoch: q.Epoch, nonce: q.Nonce, first: q.Sequence, records: q.Count, place: batch.First, time: now}
	if old := s.find(all); old != nil {
		p.named = old.named
		all = slices.DeleteFunc(all, func(o producer) bool { return o.id == p.id })
	}
	all = append(all, p) // the last to have appended
	if head.Batches == 0 {
		head.FirstTime = now
	}
	head.LastTime = now
	head.Records += q.Count
	head.Batches++
	head.Bytes += int64(len(value))
	bucket := s.writeBucket(head, all)
	return s.answer(wire.RecordReply{Place: batch.First, Next: p.next(), Time: now},
		replica.KeyWrite{Key: key, Value: value}, s.writeHead(head), bucket)
}
