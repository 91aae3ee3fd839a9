package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// shifts find out which acting sets changed between two readings. The view leader keeps no events of that: there are
// thousands while servers join. They are known from when somebody looked first.
type shifts struct {
	last *ring.View // nil: none was seen
	told []*shift   // oldest first
}

// shift is the change of some acting sets, as one event.
type shift struct {
	admin.Event
	changes int
	in, out map[ring.ServerID]int // how many acting sets a server has come into, or gone from
}

const (
	shiftsMax  = 40
	shiftsSpan = 30 * time.Second // those that follow within are one, if nothing else happens between them

	kindHandoff = "handoff" // servers have come into acting sets, or another one is primary
	kindEject   = "eject"   // servers have gone from them, and none has come
)

// note compares a view with the one before. happened is when something else happened last.
func (s *shifts) note(v *ring.View, at, happened time.Time) {
	before := s.last
	s.last = v
	if before == nil || before.Cluster != v.Cluster || before.Epoch >= v.Epoch || len(before.Partitions) != len(v.Partitions) {
		return
	}
	now := map[string]*shift{}
	for p := range v.Partitions {
		was, is := before.Partitions[p].Acting, v.Partitions[p].Acting
		if slices.Equal(was, is) {
			continue
		}
		kind := kindHandoff
		in, out := without(is, was), without(was, is)
		if len(in) == 0 && len(out) > 0 {
			kind = kindEject
		}
		one := now[kind]
		if one == nil {
			one = s.of(kind, happened, at)
			now[kind] = one
		}
		one.changes++
		one.At, one.Epoch = at, v.Epoch
		for _, id := range in {
			one.in[id]++
		}
		for _, id := range out {
			one.out[id]++
		}
		one.Detail = one.text()
	}
}

// of returns the event that goes on, or a new one.
func (s *shifts) of(kind string, happened, at time.Time) *shift {
	for _, one := range s.told {
		if one.Kind == kind && at.Sub(one.At) < shiftsSpan && !happened.After(one.At) {
			return one
		}
	}
	one := &shift{Event: admin.Event{Kind: kind}, in: map[ring.ServerID]int{}, out: map[ring.ServerID]int{}}
	s.told = append(s.told, one)
	s.told = s.told[max(0, len(s.told)-shiftsMax):]
	return one
}

// events are all of them.
func (s *shifts) events() []admin.Event {
	all := make([]admin.Event, 0, len(s.told))
	for _, one := range s.told {
		all = append(all, one.Event)
	}
	return all
}

// without returns what is in a and not in b.
func without(a, b []ring.ServerID) (left []ring.ServerID) {
	for _, id := range a {
		if !slices.Contains(b, id) {
			left = append(left, id)
		}
	}
	return left
}

// serversMax is how many servers an event names.
const serversMax = 4

func (s *shift) text() string {
	text := fmt.Sprintf("%d changes of acting sets", s.changes)
	if s.changes == 1 {
		text = "1 change of an acting set"
	}
	parts := append(most(s.in, "into %d"), most(s.out, "out of %d")...)
	if len(parts) == 0 {
		return text + ": another copy is primary"
	}
	return text + ": " + strings.Join(parts, ", ")
}

// most names the servers with the highest counts.
func most(counts map[ring.ServerID]int, format string) (parts []string) {
	ids := slices.SortedFunc(maps.Keys(counts), func(a, b ring.ServerID) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for i, id := range ids {
		if i == serversMax {
			return append(parts, fmt.Sprintf("and %d more servers", len(ids)-i))
		}
		parts = append(parts, fmt.Sprintf("%v "+format, id, counts[id]))
	}
	return parts
}
