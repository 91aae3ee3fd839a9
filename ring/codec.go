package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"viewring/internal/codec"
)

// The first byte of an encoded view. Whole views are kept in files, deltas never. Where a
// member's weight is not 1 the formats are others, which a build that knows no weights
// refuses: it would place partitions elsewhere.
const (
	viewFormat          = 4
	deltaFormat         = 5
	viewFormatWeighted  = 6
	deltaFormatWeighted = 7
)

// The flags of an encoded partition.
const (
	flagSame  = 1 << iota // Writable is Acting
	flagReset             // ResetTerm follows
	flagsAll  = flagSame | flagReset
)

// Bounds that a decoded view keeps to.
const (
	membersMax = 1 << 14
	actingMax  = 16
	textMax    = 1 << 10 // an address, a zone
)

// Fewest bytes of an encoded member and partition.
const (
	memberBytesMin    = 1 + 16 + 1 + 8 + 1 + 1 + 1 + 1 + 1
	partitionBytesMin = 1 + 1 + 1 + 1
)

// ErrNeedWhole is wrapped when a delta does not fit the view that it was applied
// to: ask again for the whole view.
var ErrNeedWhole = errors.New("the whole view is needed")

// AppendView appends the encoding of v: whole when since is 0, otherwise a delta
// for whoever has a view of the same cluster and an epoch of at least since. This
// delta has all members and those partitions whose term is above since: every
// change of a partition raises its term. Deltas makes smaller ones.
func AppendView(b []byte, v *View, since uint64) []byte {
	if since > 0 {
		return appendDelta(b, v, since, func(*Member) bool { return true })
	}
	b = appendHead(append(b, v.format(viewFormat, viewFormatWeighted)), v, 0)
	b = appendMembers(b, v.Members)
	return appendPartitions(b, v, 0)
}

// format is the first of two formats, or the second where weights are used.
func (v *View) format(plain, weighted byte) byte {
	if v.Weighted() {
		return weighted
	}
	return plain
}

// appendHead appends what views and deltas begin with, after the format.
func appendHead(b []byte, v *View, since uint64) []byte {
	b = binary.AppendUvarint(b, since)
	b = append(b, v.Cluster[:]...)
	b = binary.AppendUvarint(b, v.Epoch)
	b = binary.AppendUvarint(b, uint64(v.LeaseTTL))
	return append(b, v.MinCopies)
}

func appendMembers(b []byte, members []Member) []byte {
	b = binary.AppendUvarint(b, uint64(len(members)))
	for i := range members {
		b = appendMember(b, &members[i])
	}
	return b
}

// appendPartitions appends the partitions that changed after since.
func appendPartitions(b []byte, v *View, since uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(v.Partitions)))
	changed := 0
	for i := range v.Partitions {
		if since == 0 || v.Partitions[i].Term > since {
			changed++
		}
	}
	b = binary.AppendUvarint(b, uint64(changed))
	for i := range v.Partitions {
		if p := &v.Partitions[i]; since == 0 || p.Term > since {
			b = binary.AppendUvarint(b, uint64(i))
			b = appendPartition(b, p)
		}
	}
	return b
}

func appendMember(b []byte, m *Member) []byte {
	b = binary.AppendUvarint(b, uint64(m.ID))
	b = append(b, m.Store[:]...)
	b = binary.AppendUvarint(b, m.Incarnation)
	b = binary.BigEndian.AppendUint64(b, m.Start)
	b = codec.AppendString(b, m.Addr)
	b = codec.AppendString(b, m.Zone)
	b = binary.AppendUvarint(b, uint64(m.Weight))
	b = append(b, byte(m.Status))
	return codec.AppendBool(b, m.Up)
}

func appendPartition(b []byte, p *Partition) []byte {
	b = binary.AppendUvarint(b, p.Term)
	b = append(b, p.MinCopies)
	b = appendIDs(b, p.Acting)
	flags := byte(0)
	if slices.Equal(p.Acting, p.Writable) {
		flags |= flagSame
	}
	if p.ResetTerm > 0 {
		flags |= flagReset
	}
	b = append(b, flags)
	if flags&flagSame == 0 {
		b = appendIDs(b, p.Writable)
	}
	if flags&flagReset != 0 {
		b = binary.AppendUvarint(b, p.ResetTerm)
	}
	return b
}

