package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/codec"
	"viewring/ring"
)

// segmentPath is where a segment of a run is.
func (r *Run) segmentPath(number uint32) string { return filepath.Join(r.Dir, segmentName(number)) }

// openSegment opens a segment, and sees that it is that one.
func (r *Run) openSegment(number uint32) (f *os.File, fileSum uint64, err error) {
	path := r.segmentPath(number)
	f, err = os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s: %w: it is missing", path, ErrDamaged)
	}
	if err != nil {
		return nil, 0, err
	}
	header := make([]byte, headerBytes)
	n, err := io.ReadFull(f, header)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, errors.Join(err, f.Close())
	}
	id, fileSum, err := decodeHeader(header[:n])
	if err == nil {
		err = r.judge(&id, number)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, fileSum, nil
}

// judge says what is wrong with what a file says it is.
func (r *Run) judge(id *fileID, number uint32) error {
	switch m := r.Manifest; {
	case id.kind != segmentFile:
		return fmt.Errorf("%w: it is a manifest", ErrDamaged)
	case id.cluster != m.Cluster:
		return fmt.Errorf("%w: it is of another cluster, %x", ErrDamaged, id.cluster)
	case id.run != m.ID:
		return fmt.Errorf("%w: it is of another run, %x", ErrDamaged, id.run)
	case id.number != number:
		return fmt.Errorf("%w: it is segment %d", ErrDamaged, id.number)
	}
	return nil
}

// records calls fn with the records that a run has in a section of a partition. They alias a buffer. Errors of what is there,
// and not there, wrap ErrDamaged and name the file.
func (r *Run) records(s section, p ring.PartitionID, fn func(x *record) error) (err error) {
	part := r.Manifest.part(s, p)
	if part.segment == 0 {
		return nil
	}
	f, fileSum, err := r.openSegment(part.segment)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	in := io.NewSectionReader(f, part.offset, part.length)
	blocks := blockReader{from: bufio.NewReaderSize(in, int(min(part.length, bufferBytes))), fileSum: fileSum, offset: part.offset}
	count := uint64(0)
	var checked checker
	var failed error // fn's
	for {
		kind, payload, err := blocks.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && kind != sectionBlocks[s] {
			err = blocks.damaged("a block of kind %d", kind)
		}
		if err == nil {
			err = decodeRecords(s, payload, func(of ring.PartitionID, x *record) error {
				if of != p {
					return blocks.damaged("a record of partition %d among those of %d", of, p)
				}
				if err := checked.check(s, x); err != nil {
					return err
				}
				count++
				failed = fn(x)
				return failed
			})
		}
		if failed != nil {
			return failed
		}
		if err != nil {
			return unreadable(f.Name(), err)
		}
	}
	if count != part.Records || blocks.offset != part.offset+part.length {
		return fmt.Errorf("%s: %w: %d of %d records of partition %d", f.Name(), ErrDamaged, count, part.Records, p)
	}
	return nil
}

// Fault is a file that is not as it was written.
type Fault struct {
	File string
	Err  error
}

// Verified is what Verify found.
type Verified struct {
	Runs    int
	Files   int
	Bytes   int64
	Records uint64
	Faults  []Fault
}

// Verify reads each byte of each run of a folder, and compares all checksums and counts. The error is that nothing could be
// verified; what is wrong with files is told as Faults. told is told how many bytes were read; it may be nil.
func (f *Folder) Verify(told func(bytes int64)) (*Verified, error) {
	v := &Verified{Runs: len(f.Runs)}
	if _, err := f.Run(0); err != nil && errors.Is(err, ErrNoRun) {
		return nil, err
	}
	for _, r := range f.Runs {
		v.Files++
		if r.Err != nil {
			v.Faults = append(v.Faults, Fault{filepath.Join(r.Dir, manifestName), r.Err})
			continue
		}
		if _, err := f.chain(r.Number); err != nil {
			v.Faults = append(v.Faults, Fault{r.Dir, err})
		}
		v.Records += r.Manifest.Records()
		for i := range r.Manifest.segments {
			number := uint32(i + 1)
			v.Files++
			if err := r.verifySegment(number, func(n int) {
				if v.Bytes += int64(n); told != nil {
					told(v.Bytes)
				}
			}); err != nil {
				v.Faults = append(v.Faults, Fault{r.segmentPath(number), err})
			}
		}
		v.Faults = append(v.Faults, r.verifyParts(v.Faults)...)
		v.Faults = append(v.Faults, r.strangers()...)
	}
	return v, nil
}

