package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Append puts what r gives behind the end of a file, or makes it the file where there is none. As all changes of a part, it makes a new
// content that shares what it can of the old one's chunks, and puts it in place of the old one if the file is
// as it was when Append began: else it fails with ErrChanged, and nothing is done.
func (f *FS) Append(ctx context.Context, path string, r io.Reader) (Info, error) {
	o := f.op(ctx, "append to", path)
	e, err := o.file(path)
	if errors.Is(err, tree.ErrNoNode) { // before anything was read of r
		return f.Put(ctx, path, r, PutOptions{IfAbsent: true})
	}
	if err != nil {
		return Info{}, o.failed(err)
	}
	info, err := o.update(e, e.Bytes, r)
	return info, o.edited(err)
}

// Update puts what r gives into a file, from an offset on, over what was there. Where that is beyond the end,
// zeros are in between, of which whole chunks take no room. Nothing is done where r gives
// nothing. See Append.
func (f *FS) Update(ctx context.Context, path string, offset int64, r io.Reader) (Info, error) {
	o := f.op(ctx, "write to", path)
	if err := checkSize(offset); err != nil {
		return Info{}, o.failed(err)
	}
	e, err := o.file(path)
	if err != nil {
		return Info{}, o.failed(err)
	}
	info, err := o.update(e, offset, r)
	return info, o.edited(err)
}

// Truncate makes a file shorter, or longer by zeros, of which whole chunks take no room. See Append.
func (f *FS) Truncate(ctx context.Context, path string, size int64) (Info, error) {
	o := f.op(ctx, "truncate", path)
	if err := checkSize(size); err != nil {
		return Info{}, o.failed(err)
	}
	e, err := o.file(path)
	if err != nil || size == e.Bytes {
		info, err := e.infoOr(err)
		return info, o.failed(err)
	}
	info, err := o.truncate(e, size)
	return info, o.edited(err)
}

// sizeMax is the length of a file, so that no sum of lengths is too large for its type.
const sizeMax = 1 << 60

func checkSize(n int64) error {
	switch {
	case n < 0:
		return fmt.Errorf("%w: %d bytes are less than none", client.ErrRefused, n)
	case n > sizeMax:
		return fmt.Errorf("%w: a file has %d bytes at most", client.ErrTooLarge, int64(sizeMax))
	}
	return nil
}

// edited is failed for changes of a part of a file that was there: who finds the old bytes gone, or no
// file any more, comes after another change.
func (o *op) edited(err error) error {
	if errors.Is(err, ErrReplaced) || errors.Is(err, tree.ErrNoNode) {
		err = ErrChanged
	}
	return o.failed(err)
}

// all returns the bytes from the beginning of a small file, or of a small part of one.
func (o *op) all(e *entry, to int64) ([]byte, error) {
	if e.manifest == nil {
		return slices.Clone(e.node.Value[:to]), nil
	}
	var out []byte
	var sum uint64
	err := o.read(e, 0, to, func(p *piece) error {
		out, sum = append(out, p.bytes...), sum+p.sum
		return nil
	})
	if err == nil && to == e.Bytes && sum != e.manifest.sum {
		err = fmt.Errorf("%w: %016x was read, %016x was written", ErrChecksum, sum, e.manifest.sum)
	}
	return out, err
}

// update writes into a file as it was found, at an offset.
func (o *op) update(e *entry, offset int64, r io.Reader) (Info, error) {
	w := when{modified: e.node.Modified}
	r = input{r}
	head := make([]byte, o.f.inline+1)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	switch ended := err == io.EOF || err == io.ErrUnexpectedEOF; {
	case err != nil && !ended:
		return Info{}, fmt.Errorf("read what is to be written: %w", err)
	case n == 0:
		return e.Info, nil
	case ended && max(e.Bytes, offset+int64(n)) <= o.f.inline:
		value, err := o.all(e, e.Bytes)
		if err != nil {
			return Info{}, err
		}
		value = append(value, make([]byte, max(offset+int64(n)-e.Bytes, 0))...)
		copy(value[offset:], head)
		return o.putInline(e.Path, value, w, e.edited())
	}
	b := o.rebuild(e)
	defer b.close()
	if err := b.splice(e, offset, io.MultiReader(bytes.NewReader(head), r)); err != nil {
		return Info{}, err
	}
	return b.recommit(e, w)
}

// rebuild begins a file that shares chunks with an old one.
func (o *op) rebuild(e *entry) *builder {
	if e.manifest == nil {
		return o.build(e.home, 0, e.edited())
	}
	b := o.build(e.home, e.manifest.chunkSize, e.edited())
	b.m.starts = slices.Clone(e.manifest.starts)
	return b
}

