package tree

import (
	"errors"

	"viewring/internal/wire"
)

// RecordReader reads a record file in order. Not safe for concurrent use.
type RecordReader struct {
	f    *Records
	k    uint32           // the chunk,
	n    int64            // and the batch in it, that comes next
	due  int64            // number of the record that comes next
	head *wire.RecordHead // of the chunk, as it was read last; nil: not yet
	look bool             // it is to be read again

	doubted int64 // batches of the chunk up to here were looked for twice
	retired bool  // what comes before the chunk is not kept any more
}

// RecordEvent is what comes next: a batch, or a loss, or nothing yet.
type RecordEvent struct {
	Batch    *wire.RecordBatch // those of its records count whose numbers are From to To-1
	Lost     bool              // records From to To-1 can't be read, or are not kept any more
	From, To int64
	Retired  bool // all of them were not kept any more
}

// Nothing reports that there is nothing more yet: whoever wants more waits until the head of
// RecordReader.At changes, or is made.
func (e *RecordEvent) Nothing() bool { return e.Batch == nil && !e.Lost }

// Reader returns one that begins with the first record of a chunk from number due on.
func (f *Records) Reader(chunk uint32, due int64) *RecordReader {
	return &RecordReader{f: f, k: chunk, due: due}
}

// At is the chunk in which it is.
func (r *RecordReader) At() wire.Chunk { return r.f.Chunk(r.k) }

// Batch is the index in its chunk of the batch that comes next.
func (r *RecordReader) Batch() uint32 { return uint32(r.n) }

// Due is the number of the record that comes next.
func (r *RecordReader) Due() int64 { return r.due }

// Head notes the head of the chunk, as it was told.
func (r *RecordReader) Head(h *wire.RecordHead) {
	if r.head == nil || h.State > r.head.State || h.Batches > r.head.Batches {
		r.head, r.look = h, false
	}
}

// Ahead is how many batches of the chunk are known to come next.
func (r *RecordReader) Ahead() int64 {
	if r.head == nil {
		return 0
	}
	return r.head.Batches - r.n
}

// goTo goes on with another chunk.
func (r *RecordReader) goTo(k uint32) { r.k, r.n, r.head, r.look, r.doubted = k, 0, nil, false, 0 }

// Next tells what comes next.
func (r *RecordReader) Next() (e RecordEvent, err error) {
	for {
		if r.head == nil || r.look {
			passed, err := r.readHead()
			if err != nil {
				return e, err
			}
			if passed {
				continue
			}
			if r.head == nil {
				return e, nil
			}
		}
		switch {
		case r.n == 0 && r.head.First > r.due:
			e = r.lost(r.head.First)
			e.Retired, r.retired = r.retired, false
			return e, nil
		case r.n < r.head.Batches:
			if e, err = r.batch(); err != nil || !e.Nothing() {
				return e, err
			}
		case r.head.State == wire.RecordIsClosed:
			if end := r.head.First + r.head.Records; r.due < end {
				return r.lost(end), nil
			}
			r.goTo(r.k + 1)
		default:
			r.look = true
			return e, nil
		}
	}
}

func (r *RecordReader) lost(to int64) RecordEvent {
	e := RecordEvent{Lost: true, From: r.due, To: to}
	r.due = to
	return e
}

// readHead reads the head of the chunk. passed tells that another chunk comes next.
func (r *RecordReader) readHead() (passed bool, err error) {
	head, err := r.f.Head(r.k)
	if errors.Is(err, ErrCorrupt) {
		return r.withoutHead()
	}
	if err != nil {
		return false, err
	}
	if head != nil && head.State != wire.RecordIsErased {
		r.head, r.look = head, false
		return false, nil
	}
	r.head = nil
	c, err := r.f.Look()
	switch {
	case err != nil:
		return false, err
	case int64(r.k) < c.Records.First:
		r.goTo(uint32(c.Records.First))
		r.retired = true
		return true, nil
	case int64(r.k) < c.Reserved-1:
		r.goTo(r.k + 1) // lost, or about to be retired
		return true, nil
	}
	return false, nil
}

// withoutHead reads on where the head can't be read: it stands for as many batches as are found.
func (r *RecordReader) withoutHead() (passed bool, err error) {
	_, found, err := r.f.Calls.Part(r.At(), wire.RecordBatchPart, uint32(r.n))
	switch {
	case err != nil && !errors.Is(err, ErrCorrupt):
		return false, err
	case found || err != nil:
		r.head, r.look = &wire.RecordHead{State: wire.RecordIsOpen, First: r.due, Batches: r.n + 1}, true
		return false, nil
	}
	c, err := r.f.Look()
	if err != nil {
		return false, err
	}
	if r.head = nil; int64(r.k) < c.Reserved-1 {
		r.goTo(r.k + 1)
		return true, nil
	}
	return false, nil
}

// batch reads the next batch; nothing where all of it came before, or it is lost, which the next number tells.
func (r *RecordReader) batch() (e RecordEvent, err error) {
	value, found, err := r.f.Calls.Part(r.At(), wire.RecordBatchPart, uint32(r.n))
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return e, err
	}
	if err == nil && !found && r.doubted <= r.n { // is the chunk as it was?
		r.look, r.doubted = true, r.n+1
		return e, nil
	}
	r.n++
	if err != nil || !found {
		return r.skipped(), nil
	}
	b, err := wire.DecodeRecordBatch(value)
	switch {
	case err != nil:
		return r.skipped(), nil
	case b.First+b.Count <= r.due:
		return e, nil
	case b.First > r.due: // and comes again
		r.n--
		return r.lost(b.First), nil
	}
	e = RecordEvent{Batch: &b, From: r.due, To: b.First + b.Count}
	r.due = e.To
	return e, nil
}

// skipped is what is known to be lost with a batch: nothing yet, unless it was the last.
func (r *RecordReader) skipped() RecordEvent {
	if end := r.head.First + r.head.Records; r.n == r.head.Batches && r.due < end {
		return r.lost(end)
	}
	return RecordEvent{}
}
