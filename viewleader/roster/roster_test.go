package roster

import (
	"slices"
	"strings"
	"testing"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// world is a state under test, with short words for what servers do.
type world struct {
	t   *testing.T
	s   *State
	at  int64
	inc map[ring.ServerID]uint64
}

func newWorld(t *testing.T, minCopies int) *world {
	return &world{t: t, at: 1000, inc: make(map[ring.ServerID]uint64),
		s: New(Config{Cluster: [16]byte{1}, Partitions: 16, MinCopies: minCopies})}
}

func (w *world) apply(c Command) Result {
	w.t.Helper()
	c.At = w.at
	return w.s.Apply([]Command{c})[0]
}

func (w *world) must(c Command) Result {
	w.t.Helper()
	r := w.apply(c)
	if r.Code != Done {
		w.t.Fatalf("%+v: %+v", c, r)
	}
	return r
}

func (w *world) refuse(c Command, words string) {
	w.t.Helper()
	before := w.s.View()
	r := w.apply(c)
	if r.Code != Refused || !strings.Contains(r.Reason, words) {
		w.t.Fatalf("%+v: %+v, want a refusal with %q", c, r, words)
	}
	if w.s.View() != before {
		w.t.Fatalf("%+v was refused and changed the view", c)
	}
}

func reg(id ring.ServerID, n byte, incarnation uint64) Command {
	return Command{Kind: KindRegister, Register: vocab.Register{
		ID: id, Store: [16]byte{n}, Instance: uint64(n)<<32 | incarnation, Previous: incarnation - 1,
		Incarnation: incarnation, Addr: "host:" + string('0'+rune(n)), Whole: true,
	}}
}

// join registers new servers s1 to sn.
func (w *world) join(n int) {
	w.t.Helper()
	for i := 1; i <= n; i++ {
		r := w.must(reg(0, byte(i), 1))
		if r.ID != ring.ServerID(i) {
			w.t.Fatalf("server %d got id %v", i, r.ID)
		}
		w.inc[r.ID] = 1
	}
}

func (w *world) restart(id ring.ServerID, whole bool) Result {
	w.t.Helper()
	w.inc[id]++
	c := reg(id, byte(id), w.inc[id])
	c.Register.Whole = whole
	return w.must(c)
}

func (w *world) now(id ring.ServerID) ring.Incarnated {
	return ring.Incarnated{ID: id, Incarnation: w.inc[id]}
}

func (w *world) expire(ids ...ring.ServerID) {
	w.t.Helper()
	c := Command{Kind: KindExpire}
	for _, id := range ids {
		c.Who = append(c.Who, w.now(id))
	}
	w.must(c)
}

func (w *world) handoff(p ring.PartitionID, acting ...ring.ServerID) Command {
	part := w.s.View().Partitions[p]
	c := Command{Kind: KindHandoff, Partition: p, Term: part.Term, From: w.now(part.Primary())}
	for _, id := range acting {
		c.Who = append(c.Who, w.now(id))
	}
	return c
}

func (w *world) eject(p ring.PartitionID, from, who ring.ServerID) Command {
	return Command{Kind: KindEject, Partition: p, Term: w.s.View().Partitions[p].Term,
		From: w.now(from), Who: []ring.Incarnated{w.now(who)}}
}

// fill hands partition 0 to acting, which must be among the targets.
func (w *world) fill(acting ...ring.ServerID) {
	w.t.Helper()
	w.must(w.handoff(0, acting...))
	w.part(acting, acting)
}

func (w *world) part(acting, writable []ring.ServerID) {
	w.t.Helper()
	p := w.s.View().Partitions[0]
	if !slices.Equal(p.Acting, acting) || !slices.Equal(p.Writable, writable) {
		w.t.Fatalf("acting %v W %v (min %d), want %v and %v", p.Acting, p.Writable, p.MinCopies, acting, writable)
	}
}

// targets returns the ring's replicas of a partition.
func (w *world) targets(p ring.PartitionID) []ring.ServerID {
	w.t.Helper()
	table, err := w.s.ringTable()
	if err != nil {
		w.t.Fatal(err)
	}
	return table.Targets(p)
}

type ids = []ring.ServerID

func TestFirstServerGetsEverything(t *testing.T) {
	w := newWorld(t, 2)
	w.join(1)
	v := w.s.View()
	if v.Epoch != 1 {
		t.Fatalf("epoch %d", v.Epoch)
	}
	for i, p := range v.Partitions {
		if p.Term != 1 || p.MinCopies != 1 || !slices.Equal(p.Acting, ids{1}) || !slices.Equal(p.Writable, ids{1}) {
			t.Fatalf("partition %d: %+v", i, p)
		}
	}
	w.must(reg(0, 1, 1)) // the same registration again
	if w.s.View() != v {
		t.Fatal("a repeated registration changed the view")
	}
	w.must(reg(0, 2, 1))
	if w.s.View().Partitions[3].Term != 1 {
		t.Fatal("a join changed a term")
	}
}

func TestHandoffRaisesMinCopies(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2)
	if p := w.s.View().Partitions[0]; p.MinCopies != 2 || p.Term != w.s.Epoch() {
		t.Fatalf("%+v", p)
	}
	w.fill(2, 1, 3)
	w.refuse(w.handoff(0, 2, 1, 3), "already")
	w.refuse(w.handoff(0, 2, 1), "target")
	w.refuse(w.handoff(0, 2, 2, 1, 3), "twice")
	w.refuse(w.handoff(0), "replicas")
	old := w.handoff(0, 1, 2, 3)
	w.fill(3, 2, 1)
	w.refuse(old, "term")
	c := w.handoff(0, 1, 2, 3)
	c.From = w.now(1)
	w.refuse(c, "not the primary")
	c = w.handoff(0, 1, 2, 3)
	c.Who[2].Incarnation = 7
	w.refuse(c, "incarnation")
	w.expire(1)
	w.refuse(w.handoff(0, 3, 2, 1), "down")
}

