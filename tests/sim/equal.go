package sim

import (
	"bytes"
	"slices"
	"time"

	"viewring/ring"
	"viewring/server/replica"
)

// equalEvery is how often the acting replicas are compared.
const equalEvery = 700 * time.Millisecond

// compare looks at all acting replicas now and then: those whose logs end at the same
// entry have the same bytes, but for what damage made unreadable.
func (w *world) compare() {
	if w.converged {
		return
	}
	w.after(equalEvery, w.compare)
	v := w.leader.state.View()
	for i := range v.Partitions {
		p := ring.PartitionID(i)
		w.checkHelped(v, p)
		var first *space
		var last replica.Copy
		for _, id := range v.Partitions[p].Acting {
			o := w.byID(id)
			if o == nil || !o.alive || o.node == nil {
				continue
			}
			m, ok := o.disk.drive.(*mapDrive)
			if !ok || m.visible[p] == nil {
				continue
			}
			c := o.lanes[i%lanes].core.Inspect(p)
			switch {
			case !c.Whole || !c.Acting || c.Term != v.Partitions[p].Term:
			case first == nil:
				first, last = m.visible[p], c
			case c.Last == last.Last:
				w.count("replicas compared")
				w.checkEqual(p, id, m.visible[p], first)
			}
		}
	}
}

// checkEqual is I4: equal logs make equal bytes.
func (w *world) checkEqual(p ring.PartitionID, id ring.ServerID, a, b *space) {
	var differ []replica.Key
	for key, item := range a.items {
		if !bytes.Equal(item, b.items[key]) && a.readable(key) && b.readable(key) {
			differ = append(differ, key)
		}
	}
	for key := range b.items {
		if a.items[key] == nil && a.readable(key) && b.readable(key) {
			differ = append(differ, key)
		}
	}
	if len(differ) > 0 {
		key := slices.Min(differ)
		w.violated("I4", "partition %d: %v has %x at %q, another acting replica with the same log %x", p, id, a.items[key], key, b.items[key])
	}
}

// readable reports whether a key's bytes are what was written.
func (s *space) readable(key replica.Key) bool {
	_, err := s.read(key)
	return err == nil
}