// splice builds the file that an old one becomes when what r gives is written over it from an offset on.
func (b *builder) splice(e *entry, offset int64, r io.Reader) error {
	size := b.m.chunkSize
	first := min(offset, e.Bytes) / size // chunk that changes
	if err := b.share(e, 0, first); err != nil {
		return err
	}
	if offset/size > first {
		if err := b.fill(e, (first+1)*size); err != nil {
			return err
		}
		if err := b.hole(offset/size-b.chunks, size); err != nil {
			return err
		}
	}
	head, err := b.old(e, b.size, min(offset, e.Bytes))
	if err != nil {
		return err
	}
	zeros := make([]byte, offset-b.size-int64(len(head))) // less than a chunk
	written := &teller{r: r, told: func(int64) {}}
	tail := &lazy{read: func() ([]byte, error) {
		end := offset + written.n
		return b.old(e, end, min((end+size-1)/size*size, e.Bytes))
	}}
	if err := b.stream(io.MultiReader(bytes.NewReader(head), bytes.NewReader(zeros), written, tail)); err != nil {
		return err
	}
	last := min(b.chunks, chunksOf(e.Bytes, size))
	if err := b.share(e, b.chunks, chunksOf(e.Bytes, size)); err != nil {
		return err
	}
	return b.sumShared(e, first, last)
}

// lazy reads what is known only once all before it was read.
type lazy struct {
	read func() ([]byte, error)
	from *bytes.Reader
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.from == nil {
		b, err := l.read()
		if err != nil {
			return 0, err
		}
		l.from = bytes.NewReader(b)
	}
	return l.from.Read(p)
}

// old returns bytes of the old file, of one chunk; none where from is not below to.
func (b *builder) old(e *entry, from, to int64) ([]byte, error) {
	switch {
	case from >= to:
		return nil, nil
	case e.manifest == nil:
		return e.node.Value[from:to], nil
	}
	k := from / b.m.chunkSize
	return b.chunk(e, k, from-k*b.m.chunkSize, to-from)
}

// fill makes what there is of the old file's last chunk the next one, with zeros up to an offset. There may
// be nothing of it.
func (b *builder) fill(e *entry, to int64) error {
	head, err := b.old(e, b.size, e.Bytes)
	if err != nil || len(head) == 0 {
		return err
	}
	p, err := b.buffer()
	if err != nil {
		return err
	}
	n := copy(p, head)
	clear(p[n:])
	return b.put(p[:to-b.size])
}

// hole adds n chunks that nobody writes, of which the last has that length.
func (b *builder) hole(n, last int64) error {
	if n > chunksMax-b.chunks {
		return fmt.Errorf("%w: more than %d chunks of %d bytes", client.ErrTooLarge, int64(chunksMax), b.m.chunkSize)
	}
	if n > 0 {
		b.m.add(extent{hole: true, count: n})
		b.chunks += n
		b.size += (n-1)*b.m.chunkSize + last
	}
	return nil
}

// share adds the old file's chunks from k to end, which have the same place in the new one. Their
// part of the checksum is for sumShared, but of an old file that has no chunks to be shared: that is copied.
func (b *builder) share(e *entry, k, end int64) error {
	size := b.m.chunkSize
	if e.manifest == nil {
		for ; k < end; k++ {
			p, err := b.buffer()
			if err != nil {
				return err
			}
			if err := b.put(p[:copy(p, e.node.Value[k*size:])]); err != nil {
				return err
			}
		}
		return nil
	}
	for from, x := range e.manifest.between(k, end) {
		b.m.add(extent{content: e.contentOf(x), hole: x.hole, first: x.first, count: x.count})
		b.chunks += x.count
		b.size += min((from+x.count)*size, e.Bytes) - from*size
	}
	return nil
}

// sumShared adds the checksum of the old file's chunks that are shared: all but those from k to end, which it reads, and
// takes away from what the whole has. So it is that of the bytes that were written, whatever others read of the chunks.
func (b *builder) sumShared(e *entry, k, end int64) error {
	if e.manifest == nil {
		return nil
	}
	sum, err := b.sumOf(e, k, end)
	b.m.sum += e.manifest.sum - sum
	return err
}