func TestExpire(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(1)
	w.part(ids{2, 3}, ids{2, 3})
	w.expire(2)
	w.part(ids{3}, ids{2, 3})
	w.expire(3)
	w.part(ids{3}, ids{2, 3})
	if m := w.s.View().Member(3); m.Up || m.State() != "down" {
		t.Fatalf("%+v", m)
	}
}

func TestRestartGoesLast(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.restart(1, true)
	w.part(ids{2, 3, 1}, ids{2, 3, 1})
	if p := w.s.View().Partitions[0]; p.Term != w.s.Epoch() {
		t.Fatalf("%+v", p)
	}
	if p := w.s.View().Partitions[1]; p.Term != w.s.Epoch() || !slices.Equal(p.Acting, ids{1}) {
		t.Fatalf("alone: %+v", p)
	}
	w.restart(2, false)
	w.part(ids{3, 1}, ids{3, 1})
}

func TestNotWholeAndAlone(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	w.expire(1)
	w.part(ids{2}, ids{1, 2})
	w.restart(2, false)
	w.part(nil, ids{1})
	w.restart(1, true) // the other one of W holds all that was acknowledged
	w.part(ids{1}, ids{1})
	w.fill(1, 2)
}

func TestRestoreExactlyOne(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(1)
	w.expire(2)
	w.expire(3)
	w.part(ids{3}, ids{2, 3})
	w.restart(1, true) // was dropped before the last write could be acknowledged
	w.part(ids{3}, ids{2, 3})
	w.restart(2, true)
	w.part(ids{2}, ids{2, 3})
	w.restart(3, true)
	w.part(ids{2}, ids{2, 3})
}

func TestNoRestoreOfALearner(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	w.expire(1)
	w.restart(1, true) // up beside the acting s2: it begins to learn
	w.expire(2)
	w.part(ids{2}, ids{1, 2})
	w.expire(1)
	w.restart(1, true) // its store is whole, its copy of the partition may not be
	w.part(ids{2}, ids{1, 2})
	w.restart(2, true)
	w.part(ids{2}, ids{1, 2})
}

