package ring

import "slices"

// part is what a target should hold: some of all shares of a number of copies.
type part struct {
	member          int32 // index into members
	of, shares, all int
}

// parts shares the copies out by weight. A server holds no partition twice: one whose part
// would be more than all partitions holds each of them, and the others share out what is left.
func (t *Table) parts() []part {
	var parts []part
	all := 0
	for i := range t.members {
		if m := &t.members[i]; m.Target() {
			parts = append(parts, part{member: int32(i), shares: m.shares()})
			all += m.shares()
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return b.shares - a.shares })
	copies := t.copies
	for i := range parts {
		p := &parts[i]
		if own := p.shares; own*copies > all {
			p.of, p.shares, p.all = t.partitions, 1, 1
			copies--
			all -= own
			continue
		}
		p.of, p.all = copies*t.partitions, all
	}
	return parts
}

// Balance is how the servers' loads compare with their parts by weight: the greatest
// load over its server's part, of copies and of primaries. 1 is exact; 0: there are no targets.
type Balance struct {
	Copies, Primaries float64
}

// Balance tells how well the table shares out.
func (t *Table) Balance() Balance {
	copies, primaries := make(map[ServerID]int), make(map[ServerID]int)
	for p := range PartitionID(t.partitions) {
		for i, id := range t.Targets(p) {
			copies[id]++
			if i == 0 {
				primaries[id]++
			}
		}
	}
	parts := t.parts()
	shares := 0
	for _, p := range parts {
		shares += t.members[p.member].shares()
	}
	var b Balance
	for _, p := range parts {
		m := &t.members[p.member]
		b.Copies = max(b.Copies, float64(copies[m.ID])*float64(p.all)/float64(p.of*p.shares))
		b.Primaries = max(b.Primaries, float64(primaries[m.ID])*float64(shares)/float64(t.partitions*m.shares()))
	}
	return b
}
