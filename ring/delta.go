package ring

import (
	"encoding/binary"
	"fmt"
	"slices"

	"viewring/internal/codec"
)

// Deltas encodes the newest view of a cluster for receivers that have older ones. It
// remembers in which epoch it saw each member change last, so that a delta has only
// the members that changed after the receiver's view. The zero value is ready for
// use. Not safe for concurrent use.
type Deltas struct {
	view    *View
	from    uint64              // epoch of the first view since the start: of earlier changes nothing is known
	changed map[ServerID]uint64 // epoch of the last change after from
}

// Publish makes v the newest view. If it is not the next epoch, a member may have changed and
// changed back in between, and receivers may have seen that: then all members count as changed.
func (d *Deltas) Publish(v *View) {
	old := d.view
	d.view = v
	if old == nil || old.Cluster != v.Cluster || old.Epoch+1 != v.Epoch {
		d.from, d.changed = v.Epoch, make(map[ServerID]uint64)
		return
	}
	for i := range v.Members {
		m := &v.Members[i]
		if before := old.Member(m.ID); before == nil || *before != *m {
			d.changed[m.ID] = v.Epoch
		}
	}
	for i := range old.Members {
		if id := old.Members[i].ID; v.Member(id) == nil {
			delete(d.changed, id) // a delta lists who is left
		}
	}
}

// View returns the newest view; nil before the first.
func (d *Deltas) View() *View { return d.view }

// Append appends the encoding of the newest view for a receiver that has one of epoch since;
// 0: it has none, and gets the whole view.
func (d *Deltas) Append(b []byte, since uint64) []byte {
	if since == 0 || since < d.from {
		return AppendView(b, d.view, since)
	}
	return appendDelta(b, d.view, since, func(m *Member) bool { return d.changed[m.ID] > since })
}

// appendDelta appends the ids of all members, as runs of neighbours, the members
// that changed, and the partitions that did.
func appendDelta(b []byte, v *View, since uint64, changed func(*Member) bool) []byte {
	b = appendHead(append(b, v.format(deltaFormat, deltaFormatWeighted)), v, since)
	runs := idRuns(v.Members)
	b = binary.AppendUvarint(b, uint64(len(runs)))
	next := ServerID(1)
	for _, run := range runs {
		b = binary.AppendUvarint(b, uint64(run.first-next))
		b = binary.AppendUvarint(b, uint64(run.n))
		next = run.first + ServerID(run.n)
	}
	var some []Member
	for i := range v.Members {
		if changed(&v.Members[i]) {
			some = append(some, v.Members[i])
		}
	}
	b = appendMembers(b, some)
	return appendPartitions(b, v, since)
}

// idRun is n members whose ids follow each other.
type idRun struct {
	first ServerID
	n     int
}

func idRuns(members []Member) (runs []idRun) {
	for i := range members {
		id := members[i].ID
		if last := len(runs) - 1; last >= 0 && runs[last].first+ServerID(runs[last].n) == id {
			runs[last].n++
		} else {
			runs = append(runs, idRun{id, 1})
		}
	}
	return runs
}

// decodeDelta reads what follows the head of a delta into v.
func decodeDelta(r *codec.Reader, v *View, since uint64, base *View) (*View, error) {
	if base == nil || base.Cluster != v.Cluster || base.Epoch < since {
		return nil, ErrNeedWhole
	}
	if base.Epoch >= v.Epoch {
		return base, nil
	}
	runs, err := decodeRuns(r)
	if err != nil {
		return nil, err
	}
	some, err := decodeMembers(r)
	if err != nil {
		return nil, err
	}
	if v.Members, err = rebuilt(runs, some, base); err != nil {
		return nil, err
	}
	partitions, changed, err := decodePartitionCounts(r)
	if err != nil {
		return nil, err
	}
	if partitions != len(base.Partitions) {
		return nil, ErrNeedWhole
	}
	v.Partitions = slices.Clone(base.Partitions)
	if err := decodePartitions(r, v, changed); err != nil {
		return nil, err
	}
	return v, nil
}

func decodeRuns(r *codec.Reader) ([]idRun, error) {
	runs := make([]idRun, r.Count(2))
	next, all := uint64(1), uint64(0)
	for i := range runs {
		gap, n := r.Uvarint(), r.Uvarint()
		if err := r.Err(); err != nil {
			return nil, err
		}
		first, end := next+gap, next+gap+n
		all += n
		if n == 0 || n > membersMax || all > membersMax || i > 0 && gap == 0 || first < next || end-1 != uint64(ServerID(end-1)) {
			return nil, fmt.Errorf("members %d to %d: %w", first, end-1, codec.ErrMalformed)
		}
		runs[i] = idRun{ServerID(first), int(n)}
		next = end
	}
	return runs, r.Err()
}

// rebuilt returns the members with the ids in runs: those that changed as they are in
// some, the others as in base.
func rebuilt(runs []idRun, some []Member, base *View) ([]Member, error) {
	members := make([]Member, 0, len(base.Members))
	for _, run := range runs {
		for i := range run.n {
			id := run.first + ServerID(i)
			if len(some) > 0 && some[0].ID == id {
				members = append(members, some[0])
				some = some[1:]
				continue
			}
			m := base.Member(id)
			if m == nil {
				return nil, fmt.Errorf("%v is not in the view of epoch %d: %w", id, base.Epoch, ErrNeedWhole)
			}
			members = append(members, *m)
		}
	}
	if len(some) > 0 {
		return nil, fmt.Errorf("member %v is not in the list: %w", some[0].ID, codec.ErrMalformed)
	}
	return members, nil
}
