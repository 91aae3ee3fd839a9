package wire

import (
	"encoding/binary"

	"viewring/internal/codec"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// What servers say of themselves grows, and builds meet while a cluster moves from one
// to the next. So what came after these fields goes where readers of before do not
// stumble over it, and readers pass over numbers that they do not know:
//
//   - at the end of a heartbeat, after a count. A view leader of before refuses that, and
//     Leader.Heartbeat then leaves it out.
//   - in a status, as entries of server 0, which no server is: readers look for a server
//     by its id, and never meet them.

// statsFields are the numbers that every build of format 4 sends, in their order.
type statsFields [20]uint64

func statsOf(s *vocab.ServerStats) statsFields {
	return statsFields{
		uint64(s.Primaries), uint64(s.Backups), uint64(s.Learners), uint64(s.Strays),
		s.Keys, s.Bytes, uint64(s.Left), s.LeftBytes, s.Rate, s.DiskFree,
		s.MovedPartitions, s.DeltaPartitions, s.CopiedKeys,
		uint64(s.Clients), s.ClientsRefused, s.ClientsCut, s.RequestsRefused,
		s.Corrupt, s.Repaired, s.Unrepairable,
	}
}

func (n *statsFields) stats(full bool) vocab.ServerStats {
	return vocab.ServerStats{
		Primaries: uint32(n[0]), Backups: uint32(n[1]), Learners: uint32(n[2]), Strays: uint32(n[3]),
		Keys: n[4], Bytes: n[5], Left: uint32(n[6]), LeftBytes: n[7], Rate: n[8], DiskFree: n[9],
		MovedPartitions: n[10], DeltaPartitions: n[11], CopiedKeys: n[12],
		Clients: uint32(n[13]), ClientsRefused: n[14], ClientsCut: n[15], RequestsRefused: n[16],
		Corrupt: n[17], Repaired: n[18], Unrepairable: n[19], Full: full,
	}
}

func (n *statsFields) append(b []byte, full bool) []byte {
	for _, v := range n {
		b = binary.AppendUvarint(b, v)
	}
	return codec.AppendBool(b, full)
}

func readStats(r *codec.Reader) (n statsFields, full bool) {
	for i := range n {
		n[i] = r.Uvarint()
	}
	return n, r.Bool()
}

// laterStats are the numbers that came after, each at a place that other builds know it by.
type laterStats [laterCount]uint64

// laterBits is the place of the number that has bits; it stays.
const (
	laterBits  = 17
	laterCount = laterBits + 18
)

// The bits. A new one may be added behind them.
const (
	statsCollecting = 1 << iota
	statsCheckpointing
	statsKnowsWeights
)

// laterFields are where the numbers go, but for the bits: a new one is added at the end,
// behind those, and laterCount with it.
func laterFields(s *vocab.ServerStats) [laterCount]*uint64 {
	return [laterCount]*uint64{
		&s.LogKeys, &s.LogSegments, &s.LogDisk, &s.LogLive, &s.LogTombstones, &s.LogWritten, &s.LogCopied, &s.LogFreed,
		&s.Checkpoints, &s.CheckpointBytes, &s.LogDamage, &s.Memory, &s.IndexBytes, &s.ItemBytes, &s.ItemBytesMax,
		&s.RequestBytes, &s.RequestBytesMax,
		laterBits: nil,
		&s.CertExpires, &s.LoginsRefused, &s.Files, &s.FilesMax, &s.Unlinked, &s.UnlinkedTo, &s.UnlinkedWhy,
		&s.MoveDone, &s.MoveDoneBytes, &s.MoveSeen, &s.MoveLimit, &s.Waiting, &s.WaitingWhy, &s.WaitingOn, &s.WaitingSeconds,
		&s.MoveAllowed, &s.MoveHeld,
	}
}

func laterOf(s *vocab.ServerStats) (n laterStats) {
	for i, field := range laterFields(s) {
		if field != nil {
			n[i] = *field
		}
	}
	if s.Collecting {
		n[laterBits] |= statsCollecting
	}
	if s.Checkpointing {
		n[laterBits] |= statsCheckpointing
	}
	if s.KnowsWeights {
		n[laterBits] |= statsKnowsWeights
	}
	return n
}

// setLater takes over the later number i, unless it is of a build to come.
func setLater(s *vocab.ServerStats, i uint64, value uint64) {
	switch {
	case i == laterBits:
		s.Collecting, s.Checkpointing = value&statsCollecting != 0, value&statsCheckpointing != 0
		s.KnowsWeights = value&statsKnowsWeights != 0
	case i < laterCount:
		*laterFields(s)[i] = value
	}
}

// appendLater ends a heartbeat.
func appendLater(b []byte, s *vocab.ServerStats) []byte {
	n := laterOf(s)
	b = binary.AppendUvarint(b, uint64(len(n)))
	for _, v := range n {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// readLater reads what appendLater wrote, in whatever build; before it there was nothing.
func readLater(r *codec.Reader, s *vocab.ServerStats) {
	if r.Len() == 0 {
		return
	}
	for i := range r.Count(1) {
		setLater(s, uint64(i), r.Uvarint())
	}
}

// laterEntries are the entries of a status that carry on with what a server says: their
// epoch is the place of the first number. A server without any needs none.
func laterEntries(s *vocab.ServerStats, each func(first uint64, n *statsFields)) {
	rest := laterOf(s)
	for first := 0; first < len(rest); first += len(statsFields{}) {
		var n statsFields
		if copy(n[:], rest[first:]); n != (statsFields{}) {
			each(uint64(first), &n)
		}
	}
}

func appendStatusEntry(b []byte, v *ServerStatus, n *statsFields) []byte {
	b = binary.AppendUvarint(b, uint64(v.ID))
	b = appendDuration(b, v.Age)
	b = binary.AppendUvarint(b, v.Epoch)
	b = appendTime(b, v.Down)
	b = n.append(b, v.Stats.Full)
	b = binary.AppendUvarint(b, uint64(v.Failures))
	return appendTime(b, v.Held)
}

// AppendStatus encodes s.
func AppendStatus(b []byte, s *Status) []byte {
	b = append(b, leaderFormat)
	b = codec.AppendBytes(b, s.View)
	count := 0
	var entries []byte
	for i := range s.Servers {
		v := &s.Servers[i]
		n := statsOf(&v.Stats)
		entries = appendStatusEntry(entries, v, &n)
		count++
		laterEntries(&v.Stats, func(first uint64, n *statsFields) {
			entries = appendStatusEntry(entries, &ServerStatus{Epoch: first}, n)
			count++
		})
	}
	return append(binary.AppendUvarint(b, uint64(count)), entries...)
}

// DecodeStatus reads what AppendStatus wrote; View aliases b.
func DecodeStatus(b []byte) (Status, error) {
	return decodeLeader("status", b, func(r *codec.Reader) Status {
		s := Status{View: r.Bytes()}
		for range r.Count(statusEntryBytesMin) {
			v := ServerStatus{ID: readServerID(r), Age: readDuration(r), Epoch: r.Uvarint(), Down: readTime(r)}
			n, full := readStats(r)
			v.Stats, v.Failures, v.Held = n.stats(full), uint32(r.Uvarint()), readTime(r)
			if r.Err() != nil {
				return Status{}
			}
			if v.ID != noServer {
				s.Servers = append(s.Servers, v)
			} else if last := len(s.Servers) - 1; last >= 0 && v.Epoch < 1<<16 {
				for i, value := range n {
					setLater(&s.Servers[last].Stats, v.Epoch+uint64(i), value)
				}
			}
		}
		return s
	})
}

const (
	noServer            = ring.ServerID(0)
	statusEntryBytesMin = 40
)
