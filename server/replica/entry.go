package replica

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
)

// entryFormat is the first byte of every encoded entry.
const entryFormat = 2 // 2: a write says whether its key expired

// Change is what an entry did to a key.
type Change uint8

// The changes.
const (
	ChangeUnknown Change = iota // a row of the index that an earlier build wrote does not say
	ChangeSet                   // created, or given another value or expiry
	ChangeDeleted
	ChangeExpired // deleted because its time was over
	changeEnd
)

// Write is what an entry does to one key.
type Write struct {
	Key     Key
	Before  Version // of the key in the log just before; zero = absent
	Shrinks uint64  // bytes of the value that was there before
	Item    []byte  // encoded, with the entry's version; nil = deleted
	Expired bool    // deleted because its time was over
}

// Change returns what the write did.
func (w *Write) Change() Change {
	switch {
	case w.Item != nil:
		return ChangeSet
	case w.Expired:
		return ChangeExpired
	}
	return ChangeDeleted
}

// lasts is Shrinks, and Expired in the lowest bit, as they are encoded.
func (w *Write) lasts() uint64 {
	if w.Expired {
		return w.Shrinks<<1 | 1
	}
	return w.Shrinks << 1
}

// Entry is one step of a partition's log. Immutable once made.
type Entry struct {
	Version Version
	Digest  uint64 // of the partition, after this entry
	Writes  []Write

	enc []byte
}

// encoded returns the entry's encoding, made once however many replicas get it.
func (e *Entry) encoded() []byte {
	if e.enc == nil {
		b := e.appendHead(make([]byte, 0, e.size()))
		for i := range e.Writes {
			b = codec.AppendBytes(e.Writes[i].appendHead(b), e.Writes[i].Item)
		}
		e.enc = b
	}
	return e.enc
}

// appendHead appends what comes before the writes in an entry's encoding.
func (e *Entry) appendHead(b []byte) []byte {
	b = append(b, entryFormat)
	b = appendVersion(b, e.Version)
	b = binary.BigEndian.AppendUint64(b, e.Digest)
	return binary.AppendUvarint(b, uint64(len(e.Writes)))
}

// appendHead appends what comes before the item in a write's encoding.
func (w *Write) appendHead(b []byte) []byte {
	b = codec.AppendString(b, string(w.Key))
	b = appendVersion(b, w.Before)
	return binary.AppendUvarint(b, w.lasts())
}

// lentBytesMin is how long an item is that is not copied into a message: shorter ones cost more in pieces.
const lentBytesMin = 16 << 10

// appendApart appends the entry, with its length before it, as AppendMessageApart does.
func (e *Entry) appendApart(b []byte, lend func(before, item []byte) []byte) []byte {
	if e.enc == nil && len(e.Writes) == 1 && len(e.Writes[0].Item) >= lentBytesMin {
		item := e.Writes[0].Item
		head := binary.AppendUvarint(e.Writes[0].appendHead(e.appendHead(make([]byte, 0, 128))), uint64(len(item)))
		b = append(binary.AppendUvarint(b, uint64(len(head)+len(item))), head...)
		return lend(b, item)
	}
	enc := e.encoded()
	if len(enc) < lentBytesMin {
		return codec.AppendBytes(b, enc)
	}
	return lend(binary.AppendUvarint(b, uint64(len(enc))), enc)
}

// size is at least the length of the encoding.
func (e *Entry) size() int {
	n := 40
	for _, w := range e.Writes {
		n += len(w.Key) + len(w.Item) + 48
	}
	return n
}

func decodeEntry(b []byte) (*Entry, error) {
	r := codec.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && format != entryFormat {
		return nil, fmt.Errorf("entry format %d, this build reads %d", format, entryFormat)
	}
	e := &Entry{Version: readVersion(r), Digest: r.Uint64()}
	if n := r.Count(5); n > 0 {
		e.Writes = make([]Write, n)
	}
	for i := range e.Writes {
		w := Write{Key: readKey(r), Before: readVersion(r)}
		lasts := r.Uvarint()
		w.Shrinks, w.Expired, w.Item = lasts>>1, lasts&1 != 0, r.Bytes()
		e.Writes[i] = w
		if it := e.Writes[i].Item; it != nil {
			if v, err := versionOf(it); err != nil || v != e.Version {
				r.Invalid("item of version %v in entry %v: %v", v, e.Version, err)
			}
		}
	}
	e.enc = b
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	return e, nil
}

func (e *Entry) row() Row {
	row := Row{Seq: e.Version.Seq, Term: e.Version.Term, Keys: make([]Key, len(e.Writes))}
	for i := range e.Writes {
		row.Keys[i] = e.Writes[i].Key
	}
	if !e.onlySets() {
		row.Changes = make([]Change, len(e.Writes))
		for i := range e.Writes {
			row.Changes[i] = e.Writes[i].Change()
		}
	}
	return row
}

// onlySets reports whether nothing is deleted that anybody is told of: most entries do
// nothing else, and their rows need not say it of each key.
func (e *Entry) onlySets() bool {
	for i := range e.Writes {
		if e.Writes[i].Item == nil && e.Writes[i].Key.Space() != SpaceSystem {
			return false
		}
	}
	return true
}

// appendRow appends what appendRow does of the entry's row, without making it.
func (e *Entry) appendRow(b []byte) []byte {
	b = binary.AppendUvarint(b, e.Version.Term)
	b = binary.AppendUvarint(b, uint64(len(e.Writes)))
	for i := range e.Writes {
		b = codec.AppendString(b, string(e.Writes[i].Key))
	}
	if e.onlySets() {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Writes)))
	for i := range e.Writes {
		b = append(b, byte(e.Writes[i].Change()))
	}
	return b
}

// rowBytes is about the length of that.
func (e *Entry) rowBytes() int {
	n := 9
	for i := range e.Writes {
		n += 2 + len(e.Writes[i].Key)
	}
	return n
}
