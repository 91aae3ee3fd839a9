package store

import (
	"encoding/binary"
	"slices"

	"viewring/ring"
	"viewring/server/replica"
)

// The first byte of a store key is its namespace. Keys sort by partition within
// one, so that a partition is a range of each. Those of partitions exist on every
// shelf; these are shelf 0's.
const (
	nsItem    = 'd' // partition, slot, space, name → encoded item
	nsIndex   = 'i' // partition, seq → row of the change index; metaSeq → the partition's meta
	nsOldMeta = 'm' // partition → meta, in folders of the first format
	nsNode    = 'n' // name → what the server knows of itself
)

// metaSeq is the place of a partition's meta: right after the latest row of its index.
// An entry writes both, and Pebble has just been where the second one goes. Besides, a
// block that cannot be read has few partitions' metas in it.
const metaSeq = 1<<64 - 1

// kinds are the namespaces of partitions, in their order.
var kinds = [...]byte{nsItem, nsIndex}

// nsShelf marks the namespaces of the shelves above 0, each of which has its
// partitions' kinds side by side.
const nsShelf = 0x80

// namespace returns where a shelf has its keys of a kind.
func namespace(kind, shelf byte) byte {
	if shelf == 0 {
		return kind
	}
	return nsShelf | shelf<<2 | byte(slices.Index(kinds[:], kind))
}

// kindOf tells of a namespace which shelf's it is, and of what kind.
func kindOf(ns byte) (kind, shelf byte) {
	if ns < nsShelf {
		return ns, 0
	}
	if at := int(ns & 3); at < len(kinds) {
		kind = kinds[at]
	}
	return kind, ns &^ nsShelf >> 2
}

// localPartition is the partition of the local names. Views have at most one
// partition per slot, so no replicated key can be in it.
const localPartition = ring.PartitionID(0xffff)

// prefixBytes is the length of namespace and partition.
const prefixBytes = 3

// keyBytesMin is the shortest item key: prefix, slot, space, empty name.
const keyBytesMin = prefixBytes + 3

func appendPrefix(b []byte, ns byte, p ring.PartitionID) []byte {
	return append(b, ns, byte(p>>8), byte(p))
}

func (s *Store) appendItemKey(b []byte, p ring.PartitionID, key replica.Key) []byte {
	return append(appendPrefix(b, s.namespace(nsItem, p), p), key...)
}

func (s *Store) appendSeq(b []byte, p ring.PartitionID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPrefix(b, s.namespace(nsIndex, p), p), seq)
}

func (s *Store) appendMetaKey(b []byte, p ring.PartitionID) []byte {
	return s.appendSeq(b, p, metaSeq)
}

// appendPrefixEnd appends the least key above all of a partition in a namespace.
func appendPrefixEnd(b []byte, ns byte, p ring.PartitionID) []byte {
	if p == 0xffff {
		return append(b, ns+1)
	}
	return appendPrefix(b, ns, p+1)
}

func partitionIn(storeKey []byte) ring.PartitionID {
	return ring.PartitionID(binary.BigEndian.Uint16(storeKey[1:]))
}

// isItem reports whether a store key is that of an item.
func isItem(storeKey []byte) bool {
	kind, _ := kindOf(storeKey[0])
	return kind == nsItem && len(storeKey) >= keyBytesMin
}

// keyIn returns the Key in an item's store key.
func keyIn(storeKey []byte) replica.Key { return replica.Key(storeKey[prefixBytes:]) }