// sumOf reads the old file's chunks from k to end for their checksum.
func (b *builder) sumOf(e *entry, k, end int64) (sum uint64, err error) {
	size := b.m.chunkSize
	for from, x := range e.manifest.between(k, end) {
		if x.hole {
			continue
		}
		err := b.read(e, from*size, min((from+x.count)*size, e.Bytes), func(p *piece) error {
			sum += p.sum
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// sumKept adds the checksum of the old file's first chunks, of which there are n: where they are fewer than the others by
// reading them. Then it reads the others too and compares that of all of them, unless they are so many that they are
// rather believed: servers have compared one of each.
func (b *builder) sumKept(e *entry, n int64) error {
	all := chunksOf(e.Bytes, b.m.chunkSize)
	if n >= all-n {
		return b.sumShared(e, n, all)
	}
	sum, err := b.sumOf(e, 0, n)
	if err == nil && all <= compareMax {
		var others uint64
		if others, err = b.sumOf(e, n, all); err == nil && sum+others != e.manifest.sum {
			err = fmt.Errorf("%w: %016x was read, %016x was written", ErrChecksum, sum+others, e.manifest.sum)
		}
	}
	b.m.sum += sum
	return err
}

// compareMax is how many chunks are read to compare the checksum of those that a truncation leaves.
const compareMax = 64

func (o *op) truncate(e *entry, size int64) (Info, error) {
	w := when{modified: e.node.Modified}
	if size <= o.f.inline {
		value, err := o.all(e, min(size, e.Bytes))
		if err != nil {
			return Info{}, err
		}
		return o.putInline(e.Path, append(value, make([]byte, size-int64(len(value)))...), w, e.edited())
	}
	b := o.rebuild(e)
	defer b.close()
	var err error
	if size < e.Bytes {
		err = b.shorten(e, size)
	} else {
		err = b.lengthen(e, size)
	}
	if err != nil {
		return Info{}, err
	}
	return b.recommit(e, w)
}

// infoOr is the entry's Info, unless there is an error.
func (e *entry) infoOr(err error) (Info, error) {
	if err != nil {
		return Info{}, err
	}
	return e.Info, nil
}

// lengthen builds the old file with zeros behind it.
func (b *builder) lengthen(e *entry, size int64) error {
	chunk := b.m.chunkSize
	full := e.Bytes / chunk
	if err := b.share(e, 0, full); err != nil {
		return err
	}
	if err := b.fill(e, min((full+1)*chunk, size)); err != nil {
		return err
	}
	if n := chunksOf(size, chunk); n > b.chunks {
		if err := b.hole(n-b.chunks, size-(n-1)*chunk); err != nil {
			return err
		}
	}
	return b.sumShared(e, full, chunksOf(e.Bytes, chunk))
}

// shorten builds the beginning of the old file. The last chunk is shared also where only a part of
// it is left.
func (b *builder) shorten(e *entry, size int64) error {
	if e.manifest == nil {
		return b.stream(bytes.NewReader(e.node.Value[:size]))
	}
	chunk := b.m.chunkSize
	full, n := size/chunk, chunksOf(size, chunk)
	if err := b.share(e, 0, n); err != nil {
		return err
	}
	b.size = size
	if full < n {
		err := b.read(e, full*chunk, size, func(p *piece) error {
			b.m.sum += p.sum
			return nil
		})
		if err != nil {
			return err
		}
	}
	return b.sumKept(e, full)
}

// recommit makes what was built of an old file the file in its place. Where that would be in too many pieces it
// gets chunks of its own before.
func (b *builder) recommit(e *entry, w when) (Info, error) {
	if !b.m.fits() && (len(b.m.owners()) > ownersMax || b.m.merged() <= len(b.m.extents)/2) {
		if err := b.compact(e); err != nil {
			return Info{}, err
		}
	}
	return b.commit(e.Path, w)
}

// compact copies all chunks of others.
func (b *builder) compact(e *entry) error {
	shared := *e
	shared.Bytes, shared.manifest = b.size, &manifest{chunkSize: b.m.chunkSize, extents: b.m.extents}
	b.m.extents = nil
	k := int64(0)
	for _, x := range shared.manifest.extents {
		from := k
		k += x.count
		if x.hole || x.content == (wire.TreeVersion{}) {
			b.m.add(x)
			continue
		}
		err := b.read(&shared, from*b.m.chunkSize, min(k*b.m.chunkSize, b.size), func(p *piece) error {
			to, err := b.buffer()
			if err != nil {
				return err
			}
			index, err := b.c.put(to[:copy(to, p.bytes)])
			b.m.add(extent{first: index, count: 1})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyAll makes all of a file the new one, with chunks of its own.
func (b *builder) copyAll(e *entry) error {
	if e.manifest == nil {
		return b.stream(bytes.NewReader(e.node.Value))
	}
	size := b.m.chunkSize
	b.m.starts = slices.Clone(e.manifest.starts)
	for from, x := range e.manifest.between(0, chunksOf(e.Bytes, size)) {
		end := min((from+x.count)*size, e.Bytes)
		var err error
		if x.hole {
			err = b.hole(x.count, end-(from+x.count-1)*size)
		} else {
			err = b.read(e, from*size, end, func(p *piece) error {
				to, err := b.buffer()
				if err != nil {
					return err
				}
				return b.put(to[:copy(to, p.bytes)])
			})
		}
		if err != nil {
			return err
		}
	}
	if b.m.sum != e.manifest.sum {
		return fmt.Errorf("%w: %016x was read, %016x was written", ErrChecksum, b.m.sum, e.manifest.sum)
	}
	return nil
}