// verifySegment reads a whole segment.
func (r *Run) verifySegment(number uint32, read func(n int)) error {
	f, fileSum, err := r.openSegment(number)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var sum xxhash.Digest
	sum.Reset()
	all := &counted{from: bufio.NewReaderSize(f, bufferBytes), sum: &sum, read: read}
	if _, err := io.ReadFull(all, make([]byte, headerBytes)); err != nil {
		return err
	}
	err = verifyBlocks(&blockReader{from: all, fileSum: fileSum, offset: headerBytes})
	if err == nil {
		_, err = io.Copy(io.Discard, all) // what is behind the end counts too
	}
	want := r.Manifest.segments[number-1]
	if err == nil && (all.n != want.length || sum.Sum64() != want.sum) {
		err = fmt.Errorf("%w: %d bytes with the checksum %016x, and %d with %016x were written", ErrDamaged, all.n, sum.Sum64(), want.length, want.sum)
	}
	if err != nil {
		return unreadable(f.Name(), err)
	}
	return nil
}

// unreadable names the file. One that the disk can't read is as damaged as one that has other bytes.
func unreadable(path string, err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrFormat) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
}

// verifyBlocks reads the blocks of a segment up to its end block.
func verifyBlocks(r *blockReader) error {
	for n := uint64(0); ; n++ {
		kind, payload, err := r.next()
		if err != nil {
			return damaged(err)
		}
		switch kind {
		case endBlock:
			end := codec.NewReader(payload)
			if blocks := end.Uvarint(); end.Done() != nil || blocks != n {
				return r.damaged("it ends after %d blocks, and %d were written", n, blocks)
			}
			return nil
		}
		s, ok := sectionOf(kind)
		if !ok {
			return r.damaged("a block of kind %d", kind)
		}
		if err := decodeRecords(s, payload, func(ring.PartitionID, *record) error { return nil }); err != nil {
			return err
		}
	}
}

// verifyParts counts the records of each partition. Files that are known to be damaged are not told again.
func (r *Run) verifyParts(known []Fault) (found []Fault) {
	bad := make(map[string]bool)
	for _, f := range known {
		bad[f.File] = true
	}
	for p := range r.Manifest.Partitions {
		for s := range sectionsEnd {
			part := r.Manifest.part(s, ring.PartitionID(p))
			if part.segment == 0 || bad[r.segmentPath(part.segment)] {
				continue
			}
			if err := r.records(s, ring.PartitionID(p), func(*record) error { return nil }); err != nil {
				bad[r.segmentPath(part.segment)] = true
				found = append(found, Fault{r.segmentPath(part.segment), err})
			}
		}
	}
	return found
}

// strangers are files that are not of the run.
func (r *Run) strangers() (found []Fault) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return []Fault{{r.Dir, err}}
	}
	ours := map[string]bool{manifestName: true}
	for i := range r.Manifest.segments {
		ours[segmentName(uint32(i+1))] = true
	}
	for _, e := range entries {
		if !ours[e.Name()] {
			path := filepath.Join(r.Dir, e.Name())
			found = append(found, Fault{path, fmt.Errorf("%s: %w: it is not of this run", path, ErrDamaged)})
		}
	}
	return found
}

// counted sums up what is read.
type counted struct {
	from io.Reader
	sum  *xxhash.Digest
	n    int64
	read func(n int)
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.n += int64(n)
	_, _ = c.sum.Write(b[:n]) // never fails
	c.read(n)
	return n, err
}
