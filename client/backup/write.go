package backup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/disk"
	"viewring/ring"
)

const (
	segmentBytes = 64 << 20 // a segment ends after the partition with which it has so many
	bufferBytes  = 256 << 10
)

// runWriter writes the files of a run. Any number of segmentWriters may be at work.
type runWriter struct {
	cluster [16]byte
	run     RunID
	create  func(number uint32) (io.WriteCloser, error)
	full    int64 // bytes of a segment

	mu       sync.Mutex
	segments []segmentInfo // guarded by mu; of those that are not finished, the zero one
}

// segmentFileWriter is a segment in a folder: what is closed is on the disk.
type segmentFileWriter struct{ *os.File }

// Close implements io.Closer.
func (f segmentFileWriter) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// streamWriter is a segment in a stream, which goes on behind it.
type streamWriter struct{ io.Writer }

// Close implements io.Closer.
func (streamWriter) Close() error { return nil }

// inFolder creates the segments of a run in a folder.
func inFolder(dir string) func(number uint32) (io.WriteCloser, error) {
	return func(number uint32) (io.WriteCloser, error) {
		f, err := os.OpenFile(filepath.Join(dir, segmentName(number)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		return segmentFileWriter{f}, nil
	}
}

// inStream has the segments follow each other in a stream. One segmentWriter at a time may be at work.
func inStream(w io.Writer) func(uint32) (io.WriteCloser, error) {
	return func(uint32) (io.WriteCloser, error) { return streamWriter{w}, nil }
}

// segmentWriter writes partitions, one behind the other. One goroutine uses it.
type segmentWriter struct {
	w    *runWriter
	part Part // what is known of the partition that is being written
	p    ring.PartitionID
	kind byte // of its blocks

	file    io.WriteCloser // nil: the next partition begins another
	buf     *bufio.Writer
	hash    xxhash.Digest // of all that was written
	number  uint32
	fileSum uint64
	offset  int64
	blocks  uint64
	payload []byte // records that are not in a block yet
	block   []byte
	count   uint64
}

// begin begins a section of a partition, or begins it anew.
func (s *segmentWriter) begin(of section, p ring.PartitionID) {
	s.p, s.kind, s.part, s.payload, s.count = p, sectionBlocks[of], Part{}, s.payload[:0], 0
}

// add writes a record of the partition.
func (s *segmentWriter) add(x *record) error {
	if len(s.payload) > 0 && len(s.payload)+recordHead+len(x.name)+len(x.value) > blockFull {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if len(s.payload) == 0 {
		s.payload = binary.AppendUvarint(s.payload, uint64(s.p))
	}
	s.payload = appendRecord(s.payload, x)
	s.count++
	return nil
}

// flush writes the records that wait as a block.
func (s *segmentWriter) flush() error {
	if len(s.payload) == 0 {
		return nil
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.part.segment == 0 {
		s.part.segment, s.part.offset = s.number, s.offset
	}
	err := s.writeBlock(s.kind, s.payload)
	s.payload = s.payload[:0]
	return err
}

// end ends the partition, and says where it lies.
func (s *segmentWriter) end() (Part, error) {
	if err := s.flush(); err != nil {
		return Part{}, err
	}
	if s.part.segment != 0 {
		s.part.length = s.offset - s.part.offset
	}
	s.part.Records = s.count
	part := s.part
	if s.file != nil && s.offset >= s.w.full {
		return part, s.finish()
	}
	return part, nil
}

func (s *segmentWriter) open() error {
	s.w.mu.Lock()
	s.w.segments = append(s.w.segments, segmentInfo{})
	s.number = uint32(len(s.w.segments))
	s.w.mu.Unlock()
	file, err := s.w.create(s.number)
	if err != nil {
		return err
	}
	s.file, s.buf = file, bufio.NewWriterSize(file, bufferBytes)
	s.hash.Reset()
	header := appendHeader(nil, &fileID{kind: segmentFile, cluster: s.w.cluster, run: s.w.run, number: s.number})
	s.fileSum = binary.BigEndian.Uint64(header[headerBytes-sumBytes:])
	s.offset, s.blocks = 0, 0
	return s.write(header)
}

func (s *segmentWriter) write(b []byte) error {
	_, _ = s.hash.Write(b) // never fails
	s.offset += int64(len(b))
	_, err := s.buf.Write(b)
	return err
}

func (s *segmentWriter) writeBlock(kind byte, payload []byte) error {
	s.block = appendBlock(s.block[:0], s.fileSum, s.offset, kind, payload)
	s.blocks++
	return s.write(s.block)
}

// finish ends the segment, if there is one. In a folder it is on the disk then.
func (s *segmentWriter) finish() error {
	if s.file == nil {
		return nil
	}
	err := s.writeBlock(endBlock, binary.AppendUvarint(nil, s.blocks))
	if err == nil {
		err = s.buf.Flush()
	}
	err = errors.Join(err, s.file.Close())
	s.file = nil
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.segments[s.number-1] = segmentInfo{s.offset, s.hash.Sum64()}
	return err
}

// abandon closes the segment of a run that is not finished.
func (s *segmentWriter) abandon() {
	if s.file != nil {
		_ = s.file.Close() // it is removed
		s.file = nil
	}
}

// commit gives a run that was written in a folder its name. It is on the disk as a whole then, or not there.
func commit(dir string, m *Manifest) error {
	name := runName(m.Number)
	unfinished := filepath.Join(dir, name+partSuffix)
	if err := writeManifest(unfinished, m); err != nil { // it syncs the folder, too
		return err
	}
	if err := os.Rename(unfinished, filepath.Join(dir, name)); err != nil {
		return err
	}
	return disk.Dir(dir).SyncDir()
}
