package replica

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
)

// entryFormat is the first byte of every encoded entry.
const entryFormat = 1

// Write is what an entry does to one key.
type Write struct {
	Key     Key
	Before  Version // of the key in the log just before; zero = absent
	Shrinks uint64  // bytes of the value that was there before
	Item    []byte  // encoded, with the entry's version; nil = deleted
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
		b := make([]byte, 0, e.size())
		b = append(b, entryFormat)
		b = appendVersion(b, e.Version)
		b = binary.BigEndian.AppendUint64(b, e.Digest)
		b = binary.AppendUvarint(b, uint64(len(e.Writes)))
		for _, w := range e.Writes {
			b = codec.AppendString(b, string(w.Key))
			b = appendVersion(b, w.Before)
			b = binary.AppendUvarint(b, w.Shrinks)
			b = codec.AppendBytes(b, w.Item)
		}
		e.enc = b
	}
	return e.enc
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
		e.Writes[i] = Write{Key: readKey(r), Before: readVersion(r), Shrinks: r.Uvarint(), Item: r.Bytes()}
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
	keys := make([]Key, len(e.Writes))
	for i, w := range e.Writes {
		keys[i] = w.Key
	}
	return Row{Seq: e.Version.Seq, Term: e.Version.Term, Keys: keys}
}

// appendRow appends what appendRow does of the entry's row, without making it.
func (e *Entry) appendRow(b []byte) []byte {
	b = binary.AppendUvarint(b, e.Version.Term)
	b = binary.AppendUvarint(b, uint64(len(e.Writes)))
	for i := range e.Writes {
		b = codec.AppendString(b, string(e.Writes[i].Key))
	}
	return b
}

// rowBytes is about the length of that.
func (e *Entry) rowBytes() int {
	n := 8
	for i := range e.Writes {
		n += 2 + len(e.Writes[i].Key)
	}
	return n
}
