package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Same reports whether r gives the bytes of a file, and no more: by its checksum, of which servers tell without
// reading the file, or where it has none, by the bytes. It may return before the end of r.
func (f *FS) Same(ctx context.Context, path string, r io.Reader) (bool, error) {
	o := f.op(ctx, "compare", path)
	e, err := o.file(path)
	if err != nil {
		return false, o.failed(err)
	}
	same, err := e.same(o, r)
	return same, o.failed(err)
}

func (e *entry) same(o *op, r io.Reader) (bool, error) {
	if e.manifest == nil {
		b, err := io.ReadAll(io.LimitReader(r, e.Bytes+1))
		if err != nil {
			return false, fmt.Errorf("read what is to be compared: %w", err)
		}
		return bytes.Equal(b, e.node.Value), nil
	}
	buf := make([]byte, e.manifest.chunkSize)
	sum := uint64(0)
	for k := range chunksOf(e.Bytes, e.manifest.chunkSize) {
		p := buf[:e.length(k)]
		_, err := io.ReadFull(r, p)
		switch {
		case o.ctx.Err() != nil:
			return false, o.ctx.Err()
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("read what is to be compared: %w", err)
		}
		if e.manifest.locate(k).hole {
			if len(bytes.Trim(p, "\x00")) > 0 {
				return false, nil
			}
			continue
		}
		sum += chunkSum(e.manifest.seed(k), p)
	}
	_, err := io.ReadFull(r, buf[:1])
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read what is to be compared: %w", err)
	}
	return err != nil && sum == e.manifest.sum, nil
}
