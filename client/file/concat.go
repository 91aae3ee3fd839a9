package file

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Beside returns path with a {tag} behind it, so that files in the directory of that name lie in the same slot
// as those of dir: then Copy and Concat from one to the other share chunks, and copy none. The path is
// one without braces.
func Beside(dir, path string) (string, error) {
	if err := errors.Join(tree.Check(dir), tree.Check(path)); err != nil {
		return "", err
	}
	if strings.ContainsAny(path, "{}") {
		return "", fmt.Errorf("%w: %s has braces", ErrBadPath, path)
	}
	slot := homeOf(dir)
	for n := range besideMax {
		if tag := strconv.Itoa(n); homeOf(tag) == slot {
			return path + "{" + tag + "}", nil
		}
	}
	panic("file: a slot that no number is in")
}

// besideMax is above the numbers that are looked at for one in each slot.
const besideMax = 1 << 20

// concatOwnersMax is ownersMax for a file that is put together: of as many parts as servers allow.
const concatOwnersMax = wire.TreeOwnersMax

// Concat makes the file at a path of others, one behind the other, each as it was at one moment. The file is
// replaced at one instant, as by Put, and the parts stay. Chunks of a part are shared, not
// copied, where its directory lies in the same slot (see Beside), its chunks are as long as the new file's, it begins at a
// multiple of that length and ends at one, or is the last; and while the parts come from no more than 256 writes. All else is
// copied. Chunks are as long as those of the first part that has some, unless PutOptions.ChunkBytes says else.
func (f *FS) Concat(ctx context.Context, path string, parts []string, opts PutOptions) (Info, error) {
	o := f.op(ctx, "put together", path)
	if err := o.mayPut(path, &opts); err != nil {
		return Info{}, o.failed(err)
	}
	for range attemptsMax {
		info, err := o.concat(path, parts, &opts)
		if !errors.Is(err, ErrReplaced) { // by now a part is another
			return info, o.failed(err)
		}
	}
	return Info{}, o.failed(ErrContended)
}

func (o *op) concat(path string, names []string, opts *PutOptions) (Info, error) {
	parts, err := o.parts(names, opts.Part)
	if err != nil {
		return Info{}, err
	}
	w := when{absent: opts.IfAbsent, modified: wire.TreeVersion(opts.IfModified)}
	total, size := int64(0), opts.ChunkBytes
	for _, e := range parts {
		if total += e.Bytes; total > sizeMax {
			return Info{}, checkSize(total)
		}
		if size == 0 && e.manifest != nil {
			size = e.manifest.chunkSize
		}
	}
	if total <= o.f.inline {
		value := make([]byte, 0, total)
		for _, e := range parts {
			b, err := o.all(e, e.Bytes)
			if err != nil {
				return Info{}, err
			}
			value = append(value, b...)
		}
		return o.putInline(path, value, w, opts.Seal)
	}
	keeping, cancel := context.WithCancel(o.ctx)
	defer cancel()
	go o.within(keeping).keepParts(parts)
	b := o.build(homeOfFile(path), size, opts.Seal)
	defer b.close()
	if err := b.join(parts); err != nil {
		return Info{}, err
	}
	return b.commit(path, w)
}

// parts reads the entries of files that are not empty.
func (o *op) parts(names []string, found func(int, Info) error) ([]*entry, error) {
	all, errs := make([]*entry, len(names)), make([]error, len(names))
	var running sync.WaitGroup
	for w := range parallelMax {
		running.Go(func() {
			for i := w; i < len(names); i += parallelMax {
				all[i], errs[i] = o.file(names[i])
			}
		})
	}
	running.Wait()
	var parts []*entry
	for i, e := range all {
		if err := errs[i]; err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], told(err))
		}
		if found != nil {
			if err := found(i, e.Info); err != nil {
				return nil, err
			}
		}
		if e.Bytes > 0 {
			parts = append(parts, e)
		}
	}
	return parts, nil
}