func TestRegisterRefusals(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.restart(1, true)
	other := reg(1, 1, 2)
	other.Register.Instance++
	w.refuse(other, "another process")
	w.refuse(reg(1, 1, 1), "not newer")
	w.part(ids{2, 3, 1}, ids{2, 3, 1})
	// A folder that showed up older than it was is not believed to be whole.
	w.restart(1, true)
	w.part(ids{2, 3}, ids{2, 3})

	stolen := reg(0, 7, 1)
	stolen.Register.Addr = "host:2"
	w.refuse(stolen, "belongs to s2")
	w.expire(2)
	w.must(stolen)
	if m := w.s.View().Member(2); m.Addr != "" {
		t.Fatalf("%+v", m)
	}
	w.refuse(reg(9, 9, 1), "not known")
	w.refuse(reg(2, 3, 5), "belongs to s3")
	foreign := reg(0, 8, 1)
	foreign.Register.Cluster = [16]byte{9}
	w.refuse(foreign, "belongs to cluster")
	heavy := reg(0, 8, 1)
	heavy.Register.Weight = 2 + ring.WeightMax
	w.refuse(heavy, "weight 65: want 1 to 64")
}

func TestRolledBackFolderIsNotWhole(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	for range 3 {
		w.restart(1, true)
	}
	c := reg(1, 1, 9)
	c.Register.Previous = 2 // knows nothing of start 4
	w.must(c)
	w.part(ids{2}, ids{2})
}

func TestLeave(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	w.must(Command{Kind: KindLeave, ID: 1})
	p := w.s.View().Partitions[0]
	if p.MinCopies != 1 || p.Term != w.s.Epoch() {
		t.Fatalf("%+v", p)
	}
	w.refuse(Command{Kind: KindLeave, ID: 2}, "last server")
	w.refuse(Command{Kind: KindLeave, ID: 5}, "not a member")
	w.must(w.handoff(0, 2))
	for p := ring.PartitionID(1); p < 16; p++ {
		w.must(w.handoff(p, 2))
	}
	if w.s.View().Member(1) != nil || len(w.s.View().Members) != 1 {
		t.Fatal("s1 is still a member")
	}
	w.refuse(reg(1, 1, 1), "not newer")
	w.inc[1] = 1
	w.restart(1, true) // welcome back, under its id, without a part in anything
	w.part(ids{2}, ids{2})
	if r := w.must(reg(0, 5, 1)); r.ID != 3 {
		t.Fatalf("id %v", r.ID)
	}
}

