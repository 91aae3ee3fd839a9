package ring

import (
	"encoding/binary"

	"viewring/internal/codec"
)

// Incarnated is a server at one of its starts.
type Incarnated struct {
	ID          ServerID
	Incarnation uint64
}

// AppendIncarnated encodes in, for messages and for the view leader's log.
func AppendIncarnated(b []byte, in Incarnated) []byte {
	b = binary.AppendUvarint(b, uint64(in.ID))
	return binary.AppendUvarint(b, in.Incarnation)
}

// ReadIncarnated reads what AppendIncarnated wrote.
func ReadIncarnated(r *codec.Reader) Incarnated {
	return Incarnated{ID: ServerID(r.Uvarint()), Incarnation: r.Uvarint()}
}

// AppendIncarnatedList encodes a list.
func AppendIncarnatedList(b []byte, list []Incarnated) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, in := range list {
		b = AppendIncarnated(b, in)
	}
	return b
}

// ReadIncarnatedList reads what AppendIncarnatedList wrote; nil for an empty one.
func ReadIncarnatedList(r *codec.Reader) (list []Incarnated) {
	for range r.Count(2) {
		list = append(list, ReadIncarnated(r))
	}
	return list
}
