package roster

import (
	"encoding/binary"
	"fmt"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
)

// AppendSnapshot encodes the whole state. Equal states give equal bytes.
func (s *State) AppendSnapshot(b []byte) []byte {
	format := byte(snapshotFormatFourth)
	if s.isNewer() {
		format = snapshotFormat
	}
	b = append(b, format)
	b = append(b, s.cluster[:]...)
	b = binary.AppendUvarint(b, uint64(s.leaseTTL))
	b = binary.AppendUvarint(b, uint64(s.patience))
	b = binary.AppendUvarint(b, uint64(s.minCopies))
	b = binary.AppendUvarint(b, s.epoch)
	b = binary.AppendUvarint(b, uint64(s.nextID))
	b = binary.AppendUvarint(b, uint64(len(s.members)))
	for i := range s.members {
		b = appendMember(b, &s.members[i], format)
	}
	b = binary.AppendUvarint(b, uint64(len(s.gone)))
	for _, g := range s.gone {
		b = binary.AppendUvarint(b, uint64(g.ID))
		b = append(b, g.Store[:]...)
		b = binary.AppendUvarint(b, g.Incarnation)
		b = codec.AppendBool(b, g.Removed)
	}
	b = binary.AppendUvarint(b, uint64(len(s.parts)))
	for i := range s.parts {
		p := &s.parts[i]
		b = binary.AppendUvarint(b, p.Term)
		b = append(b, p.MinCopies)
		b = appendIDs(b, p.Acting)
		b = appendIDs(b, p.Writable)
		b = binary.AppendUvarint(b, uint64(p.tainted))
		b = binary.AppendUvarint(b, uint64(p.ejected))
		b = binary.AppendUvarint(b, p.ResetTerm)
	}
	b = binary.AppendUvarint(b, uint64(len(s.asked)))
	for _, a := range s.asked {
		b = binary.AppendUvarint(b, uint64(a.Partition))
		b = binary.AppendUvarint(b, a.Term)
		b = binary.AppendUvarint(b, uint64(a.From))
		b = binary.AppendUvarint(b, uint64(a.Who))
		b = binary.AppendVarint(b, a.First)
		b = binary.AppendVarint(b, a.Last)
	}
	b = s.appendEvents(b)
	b = binary.AppendUvarint(b, s.eventNumber)
	return s.locks.append(b)
}

// Restore reads what AppendSnapshot wrote.
func Restore(b []byte) (*State, error) {
	r := codec.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && (format < snapshotFormatFirst || format > snapshotFormat) {
		return nil, fmt.Errorf("roster snapshot: %w %d, want %d", ErrFormat, format, snapshotFormat)
	}
	s := &State{}
	r.Fixed(s.cluster[:])
	s.leaseTTL = time.Duration(r.Uvarint())
	s.patience = time.Duration(r.Uvarint())
	s.minCopies = int(r.Uvarint())
	s.epoch = r.Uvarint()
	s.nextID = serverID(r)
	for range r.Count(20) {
		s.members = append(s.members, readMember(r, format))
	}
	for range r.Count(19) {
		g := gone{ID: serverID(r)}
		r.Fixed(g.Store[:])
		g.Incarnation, g.Removed = r.Uvarint(), r.Bool()
		s.gone = append(s.gone, g)
	}
	s.parts = make([]partition, r.Count(5))
	for i := range s.parts {
		p := &s.parts[i]
		p.Term, p.MinCopies = r.Uvarint(), r.Byte()
		p.Acting, p.Writable = readIDs(r), readIDs(r)
		p.tainted = uint16(r.Uvarint())
		p.ejected = p.tainted
		if format > snapshotFormatSecond {
			p.ejected = uint16(r.Uvarint())
		}
		if format > snapshotFormatFirst {
			p.ResetTerm = r.Uvarint()
		}
	}
	for range r.Count(6) {
		s.asked = append(s.asked, ask{ring.PartitionID(r.Uvarint()), r.Uvarint(),
			serverID(r), serverID(r), r.Varint(), r.Varint()})
	}
	if format > snapshotFormatFirst {
		var err error
		if s.events, err = readEvents(r); err != nil {
			return nil, fmt.Errorf("roster snapshot: %w", err)
		}
	}
	s.eventNumber = s.lastKept()
	if format > snapshotFormatThird {
		s.eventNumber = r.Uvarint()
	}
	s.locks = readLocks(r, format)
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("roster snapshot: %w", err)
	}
	if err := s.validRestored(); err != nil {
		return nil, err
	}
	return s, nil
}

// validRestored refuses a snapshot that decodes but can't have been written.
func (s *State) validRestored() error {
	c := Config{Partitions: len(s.parts), MinCopies: s.minCopies, LeaseTTL: s.leaseTTL, EjectPatience: s.patience}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("roster snapshot: %w", err)
	}
	for i := range s.parts {
		p := &s.parts[i]
		if p.Term > s.epoch || p.ResetTerm > p.Term || p.MinCopies == 0 || len(p.Acting) > actingMax || len(p.Writable) > actingMax {
			return fmt.Errorf("roster snapshot: partition %d is malformed", i)
		}
	}
	if s.eventNumber < s.lastKept() {
		return fmt.Errorf("roster snapshot: %d events, the last is number %d", s.eventNumber, s.lastKept())
	}
	if err := s.locks.validRestored(); err != nil {
		return fmt.Errorf("roster snapshot: %w", err)
	}
	for _, a := range s.asked {
		if int64(a.Partition) >= int64(len(s.parts)) {
			return fmt.Errorf("roster snapshot: an eject from partition %d of %d", a.Partition, len(s.parts))
		}
	}
	return nil
}

func appendMember(b []byte, m *member, format byte) []byte {
	b = binary.AppendUvarint(b, uint64(m.ID))
	b = append(b, m.Store[:]...)
	b = binary.AppendUvarint(b, m.Incarnation)
	b = codec.AppendString(b, m.Addr)
	b = codec.AppendString(b, m.Zone)
	b = binary.AppendUvarint(b, uint64(m.Weight))
	b = append(b, byte(m.Status))
	b = codec.AppendBool(b, m.Up)
	b = binary.AppendUvarint(b, m.Instance)
	b = binary.AppendVarint(b, m.DownAt)
	b = codec.AppendBool(b, m.Doubted)
	b = codec.AppendBool(b, m.Removed)
	b = binary.BigEndian.AppendUint64(b, m.Start)
	if format == snapshotFormatFourth {
		return b
	}
	b = codec.AppendString(b, m.SaidZone)
	return binary.AppendUvarint(b, uint64(m.SaidWeight))
}

func readMember(r *codec.Reader, format byte) member {
	var m member
	m.ID = serverID(r)
	r.Fixed(m.Store[:])
	m.Incarnation = r.Uvarint()
	m.Addr = r.String()
	m.Zone = r.String()
	m.Weight = uint32(r.Uvarint())
	m.Status = ring.Status(r.Byte())
	m.Up = r.Bool()
	m.Instance = r.Uvarint()
	m.DownAt = r.Varint()
	m.Doubted = r.Bool()
	m.Removed = r.Bool()
	if format > snapshotFormatSecond {
		m.Start = r.Uint64()
	}
	m.SaidZone = m.Zone
	if format > snapshotFormatFourth {
		m.SaidZone, m.SaidWeight = r.String(), uint32(r.Uvarint())
	}
	return m
}

func appendIDs(b []byte, ids []ring.ServerID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

func readIDs(r *codec.Reader) []ring.ServerID {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	ids := make([]ring.ServerID, n)
	for i := range ids {
		ids[i] = serverID(r)
	}
	return ids
}
