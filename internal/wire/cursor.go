package wire

import "viewring/ring"

// A Cursor of SCAN is a place in the order in which keys are scanned: by slot, and
// within a slot by a hash of the name. It stands for the keys from there on, wherever
// they are stored, so it needs no memory and is good at any server at any time.
//
// It stays below 2^53: JavaScript's clients, and many others, keep it in a double.
type Cursor uint64

// CursorHashBits is how many bits of a name's hash a Cursor has.
const CursorHashBits = 53 - 14

// CursorOf is the first place of a slot.
func CursorOf(slot uint16) Cursor { return Cursor(slot) << CursorHashBits }

// Slot returns the slot of a cursor that is Valid.
func (c Cursor) Slot() uint16 { return uint16(c >> CursorHashBits) }

// Valid reports whether c is a place at all: any number may come from a client.
func (c Cursor) Valid() bool { return c>>CursorHashBits < ring.Slots }

// IsSlotStart reports whether nothing of c's slot comes before it.
func (c Cursor) IsSlotStart() bool { return c&(1<<CursorHashBits-1) == 0 }
