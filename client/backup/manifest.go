package backup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"viewring/internal/codec"
	"viewring/internal/disk"
	"viewring/ring"
)

const (
	manifestFormat = 2 // 1 had keys alone
	manifestName   = "MANIFEST"
	missingMax     = 1000    // keys that could not be read, by name
	missingBytes   = 4 << 20 // of their names
)

// Manifest says what is in a run.
type Manifest struct {
	Cluster      [16]byte
	ID           RunID
	Number       uint64 // of the run in its folder
	Base         RunID  // the run before, that this one is built upon; zero: none
	Began, Ended int64  // unix milliseconds
	Version      string // of the program that made it

	Partitions []Part // by partition: its keys
	Missing    []MissingKey
	NotNamed   uint64 // more keys that are missing

	Tree Tree

	paths    [sectionsEnd - 1][]Part // by section, without the keys, and partition; empty: there is nothing of any
	segments []segmentInfo
}

// Tree is what a run has of the tree of paths.
type Tree struct {
	Nodes     uint64 // that are no files, directories among them: all, or those that were set since the run before
	Files     uint64 // likewise
	FileBytes uint64 // of these
	Streams   uint64 // record files that there are
	Records   uint64 // of theirs, those in this run
	Lost      uint64 // of theirs, places that no server could read
	Ephemeral uint64 // nodes that went with sessions, and are not in it
}

func (t *Tree) fields() []*uint64 {
	return []*uint64{&t.Nodes, &t.Files, &t.FileBytes, &t.Streams, &t.Records, &t.Lost, &t.Ephemeral}
}

// part is a section of a partition. One that a run knows nothing of is empty, and whole.
func (m *Manifest) part(s section, p ring.PartitionID) *Part {
	if s == sectionKeys {
		return &m.Partitions[p]
	}
	if all := m.paths[s-1]; len(all) > 0 {
		return &all[p]
	}
	return &Part{Whole: true}
}

// makePaths makes room for what a run has of paths.
func (m *Manifest) makePaths() {
	for i := range m.paths {
		m.paths[i] = make([]Part, len(m.Partitions))
	}
}

// Part is a partition in a run.
type Part struct {
	Whole   bool    // all of its keys are in this run; else what changed since the run before
	Lacking bool    // keys of it could not be read
	At      Version // its keys are as they were at this version of its log
	Records uint64

	segment        uint32 // 0: it has no bytes
	offset, length int64
}

// MissingKey is a key that no server could read, or what is at a path.
type MissingKey struct {
	Partition ring.PartitionID
	Name      string
	Path      bool
}

// segmentInfo is a whole segment file.
type segmentInfo struct {
	length int64
	sum    uint64
}

// Bytes are those of the run's segments.
func (m *Manifest) Bytes() (n int64) {
	for _, s := range m.segments {
		n += s.length
	}
	return n
}

// Records are those of the run, changes and deletions among them.
func (m *Manifest) Records() (n uint64) {
	for i := range m.Partitions {
		n += m.Partitions[i].Records
	}
	return n
}

// WholePartitions counts those that are in the run as a whole.
func (m *Manifest) WholePartitions() (n int) {
	for i := range m.Partitions {
		if m.Partitions[i].Whole {
			n++
		}
	}
	return n
}

// MissingKeys counts the keys that could not be read.
func (m *Manifest) MissingKeys() uint64 { return uint64(len(m.Missing)) + m.NotNamed }

// The flags of a partition.
const (
	partWhole = 1 << iota
	partLacking
	partFlagsEnd
)

func appendManifest(b []byte, m *Manifest) []byte {
	b = binary.AppendUvarint(append(b, manifestFormat), m.Number)
	b = append(b, m.Base[:]...)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(m.Began)), uint64(m.Ended))
	b = codec.AppendString(b, m.Version)
	b = binary.AppendUvarint(b, uint64(len(m.segments)))
	for _, s := range m.segments {
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, uint64(s.length)), s.sum)
	}
	b = appendParts(b, m.Partitions)
	for _, parts := range m.paths {
		b = appendParts(b, parts)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Missing)))
	for _, k := range m.Missing {
		b = codec.AppendBool(codec.AppendString(binary.AppendUvarint(b, uint64(k.Partition)), k.Name), k.Path)
	}
	b = binary.AppendUvarint(b, m.NotNamed)
	for _, n := range m.Tree.fields() {
		b = binary.AppendUvarint(b, *n)
	}
	return b
}

