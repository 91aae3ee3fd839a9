package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/codec"
	"viewring/internal/wire"
)

const (
	manifestFormat = 1
	startsFormat   = 2 // of a manifest that has some

	// manifestBytesMax keeps the entry of a long file short: its changes write it, and lists pass over it.
	manifestBytesMax = 4 << 10

	// ownersMax is how many contents a file's chunks come from at most, beside its own. Servers
	// allow wire.TreeOwnersMax; fewer keep the changes that name and release them cheap.
	ownersMax = 64

	// chunksMax is how many chunks a content may have: their index has 32 bits.
	chunksMax = 1 << 32
)

// extent is a run of a file's chunks that lie in one content with rising indexes. The file is
// the bytes of its extents, one behind the other.
type extent struct {
	content wire.TreeVersion // zero: the file's own
	hole    bool             // chunks that nobody has written: they read as zeros
	first   int64            // index of the first in the content
	count   int64
}

// manifest says how a file is read that is kept in chunks. All of them have chunkSize bytes but
// for the last, which has what is left of the file's size. What is stored may be longer: a
// file that was truncated uses only the beginning of its last chunk.
type manifest struct {
	chunkSize int64
	sum       uint64 // of chunkSum over all chunks, mod 2^64, holes left out
	extents   []extent

	// starts are the chunks at which the numbers begin anew that go into the checksum: of a file that was put together
	// of others, so that its sum is that of theirs. They rise, from above 0.
	starts []int64
}

// seed is the number of a chunk that goes into the checksum.
func (m *manifest) seed(k int64) uint64 {
	i, found := slices.BinarySearch(m.starts, k)
	switch {
	case found:
		return 0
	case i == 0:
		return uint64(k)
	}
	return uint64(k - m.starts[i-1])
}

// chunkSum is the part of a chunk in the checksum of a file: the sum of independent hashes
// (AdHash: Bellare and Micciancio, A New Paradigm for Collision-free Hashing, EUROCRYPT 1997; here
// against errors, not against people). So a change of some chunks does not need the bytes of all
// others. The seed is the place in the file, or in the part that it was put together of: chunks that
// change places change the sum. The sum of a file of one chunk is its xxhash64.
func chunkSum(seed uint64, b []byte) uint64 {
	d := xxhash.NewWithSeed(seed)
	_, _ = d.Write(b) // never fails
	return d.Sum64()
}

// chunksOf is the number of chunks of a file.
func chunksOf(size, chunkSize int64) int64 {
	return size/chunkSize + min(size%chunkSize, 1)
}

// add puts an extent behind the others, or makes the last one longer.
func (m *manifest) add(e extent) {
	if e.count == 0 {
		return
	}
	if n := len(m.extents); n > 0 {
		last := &m.extents[n-1]
		if last.content == e.content && last.hole == e.hole && (e.hole || last.first+last.count == e.first) {
			last.count += e.count
			return
		}
	}
	m.extents = append(m.extents, e)
}

// between tells of the extents of the chunks from k to end, of which only these are left, and at which of the
// file's chunks each begins.
func (m *manifest) between(k, end int64) iter.Seq2[int64, extent] {
	return func(yield func(int64, extent) bool) {
		at := int64(0)
		for _, x := range m.extents {
			from, to := max(k, at), min(end, at+x.count)
			next := at + x.count
			if from < to {
				if !x.hole {
					x.first += from - at
				}
				if x.count = to - from; !yield(from, x) {
					return
				}
			}
			at = next
		}
	}
}

// locate returns a chunk's extent, of which only that chunk is left.
func (m *manifest) locate(k int64) extent {
	for _, x := range m.between(k, k+1) {
		return x
	}
	panic("file: a chunk beyond the extents")
}

// owners are the other contents whose chunks the file uses, each once, in order of their use.
func (m *manifest) owners() (owners []wire.TreeVersion) {
	seen := map[wire.TreeVersion]bool{{}: true}
	for _, e := range m.extents {
		if !seen[e.content] {
			seen[e.content] = true
			owners = append(owners, e.content)
		}
	}
	return owners
}

// Who an extent's chunks are of; owners follow in their order.
const (
	ofSelf = iota
	ofNobody
	ofOwners
)

