package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// leaderFormat is the version of everything the view leader's commands carry.
const leaderFormat = 4

// leaderReader starts reading a bulk of the view leader's commands.
func leaderReader(b []byte) (*codec.Reader, error) {
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != leaderFormat {
		return nil, fmt.Errorf("format version %d, want %d", f, leaderFormat)
	}
	return r, nil
}

// decodeLeader reads one bulk with read and wants nothing left over.
func decodeLeader[T any](what string, b []byte, read func(*codec.Reader) T) (T, error) {
	var zero T
	r, err := leaderReader(b)
	if err != nil {
		return zero, fmt.Errorf("%s: %w", what, err)
	}
	v := read(r)
	if err := r.Done(); err != nil {
		return zero, fmt.Errorf("%s: %w", what, err)
	}
	return v, nil
}

func readServerID(r *codec.Reader) ring.ServerID { return ring.ServerID(r.Uvarint()) }

func readDuration(r *codec.Reader) time.Duration { return time.Duration(r.Uint64()) }

func appendDuration(b []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(d))
}

// AppendRegister encodes q.
func AppendRegister(b []byte, q *vocab.Register) []byte {
	return vocab.AppendRegister(append(b, leaderFormat), q)
}

// DecodeRegister reads what AppendRegister wrote.
func DecodeRegister(b []byte) (vocab.Register, error) {
	return decodeLeader("register", b, vocab.ReadRegister)
}

// AppendRegistered encodes p.
func AppendRegistered(b []byte, p *Registered) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(p.ID))
	b = binary.AppendUvarint(b, p.Epoch)
	b = appendDuration(b, p.Every)
	return codec.AppendBytes(b, p.View)
}

// DecodeRegistered reads what AppendRegistered wrote; View aliases b.
func DecodeRegistered(b []byte) (Registered, error) {
	return decodeLeader("registered", b, func(r *codec.Reader) Registered {
		return Registered{ID: readServerID(r), Epoch: r.Uvarint(), Every: readDuration(r), View: r.Bytes()}
	})
}

// AppendHeartbeat encodes q.
func AppendHeartbeat(b []byte, q *Heartbeat) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(q.ID))
	b = binary.AppendUvarint(b, q.Instance)
	b = binary.AppendUvarint(b, q.Incarnation)
	b = binary.AppendUvarint(b, q.Epoch)
	n := statsOf(&q.Stats)
	if b = n.append(b, q.Stats.Full); q.Brief {
		return b
	}
	return appendLater(b, &q.Stats)
}

// DecodeHeartbeat reads what AppendHeartbeat wrote.
func DecodeHeartbeat(b []byte) (Heartbeat, error) {
	return decodeLeader("heartbeat", b, func(r *codec.Reader) (q Heartbeat) {
		q.ID = readServerID(r)
		q.Instance, q.Incarnation, q.Epoch = r.Uvarint(), r.Uvarint(), r.Uvarint()
		n, full := readStats(r)
		q.Stats = n.stats(full)
		q.Brief = r.Len() == 0
		readLater(r, &q.Stats)
		return q
	})
}

// AppendHeartbeatReply encodes p.
func AppendHeartbeatReply(b []byte, p *HeartbeatReply) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, p.Epoch)
	b = codec.AppendBool(b, p.Known)
	return appendDuration(b, p.Every)
}

// DecodeHeartbeatReply reads what AppendHeartbeatReply wrote.
func DecodeHeartbeatReply(b []byte) (HeartbeatReply, error) {
	return decodeLeader("heartbeat reply", b, func(r *codec.Reader) HeartbeatReply {
		return HeartbeatReply{Epoch: r.Uvarint(), Known: r.Bool(), Every: readDuration(r)}
	})
}

// AppendChanges encodes a list of changes.
func AppendChanges(b []byte, changes []Change) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for i := range changes {
		c := &changes[i]
		b = append(b, byte(c.Kind))
		b = ring.AppendIncarnated(b, c.From)
		b = binary.AppendUvarint(b, uint64(c.Partition))
		b = binary.AppendUvarint(b, c.Term)
		b = ring.AppendIncarnatedList(b, c.Acting)
	}
	return b
}

