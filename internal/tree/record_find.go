package tree

import (
	"errors"
	"sort"

	"viewring/internal/wire"
)

// RecordEntry is the value of a record file's node. A build that does not know it can't read the
// file.
var RecordEntry = []byte{3}

// position is where a batch lies.
type position struct {
	k     uint32
	n     int64
	first int64 // number of the first record of the batch, or of the next that comes
}

// headFrom returns the first chunk from k on that can be read, nil if there is none up to the last.
func (f *Records) headFrom(k, last uint32) (uint32, *wire.RecordHead, error) {
	for ; k <= last; k++ {
		h, err := f.Head(k)
		switch {
		case err != nil && !errors.Is(err, ErrCorrupt):
			return k, nil, err
		case err == nil && h != nil && h.State != wire.RecordIsErased:
			return k, h, nil
		}
	}
	return k, nil, nil
}

// find returns where the first batch lies for which chunk and batch are true, which are false of all that
// come before; the end where there is none. A batch that can't be read counts as one before.
func (f *Records) find(chunk func(*wire.RecordHead) bool, batch func(*wire.RecordBatch) bool) (p position, err error) {
	c, err := f.Look()
	if err != nil {
		return p, err
	}
	first, last := uint32(c.Records.First), uint32(max(0, c.Reserved-1))
	fails := func(e error) bool {
		if err == nil {
			err = e
		}
		return err != nil
	}
	i := sort.Search(int(last-first)+1, func(i int) bool {
		_, h, e := f.headFrom(first+uint32(i), last)
		return fails(e) || h == nil || chunk(h)
	})
	if err != nil {
		return p, err
	}
	k, head, err := f.headFrom(first+uint32(i), last)
	if err != nil {
		return p, err
	}
	if head == nil {
		return f.end(first, last, c.Records.Number)
	}
	n := sort.Search(int(head.Batches), func(n int) bool {
		value, found, e := f.Calls.Part(f.Chunk(k), wire.RecordBatchPart, uint32(n))
		if errors.Is(e, ErrCorrupt) || e == nil && !found {
			return false
		}
		if fails(e) {
			return true
		}
		b, e := wire.DecodeRecordBatch(value)
		return e == nil && batch(&b)
	})
	if err != nil {
		return p, err
	}
	if n == 0 {
		return position{k, 0, head.First}, nil
	}
	if n == int(head.Batches) {
		return position{k, int64(n), head.First + head.Records}, nil
	}
	value, found, err := f.Calls.Part(f.Chunk(k), wire.RecordBatchPart, uint32(n))
	if err != nil || !found {
		return position{k, 0, head.First}, err
	}
	b, err := wire.DecodeRecordBatch(value)
	return position{k, int64(n), b.First}, err
}

// end is where the next batch will lie: behind the last chunk that has a head.
func (f *Records) end(first, last uint32, number int64) (position, error) {
	for k := int64(last); k >= int64(first); k-- {
		h, err := f.Head(uint32(k))
		if err != nil {
			return position{}, err
		}
		if h != nil && h.State != wire.RecordIsErased {
			return position{uint32(k), h.Batches, h.First + h.Records}, nil
		}
	}
	return position{last, 0, number}, nil
}

// reader begins at a position.
func (f *Records) readerAt(p position, err error) (*RecordReader, error) {
	if err != nil {
		return nil, err
	}
	return &RecordReader{f: f, k: p.k, n: p.n, due: p.first}, nil
}

// ReaderAtPlace begins with the batch that has a place, or with what comes next if there is
// none: records of lower places may come first.
func (f *Records) ReaderAtPlace(place int64) (*RecordReader, error) {
	return f.readerAt(f.find(func(h *wire.RecordHead) bool { return h.First+h.Records > place },
		func(b *wire.RecordBatch) bool { return b.First+b.Count > place }))
}

// ReaderFrom is ReaderAtPlace for one that has read what comes before the place: what is missing from there on is a loss.
func (f *Records) ReaderFrom(place int64) (*RecordReader, error) {
	r, err := f.ReaderAtPlace(place)
	if err != nil || r.due <= place {
		return r, err
	}
	c, err := f.Look()
	if err != nil {
		return nil, err
	}
	r.due, r.retired = place, r.n == 0 && c.Records.First > 0 && int64(r.k) == c.Records.First
	return r, nil
}

// FirstFrom returns the first chunk from k on that is kept and can be read, and its head; nil where there is none up to the
// last. retired tells that k is not kept any more.
func (f *Records) FirstFrom(k uint32) (index uint32, head *wire.RecordHead, retired bool, err error) {
	c, err := f.Look()
	if err != nil {
		return k, nil, false, err
	}
	retired = int64(k) < c.Records.First
	if last := c.Reserved - 1; last >= 0 && int64(k) <= last {
		index, head, err = f.headFrom(max(k, uint32(c.Records.First)), uint32(last))
	}
	return index, head, retired, err
}

// ReaderAtTime begins with the first batch that is not older, in unix milliseconds.
func (f *Records) ReaderAtTime(ms int64) (*RecordReader, error) {
	return f.readerAt(f.find(func(h *wire.RecordHead) bool { return h.Batches > 0 && h.LastTime >= ms },
		func(b *wire.RecordBatch) bool { return b.Time >= ms }))
}

// ReaderAtEnd begins behind the last record that there is.
func (f *Records) ReaderAtEnd() (*RecordReader, error) {
	c, err := f.Look()
	if err != nil {
		return nil, err
	}
	return f.readerAt(f.end(uint32(c.Records.First), uint32(max(0, c.Reserved-1)), c.Records.Number))
}

// ReaderAtStart begins with the first record that is kept.
func (f *Records) ReaderAtStart() (*RecordReader, error) {
	c, err := f.Look()
	if err != nil {
		return nil, err
	}
	last := uint32(max(0, c.Reserved-1))
	k, h, err := f.headFrom(uint32(c.Records.First), last)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return f.readerAt(position{last, 0, c.Records.Number}, nil)
	}
	return f.readerAt(position{k, 0, h.First}, nil)
}
