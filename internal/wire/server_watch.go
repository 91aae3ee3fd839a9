package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
	"viewring/ring"
)

// watchFormat is the version of WatchRequest and Told.
const watchFormat = 1

// The spaces of keys that can be watched, as package server/replica numbers them.
const (
	UserSpace byte = 1
	FileSpace byte = 3
	MetaSpace byte = 5
)

// WatchRequest asks a server to tell of changes in one partition. The server answers OK, and
// then pushes a Told for each that there is to tell, until it has told TellEnded, or the
// client sends CmdUnwatch.
type WatchRequest struct {
	ID        uint64 // of the watch, on this connection: chosen by the client, never again
	Partition ring.PartitionID

	// Told is what comes after the version Term and Seq, or with Now after what is
	// committed when the server takes the watch up.
	Now  bool
	Term uint64
	Seq  uint64

	Space  byte   // of the keys
	Prefix bool   // Name is what their names begin with; else it is the name of the one key, of Slot
	Slot   uint16 // not with Prefix
	Name   []byte
	Values bool // sets come with their values, as far as they are still there
}

// What the flags of an encoded WatchRequest say.
const (
	watchNow = 1 << iota
	watchPrefix
	watchValues
	watchFlagsEnd
)

// AppendWatchRequest encodes q.
func AppendWatchRequest(b []byte, q *WatchRequest) []byte {
	flags := byte(0)
	for _, f := range []struct {
		bit byte
		on  bool
	}{{watchNow, q.Now}, {watchPrefix, q.Prefix}, {watchValues, q.Values}} {
		if f.on {
			flags |= f.bit
		}
	}
	b = append(b, watchFormat, flags, q.Space)
	b = binary.AppendUvarint(b, q.ID)
	b = binary.AppendUvarint(b, uint64(q.Partition))
	b = binary.AppendUvarint(b, q.Term)
	b = binary.AppendUvarint(b, q.Seq)
	b = binary.AppendUvarint(b, uint64(q.Slot))
	return codec.AppendBytes(b, q.Name)
}

// DecodeWatchRequest parses what AppendWatchRequest wrote. Name aliases b.
func DecodeWatchRequest(b []byte) (WatchRequest, error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "watch", watchFormat); err != nil {
		return WatchRequest{}, err
	}
	flags := r.Byte()
	q := WatchRequest{Now: flags&watchNow != 0, Prefix: flags&watchPrefix != 0, Values: flags&watchValues != 0, Space: r.Byte(),
		ID: r.Uvarint(), Partition: ring.PartitionID(r.Uvarint()), Term: r.Uvarint(), Seq: r.Uvarint()}
	slot := r.Uvarint()
	q.Slot = uint16(slot)
	q.Name = r.Bytes()
	if err := r.Done(); err != nil {
		return WatchRequest{}, fmt.Errorf("watch: %w", err)
	}
	if flags >= watchFlagsEnd || slot >= ring.Slots {
		return WatchRequest{}, fmt.Errorf("watch: %w: flags %d, slot %d", codec.ErrMalformed, flags, slot)
	}
	return q, nil
}

// PushTold is the first word of the push that carries a Told.
const PushTold = "vr.told"

// TellKind says what a Told tells.
type TellKind uint8

// The kinds of Told, and which fields they use. Package server/replica says what they promise.
const (
	TellBegun   TellKind = iota + 1 // Term, Seq: all that comes after that version is told
	TellChanged                     // Term, Seq, Changes: what one write did
	TellPassed                      // Term, Seq: nothing more was done up to there
	TellAnew                        // Term, Seq: what came before is not known any more, what comes after is told
	TellEnded                       // Why; Epoch is that of the server
	tellKindEnd
)

// TellWhy says why a server tells nothing more.
type TellWhy uint8

// The reasons.
const (
	WhyMoved       TellWhy = iota + 1 // it is not the partition's primary
	WhyUnavailable                    // it can't serve the partition now
	WhySlow                           // the client reads more slowly than there is to tell
	whyEnd
)

// TellChange is what became of a key.
type TellChange uint8

// The changes.
const (
	TellSet TellChange = iota + 1
	TellDeleted
	TellExpired
	tellChangeEnd
)

// ToldChange is what a write did to a key.
type ToldChange struct {
	Change   TellChange
	Slot     uint16
	Name     []byte
	HasValue bool // of a set: false where it is not wanted, or was overwritten since
	Value    []byte
	Expiry   int64 // with HasValue: unix milliseconds, 0 = never
}

// Told is what a watch is told.
type Told struct {
	ID        uint64
	Kind      TellKind
	Term, Seq uint64
	Changes   []ToldChange
	Why       TellWhy
	Epoch     uint64
}

// AppendTold encodes t.
func AppendTold(b []byte, t *Told) []byte {
	b = append(b, watchFormat, byte(t.Kind), byte(t.Why))
	b = binary.AppendUvarint(b, t.ID)
	b = binary.AppendUvarint(b, t.Term)
	b = binary.AppendUvarint(b, t.Seq)
	b = binary.AppendUvarint(b, t.Epoch)
	b = binary.AppendUvarint(b, uint64(len(t.Changes)))
	for i := range t.Changes {
		c := &t.Changes[i]
		b = append(b, byte(c.Change))
		b = codec.AppendBool(b, c.HasValue)
		b = binary.AppendUvarint(b, uint64(c.Slot))
		b = codec.AppendBytes(b, c.Name)
		if c.HasValue {
			b = binary.AppendVarint(b, c.Expiry)
			b = codec.AppendBytes(b, c.Value)
		}
	}
	return b
}

// DecodeTold parses what AppendTold wrote. Names and values alias b.
func DecodeTold(b []byte) (Told, error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "told", watchFormat); err != nil {
		return Told{}, err
	}
	t := Told{Kind: TellKind(r.Byte()), Why: TellWhy(r.Byte()), ID: r.Uvarint(), Term: r.Uvarint(), Seq: r.Uvarint(), Epoch: r.Uvarint()}
	if n := r.Count(4); n > 0 {
		t.Changes = make([]ToldChange, n)
	}
	for i := range t.Changes {
		c := &t.Changes[i]
		c.Change, c.HasValue = TellChange(r.Byte()), r.Bool()
		slot := r.Uvarint()
		c.Slot, c.Name = uint16(slot), r.Bytes()
		if c.HasValue {
			c.Expiry, c.Value = r.Varint(), r.Bytes()
		}
		if c.Change == 0 || c.Change >= tellChangeEnd || slot >= ring.Slots || c.HasValue && c.Change != TellSet {
			r.Invalid("change %d of slot %d", c.Change, slot)
		}
	}
	if err := r.Done(); err != nil {
		return Told{}, fmt.Errorf("told: %w", err)
	}
	if t.Kind == 0 || t.Kind >= tellKindEnd || (t.Kind == TellEnded) != (t.Why != 0) || t.Why >= whyEnd || (t.Kind == TellChanged) != (len(t.Changes) > 0) {
		return Told{}, fmt.Errorf("told: %w: kind %d, why %d, %d changes", codec.ErrMalformed, t.Kind, t.Why, len(t.Changes))
	}
	return t, nil
}

// WritePush begins a push of n values, which RESP2 has not: it is for clients that asked for
// pushes by a command of their own.
func (w *Writer) WritePush(n int) { w.count(byte(KindPush), int64(n)) }