// DecodeChanges reads what AppendChanges wrote.
func DecodeChanges(b []byte) ([]Change, error) {
	return decodeLeader("changes", b, func(r *codec.Reader) []Change {
		return readList(r, 6, func() Change {
			return Change{
				Kind:      ChangeKind(r.Byte()),
				From:      ring.ReadIncarnated(r),
				Partition: ring.PartitionID(r.Uvarint()),
				Term:      r.Uvarint(),
				Acting:    ring.ReadIncarnatedList(r),
			}
		})
	})
}

// readList reads a count and that many elements, each of at least bytesMin
// bytes. Memory grows with what is really there.
func readList[T any](r *codec.Reader, bytesMin int, read func() T) []T {
	n := r.Count(bytesMin)
	if n == 0 {
		return nil
	}
	list := make([]T, 0, min(n, 1024))
	for range n {
		v := read()
		if r.Err() != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}

// AppendChangeResults encodes the answers to a list of changes.
func AppendChangeResults(b []byte, results []ChangeResult) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(len(results)))
	for i := range results {
		b = codec.AppendBool(b, results[i].Done)
		b = binary.AppendUvarint(b, results[i].Epoch)
		b = codec.AppendString(b, results[i].Reason)
	}
	return b
}

// DecodeChangeResults reads what AppendChangeResults wrote.
func DecodeChangeResults(b []byte) ([]ChangeResult, error) {
	return decodeLeader("change results", b, func(r *codec.Reader) []ChangeResult {
		return readList(r, 3, func() ChangeResult {
			return ChangeResult{Done: r.Bool(), Epoch: r.Uvarint(), Reason: r.String()}
		})
	})
}

// AppendConfirms encodes a list of questions.
func AppendConfirms(b []byte, questions []Confirm) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(len(questions)))
	for _, q := range questions {
		b = binary.AppendUvarint(b, uint64(q.Partition))
		b = binary.AppendUvarint(b, q.Term)
	}
	return b
}

// DecodeConfirms reads what AppendConfirms wrote.
func DecodeConfirms(b []byte) ([]Confirm, error) {
	return decodeLeader("confirms", b, func(r *codec.Reader) []Confirm {
		return readList(r, 2, func() Confirm {
			return Confirm{Partition: ring.PartitionID(r.Uvarint()), Term: r.Uvarint()}
		})
	})
}

// appendTime writes unix milliseconds, 0 for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	var ms int64
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	return binary.BigEndian.AppendUint64(b, uint64(ms))
}

func readTime(r *codec.Reader) time.Time {
	ms := int64(r.Uint64())
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// AppendPartitions encodes a list of partitions.
func AppendPartitions(b []byte, ps []ring.PartitionID) []byte {
	return appendPartitions(append(b, leaderFormat), ps)
}

// DecodePartitions reads what AppendPartitions wrote.
func DecodePartitions(b []byte) ([]ring.PartitionID, error) {
	return decodeLeader("partitions", b, func(r *codec.Reader) []ring.PartitionID {
		return readList(r, 1, func() ring.PartitionID { return ring.PartitionID(r.Uvarint()) })
	})
}

// AppendEvents encodes a list of events. Times are kept to the millisecond. The view
// leader's snapshots hold events in a format of their own.
func AppendEvents(b []byte, events []vocab.Event) []byte {
	b = append(b, leaderFormat)
	b = binary.AppendUvarint(b, uint64(len(events)))
	for i := range events {
		e := &events[i]
		b = binary.AppendUvarint(b, e.Number)
		b = binary.AppendUvarint(b, e.Epoch)
		b = appendTime(b, e.At)
		b = codec.AppendString(b, e.Kind)
		b = binary.AppendUvarint(b, uint64(e.Server))
		b = codec.AppendString(b, e.Detail)
	}
	return b
}

// DecodeEvents reads what AppendEvents wrote.
func DecodeEvents(b []byte) ([]vocab.Event, error) {
	return decodeLeader("events", b, func(r *codec.Reader) []vocab.Event {
		return readList(r, 13, func() vocab.Event {
			return vocab.Event{Number: r.Uvarint(), Epoch: r.Uvarint(), At: readTime(r), Kind: r.String(), Server: readServerID(r), Detail: r.String()}
		})
	})
}
