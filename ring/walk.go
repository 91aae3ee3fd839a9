package ring

import "slices"

// walk meets a table's members clockwise from a partition's place, each once.
// It is kept and started again for partition after partition.
type walk struct {
	t     *Table
	next  int     // of t.points
	left  int     // points not looked at
	order []int32 // members met so far
	met   []uint32
	round uint32
}

func newWalk(t *Table) *walk { return &walk{t: t, met: make([]uint32, len(t.members))} }

// start begins a walk from p's place.
func (w *walk) start(p PartitionID) {
	w.round++
	w.order = w.order[:0]
	w.left = len(w.t.points)
	w.next = w.t.pointAfter(placeOf(p))
}

// at returns the i-th member met; i grows by one from 0, or is one seen before.
func (w *walk) at(i int) (member int32, ok bool) {
	for i >= len(w.order) {
		if w.left == 0 || len(w.order) == len(w.met) {
			return 0, false
		}
		if w.next == len(w.t.points) {
			w.next = 0
		}
		m := w.t.points[w.next].member
		w.next++
		w.left--
		if w.met[m] != w.round {
			w.met[m] = w.round
			w.order = append(w.order, m)
		}
	}
	return w.order[i], true
}

// builder fills a table.
type builder struct {
	t        *Table
	walk     *walk
	servers  int // members that are targets
	shares   int // of them
	zone     []int32
	zones    int
	load     []int32 // copies per member
	capacity []int32 // copies at which a member is full
	chosen   []int32 // the members of the partition at hand
}

func newBuilder(t *Table, copiesLoad float64) *builder {
	b := &builder{t: t, walk: newWalk(t), load: make([]int32, len(t.members)), zone: make([]int32, len(t.members))}
	numbers := map[string]int32{}
	for i := range t.members {
		if m := &t.members[i]; m.Target() {
			b.servers++
			b.shares += m.shares()
			if _, ok := numbers[m.Zone]; !ok {
				numbers[m.Zone] = int32(len(numbers))
			}
			b.zone[i] = numbers[m.Zone]
		}
	}
	b.zones = len(numbers)
	t.copies = min(Copies, b.servers)
	t.targets = make([]ServerID, t.copies*t.partitions)
	b.limitCopies(copiesLoad)
	return b
}

// limitCopies sets at how many copies each member is full: bound times its part by weight.
func (b *builder) limitCopies(bound float64) {
	b.capacity = make([]int32, len(b.t.members))
	for _, part := range b.t.parts() {
		b.capacity[part.member] = int32(capacityOf(part.of, part.shares, part.all, bound))
	}
}

func (b *builder) place(p PartitionID, copy int, member int32) {
	b.t.targets[int(p)*b.t.copies+copy] = b.t.members[member].ID
	b.load[member]++
}

// placeFollowers chooses the other targets of p. Zones come before balance: a
// full server is passed by only while another will do.
func (b *builder) placeFollowers(p PartitionID) {
	b.walk.start(p)
	b.chosen = append(b.chosen[:0], b.indexOf(b.t.targets[int(p)*b.t.copies]))
	for copy := 1; copy < b.t.copies; copy++ {
		fresh := func(m int32) bool { return !slices.Contains(b.chosen, m) }
		if b.zones > b.zonesTaken() {
			inAny := fresh
			fresh = func(m int32) bool { return inAny(m) && !b.zoneTaken(m) }
		}
		m := b.pick(func(m int32) bool { return fresh(m) && b.load[m] < b.capacity[m] })
		if m < 0 {
			m = b.pick(fresh)
		}
		b.place(p, copy, m)
		b.chosen = append(b.chosen, m)
	}
}

// pick returns the first target on the walk that will do, or -1.
func (b *builder) pick(will func(member int32) bool) int32 {
	for i := 0; ; i++ {
		m, ok := b.walk.at(i)
		if !ok {
			return -1
		}
		if b.t.members[m].Target() && will(m) {
			return m
		}
	}
}

func (b *builder) indexOf(id ServerID) int32 {
	i, _ := slices.BinarySearchFunc(b.t.members, id, func(m Member, id ServerID) int {
		return int(int64(m.ID) - int64(id))
	})
	return int32(i)
}

func (b *builder) zoneTaken(m int32) bool {
	return slices.ContainsFunc(b.chosen, func(c int32) bool { return b.zone[c] == b.zone[m] })
}

func (b *builder) zonesTaken() int {
	n := 0
	for i, c := range b.chosen {
		if !slices.ContainsFunc(b.chosen[:i], func(d int32) bool { return b.zone[d] == b.zone[c] }) {
			n++
		}
	}
	return n
}
