package viewleader

import (
	"encoding/binary"
	"slices"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// answeredMax is how many commands' results are remembered. A client that asks
// again after a head's death does so within seconds.
const answeredMax = 32 << 10

// answered are the results of the newest commands that carried an id: the same
// command again is not carried out again. Every member keeps them alike.
type answered struct {
	results map[wire.CommandID]roster.Result
	order   []wire.CommandID // oldest first
}

func newAnswered() *answered { return &answered{results: make(map[wire.CommandID]roster.Result)} }

// apply runs the commands whose ids are new and returns a result for each.
func (a *answered) apply(s *roster.State, cmds []roster.Command, ids map[int]wire.CommandID) []roster.Result {
	if len(ids) == 0 {
		return s.Apply(cmds)
	}
	var fresh []roster.Command
	first := make(map[wire.CommandID]int) // twice in one batch
	source := make([]int, len(cmds))      // index in fresh; -1: known
	for i := range cmds {
		id, has := ids[i]
		_, known := a.results[id]
		at, twice := first[id]
		switch {
		case has && known:
			source[i] = -1
			continue
		case has && twice:
			source[i] = at
			continue
		case has:
			first[id] = len(fresh)
		}
		source[i] = len(fresh)
		fresh = append(fresh, cmds[i])
	}
	ran := s.Apply(fresh)
	results := make([]roster.Result, len(cmds))
	told := make(map[int]bool)
	for i := range cmds {
		if source[i] < 0 {
			results[i] = a.results[ids[i]]
			continue
		}
		results[i] = ran[source[i]]
		if told[source[i]] {
			results[i].Grants = nil // once
		}
		told[source[i]] = true
	}
	for i := range cmds {
		if id, has := ids[i]; has {
			a.remember(id, results[i])
		}
	}
	return results
}

func (a *answered) remember(id wire.CommandID, r roster.Result) {
	if _, known := a.results[id]; known {
		return
	}
	r.Grants = nil // they were told
	a.results[id] = r
	a.order = append(a.order, id)
	if len(a.order) > 2*answeredMax {
		for _, old := range a.order[:len(a.order)-answeredMax] {
			delete(a.results, old)
		}
		a.order = slices.Clone(a.order[len(a.order)-answeredMax:])
	}
}

func (a *answered) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(a.order)))
	for _, id := range a.order {
		r := a.results[id]
		b = append(b, id[:]...)
		b = append(b, byte(r.Code))
		b = codec.AppendString(b, r.Reason)
		b = binary.AppendUvarint(b, uint64(r.ID))
		b = binary.AppendUvarint(b, r.Epoch)
		b = binary.AppendUvarint(b, r.Token)
		b = binary.AppendVarint(b, r.Since)
		b = codec.AppendBool(b, r.Held)
	}
	return b
}

func readAnswered(r *codec.Reader) *answered {
	a := newAnswered()
	for range r.Count(23) {
		var id wire.CommandID
		r.Fixed(id[:])
		res := roster.Result{Code: roster.Code(r.Byte()), Reason: r.String(), ID: ring.ServerID(r.Uvarint()), Epoch: r.Uvarint(),
			Token: r.Uvarint(), Since: r.Varint(), Held: r.Bool()}
		a.results[id] = res
		a.order = append(a.order, id)
	}
	return a
}