func appendIDs(b []byte, ids []ServerID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

// DecodeView reads what AppendView or Deltas wrote. For a delta, base is the view
// that the receiver has; it is not changed, and the result shares memory with it.
// When base is of the same cluster and not older than the encoded view, base itself
// is returned. Without a fitting base the error wraps ErrNeedWhole.
func DecodeView(b []byte, base *View) (*View, error) {
	v, err := decodeView(codec.NewReader(b), base)
	if err != nil {
		return nil, fmt.Errorf("decode view: %w", err)
	}
	return v, nil
}

func decodeView(r *codec.Reader, base *View) (*View, error) {
	format := r.Byte()
	if r.Err() == nil && (format < viewFormat || format > deltaFormatWeighted) {
		return nil, fmt.Errorf("format %d, this build reads %d to %d: %w", format, viewFormat, deltaFormatWeighted, codec.ErrMalformed)
	}
	delta := format == deltaFormat || format == deltaFormatWeighted
	v := &View{}
	since := r.Uvarint()
	r.Fixed(v.Cluster[:])
	v.Epoch = r.Uvarint()
	v.LeaseTTL = time.Duration(r.Uvarint())
	v.MinCopies = r.Byte()
	if err := r.Err(); err != nil {
		return nil, err
	}
	if (since == 0) == delta {
		return nil, fmt.Errorf("format %d since epoch %d: %w", format, since, codec.ErrMalformed)
	}
	if delta {
		return decodeDelta(r, v, since, base)
	}
	var err error
	if v.Members, err = decodeMembers(r); err != nil {
		return nil, err
	}
	partitions, changed, err := decodePartitionCounts(r)
	if err != nil {
		return nil, err
	}
	if changed != partitions {
		return nil, fmt.Errorf("%d of %d partitions in a whole view: %w", changed, partitions, codec.ErrMalformed)
	}
	v.Partitions = make([]Partition, partitions)
	if err := decodePartitions(r, v, changed); err != nil {
		return nil, err
	}
	if base != nil && base.Cluster == v.Cluster && base.Epoch >= v.Epoch {
		return base, nil
	}
	return v, nil
}

func decodePartitionCounts(r *codec.Reader) (partitions, changed int, err error) {
	n := r.Uvarint()
	changed = r.Count(partitionBytesMin)
	if err := r.Err(); err != nil {
		return 0, 0, err
	}
	if n > Slots || !ValidPartitions(int(n)) {
		return 0, 0, fmt.Errorf("%d partitions: %w", n, codec.ErrMalformed)
	}
	return int(n), changed, nil
}

func decodeMembers(r *codec.Reader) ([]Member, error) {
	n := r.Count(memberBytesMin)
	if n > membersMax {
		return nil, fmt.Errorf("%d members: %w", n, codec.ErrMalformed)
	}
	members := make([]Member, 0, n)
	var last ServerID
	for range n {
		m, err := decodeMember(r)
		if err != nil {
			return nil, err
		}
		if m.ID <= last {
			return nil, fmt.Errorf("member %v after %v: %w", m.ID, last, codec.ErrMalformed)
		}
		last = m.ID
		members = append(members, m)
	}
	return members, r.Err()
}

func decodeMember(r *codec.Reader) (m Member, err error) {
	if m.ID, err = decodeID(r); err != nil {
		return m, err
	}
	r.Fixed(m.Store[:])
	m.Incarnation, m.Start = r.Uvarint(), r.Uint64()
	m.Addr, m.Zone = r.String(), r.String()
	weight := r.Uvarint()
	m.Weight = uint32(weight)
	m.Status = Status(r.Byte())
	m.Up = r.Bool()
	if err := r.Err(); err != nil {
		return m, fmt.Errorf("member: %w", err)
	}
	if len(m.Addr) > textMax || len(m.Zone) > textMax || weight > WeightMax || m.Status < In || m.Status > Out {
		return m, fmt.Errorf("member %v: %w", m.ID, codec.ErrMalformed)
	}
	return m, nil
}

func decodePartitions(r *codec.Reader, v *View, changed int) error {
	next := uint64(0)
	for range changed {
		i := r.Uvarint()
		p, err := decodePartition(r)
		if err != nil {
			return err
		}
		if i < next || i >= uint64(len(v.Partitions)) {
			return fmt.Errorf("partition %d: %w", i, codec.ErrMalformed)
		}
		v.Partitions[i] = p
		next = i + 1
	}
	return r.Done()
}

func decodePartition(r *codec.Reader) (p Partition, err error) {
	p.Term = r.Uvarint()
	p.MinCopies = r.Byte()
	if p.Acting, err = decodeIDs(r); err != nil {
		return p, err
	}
	flags := r.Byte()
	if flags > flagsAll {
		return p, fmt.Errorf("partition flags %x: %w", flags, codec.ErrMalformed)
	}
	if flags&flagSame != 0 {
		p.Writable = p.Acting
	} else if p.Writable, err = decodeIDs(r); err != nil {
		return p, err
	}
	if flags&flagReset != 0 {
		p.ResetTerm = r.Uvarint()
		if r.Err() == nil && (p.ResetTerm == 0 || p.ResetTerm > p.Term) {
			return p, fmt.Errorf("reset in term %d of %d: %w", p.ResetTerm, p.Term, codec.ErrMalformed)
		}
	}
	return p, r.Err()
}

func decodeIDs(r *codec.Reader) ([]ServerID, error) {
	n := r.Count(1)
	if n > actingMax {
		return nil, fmt.Errorf("%d replicas: %w", n, codec.ErrMalformed)
	}
	if n == 0 {
		return nil, r.Err()
	}
	ids := make([]ServerID, n)
	for i := range ids {
		var err error
		if ids[i], err = decodeID(r); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func decodeID(r *codec.Reader) (ServerID, error) {
	n := r.Uvarint()
	if err := r.Err(); err != nil {
		return 0, err
	}
	if n == 0 || n != uint64(ServerID(n)) {
		return 0, fmt.Errorf("server id %d: %w", n, codec.ErrMalformed)
	}
	return ServerID(n), nil
}

// Clone returns a copy that shares no memory with v.
func (v *View) Clone() *View {
	c := *v
	c.Members = slices.Clone(v.Members)
	c.Partitions = slices.Clone(v.Partitions)
	for i := range c.Partitions {
		p := &c.Partitions[i]
		p.Acting = slices.Clone(p.Acting)
		p.Writable = slices.Clone(p.Writable)
	}
	return &c
}
