package redis

import "viewring/internal/wire"

// The commands on the bits of a value, the first of which is the highest of its first byte.

func readGetBit(args [][]byte) (Read, string) {
	at, mask, ok := bitOffset(args[1], wire.ValueBytesMax)
	if !ok {
		return Read{}, errBitOffset
	}
	return Read{
		Cut: func(length int) (from, to int) { return min(at, length), min(at+1, length) },
		Reply: func(f Found) wire.Value {
			return Number(bitOf(f.Value, 0, mask))
		},
	}, ""
}

func evalSetBit(tx *Tx, _ *Command, args [][]byte) wire.Value {
	at, mask, ok := bitOffset(args[1], tx.ValueBytesMax)
	bit, ok2 := ParseInt(args[2])
	switch {
	case !ok:
		return Fail(errBitOffset)
	case !ok2 || bit&^1 != 0:
		return Fail(errBit)
	}
	s := tx.key(args[0])
	before := bitOf(s.value, at, mask)
	if at < len(s.value) && before == bit {
		return Number(before) // no write, which would spoil another's WATCH
	}
	size := max(at+1, len(s.value))
	if fail, bad := tx.tooLong(s, size); bad {
		return fail
	}
	changed := make([]byte, size)
	copy(changed, s.value)
	if changed[at] &^= mask; bit == 1 {
		changed[at] |= mask
	}
	s.become(changed)
	return Number(before)
}

// bitOffset reads which bit of a value of so many bytes at most is meant.
func bitOffset(arg []byte, valueBytesMax int) (at int, mask byte, ok bool) {
	n, ok := ParseInt(arg)
	if !ok || n < 0 || n>>3 >= int64(valueBytesMax) {
		return 0, 0, false
	}
	return int(n >> 3), 1 << (7 - n&7), true
}

// bitOf is a bit of a value; behind its end they are 0.
func bitOf(value []byte, at int, mask byte) int64 {
	if at < len(value) && value[at]&mask != 0 {
		return 1
	}
	return 0
}
