package roster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// The format versions of what Raft stores. Older ones are read on, others refused
// by name.
const (
	commandsFormat       = 4 // only where a batch has something that builds of before do not know: they go on until then
	commandsFormatThird  = 3 // none of those
	commandsFormatSecond = 2 // no sessions, no shared locks
	commandsFormatFirst  = 1 // registrations had no Starts
	snapshotFormat       = 5 // only where there is something that builds of before do not know: else they read it
	snapshotFormatFourth = 4 // members had not what they said of zone and weight
	snapshotFormatThird  = 3 // no sessions, no shared locks
	snapshotFormatSecond = 2 // members had no Start, ejected ones were tainted
	snapshotFormatFirst  = 1 // nor were there rebirths and events
)

// ErrFormat is wrapped when stored bytes carry a format this program does not know.
var ErrFormat = errors.New("unknown format version")

// AppendCommands encodes a batch.
func AppendCommands(b []byte, cmds []Command) []byte {
	format := byte(commandsFormatThird)
	if slices.ContainsFunc(cmds, func(c Command) bool { return c.isNewer() }) {
		format = commandsFormat
	}
	b = append(b, format)
	b = binary.AppendUvarint(b, uint64(len(cmds)))
	for i := range cmds {
		b = appendCommand(b, &cmds[i])
	}
	return b
}

// DecodeCommands reads what AppendCommands wrote.
func DecodeCommands(b []byte) ([]Command, error) {
	r := codec.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && (format < commandsFormatFirst || format > commandsFormat) {
		return nil, fmt.Errorf("roster commands: %w %d, want %d", ErrFormat, format, commandsFormat)
	}
	n := r.Count(2)
	cmds := make([]Command, 0, min(n, 1024))
	for range n {
		c, err := readCommand(r, format)
		if err != nil {
			return nil, fmt.Errorf("roster commands: %w", err)
		}
		cmds = append(cmds, c)
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("roster commands: %w", err)
	}
	return cmds, nil
}

// isNewer reports whether builds of before know nothing of c: of weights, of zones that were set, or of drains undone.
func (c *Command) isNewer() bool {
	return c.Kind == KindSetWeight || c.Kind == KindSetZone || c.Kind == KindUndrain || c.Kind == KindRegister && c.Register.SaidWeight() != 0
}

func appendCommand(b []byte, c *Command) []byte {
	b = append(b, byte(c.Kind))
	b = binary.AppendVarint(b, c.At)
	switch c.Kind {
	case KindRegister:
		b = vocab.AppendRegister(b, &c.Register)
	case KindExpire:
		b = ring.AppendIncarnatedList(b, c.Who)
	case KindOut, KindLeave, KindDrain, KindUndrain, KindRemove:
		b = binary.AppendUvarint(b, uint64(c.ID))
	case KindSetWeight:
		b = binary.AppendUvarint(b, uint64(c.ID))
		b = binary.AppendUvarint(b, uint64(c.Weight))
	case KindSetZone:
		b = binary.AppendUvarint(b, uint64(c.ID))
		b = codec.AppendString(b, c.Zone)
	case KindHandoff, KindEject, KindRestore:
		b = ring.AppendIncarnated(b, c.From)
		b = binary.AppendUvarint(b, uint64(c.Partition))
		b = binary.AppendUvarint(b, c.Term)
		b = ring.AppendIncarnatedList(b, c.Who)
	case KindAcceptLoss:
		b = binary.AppendUvarint(b, uint64(len(c.Partitions)))
		for _, p := range c.Partitions {
			b = binary.AppendUvarint(b, uint64(p))
		}
	case KindConfigure:
		b = binary.AppendUvarint(b, uint64(c.LeaseTTL))
		b = binary.AppendUvarint(b, uint64(c.MinCopies))
	case KindLockGet, KindLockFree, KindLockDequeue:
		b = codec.AppendString(b, c.Lock)
		b = codec.AppendString(b, c.Client)
		b = codec.AppendBool(b, c.Wait)
		b = binary.AppendVarint(b, c.TTL)
		b = binary.AppendUvarint(b, c.Token)
		b = binary.AppendUvarint(b, c.Session)
		b = codec.AppendBool(b, c.Shared)
		b = codec.AppendBool(b, c.WaitInDeadlock)
	case KindSessionOpen:
		b = binary.AppendVarint(b, c.TTL)
		b = binary.AppendVarint(b, c.Delay)
	case KindSessionEnd:
		b = binary.AppendUvarint(b, c.Session)
	case KindSessionExpire:
		b = binary.AppendUvarint(b, uint64(len(c.Sessions)))
		for _, id := range c.Sessions {
			b = binary.AppendUvarint(b, id)
		}
	}
	return b
}

func readCommand(r *codec.Reader, format byte) (Command, error) {
	c := Command{Kind: Kind(r.Byte()), At: r.Varint()}
	switch c.Kind {
	case KindRegister:
		if format == commandsFormatFirst {
			c.Register = vocab.ReadRegisterUnnamed(r)
		} else {
			c.Register = vocab.ReadRegister(r)
		}
	case KindExpire:
		c.Who = ring.ReadIncarnatedList(r)
	case KindOut, KindLeave, KindDrain, KindUndrain, KindRemove:
		c.ID = serverID(r)
	case KindSetWeight:
		c.ID, c.Weight = serverID(r), uint32(r.Uvarint())
	case KindSetZone:
		c.ID, c.Zone = serverID(r), r.String()
	case KindHandoff, KindEject, KindRestore:
		c.From = ring.ReadIncarnated(r)
		c.Partition = ring.PartitionID(r.Uvarint())
		c.Term = r.Uvarint()
		c.Who = ring.ReadIncarnatedList(r)
	case KindAcceptLoss:
		for range r.Count(1) {
			c.Partitions = append(c.Partitions, ring.PartitionID(r.Uvarint()))
		}
	case KindConfigure:
		c.LeaseTTL = time.Duration(r.Uvarint())
		c.MinCopies = int(r.Uvarint())
	case KindLockGet, KindLockFree, KindLockDequeue:
		c.Lock = r.String()
		c.Client = r.String()
		c.Wait = r.Bool()
		c.TTL = r.Varint()
		c.Token = r.Uvarint()
		if format > commandsFormatSecond {
			c.Session, c.Shared, c.WaitInDeadlock = r.Uvarint(), r.Bool(), r.Bool()
		}
	case KindSessionOpen:
		c.TTL, c.Delay = r.Varint(), r.Varint()
	case KindSessionEnd:
		c.Session = r.Uvarint()
	case KindSessionExpire:
		for range r.Count(1) {
			c.Sessions = append(c.Sessions, r.Uvarint())
		}
	case KindLockTick:
	default:
		if r.Err() == nil {
			return c, fmt.Errorf("%w: command kind %d", ErrFormat, c.Kind)
		}
	}
	return c, r.Err()
}

func serverID(r *codec.Reader) ring.ServerID { return ring.ServerID(r.Uvarint()) }
