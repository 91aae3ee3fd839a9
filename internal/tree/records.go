package tree

import (
	"errors"
	"fmt"

	"viewring/internal/wire"
)

// What operations on record files fail with, beside the errors of steps.
var (
	// ErrRemoved: the record file was removed.
	ErrRemoved = errors.New("the record file was removed")
	// ErrCorrupt is wrapped by what a RecordCalls returns for what can't be read of any copy.
	ErrCorrupt = errors.New("corrupt on all copies")
	// ErrMaybe: the outcome is unknown, for a try was not answered that may take effect yet.
	ErrMaybe = errors.New("a try was not answered, and may take effect yet")
)

// RecordCalls carries out the steps of a record file (server/tree/RECORDS.md), each until there is an answer, or an error after
// which nobody knows more.
type RecordCalls interface {
	Tree(q *wire.TreeRequest) (wire.TreeReply, error)
	// Record carries out all but reads. silent tells that a try may take effect yet.
	Record(q *wire.RecordRequest) (p wire.RecordReply, silent bool, err error)
	// Part reads a part of a chunk.
	Part(c wire.Chunk, part wire.RecordPart, index uint32) (value []byte, found bool, err error)
	// Life is the reset term of a slot's partition, in the newest view that is known.
	Life(slot uint16) uint64
	// Yield pauses for a short time, another one each time, so that others may do what all would do.
	Yield() error
}

// Records is a record file, as those who open chunks, append and join see it. It has no state.
type Records struct {
	Calls RecordCalls
	Of    wire.Content
	First int64 // place of the first record, for who creates it
}

// Chunk is one of its chunks.
func (f *Records) Chunk(index uint32) wire.Chunk { return wire.Chunk{Content: f.Of, Index: index} }

// Look reads the content; ErrRemoved once nothing names it.
func (f *Records) Look() (*wire.TreeContentRecord, error) {
	p, err := f.Calls.Tree(&wire.TreeRequest{Op: wire.TreeContent, Home: f.Of.Home, Nonce: f.Of.Version})
	switch c := p.Content; {
	case err != nil:
		return nil, err
	case p.Code == wire.TreeNoContent, c != nil && (c.State == wire.ContentEnded || c.State == wire.ContentWhole && c.Refs == 0):
		return nil, ErrRemoved
	case p.Code != wire.TreeOK:
		return nil, errorOf(p.Code)
	case c.Records == nil:
		return nil, errors.New("a content that is not of records")
	}
	return p.Content, nil
}

// Head reads the head of a chunk, nil where there is none.
func (f *Records) Head(index uint32) (*wire.RecordHead, error) {
	b, found, err := f.Calls.Part(f.Chunk(index), wire.RecordHeadPart, 0)
	if err != nil || !found {
		return nil, err
	}
	h, err := wire.DecodeRecordHead(b)
	return &h, err
}

