package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ChunkBytes is the length of the file's chunks; 0 where its bytes are in its entry.
func (f *File) ChunkBytes() int64 {
	if f.e.manifest == nil {
		return 0
	}
	return f.e.manifest.chunkSize
}

// WriteRange writes up to length bytes to w, from an offset on, as WriteTo does: several chunks are
// read at a time. The offset of Read and Seek plays no part, and any number of goroutines may use it.
func (f *File) WriteRange(w io.Writer, offset, length int64) (int64, error) {
	switch {
	case f.isClosed():
		return 0, f.o.failed(fs.ErrClosed)
	case offset < 0 || length < 0:
		return 0, f.o.failed(fmt.Errorf("%w: %d bytes from %d on", fs.ErrInvalid, length, offset))
	case offset >= f.e.Bytes:
		return 0, nil
	}
	n, err := f.writeTo(w, offset, offset+min(length, f.e.Bytes-offset))
	var writing errWrite
	if errors.As(err, &writing) {
		return n, writing.error
	}
	return n, f.o.failed(err)
}

// input is what is to be written, as it is given. An end that comes too early is an error of its own: io.ReadFull and
// others tell by io.ErrUnexpectedEOF that there was less than they asked for, and the file
// would end there.
type input struct{ r io.Reader }

// errCut: what was to be written broke off.
var errCut = errors.New("it broke off: unexpected EOF")

func (i input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = errCut
	}
	return n, err
}
