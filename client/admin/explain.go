package admin

import (
	"slices"

	"viewring/ring"
)

// Explanation says where a key is, and why.
type Explanation struct {
	Key         string
	Hashed      string // what of it is hashed: its {tag}, or all
	Hash        uint16 // CRC16 of that
	Slot        uint16
	Partition   ring.PartitionID
	Partitions  int
	First, Last uint16          // slots of the partition
	Walk        ring.Walk       // how the targets are found
	Targets     []ring.ServerID // that should have it, primary first; none before any server joined
	Acting      []ring.ServerID // that serve it now, primary first
	Down        []ring.ServerID // of Acting and Targets
	Unserved    string          // why nobody serves it now; "": it is served
	Leaves      []Leaving       // what would change if one of them left
}

// Leaving is what would change for a key if a server left.
type Leaving struct {
	Server  ring.ServerID
	Targets []ring.ServerID // then; primary first
	New     []ring.ServerID // of them: that would have to make a copy, and now have not
}

// Explain says where a key is, and why. It reads nothing but the status.
func (s *Status) Explain(key string) (*Explanation, error) {
	v := s.View
	slot := ring.SlotOf(key)
	e := &Explanation{Key: key, Hashed: ring.Hashed(key), Hash: ring.HashOf(key), Slot: slot, Partition: ring.PartitionOf(slot, len(v.Partitions)), Partitions: len(v.Partitions)}
	e.First, e.Last = ring.SlotRange(e.Partition, e.Partitions)
	e.Acting = v.Partitions[e.Partition].Acting
	if v.Unserved(e.Partition) {
		e.Unserved = v.WhyUnserved(e.Partition)
	}
	e.Targets = s.Targets(e.Partition)
	for _, id := range slices.Concat(e.Acting, e.Targets) {
		if m := v.Member(id); (m == nil || !m.Up) && !slices.Contains(e.Down, id) {
			e.Down = append(e.Down, id)
		}
	}
	if s.Table == nil {
		return e, nil
	}
	e.Walk = s.Table.Explain(e.Partition)
	for _, m := range v.Members {
		if m.Target() && (slices.Contains(e.Targets, m.ID) || slices.Contains(e.Acting, m.ID)) {
			leaving, err := s.leaving(e, m.ID)
			if err != nil {
				return nil, err
			}
			e.Leaves = append(e.Leaves, leaving)
		}
	}
	return e, nil
}

// leaving places the key's partition without a server.
func (s *Status) leaving(e *Explanation, id ring.ServerID) (Leaving, error) {
	after := *s.View
	after.Members = slices.Clone(after.Members)
	after.Member(id).Status = ring.Leaving
	table, err := TableOf(&after)
	if err != nil || table == nil {
		return Leaving{Server: id}, err
	}
	l := Leaving{Server: id, Targets: table.Targets(e.Partition)}
	for _, t := range l.Targets {
		if !slices.Contains(e.Acting, t) && !slices.Contains(e.Targets, t) {
			l.New = append(l.New, t)
		}
	}
	return l, nil
}
