package replica

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/codec"
)

// itemFormat is the first byte of every stored item.
const itemFormat = 1

// ItemHeadBytesMax is the most that an item has before its value.
const ItemHeadBytesMax = 3 + 3*binary.MaxVarintLen64 + 8

// Kind says what an item holds.
type Kind byte

// The kinds of items.
const (
	KindValue  Kind = 1 // a user's value
	KindRecord Kind = 2 // the answer to a request id
	KindFence  Kind = 3 // the highest token of a lock
)

// Item is the decoded state of a key.
type Item struct {
	Version Version
	Kind    Kind
	Flags   byte
	Expiry  int64  // unix milliseconds, 0 = never
	Sum     uint64 // checksum over key and everything else
	Value   []byte
}

// AppendItem appends the stored form of it, with its checksum; it.Sum is not used.
func AppendItem(b []byte, key Key, it Item) []byte {
	b = append(b, itemFormat, byte(it.Kind), it.Flags)
	b = binary.AppendUvarint(b, it.Version.Term)
	b = binary.AppendUvarint(b, it.Version.Seq)
	b = binary.AppendUvarint(b, uint64(it.Expiry))
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, it.Value...)
	binary.BigEndian.PutUint64(b[start:], itemSum(key, b, start))
	return b
}

// itemSum covers the key, the header before sumAt and the value after the sum.
func itemSum(key Key, b []byte, sumAt int) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(string(key))
	_, _ = d.Write(b[:sumAt])
	_, _ = d.Write(b[sumAt+8:])
	return d.Sum64()
}

// header reads an item up to its checksum, which starts at sumAt.
func header(b []byte) (it Item, sumAt int, err error) {
	r := codec.NewReader(b)
	format := r.Byte()
	it.Kind = Kind(r.Byte())
	it.Flags = r.Byte()
	it.Version.Term = r.Uvarint()
	it.Version.Seq = r.Uvarint()
	it.Expiry = int64(r.Uvarint())
	sumAt = len(b) - r.Len()
	it.Sum = r.Uint64()
	it.Value = r.Rest()
	if r.Err() != nil {
		return Item{}, 0, fmt.Errorf("%w: item of %d bytes: %w", ErrCorrupt, len(b), r.Err())
	}
	if format != itemFormat {
		return Item{}, 0, fmt.Errorf("%w: item format %d, this build reads %d", ErrCorrupt, format, itemFormat)
	}
	return it, sumAt, nil
}

// DecodeItem reads and verifies what AppendItem wrote for key. Value aliases b.
// Its errors wrap ErrCorrupt.
func DecodeItem(key Key, b []byte) (Item, error) {
	it, sumAt, err := header(b)
	if err != nil {
		return Item{}, err
	}
	if sum := itemSum(key, b, sumAt); sum != it.Sum {
		return Item{}, fmt.Errorf("%w: checksum %016x, stored %016x", ErrCorrupt, sum, it.Sum)
	}
	return it, nil
}

// versionOf returns the version of an encoded item, zero for nil.
func versionOf(b []byte) (Version, error) {
	if b == nil {
		return Version{}, nil
	}
	it, _, err := header(b)
	return it.Version, err
}

// itemDigest is what an item adds to its partition's digest. It covers key and
// version: within one history a version stands for one state.
func itemDigest(key Key, v Version) uint64 {
	if v.IsZero() {
		return 0
	}
	return mix(xxhash.Sum64String(string(key)) ^ mix(v.Term) ^ mix(v.Seq+0x9e3779b97f4a7c15))
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