// OpenTail makes sure that the last chunk is open, and returns its index. Any number may do
// that at a time.
func (f *Records) OpenTail() (uint32, error) {
	for range attemptsMax {
		c, err := f.Look()
		if err != nil {
			return 0, err
		}
		if c.Reserved == 0 {
			if err := f.extend(1, f.First, 0); err != nil {
				return 0, err
			}
			continue
		}
		tail := uint32(c.Reserved - 1)
		head, err := f.Head(tail)
		switch {
		case err != nil:
			return 0, err
		case head == nil:
			var opened bool
			if opened, err = f.open(tail, c); opened {
				return tail, nil
			}
		case head.State == wire.RecordIsOpen:
			return tail, nil
		case head.State == wire.RecordIsClosed:
			err = f.extend(c.Reserved+1, head.First+head.Records, head.Before+head.Bytes)
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, ErrContended
}

// extend reserves chunks up to reserved, the last of which begins with that number.
func (f *Records) extend(reserved, number, before int64) error {
	last := f.Chunk(uint32(reserved - 1))
	p, err := f.Calls.Tree(&wire.TreeRequest{Op: wire.TreeExtend, Home: f.Of.Home, Nonce: f.Of.Version, Limit: int(reserved),
		Records: wire.TreeRecords{Number: number, Before: before, Life: f.Calls.Life(last.Slot())}})
	switch {
	case err != nil:
		return err
	case p.Code == wire.TreeNoContent:
		return ErrRemoved
	case p.Code == wire.TreeOK, p.Code == wire.TreeInUse: // others came before: the content tells
		return nil
	}
	return errorOf(p.Code)
}

// open opens the last chunk, which has no head, as the content says. It is false where somebody
// else has come, or the chunk is lost.
func (f *Records) open(tail uint32, c *wire.TreeContentRecord) (bool, error) {
	x := c.Records
	q := &wire.RecordRequest{Op: wire.RecordOpen, Chunk: f.Chunk(tail), Life: x.Life,
		Head: wire.RecordHead{State: wire.RecordIsOpen, ChunkBytes: x.ChunkBytes, ClosesIn: x.RetainAge, First: x.Number, Before: x.Before}}
	if tail > 0 {
		if err := f.carry(tail-1, q); err != nil {
			return false, err
		}
	}
	p, _, err := f.Calls.Record(q)
	switch {
	case err != nil:
		return false, err
	case p.Code == wire.RecordLost:
		return false, f.extend(c.Reserved+1, x.Number+wire.RecordsInChunkMax, x.Before)
	case p.Code != wire.RecordOK:
		return false, fmt.Errorf("unexpected outcome %d of the opening of a chunk", p.Code)
	}
	return p.State == wire.RecordIsOpen, nil
}

// lostMax is how many lost chunks in a row are looked past for producers.
const lostMax = 16

// carry gives what opens a chunk the producers of the last one before that is not lost. Of one that is
// erased there are none.
func (f *Records) carry(before uint32, q *wire.RecordRequest) error {
	head, err := f.Head(before)
	for i := 0; err == nil && head == nil && before > 0 && i < lostMax; i++ {
		before--
		head, err = f.Head(before)
	}
	if errors.Is(err, ErrCorrupt) {
		return nil
	}
	if err != nil || head == nil || head.State != wire.RecordIsClosed {
		return err
	}
	q.Head.LastTime = head.LastTime
	for b := range uint32(wire.RecordBuckets) {
		if head.Buckets&(1<<b) == 0 {
			continue
		}
		value, found, err := f.Calls.Part(f.Chunk(before), wire.RecordBucketPart, b)
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err != nil {
			return err
		}
		if found {
			q.Head.Buckets |= 1 << b
			q.Buckets = append(q.Buckets, value)
		}
	}
	return nil
}

// Producers are those that the last chunk which can be read remembers.
func (f *Records) Producers() (all []wire.RecordProducer, err error) {
	c, err := f.Look()
	if err != nil {
		return nil, err
	}
	for k := c.Reserved - 1; k >= c.Records.First; k-- {
		head, err := f.Head(uint32(k))
		switch {
		case errors.Is(err, ErrCorrupt) || err == nil && (head == nil || head.State == wire.RecordIsErased):
			continue
		case err != nil:
			return nil, err
		}
		for b := range uint32(wire.RecordBuckets) {
			if head.Buckets&(1<<b) == 0 {
				continue
			}
			value, found, err := f.Calls.Part(f.Chunk(uint32(k)), wire.RecordBucketPart, b)
			if errors.Is(err, ErrCorrupt) || err == nil && !found {
				continue
			}
			if err != nil {
				return nil, err
			}
			some, err := wire.DecodeRecordProducers(value)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	return nil, nil
}

// next returns where to go on from a chunk that has no head, or is erased: to the tail if that is
// beyond it; else it is opened, by this call or by others.
func (f *Records) next(at uint32, tried bool) (uint32, error) {
	c, err := f.Look()
	if err != nil {
		return at, err
	}
	if tail := c.Reserved - 1; tail > int64(at) {
		return uint32(tail), nil
	}
	if !tried { // whoever met the closed chunk too may be at it
		return at, f.Calls.Yield()
	}
	_, err = f.OpenTail()
	return at, err
}

// Append appends a batch, which q tells but for the chunk: at is where to begin, and then where it
// ended. The reply's code is RecordOK, RecordKnown, or why the batch is refused. After
// an error that is not ErrMaybe, nor one of Calls, nothing was done.
func (f *Records) Append(at *uint32, q *wire.RecordRequest) (wire.RecordReply, error) {
	q.Op = wire.RecordAppend
	maybe, met := false, -1 // whether a try in this chunk may take effect yet; which had no head
	for range attemptsMax {
		q.Chunk = f.Chunk(*at)
		p, silent, err := f.Calls.Record(q)
		maybe = maybe || silent
		if err != nil {
			if maybe {
				err = fmt.Errorf("%w: %w", ErrMaybe, err)
			}
			return p, err
		}
		switch p.Code {
		case wire.RecordClosed:
			*at++
			maybe = false
		case wire.RecordNone:
			next, err := f.next(*at, met == int(*at))
			if met = int(*at); next != *at { // this one never has a head again
				*at, maybe = next, false
			}
			if err != nil {
				if maybe {
					err = fmt.Errorf("%w: %w", ErrMaybe, err)
				}
				return p, err
			}
		case wire.RecordOK, wire.RecordKnown, wire.RecordTooLarge, wire.RecordFenced, wire.RecordOverlap:
			return p, nil
		default: // as things were now: an earlier try may meet them as they will be
			if maybe {
				return p, fmt.Errorf("%w: outcome %d", ErrMaybe, p.Code)
			}
			return p, nil
		}
	}
	if maybe {
		return wire.RecordReply{}, fmt.Errorf("%w: %w", ErrMaybe, ErrContended)
	}
	return wire.RecordReply{}, ErrContended
}

// Join makes the caller the only process that appends as a producer. Another nonce is another
// process. The reply's code is RecordOK, or why it is refused.
func (f *Records) Join(at *uint32, producer [16]byte, nonce uint64) (wire.RecordReply, error) {
	met := -1
	for range attemptsMax {
		p, _, err := f.Calls.Record(&wire.RecordRequest{Op: wire.RecordJoin, Chunk: f.Chunk(*at), Producer: producer, Nonce: nonce})
		if err != nil {
			return p, err
		}
		switch p.Code {
		case wire.RecordClosed:
			*at++
		case wire.RecordNone:
			next, err := f.next(*at, met == int(*at))
			if met = int(*at); err != nil {
				return p, err
			}
			*at = next
		default:
			return p, nil
		}
	}
	return wire.RecordReply{}, ErrContended
}
