package ring

import (
	"fmt"
	"slices"
	"strings"
)

// Unserved reports whether nobody can serve p until a server returns: none of
// its acting replicas is up. Before any server came there is nothing to serve.
func (v *View) Unserved(p PartitionID) bool {
	part := &v.Partitions[p]
	return part.Term > 0 && !slices.ContainsFunc(part.Acting, v.isUp)
}

func (v *View) isUp(id ServerID) bool {
	m := v.Member(id)
	return m != nil && m.Up
}

// Holders returns the servers each of which can bring an unserved partition
// back: the acting ones, and when those were too few to acknowledge anything the
// others of the last writable set, as far as they are down. One that is up and
// was not restored has begun to learn and can't be.
func (v *View) Holders(p PartitionID) []ServerID {
	part := &v.Partitions[p]
	holders := slices.Clone(part.Acting)
	if len(part.Acting) >= int(part.MinCopies) {
		return holders
	}
	for _, id := range part.Writable {
		if !part.IsActing(id) && !v.isUp(id) {
			holders = append(holders, id)
		}
	}
	return holders
}

// WhyUnserved says in words which partition can't be served, who held it, and
// what to do.
func (v *View) WhyUnserved(p PartitionID) string {
	holders := v.Holders(p)
	if len(holders) == 0 {
		return fmt.Sprintf("partition %d has no copy left: the server that held it last came back without its data; "+
			"'viewring accept-loss %d' begins it anew", p, p)
	}
	names := make([]string, len(holders))
	for i, id := range holders {
		names[i] = id.String()
		if m := v.Member(id); m != nil && m.Addr != "" {
			names[i] += " (" + m.Addr + ")"
		}
	}
	if len(names) == 1 {
		return fmt.Sprintf("partition %d was held last by %s, which is down: start it again; if it never returns, 'viewring accept-loss %d' gives its data up", p, names[0], p)
	}
	return fmt.Sprintf("partition %d was held last by %s, which are all down: start one of them again; "+
		"if none ever returns, 'viewring accept-loss %d' gives its data up", p, strings.Join(names, " and "), p)
}
