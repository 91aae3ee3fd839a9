package seglog

import (
	"crypto/rand"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
	"github.com/dchest/siphash"

	"viewring/internal/disk"
)

// identity is what tells a store from every other: it is in no checksum of another.
type identity struct {
	id   [16]byte
	k    [2]uint64 // of the keyed hash: nobody outside knows which keys share a check
	seed uint32    // of checksums, from id

	place func(key []byte) uint64 // where a key stands in the order of pages

	bits uint // tests: how many bits of hashes count; 0: all
}

const (
	storeName   = "STORE"
	storeFormat = 1
	storeText   = "viewring segment log"
)

// encode makes the file that says whose folder it is: the same block twice.
func (id *identity) encode() []byte {
	b := make([]byte, 0, disk.BlockBytes)
	b = append(b, storeText...)
	b = append(b, storeFormat)
	b = append(b, id.id[:]...)
	b = le.AppendUint64(b, id.k[0])
	b = le.AppendUint64(b, id.k[1])
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	one := make([]byte, 2*disk.BlockBytes)
	copy(one, b)
	copy(one[disk.BlockBytes:], b)
	return one
}

func (id *identity) decode(b []byte) error {
	const n = len(storeText) + 1 + 16 + 16
	if len(b) < n+4 || string(b[:len(storeText)]) != storeText {
		return fmt.Errorf("%w: no such text", ErrFormat)
	}
	if crc32.Checksum(b[:n], castagnoli) != le.Uint32(b[n:]) {
		return fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	b = b[len(storeText):]
	if b[0] != storeFormat {
		return fmt.Errorf("%w: format %d, this build reads %d", ErrFormat, b[0], storeFormat)
	}
	copy(id.id[:], b[1:])
	id.k = [2]uint64{le.Uint64(b[17:]), le.Uint64(b[25:])}
	id.seed = crc32.Checksum(id.id[:], castagnoli)
	return nil
}

// loadIdentity reads the store's identity, or makes one in an empty folder.
func loadIdentity(fs disk.FS, names []string, opts *Options) (*identity, error) {
	id := &identity{place: opts.Place, bits: opts.hashBits}
	found := false
	for _, n := range names {
		_, seg := segmentNumber(n)
		found = found || n == storeName || n == begunName || seg
	}
	if !found {
		return id, id.create(fs)
	}
	f, err := fs.Open(storeName)
	if err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	defer f.Close() // read only
	first := id.read(f, 0)
	if first == nil {
		return id, nil
	}
	if err := id.read(f, disk.BlockBytes); err != nil {
		return nil, fmt.Errorf("read identity: %w; its copy: %w", first, err)
	}
	return id, nil
}

// read reads one of the copies.
func (id *identity) read(f disk.File, at int64) error {
	b := make([]byte, disk.BlockBytes)
	if err := readFull(f, b, at); err != nil {
		return err
	}
	return id.decode(b)
}

func (id *identity) create(fs disk.FS) error {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // documented never to happen
	}
	copy(id.id[:], b[:])
	id.k = [2]uint64{le.Uint64(b[16:]), le.Uint64(b[24:])}
	id.seed = crc32.Checksum(id.id[:], castagnoli)
	if err := disk.WriteFile(fs, storeName, id.encode()); err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	return nil
}

// hashPlace is where a key stands where nobody says otherwise.
func hashPlace(key []byte) uint64 { return xxhash.Sum64(key) }

// boundOf is where the index has a key.
func (id *identity) boundOf(key []byte) bound {
	b := bound{id.place(key), uint32(siphash.Hash(id.k[0], id.k[1], key))}
	if id.bits > 0 {
		b.pos &= 1<<id.bits - 1
		b.check &= 1<<(id.bits/2) - 1
	}
	return b
}
