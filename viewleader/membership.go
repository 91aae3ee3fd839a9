package viewleader

import (
	"encoding/binary"
	"fmt"
	"slices"

	"viewring/internal/codec"
)

// membersMax bounds a group: more members make it slower, not safer.
const membersMax = 7

// founderID is the id of the first member. Ids count up from there and are never reused,
// so that no member ever votes against what another one promised.
const founderID = 1

// membership is who belongs to the group, as every member knows it: Raft itself
// knows numbers only. It changes with an entry of the log, whole.
type membership struct {
	next    uint64 // the next member's id; one below it that is not listed was removed
	members []member
	awaited []string // addresses that an operator lets in
}

// member is a view leader of the group.
type member struct {
	id    uint64
	addr  string
	store [16]byte // of its data folder; zero: a folder from before there were groups
	// replaces is the member at the same address whose folder was lost. This one
	// takes its place once it has caught up; 0: none.
	replaces uint64
}

func (m *membership) clone() *membership {
	return &membership{next: m.next, members: slices.Clone(m.members), awaited: slices.Clone(m.awaited)}
}

// of returns the member with that id, or nil.
func (m *membership) of(id uint64) *member {
	for i := range m.members {
		if m.members[i].id == id {
			return &m.members[i]
		}
	}
	return nil
}

// at returns the newest member at an address, or nil.
func (m *membership) at(addr string) *member {
	for i := range slices.Backward(m.members) {
		if m.members[i].addr == addr {
			return &m.members[i]
		}
	}
	return nil
}

// removed reports whether id was a member and no longer is. An id that was not given out
// yet may belong to a member that this one has not heard of.
func (m *membership) removed(id uint64) bool { return id < m.next && m.of(id) == nil }

// admit adds a member for a data folder that never belonged to the group.
func (m *membership) admit(addr string, store [16]byte, replaces uint64) uint64 {
	id := m.next
	m.next++
	m.members = append(m.members, member{id: id, addr: addr, store: store, replaces: replaces})
	m.awaited = slices.DeleteFunc(m.awaited, func(a string) bool { return a == addr })
	return id
}

func (m *membership) drop(id uint64) {
	m.members = slices.DeleteFunc(m.members, func(o member) bool { return o.id == id })
}

func (m *membership) append(b []byte) []byte {
	b = binary.AppendUvarint(b, m.next)
	b = binary.AppendUvarint(b, uint64(len(m.members)))
	for i := range m.members {
		o := &m.members[i]
		b = binary.AppendUvarint(b, o.id)
		b = codec.AppendString(b, o.addr)
		b = append(b, o.store[:]...)
		b = binary.AppendUvarint(b, o.replaces)
	}
	b = binary.AppendUvarint(b, uint64(len(m.awaited)))
	for _, addr := range m.awaited {
		b = codec.AppendString(b, addr)
	}
	return b
}

func readMembership(r *codec.Reader) *membership {
	m := &membership{next: r.Uvarint()}
	for range r.Count(19) {
		o := member{id: r.Uvarint(), addr: r.String()}
		r.Fixed(o.store[:])
		o.replaces = r.Uvarint()
		if o.id == 0 || o.id >= m.next {
			r.Invalid("member %d of a group that counted to %d", o.id, m.next)
		}
		m.members = append(m.members, o)
	}
	for range r.Count(1) {
		m.awaited = append(m.awaited, r.String())
	}
	return m
}

// The kinds of entries, and of a snapshot.
const (
	entryCommands     = 1 // commands of the roster
	entryMembership   = 2 // what Raft need not know of a change of members
	entryIdentified   = 3 // commands, some with the ids that their clients gave them
	snapshotOfGroup   = 0x80
	membershipVersion = 1
)

// origin says who wrote an entry: the process, by a number drawn at its start, and the
// entry's number among those of the process.
type origin struct{ nonce, seq uint64 }

func (o origin) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, o.nonce)
	return binary.BigEndian.AppendUint64(b, o.seq)
}

func readOrigin(r *codec.Reader) origin { return origin{r.Uint64(), r.Uint64()} }

// appendMembership encodes a change: as an entry of its own, or as the context of
// one that Raft takes part in.
func appendMembership(b []byte, o origin, m *membership) []byte {
	b = append(b, entryMembership, membershipVersion)
	return m.append(o.append(b))
}

func decodeMembership(b []byte) (origin, *membership, error) {
	r := codec.NewReader(b)
	if kind, version := r.Byte(), r.Byte(); r.Err() == nil && (kind != entryMembership || version != membershipVersion) {
		return origin{}, nil, fmt.Errorf("a membership of kind %d, version %d: this build reads %d, %d",
			kind, version, entryMembership, membershipVersion)
	}
	o, m := readOrigin(r), readMembership(r)
	return o, m, r.Done()
}