// keepParts keeps the contents of parts from being deleted while they are copied, until the context ends.
func (o *op) keepParts(parts []*entry) {
	tick := time.NewTicker(readTouchEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-tick.C:
		}
		for _, e := range parts {
			if e.manifest != nil {
				_, _ = o.ask(&wire.TreeRequest{Op: wire.TreeTouch, Home: e.home, Nonce: e.node.Content}) // reads find out what is gone
			}
		}
	}
}

// join builds a file of parts, none of which is empty.
func (b *builder) join(parts []*entry) error {
	for i := 0; i < len(parts); {
		if b.mayShare(parts[i], b.size, i == len(parts)-1) {
			if err := b.shareWhole(parts[i]); err != nil {
				return err
			}
			i++
			continue
		}
		fill := filler{b: b}
		for at := b.size; ; {
			if err := fill.file(parts[i]); err != nil {
				return err
			}
			at += parts[i].Bytes
			if i++; i == len(parts) || b.mayShare(parts[i], at, i == len(parts)-1) {
				break
			}
		}
		if err := fill.flush(); err != nil {
			return err
		}
	}
	return nil
}

// mayShare reports whether all of a file may be shared, at that offset.
func (b *builder) mayShare(e *entry, offset int64, last bool) bool {
	size := b.m.chunkSize
	if e.manifest == nil || e.home != b.home || e.manifest.chunkSize != size || offset%size != 0 || e.Bytes%size != 0 && !last {
		return false
	}
	m := b.m.with(e)
	return len(m.owners()) <= concatOwnersMax && len(m.encode()) <= manifestBytesMax
}

// with is the manifest with all of a file behind it.
func (m *manifest) with(e *entry) *manifest {
	out := &manifest{chunkSize: m.chunkSize, sum: m.sum + e.manifest.sum}
	out.extents = append(out.extents, m.extents...)
	out.starts = append(out.starts, m.starts...)
	at := int64(0)
	for _, x := range m.extents {
		at += x.count
	}
	if at > 0 {
		out.starts = append(out.starts, at)
	}
	for _, k := range e.manifest.starts {
		out.starts = append(out.starts, at+k)
	}
	for _, x := range e.manifest.extents {
		x.content = e.contentOf(x)
		out.add(x)
	}
	return out
}

// shareWhole puts all of a file behind what there is.
func (b *builder) shareWhole(e *entry) error {
	n := chunksOf(e.Bytes, b.m.chunkSize)
	if n > chunksMax-b.chunks {
		return fmt.Errorf("%w: more than %d chunks of %d bytes", client.ErrTooLarge, int64(chunksMax), b.m.chunkSize)
	}
	b.m = *b.m.with(e)
	b.chunks += n
	b.size += e.Bytes
	return nil
}

// filler makes chunks of pieces of any length.
type filler struct {
	b   *builder
	buf []byte // nil: none is begun
	n   int
}

func (f *filler) write(p []byte) (err error) {
	for len(p) > 0 {
		if f.buf == nil {
			if f.buf, err = f.b.buffer(); err != nil {
				return err
			}
		}
		n := copy(f.buf[f.n:], p)
		p = p[n:]
		if f.n += n; f.n == len(f.buf) {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush makes what there is the last chunk.
func (f *filler) flush() error {
	if f.n == 0 {
		return nil
	}
	p := f.buf[:f.n]
	f.buf, f.n = nil, 0
	return f.b.put(p)
}

// file copies a file, and compares its checksum.
func (f *filler) file(e *entry) error {
	if e.manifest == nil {
		return f.write(e.node.Value)
	}
	var sum uint64
	err := f.b.read(e, 0, e.Bytes, func(p *piece) error {
		sum += p.sum
		return f.write(p.bytes)
	})
	if err == nil && sum != e.manifest.sum {
		err = fmt.Errorf("%s: %w: %016x was read, %016x was written", e.Path, ErrChecksum, sum, e.manifest.sum)
	}
	return err
}
