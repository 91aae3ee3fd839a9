package store

import (
	"encoding/binary"

	"viewring/ring"
	"viewring/server/replica"
)

// The first byte of a store key is its namespace. Keys sort by partition within
// one, so that a partition is a range of each.
const (
	nsItem  = 'd' // partition, slot, space, name → encoded item
	nsIndex = 'i' // partition, seq → row of the change index
	nsMeta  = 'm' // partition → meta
	nsNode  = 'n' // name → what the server knows of itself
)

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

func appendItemKey(b []byte, p ring.PartitionID, key replica.Key) []byte {
	return append(appendPrefix(b, nsItem, p), key...)
}

func appendSeq(b []byte, p ring.PartitionID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPrefix(b, nsIndex, p), seq)
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

// keyIn returns the Key in an item's store key.
func keyIn(storeKey []byte) replica.Key { return replica.Key(storeKey[prefixBytes:]) }
