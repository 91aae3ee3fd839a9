package roster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"viewring/internal/codec"
	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// Bounds on the events that a state keeps.
const (
	EventsMax      = 512  // older ones are forgotten
	LockEventsMax  = 256  // likewise, of locks
	eventDetailMax = 1000 // bytes
)

// eventKinds are the kinds of events, each at the number under which it is stored: never
// use one again.
var eventKinds = [...]string{
	1: vocab.EventMade, vocab.EventJoined, vocab.EventUp, vocab.EventDown, vocab.EventOut,
	vocab.EventLeaving, vocab.EventLeft, vocab.EventDraining, vocab.EventRemoved,
	vocab.EventRestored, vocab.EventLost, vocab.EventAcceptedLoss, vocab.EventConfigured,
	vocab.EventGranted, vocab.EventDeadlock, vocab.EventSessionLost,
	vocab.EventRecovered, vocab.EventPlaced, vocab.EventUndrained,
}

// Events returns the events with numbers above since that are still kept, oldest
// first.
func (s *State) Events(since uint64) []vocab.Event {
	if since >= s.eventNumber {
		return nil
	}
	events, locks := after(newest(s.events, EventsMax), since), after(newest(s.lockEvents, LockEventsMax), since)
	if len(locks) == 0 {
		return slices.Clip(events)
	}
	all := slices.Concat(events, locks)
	slices.SortFunc(all, func(a, b vocab.Event) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// after leaves out what is not newer than since.
func after(events []vocab.Event, since uint64) []vocab.Event {
	i, _ := slices.BinarySearchFunc(events, since+1, func(e vocab.Event, n uint64) int { return cmp.Compare(e.Number, n) })
	return events[i:]
}

// newest leaves out those that are forgotten, though still in memory.
func newest(events []vocab.Event, most int) []vocab.Event { return events[max(0, len(events)-most):] }

// LastEvent returns the number of the newest event; 0: there was none.
func (s *State) LastEvent() uint64 { return s.eventNumber }

// lastKept returns the number of the newest event that a snapshot keeps.
func (s *State) lastKept() uint64 {
	if len(s.events) == 0 {
		return 0
	}
	return s.events[len(s.events)-1].Number
}

// note adds an event of the running batch. All of them change the view.
func (s *State) note(kind string, server ring.ServerID, format string, args ...any) {
	s.events = s.add(s.events, EventsMax, vocab.Event{Epoch: s.epoch + 1, Kind: kind, Server: server, Detail: fmt.Sprintf(format, args...)})
}

// noteLock adds an event of locks; none of them changes the view.
func (s *State) noteLock(kind string, format string, args ...any) {
	s.lockEvents = s.add(s.lockEvents, LockEventsMax, vocab.Event{Epoch: s.epoch, Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

func (s *State) add(to []vocab.Event, most int, e vocab.Event) []vocab.Event {
	s.eventNumber++
	e.Number, e.At = s.eventNumber, time.UnixMilli(s.at)
	if len(e.Detail) > eventDetailMax {
		e.Detail = e.Detail[:eventDetailMax-3] + "..."
	}
	if len(to) >= 2*most {
		to = slices.Clone(newest(to, most)) // a new one: what was handed out must not change
	}
	return append(to, e)
}

// noteLocks tells what a command on locks brought about.
func (s *State) noteLocks(c *Command, r *Result) {
	for _, id := range r.Ended {
		s.noteLock(vocab.EventSessionLost, "session %d", id)
	}
	for _, g := range r.Grants {
		s.noteGrant(g)
	}
	if c.Kind == KindLockGet && r.Code == Done && !r.Held {
		s.noteGrant(Grant{Lock: c.Lock, Client: c.Client, Session: c.Session, Token: r.Token})
	}
	switch {
	case r.Cycle == nil:
	case r.Code == Deadlock:
		s.noteLock(vocab.EventDeadlock, "refused: %s", r.Cycle)
	default:
		s.noteLock(vocab.EventDeadlock, "until one of them gives way: %s", r.Cycle)
	}
}

func (s *State) noteGrant(g Grant) {
	session := ""
	if g.Session != 0 {
		session = fmt.Sprintf(" in session %d", g.Session)
	}
	s.noteLock(vocab.EventGranted, "%q to %q%s, token %d", g.Lock, g.Client, session, g.Token)
}

// noteByServer adds an event for each server that partitions were made out to,
// in the order of the servers.
func (s *State) noteByServer(kind string, of map[ring.ServerID][]ring.PartitionID) {
	for i := range s.members {
		if ps := of[s.members[i].ID]; len(ps) > 0 {
			slices.Sort(ps)
			s.note(kind, s.members[i].ID, "%s", partitionRanges(ps))
		}
	}
}

// partitionRanges names partitions, which are sorted: "4 partitions: 3, 7-9".
func partitionRanges(ps []ring.PartitionID) string {
	var b strings.Builder
	if fmt.Fprintf(&b, "%d partitions: ", len(ps)); len(ps) == 1 {
		return fmt.Sprintf("partition %d", ps[0])
	}
	for i := 0; i < len(ps); {
		j := i
		for j+1 < len(ps) && ps[j+1] == ps[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if fmt.Fprint(&b, ps[i]); j > i {
			fmt.Fprintf(&b, "-%d", ps[j])
		}
		i = j + 1
	}
	return b.String()
}

// appendEvents encodes the events for a snapshot. A message (wire.AppendEvents) has fixed
// times and its kinds as words, which a build that does not know one can pass on.
func (s *State) appendEvents(b []byte) []byte {
	kept := newest(s.events, EventsMax)
	b = binary.AppendUvarint(b, uint64(len(kept)))
	for i := range kept {
		e := &kept[i]
		b = binary.AppendUvarint(b, e.Number)
		b = binary.AppendUvarint(b, e.Epoch)
		b = binary.AppendVarint(b, e.At.UnixMilli())
		b = append(b, storedKind(e.Kind))
		b = binary.AppendUvarint(b, uint64(e.Server))
		b = codec.AppendString(b, e.Detail)
	}
	return b
}

// storedKind is the number under which a kind of events is stored.
func storedKind(kind string) byte {
	n := slices.Index(eventKinds[:], kind)
	invariant.Check(n > 0, "events", "%q has no number to be stored under", kind)
	return byte(n)
}

func readEvents(r *codec.Reader) (events []vocab.Event, err error) {
	for range r.Count(6) {
		e := vocab.Event{Number: r.Uvarint(), Epoch: r.Uvarint(), At: time.UnixMilli(r.Varint())}
		kind := r.Byte()
		e.Server, e.Detail = serverID(r), r.String()
		if r.Err() == nil && (kind == 0 || int(kind) >= len(eventKinds) || len(events) > 0 && e.Number <= events[len(events)-1].Number) {
			return nil, fmt.Errorf("event %d is malformed", e.Number)
		}
		if r.Err() == nil {
			e.Kind = eventKinds[kind]
		}
		events = append(events, e)
	}
	return events, nil
}
