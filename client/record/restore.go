package record

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// What it takes to make a record file again as it was elsewhere: package backup uses it.

// ProducerInfo is what is known of a named producer.
type ProducerInfo struct {
	ID   [16]byte // Entry.Producer
	Next int64    // sequence of the record that comes next
}

// Producers tells of the named producers that the file remembers.
func (f *File) Producers(ctx context.Context) (named []ProducerInfo, err error) {
	o := f.s.op(ctx, "list the producers of", f.path)
	all, err := f.records(o).Producers()
	if err != nil {
		return nil, o.failed(err)
	}
	for _, p := range all {
		if p.Named {
			named = append(named, ProducerInfo{p.ID, p.Next})
		}
	}
	return named, nil
}

// Origin says who had appended records elsewhere.
type Origin struct {
	Producer [16]byte
	Named    bool
	Sequence int64 // of the first of them
}

// Restore appends records that had been appended elsewhere, as of the same producer and sequences: one that is named is remembered, and
// goes on behind them when it joins. Where sequences are missing before them, they are appended as nobody's that is known:
// kept is false then. It is for who is alone with the file. After client.ErrUnknownOutcome they may be there.
func (f *File) Restore(ctx context.Context, from Origin, records ...[]byte) (out Appended, kept bool, err error) {
	o := f.s.op(ctx, "restore records of", f.path)
	b, _, err := f.batch(records)
	if err != nil {
		return Appended{}, false, o.failed(err)
	}
	q := wire.RecordRequest{Producer: from.Producer, Named: from.Named, Sequence: from.Sequence, Count: int64(len(records)), Records: b}
	first := q
	out, err = f.append(o, &first)
	var gap *GapError
	var overlap *overlapError
	if kept = err == nil; errors.As(err, &gap) || errors.As(err, &overlap) {
		q.Named, q.Sequence = false, 0
		_, _ = rand.Read(q.Producer[:]) // never fails
		out, err = f.append(o, &q)
	}
	if err == nil && out.Place < 0 {
		err = fmt.Errorf("%w: records of sequence %d were there already", client.ErrRefused, from.Sequence)
	}
	return out, kept, o.failed(err)
}

// RestoreReader gives a name that reads the file a place, if it has none: made is false where it has.
func (f *File) RestoreReader(ctx context.Context, name string, group bool, next int64) (made bool, err error) {
	o := f.s.op(ctx, fmt.Sprintf("restore the reader %q of", name), f.path)
	if err := tree.CheckName(name); err != nil {
		return false, o.failed(err)
	}
	_, err = f.reach(o, tree.Join(readersOf(f.of), name), func() (place, error) {
		if group {
			from := AtPlace(next)
			return f.groupAt(o, &from)
		}
		return place{Kind: kindReader, Path: f.path, Nonce: newNonce(), Next: next}, nil
	})
	if errors.Is(err, tree.ErrNodeExists) {
		return false, nil
	}
	return err == nil, o.failed(err)
}
