package sim

import (
	"fmt"

	"viewring/viewleader/roster"
)

// Worlds in which operators change weights and zones all the time, so that copies move
// beside everything that goes wrong. Other worlds have none, or all of their runs would be others.

// placedWeights are how often what happens in such a world; all else is as in others.
var placedWeights = map[string]int{"set weight": 20, "set zone": 8, "join": 8, "leave": 8}

// setWeight makes a server heavier or lighter; some weigh as much as all others.
func (w *world) setWeight(s *server) bool {
	if s.id() == 0 {
		return false
	}
	weight := uint32(1 + w.rng.IntN(4))
	if w.chance(0.1) {
		weight = 20
	}
	w.command(roster.Command{Kind: roster.KindSetWeight, ID: s.id(), Weight: weight})
	return true
}

func (w *world) setZone(s *server) bool {
	if s.id() == 0 {
		return false
	}
	w.command(roster.Command{Kind: roster.KindSetZone, ID: s.id(), Zone: fmt.Sprint("z", w.rng.IntN(4))})
	return true
}
