package ring

import "strings"

// Slots is how many slots the keys are spread over, as in Redis Cluster.
const Slots = 16384

// SlotOf returns the slot of a key as Redis Cluster computes it: the CRC16 of
// the key, or of what stands between its first { and the next }, so that keys
// with one tag share a slot.
func SlotOf(key string) uint16 { return HashOf(key) % Slots }

// HashOf returns the CRC16 from which SlotOf makes a key's slot.
func HashOf(key string) uint16 {
	var crc uint16
	for _, c := range []byte(Hashed(key)) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	return crc
}

// Hashed returns what of a key is hashed: its tag, or all of it.
func Hashed(key string) string {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			return tag
		}
	}
	return key
}

// crcTable is CRC16-XMODEM: polynomial x^16 + x^12 + x^5 + 1, nothing reflected.
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
}()

// ValidPartitions reports whether a cluster may have that many partitions: a
// power of two, at most one per slot.
func ValidPartitions(partitions int) bool {
	return partitions > 0 && partitions <= Slots && partitions&(partitions-1) == 0
}

// PartitionOf returns the partition of a slot in a cluster of that many.
func PartitionOf(slot uint16, partitions int) PartitionID {
	return PartitionID(int(slot) * partitions / Slots)
}

// SlotRange returns the first and the last slot of a partition.
func SlotRange(p PartitionID, partitions int) (first, last uint16) {
	width := Slots / partitions
	return uint16(int(p) * width), uint16((int(p)+1)*width - 1)
}
