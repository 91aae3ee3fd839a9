package replica

import (
	"encoding/binary"
	"fmt"
	"strings"

	"viewring/internal/codec"
	"viewring/internal/invariant"
	"viewring/ring"
)

// A fence keeps the former holder of a lock from writing when it wakes up (Kleppmann,
// "How to do distributed locking", 2016). The highest token that a partition has seen
// of a lock is an item of the system space, written in the entry of the request that
// brought it: it is replicated, copied, digested and repaired like a value, and is never
// deleted, because nobody knows how long a holder sleeps.

// fencePrefix begins the names of these items. It is longer than a request record's
// name, so no client id can be taken for one.
const fencePrefix = "fence token of the lock: "

// fenceFormat is the first byte of such an item's value.
const fenceFormat = 1

// IsZero reports whether a request carries no fence.
func (f Fence) IsZero() bool { return f == Fence{} }

func isFence(key Key) bool { return strings.HasPrefix(key.Name(), fencePrefix) }

func (p *part) fenceKey(lock string) Key {
	first, _ := ring.SlotRange(p.id, len(p.core.view.Partitions))
	return MakeKey(first, SpaceSystem, fencePrefix+lock)
}

// fenced refuses a request whose lock has a higher token, or lets it wait where that
// cannot be read.
func (l *primary) fenced(r *Request) bool {
	if r.Fence.IsZero() {
		return false
	}
	invariant.Check(r.Fence.Lock != "", "fence", "a token of a lock without a name")
	it, ok := l.present(l.part.fenceKey(r.Fence.Lock), r)
	if !ok {
		return true
	}
	seen := l.tokenOf(it)
	if r.Fence.Token >= seen {
		return false
	}
	l.conclude(r, nil, Answer{Status: StatusFenced, Number: int64(seen)}, Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1})
	return true
}

// noteToken returns the write that remembers a token, if it is new.
func (l *primary) noteToken(f Fence, version Version) []Write {
	key := l.part.fenceKey(f.Lock)
	it := Item{}
	stored, err := l.part.get(key)
	if err == nil && stored != nil {
		it, err = DecodeItem(key, stored)
	}
	l.core.fail("read fence", err) // it was read a moment ago
	if !it.Version.IsZero() && l.tokenOf(it) == f.Token {
		return nil
	}
	value := binary.AppendUvarint([]byte{fenceFormat}, f.Token)
	return []Write{{Key: key, Before: it.Version, Shrinks: uint64(len(it.Value)),
		Item: AppendItem(nil, key, Item{Version: version, Kind: KindFence, Value: value})}}
}

// tokenOf returns the token in a lock's item, 0 for none.
func (l *primary) tokenOf(it Item) uint64 {
	if it.Version.IsZero() {
		return 0
	}
	token, err := decodeToken(it)
	l.core.fail("read fence", err)
	return token
}

func decodeToken(it Item) (uint64, error) {
	r := codec.NewReader(it.Value)
	format, token := r.Byte(), r.Uvarint()
	err := r.Done()
	if err == nil && format != fenceFormat {
		err = fmt.Errorf("fence format %d, this build reads %d", format, fenceFormat)
	}
	return token, err
}

// HighestFence returns the highest token that a server's copies know of any lock.
// What cannot be read is passed over, and told as an error beside the result.
func HighestFence(s Storage, partitions int) (highest uint64, failed error) {
	for p := range ring.PartitionID(partitions) {
		first, _ := ring.SlotRange(p, partitions)
		err := s.Scan(p, Cursor{Place: PlaceOf(first, SpaceSystem)}, func(key Key, stored []byte) bool {
			if key.Slot() != first || key.Space() != SpaceSystem {
				return false
			}
			if !isFence(key) {
				return true
			}
			it, err := DecodeItem(key, stored)
			if err == nil && it.Kind == KindFence {
				var token uint64
				token, err = decodeToken(it)
				highest = max(highest, token)
			}
			if err != nil {
				failed = fmt.Errorf("partition %d: read fence: %w", p, err)
			}
			return true
		})
		if err != nil {
			failed = fmt.Errorf("partition %d: read fences: %w", p, err)
		}
	}
	return highest, failed
}
