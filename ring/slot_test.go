package ring

import "testing"

// The vectors of the Redis Cluster specification, its documentation and
// redis-cli's CLUSTER KEYSLOT.
func TestSlotOf(t *testing.T) {
	for key, want := range map[string]uint16{
		"":                         0,
		"123456789":                0x31C3,
		"foo":                      12182,
		"bar":                      5061,
		"hello":                    866,
		"somekey":                  11058,
		"foo{hash_tag}":            2515,
		"hash_tag":                 2515,
		"{user1000}.following":     3443,
		"{user1000}.followers":     3443,
		"user1000":                 3443,
		"foo{}{bar}":               8363, // an empty tag does not count: the whole key
		"foo{{bar}}zap":            4015, // tag "{bar"
		"foo{bar}{zap}":            5061, // tag "bar"
		"{bar":                     SlotOf("x{{bar}"),
		"\x00\xff\n":               SlotOf("{\x00\xff\n}y"),
		"a long key with blanks {": SlotOf("{a long key with blanks {}"),
	} {
		if got := SlotOf(key); got != want {
			t.Errorf("SlotOf(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitions(t *testing.T) {
	for _, n := range []int{1, 2, 1024, 4096, Slots} {
		if !ValidPartitions(n) {
			t.Errorf("%d partitions refused", n)
		}
		next := 0
		for p := range n {
			first, last := SlotRange(PartitionID(p), n)
			if int(first) != next || PartitionOf(first, n) != PartitionID(p) || PartitionOf(last, n) != PartitionID(p) {
				t.Fatalf("partition %d of %d: slots %d to %d", p, n, first, last)
			}
			next = int(last) + 1
		}
		if next != Slots {
			t.Errorf("%d partitions cover %d slots", n, next)
		}
	}
	for _, n := range []int{-1, 0, 3, 1000, 2 * Slots} {
		if ValidPartitions(n) {
			t.Errorf("%d partitions accepted", n)
		}
	}
}