func TestLeaveOfADeadServer(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	for p := range w.s.View().Partitions {
		w.must(w.handoff(ring.PartitionID(p), 1, 2, 3))
	}
	w.expire(3)
	w.must(Command{Kind: KindLeave, ID: 3})
	if w.s.View().Member(3) != nil {
		t.Fatal("s3 is still a member")
	}
	if p := w.s.View().Partitions[0]; p.MinCopies != 2 {
		t.Fatalf("%+v", p)
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.refuse(Command{Kind: KindRemove, ID: 3}, "is up")
	w.expire(3)
	w.must(Command{Kind: KindRemove, ID: 3})
	w.refuse(reg(3, 3, 2), "was removed")
	w.refuse(reg(0, 3, 2), "was removed")
	w.expire(1)
	w.must(Command{Kind: KindRemove, ID: 1}) // some partitions have nothing else: it stays known
	if w.s.View().Member(1) == nil || !slices.Equal(w.s.View().Partitions[5].Acting, ids{1}) {
		t.Fatal("the last acting replica was removed")
	}
	w.restart(1, true) // it lives after all: its data can be saved
	if m := w.s.View().Member(1); m.Status != ring.Leaving || !m.Up {
		t.Fatalf("%+v", m)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	for p := range w.s.View().Partitions {
		w.must(w.handoff(ring.PartitionID(p), 1, 2))
	}
	w.must(Command{Kind: KindDrain, ID: 1}) // at min-copies: it acts until others do
	w.part(ids{1, 2}, ids{1, 2})
	w.refuse(Command{Kind: KindDrain, ID: 2}, "16 partitions would have fewer copies")
	for p := range w.s.View().Partitions {
		p := ring.PartitionID(p)
		w.must(w.handoff(p, 1, 2, 3))
		w.must(w.eject(p, 1, 1))
	}
	w.part(ids{2, 3}, ids{2, 3})
	w.refuse(Command{Kind: KindDrain, ID: 2}, "min-copies")
	w.refuse(w.handoff(0, 2, 3, 1), "draining")
	w.must(reg(1, 1, 1)) // not a restart
	if m := w.s.View().Member(1); m.Status != ring.Draining || !m.Target() {
		t.Fatalf("%+v", m)
	}
	w.restart(1, true)
	if m := w.s.View().Member(1); m.Status != ring.In {
		t.Fatalf("%+v", m)
	}
	w.fill(2, 3, 1)
}

// TestUndrain: a drain is taken back while the server is up, and it is let in again where it left.
func TestUndrain(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.must(Command{Kind: KindDrain, ID: 1})
	w.must(w.eject(0, 1, 1))
	w.must(Command{Kind: KindUndrain, ID: 1})
	epoch := w.s.View().Epoch
	w.must(Command{Kind: KindUndrain, ID: 1}) // as often as one likes
	if m := w.s.View().Member(1); m.Status != ring.In || w.s.View().Epoch != epoch {
		t.Fatalf("%+v, epoch %d after %d", m, w.s.View().Epoch, epoch)
	}
	w.must(w.handoff(0, 2, 3, 1))
	events := w.s.Events(0)
	if last := events[len(events)-1]; last.Kind != vocab.EventUndrained || last.Server != 1 {
		t.Errorf("%+v", last)
	}
	w.refuse(Command{Kind: KindUndrain, ID: 9}, "not a member")
	w.must(Command{Kind: KindDrain, ID: 1})
	w.expire(1)
	w.refuse(Command{Kind: KindUndrain, ID: 1}, "start it")
	w.must(Command{Kind: KindLeave, ID: 3})
	w.refuse(Command{Kind: KindUndrain, ID: 3}, "can't be undone")
}

func TestOut(t *testing.T) {
	w := newWorld(t, 2)
	w.join(4)
	w.refuse(Command{Kind: KindOut, ID: 4}, "is up")
	w.expire(4)
	w.must(Command{Kind: KindOut, ID: 4})
	w.refuse(Command{Kind: KindOut, ID: 4}, "already")
	if m := w.s.View().Member(4); m.Status != ring.Out || m.Target() {
		t.Fatalf("%+v", m)
	}
	w.restart(4, true)
	if m := w.s.View().Member(4); m.Status != ring.In {
		t.Fatalf("%+v", m)
	}
	w.expire(1, 2, 3, 4)
	w.refuse(Command{Kind: KindOut, ID: 1}, "no other server")
}

func TestEject(t *testing.T) {
	w := newWorld(t, 2)
	w.join(4)
	tb, err := w.s.ringTable()
	if err != nil {
		t.Fatal(err)
	}
	ts := tb.Targets(0)
	acting := append(ids{1}, without(ts, func(id ring.ServerID) bool { return id == 1 })...)
	w.fill(acting...)
	a, b, c := acting[0], acting[1], acting[2]
	w.refuse(w.eject(0, b, c), "may not")
	stale := w.eject(0, a, b)
	w.must(w.eject(0, a, 9)) // one that does not act: the term rises all the same
	w.refuse(stale, "term")
	w.must(w.eject(0, b, a)) // a backup deposes its primary
	rest := ids{b, c}
	rest = append(rest, acting[3:]...)
	w.part(rest, rest)
	for len(w.s.View().Partitions[0].Acting) > 2 {
		w.must(w.eject(0, b, w.s.View().Partitions[0].Acting[2]))
	}
	w.refuse(w.eject(0, b, c), "fewer than min-copies")
	w.at += 2000
	w.refuse(w.eject(0, b, c), "fewer than min-copies")
	w.at += 999
	w.refuse(w.eject(0, b, c), "fewer than min-copies")
	w.at++
	w.must(w.eject(0, b, c))
	w.part(ids{b}, ids{b, c})
	w.refuse(w.eject(0, b, b), "last acting")
	w.expire(b)
	w.restart(c, true) // an ejected one may be short
	w.part(ids{b}, ids{b, c})
}

func TestEjectPatienceStartsAnew(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	w.refuse(w.eject(0, 1, 2), "fewer")
	w.at += 100_000
	w.refuse(w.eject(0, 1, 2), "fewer")
	w.expire(2)
	w.part(ids{1}, ids{1, 2})
}

func TestOneBatchIsOneEpoch(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	before := w.s.Epoch()
	rs := w.s.Apply([]Command{w.handoff(0, 1, 2), w.handoff(1, 1, 3), w.handoff(0, 1, 3)})
	if rs[0].Code != Done || rs[1].Code != Done || rs[2].Code != Refused {
		t.Fatalf("%+v", rs)
	}
	v := w.s.View()
	if v.Epoch != before+1 || v.Partitions[0].Term != v.Epoch || v.Partitions[1].Term != v.Epoch || v.Partitions[2].Term == v.Epoch {
		t.Fatalf("%+v", v)
	}
	if rs[0].Epoch != v.Epoch || rs[2].Epoch != v.Epoch {
		t.Fatalf("%+v", rs)
	}
}

func TestConfigure(t *testing.T) {
	w := newWorld(t, 1)
	w.join(3)
	w.fill(1, 2, 3)
	if w.s.View().Partitions[0].MinCopies != 1 {
		t.Fatal("min-copies 1 expected")
	}
	lease := w.s.View().LeaseTTL
	w.must(Command{Kind: KindConfigure, MinCopies: 3, LeaseTTL: lease})
	if v := w.s.View(); v.MinCopies != 3 || v.Partitions[0].MinCopies != 3 || v.Partitions[1].MinCopies != 1 {
		t.Fatalf("%+v", v)
	}
	w.must(Command{Kind: KindConfigure, MinCopies: 2, LeaseTTL: lease})
	if v := w.s.View(); v.Partitions[0].MinCopies != 2 || v.Partitions[0].Term != v.Epoch {
		t.Fatalf("%+v", v)
	}
	w.refuse(Command{Kind: KindConfigure, MinCopies: 4, LeaseTTL: lease}, "min-copies")
	w.refuse(Command{Kind: 99}, "unknown command")
}

func TestEjectedWhileDownIsNotRestored(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	w.expire(1, 2)
	w.must(reg(1, 1, 1))
	w.must(w.eject(0, 1, 2)) // it is down: no reason to wait
	w.part(ids{1}, ids{1, 2})
	w.expire(1)
	w.restart(2, true)
	w.part(ids{1}, ids{1, 2})
}

func TestMinCopiesIsNotLoweredWhileNobodyActs(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	w.expire(1)
	w.expire(2)
	w.must(Command{Kind: KindLeave, ID: 2})
	if p := w.s.View().Partitions[0]; p.MinCopies != 2 {
		t.Fatalf("%+v", p)
	}
	w.restart(1, true) // restored, and alone enough from now on
	w.part(ids{1}, ids{1})
	if p := w.s.View().Partitions[0]; p.MinCopies != 1 {
		t.Fatalf("%+v", p)
	}
}

// A leaving member of W acts again while too few do, and not once enough of the
// targets are there.
func TestReturner(t *testing.T) {
	w := newWorld(t, 2)
	w.join(4)
	targets := w.targets(0)
	first, last := targets[0], targets[1]
	w.must(w.handoff(0, first, last))
	w.must(Command{Kind: KindLeave, ID: last})
	w.expire(last)
	w.restart(last, true)
	w.part(ids{first}, ids{first, last})
	if w.targets(0); slices.Contains(w.targets(0), last) {
		t.Fatalf("%v leaves and is a target", last)
	}
	w.must(w.handoff(0, first, last))
	w.part(ids{first, last}, ids{first, last})

	now := w.targets(0)
	w.must(w.handoff(0, now...))
	w.refuse(w.handoff(0, append(slices.Clone(now), last)...), "no target")
}
