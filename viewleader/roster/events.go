package roster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"viewring/internal/codec"
	"viewring/ring"
)

// Bounds on the events that a state keeps.
const (
	EventsMax      = 512  // older ones are forgotten
	LockEventsMax  = 256  // likewise, of locks
	eventDetailMax = 1000 // bytes
)

// EventKind says what happened. The numbers are stored: never reuse one.
type EventKind uint8

// What happens to a cluster and its servers. Detail says more where noted.
const (
	EventMade         EventKind = iota + 1 // the cluster has its first server
	EventJoined                            // Detail: its address
	EventUp                                // Detail: address; whether as the same process, with or without its data
	EventDown                              // declared down
	EventOut                               // others take over its copies
	EventLeaving                           // an operator's word
	EventLeft                              // nothing is on it any more
	EventDraining                          // an operator's word: a planned restart
	EventRemoved                           // an operator's word: it never returns
	EventRestored                          // Detail: the partitions that it brings back
	EventLost                              // Detail: the partitions that it was the last to hold; it came back without its data
	EventAcceptedLoss                      // Detail: partitions that an operator gave up; Server begins them anew
	EventConfigured                        // Detail: what holds from now on
	EventGranted                           // Detail: the lock, whose it is, its token
	EventDeadlock                          // Detail: who waits for whom; whether the last one was refused
	EventSessionLost                       // Detail: a session that fell silent
	EventRecovered                         // Detail: from which view; who was not waited for
	eventKindMax      = EventRecovered
)

var eventNames = [...]string{
	EventMade: "made", EventJoined: "joined", EventUp: "up", EventDown: "down", EventOut: "out",
	EventLeaving: "leaving", EventLeft: "left", EventDraining: "draining", EventRemoved: "removed",
	EventRestored: "restored", EventLost: "lost", EventAcceptedLoss: "accepted-loss", EventConfigured: "configured",
	EventGranted: "granted", EventDeadlock: "deadlock", EventSessionLost: "session-lost",
	EventRecovered: "recovered",
}

// String returns the word that tables and JSON use.
func (k EventKind) String() string { return eventNames[k] }

// Event is something that happened to the cluster.
type Event struct {
	Number uint64 // counts from 1, over all events there ever were
	Epoch  uint64 // of the view that shows it
	At     int64  // unix ms, of the command that made it happen
	Kind   EventKind
	Server ring.ServerID // whom it concerns; 0: nobody in particular
	Detail string
}

// Events returns the events with numbers above since that are still kept, oldest
// first.
func (s *State) Events(since uint64) []Event {
	if since >= s.eventNumber {
		return nil
	}
	events, locks := after(newest(s.events, EventsMax), since), after(newest(s.lockEvents, LockEventsMax), since)
	if len(locks) == 0 {
		return slices.Clip(events)
	}
	all := slices.Concat(events, locks)
	slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// after leaves out what is not newer than since.
func after(events []Event, since uint64) []Event {
	i, _ := slices.BinarySearchFunc(events, since+1, func(e Event, n uint64) int { return cmp.Compare(e.Number, n) })
	return events[i:]
}

// newest leaves out those that are forgotten, though still in memory.
func newest(events []Event, most int) []Event { return events[max(0, len(events)-most):] }

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
func (s *State) note(kind EventKind, server ring.ServerID, format string, args ...any) {
	s.events = s.add(s.events, EventsMax, Event{Epoch: s.epoch + 1, Kind: kind, Server: server, Detail: fmt.Sprintf(format, args...)})
}

// noteLock adds an event of locks; none of them changes the view.
func (s *State) noteLock(kind EventKind, format string, args ...any) {
	s.lockEvents = s.add(s.lockEvents, LockEventsMax, Event{Epoch: s.epoch, Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

func (s *State) add(to []Event, most int, e Event) []Event {
	s.eventNumber++
	e.Number, e.At = s.eventNumber, s.at
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
		s.noteLock(EventSessionLost, "session %d", id)
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
		s.noteLock(EventDeadlock, "refused: %s", r.Cycle)
	default:
		s.noteLock(EventDeadlock, "until one of them gives way: %s", r.Cycle)
	}
}

func (s *State) noteGrant(g Grant) {
	session := ""
	if g.Session != 0 {
		session = fmt.Sprintf(" in session %d", g.Session)
	}
	s.noteLock(EventGranted, "%q to %q%s, token %d", g.Lock, g.Client, session, g.Token)
}

// noteByServer adds an event for each server that partitions were made out to,
// in the order of the servers.
func (s *State) noteByServer(kind EventKind, of map[ring.ServerID][]ring.PartitionID) {
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

func (s *State) appendEvents(b []byte) []byte {
	kept := newest(s.events, EventsMax)
	b = binary.AppendUvarint(b, uint64(len(kept)))
	for i := range kept {
		e := &kept[i]
		b = binary.AppendUvarint(b, e.Number)
		b = binary.AppendUvarint(b, e.Epoch)
		b = binary.AppendVarint(b, e.At)
		b = append(b, byte(e.Kind))
		b = binary.AppendUvarint(b, uint64(e.Server))
		b = codec.AppendString(b, e.Detail)
	}
	return b
}

func readEvents(r *codec.Reader) (events []Event, err error) {
	for range r.Count(6) {
		e := Event{Number: r.Uvarint(), Epoch: r.Uvarint(), At: r.Varint(), Kind: EventKind(r.Byte()), Server: serverID(r), Detail: r.String()}
		if r.Err() == nil && (e.Kind == 0 || e.Kind > eventKindMax || len(events) > 0 && e.Number <= events[len(events)-1].Number) {
			return nil, fmt.Errorf("event %d is malformed", e.Number)
		}
		events = append(events, e)
	}
	return events, nil
}