// encode returns the bytes that an entry keeps.
func (m *manifest) encode() []byte {
	format := byte(manifestFormat)
	if len(m.starts) > 0 {
		format = startsFormat
	}
	b := binary.AppendUvarint([]byte{format}, uint64(m.chunkSize))
	b = binary.BigEndian.AppendUint64(b, m.sum)
	if format == startsFormat {
		b = binary.AppendUvarint(b, uint64(len(m.starts)))
		before := int64(0)
		for _, k := range m.starts {
			b = binary.AppendUvarint(b, uint64(k-before))
			before = k
		}
	}
	owners := m.owners()
	who := map[wire.TreeVersion]uint64{{}: ofSelf}
	b = binary.AppendUvarint(b, uint64(len(owners)))
	for i, v := range owners {
		who[v] = uint64(ofOwners + i)
		b = binary.AppendUvarint(binary.AppendUvarint(b, v.Term), v.Seq)
	}
	b = binary.AppendUvarint(b, uint64(len(m.extents)))
	for _, e := range m.extents {
		w := who[e.content]
		if e.hole {
			w = ofNobody
		}
		b = binary.AppendUvarint(b, w)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.first)), uint64(e.count))
	}
	return b
}

// fits reports whether a manifest keeps its bounds.
func (m *manifest) fits() bool {
	return len(m.owners()) <= ownersMax && len(m.encode()) <= manifestBytesMax
}

// merged is how many extents there would be if all chunks were the file's own: holes stay between
// them.
func (m *manifest) merged() (n int) {
	chunks := false // the one before is of chunks
	for _, x := range m.extents {
		if x.hole || !chunks {
			n++
		}
		chunks = !x.hole
	}
	return n
}

var errManifest = errors.New("its manifest is damaged")

// decodeManifest reads what encode returned for a file of that size, and nothing else.
func decodeManifest(b []byte, size int64) (*manifest, error) {
	r := codec.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && format != manifestFormat && format != startsFormat {
		return nil, fmt.Errorf("%w: format %d, this build knows %d and %d", ErrUnreadable, format, manifestFormat, startsFormat)
	}
	m := &manifest{chunkSize: int64(r.Uvarint()), sum: r.Uint64()}
	if m.chunkSize < 1 || m.chunkSize > wire.ValueBytesMax {
		r.Invalid("chunks of %d bytes", m.chunkSize)
	}
	if format == startsFormat {
		m.readStarts(r)
	}
	contents := make([]wire.TreeVersion, r.Count(2))
	for i := range contents {
		contents[i] = wire.TreeVersion{Term: r.Uvarint(), Seq: r.Uvarint()}
	}
	var chunks int64
	for range r.Count(3) {
		who, e := r.Uvarint(), extent{first: int64(r.Uvarint()), count: int64(r.Uvarint())}
		switch {
		case e.first < 0 || e.first >= chunksMax || e.count < 1 || e.count > chunksMax-e.first || who >= uint64(ofOwners+len(contents)):
			r.Invalid("an extent of %d, %d chunks from %d", who, e.count, e.first)
			who = ofSelf
		case who == ofNobody && e.first == 0:
			e.hole = true
		case who == ofNobody:
			r.Invalid("a hole that begins with chunk %d", e.first)
		case who >= ofOwners:
			e.content = contents[who-ofOwners]
		}
		chunks += e.count
		m.extents = append(m.extents, e)
	}
	if n := len(m.starts); n > 0 && m.starts[n-1] >= chunks {
		r.Invalid("a start at %d of %d chunks", m.starts[n-1], chunks)
	}
	if r.Err() == nil && (size < 1 || chunks > chunksMax || chunks != chunksOf(size, m.chunkSize)) {
		r.Invalid("%d chunks of %d bytes make no file of %d", chunks, m.chunkSize, size)
	}
	if r.Done() == nil && !bytes.Equal(m.encode(), b) {
		r.Invalid("not as it is written")
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w: %w", ErrUnreadable, errManifest, err)
	}
	return m, nil
}

// readStarts reads the starts, of which there is one at least.
func (m *manifest) readStarts(r *codec.Reader) {
	at := int64(0)
	for range r.Count(1) {
		n := r.Uvarint()
		if n < 1 || n > chunksMax {
			r.Invalid("a start %d after the one before", n)
			return
		}
		at += int64(n)
		m.starts = append(m.starts, at)
	}
}