func appendParts(b []byte, parts []Part) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for i := range parts {
		p := &parts[i]
		flags := byte(0)
		if p.Whole {
			flags |= partWhole
		}
		if p.Lacking {
			flags |= partLacking
		}
		b = append(b, flags)
		for _, n := range []uint64{p.At.Term, p.At.Seq, uint64(p.segment), uint64(p.offset), uint64(p.length), p.Records} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

// The least that each takes in a manifest.
const (
	segmentInfoMin = 1 + 8
	partMin        = 1 + 6
	missingMin     = 1 + 1
)

// decodeManifest parses what appendManifest wrote, and sees that what it says of segments can be.
func decodeManifest(b []byte) (*Manifest, error) {
	r := codec.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && (format < 1 || format > manifestFormat) {
		return nil, fmt.Errorf("%w: manifest format %d, this build reads 1 to %d: use a newer viewring", ErrFormat, format, manifestFormat)
	}
	m := &Manifest{Number: r.Uvarint()}
	r.Fixed(m.Base[:])
	m.Began, m.Ended, m.Version = int64(r.Uvarint()), int64(r.Uvarint()), r.String()
	m.segments = make([]segmentInfo, r.Count(segmentInfoMin))
	for i := range m.segments {
		m.segments[i] = segmentInfo{int64(r.Uvarint()), r.Uint64()}
	}
	m.Partitions = m.readParts(r)
	if format > 1 {
		for i := range m.paths {
			if m.paths[i] = m.readParts(r); r.Err() == nil && len(m.paths[i]) != 0 && len(m.paths[i]) != len(m.Partitions) {
				r.Invalid("%d parts of %d partitions", len(m.paths[i]), len(m.Partitions))
			}
		}
	}
	m.readMissing(r, format)
	if format > 1 {
		for _, n := range m.Tree.fields() {
			*n = r.Uvarint()
		}
	}
	if n := len(m.Partitions); r.Err() == nil && (n == 0 || n > ring.Slots || n&(n-1) != 0) {
		r.Invalid("%d partitions", n)
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, nil
}

func (m *Manifest) readParts(r *codec.Reader) []Part {
	parts := make([]Part, r.Count(partMin))
	for i := range parts {
		p := &parts[i]
		flags := r.Byte()
		p.Whole, p.Lacking = flags&partWhole != 0, flags&partLacking != 0
		p.At = Version{r.Uvarint(), r.Uvarint()}
		segment := r.Uvarint()
		p.segment, p.offset, p.length, p.Records = uint32(segment), int64(r.Uvarint()), int64(r.Uvarint()), r.Uvarint()
		if r.Err() == nil && (flags >= partFlagsEnd || segment > uint64(len(m.segments)) || !p.fits(m)) {
			r.Invalid("partition %d in segment %d at %d, %d bytes", i, segment, p.offset, p.length)
		}
	}
	return parts
}

func (m *Manifest) readMissing(r *codec.Reader, format byte) {
	m.Missing = make([]MissingKey, r.Count(missingMin))
	for i := range m.Missing {
		p := r.Uvarint()
		if p >= uint64(len(m.Partitions)) {
			r.Invalid("a missing key of partition %d", p)
		}
		m.Missing[i] = MissingKey{Partition: ring.PartitionID(p), Name: r.String()}
		if format > 1 {
			m.Missing[i].Path = r.Bool()
		}
	}
	m.NotNamed = r.Uvarint()
}

// fits reports whether a partition can lie where it is said to.
func (p *Part) fits(m *Manifest) bool {
	if p.segment == 0 {
		return p.length == 0 && p.Records == 0
	}
	length := m.segments[p.segment-1].length
	return p.offset >= headerBytes && p.length > 0 && p.offset <= length && p.length <= length-p.offset
}

// manifestBytesMax is more than a manifest has.
const manifestBytesMax = headerBytes + blockHead + blockBytesMax + sumBytes

// manifestBytes is the whole file.
func manifestBytes(m *Manifest) []byte {
	b := appendHeader(nil, &fileID{kind: manifestFile, cluster: m.Cluster, run: m.ID})
	_, sum, err := decodeHeader(b)
	if err != nil {
		panic("backup: a header that was just made: " + err.Error())
	}
	return appendBlock(b, sum, headerBytes, manifestBlock, appendManifest(nil, m))
}

// parseManifest reads the whole file.
func parseManifest(b []byte) (*Manifest, error) {
	id, sum, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	if id.kind != manifestFile {
		return nil, fmt.Errorf("%w: it is a segment", ErrDamaged)
	}
	r := blockReader{from: bytes.NewReader(b[headerBytes:]), fileSum: sum, offset: headerBytes}
	kind, payload, err := r.next()
	switch {
	case err != nil:
		return nil, damaged(err)
	case kind != manifestBlock:
		return nil, fmt.Errorf("%w: a block of kind %d", ErrDamaged, kind)
	case int(r.offset) != len(b):
		return nil, fmt.Errorf("%w: %d bytes behind its end", ErrDamaged, len(b)-int(r.offset))
	}
	m, err := decodeManifest(payload)
	if err != nil {
		return nil, err
	}
	m.Cluster, m.ID = id.cluster, id.run
	return m, nil
}

// readManifest reads the manifest of a run.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestName)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	b, err := readAtMost(f, manifestBytesMax)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// writeManifest puts the manifest in place.
func writeManifest(dir string, m *Manifest) error {
	return disk.WriteFile(disk.Dir(dir), manifestName, manifestBytes(m))
}
