package viewleader

import (
	"slices"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
)

// calm lets time pass without any fault until ok, or for so many ticks.
func (w *groupWorld) calm(ticks int, ok func() bool) bool {
	for range ticks {
		if ok() {
			return true
		}
		w.ticks++
		for _, addr := range w.addrs {
			if n := w.nodes[addr]; n.g != nil {
				n.g.tick()
				n.work()
			}
		}
		for len(w.net) > 0 {
			w.deliver(true)
		}
	}
	return ok()
}

func (w *groupWorld) votes(n *groupNode) bool {
	h := w.head()
	return h != nil && n.g != nil && n.g.index == h.g.index && slices.Contains(h.g.conf.GetVoters(), n.g.id)
}

// TestFormerKeepsItsPlace starts a lost folder again while its replacement is no voter yet:
// a member that is up is not put out for one that nobody needs. When it is silent again, the
// replacement takes its place.
func TestFormerKeepsItsPlace(t *testing.T) {
	const long = 40 * forgetTicks
	w := newGroupWorld(t, 1)
	for _, addr := range w.addrs[1:] {
		w.nodes[addr].seek()
	}
	w.heal()
	former := w.nodes[w.addrs[0]]
	if former == w.head() {
		former = w.nodes[w.addrs[1]]
	}
	id := former.disk.identity.id
	former.down()
	folder := former.fs
	if !w.calm(long, func() bool { return w.head() != nil && !w.head().g.active(id) }) {
		t.Fatal("the head hears one that is down")
	}

	former.fs = crashdisk.Mem()
	former.start()
	former.seek()
	w.cut[former.addr] = apart // it does not catch up
	if !w.calm(long, func() bool { return former.g != nil }) {
		t.Fatal("a new folder was not let in")
	}
	former.down()
	clear(w.cut)
	newcomer := &groupNode{w: w, addr: "host:4", fs: former.fs}
	former.fs = folder
	former.up()
	if !w.calm(long, func() bool { return w.votes(former) && w.head().g.active(id) }) {
		t.Fatalf("the former folder is not let back in: %+v", w.head().g.members)
	}
	h := w.head().g
	if _, err := h.join(&wire.Join{Store: [16]byte{9}, Addr: former.addr})(h.members.clone()); !wire.IsCode(err, wire.CodeRefused) {
		t.Fatalf("a folder of nobody's at the address of one that is up: %v", err)
	}

	w.nodes[newcomer.addr], w.addrs = newcomer, append(w.addrs, newcomer.addr)
	newcomer.up()
	if w.calm(long, func() bool { return !w.votes(former) || w.votes(newcomer) }) {
		t.Fatalf("one that is up was put out: %+v", w.head().g.members)
	}
	if newcomer.g.index != w.head().g.index {
		t.Fatal("the newcomer did not catch up: it had no chance to do wrong")
	}

	former.down()
	if !w.calm(long, func() bool { return w.votes(newcomer) && w.head().g.members.removed(id) }) {
		t.Fatalf("nobody took the place of one that is silent: %+v", w.head().g.members)
	}
	former.up()
	if !w.calm(long, func() bool { return former.g == nil || w.head().g.members.removed(former.g.id) && !w.votes(former) }) {
		t.Fatal("one that was replaced votes")
	}
	w.end()
}
