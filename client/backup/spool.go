package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Spool writes a stream that ToStream made to an empty folder, as its one run. A stream that is cut off, or is
// damaged, is refused: the error wraps ErrDamaged.
func Spool(ctx context.Context, r io.Reader, dir string) (*Folder, error) {
	run := filepath.Join(dir, runName(1)+partSuffix)
	if err := os.Mkdir(run, 0o755); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(r, bufferBytes)
	for number := uint32(1); ; number++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		last, err := spoolFile(in, run, number)
		if err != nil {
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		if last {
			break
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the stream: %w: there is more behind its end (%w)", ErrDamaged, err)
	}
	if err := os.Rename(run, filepath.Join(dir, runName(1))); err != nil {
		return nil, err
	}
	f, err := OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	_, err = f.Run(1)
	return f, err
}

// spoolFile copies the next file of a stream; last says that it is the manifest.
func spoolFile(in *bufio.Reader, dir string, number uint32) (last bool, err error) {
	header := make([]byte, headerBytes)
	n, err := io.ReadFull(in, header)
	if errors.Is(err, io.EOF) && number > 1 {
		return false, fmt.Errorf("%w: it ends before its manifest", ErrDamaged)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	id, sum, err := decodeHeader(header[:n])
	if err != nil {
		return false, err
	}
	name, end := segmentName(number), byte(endBlock)
	if last = id.kind == manifestFile; last {
		name, end = manifestName, manifestBlock
	}
	out, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return false, err
	}
	w := bufio.NewWriterSize(out, bufferBytes)
	_, err = w.Write(header)
	blocks := blockReader{from: in, fileSum: sum, offset: headerBytes}
	for err == nil {
		var kind byte
		if kind, _, err = blocks.next(); err != nil {
			err = damaged(err)
			break
		}
		if _, err = w.Write(blocks.buf); err == nil && kind == end {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	return last, errors.Join(err, out.Close())
}
