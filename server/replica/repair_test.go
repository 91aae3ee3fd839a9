package replica

import (
	"fmt"
	"testing"
	"time"

	"viewring/ring"
)

// spoilKey makes a key unreadable on a server's disk.
func (h *host) spoilKey(key string) {
	if h.store.corrupt == nil {
		h.store.corrupt = make(map[Key]bool)
	}
	h.store.corrupt[name(key)] = true
}

// wantStored compares what every acting server stores at a key.
func (r *rig) wantStored(key, want string) {
	r.t.Helper()
	for _, id := range r.view.Partitions[0].Acting {
		h := r.host(id)
		item, err := h.store.Get(0, name(key))
		if err != nil {
			r.t.Errorf("%v stores %s: %v", id, key, err)
			continue
		}
		got := ""
		if item != nil {
			it, err := DecodeItem(name(key), item)
			if err != nil {
				r.t.Errorf("%v stores %s: %v", id, key, err)
				continue
			}
			got = string(it.Value)
		}
		if got != want {
			r.t.Errorf("%v stores %s as %q, want %q", id, key, got, want)
		}
		if c := h.core.Inspect(0); c.Digest != r.host(1).core.Inspect(0).Digest {
			r.t.Errorf("%v has another digest than the primary", id)
		}
	}
}

func TestReadWaitsForTheRepair(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "v")
	r.host(1).spoilKey("k")
	if got := r.get(1, "k"); got != "v" {
		t.Errorf("read %q", got)
	}
	r.wantStored("k", "v")
	if st := r.host(1).core.Stats(); st.Corrupt != 1 || st.Repaired != 1 || st.Unrepairable != 0 {
		t.Errorf("%+v", st)
	}
}

func TestMutationWaitsForTheRepair(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "v")
	r.host(1).spoilKey("k")
	if a := r.do(1, Request{Op: OpAppend, Key: name("k"), Value: []byte("w"), ID: RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}}); a.Status != StatusOK || a.Number != 2 {
		t.Errorf("append: %+v", a)
	}
	r.wantStored("k", "vw")
}

// TestRepairOfAnAbsentKey: a bad block makes every key unreadable that may lie in
// it; one that nobody has is not found.
func TestRepairOfAnAbsentKey(t *testing.T) {
	r := acting(t, 2, 2)
	r.host(1).spoilKey("k")
	if got := r.get(1, "k"); got != "" {
		t.Errorf("read %q", got)
	}
	r.wantStored("k", "")
}

// TestCorruptEverywhere: what no replica can read is said to be corrupt, never
// absent; and so is what nobody is there to repair.
func TestCorruptEverywhere(t *testing.T) {
	for servers := 1; servers <= 3; servers++ {
		r := acting(t, servers, 1)
		r.set(1, "k", "v")
		for _, h := range r.hosts {
			h.spoilKey("k")
		}
		for range 3 {
			token := r.read(1, name("k"))
			r.run()
			if a := r.answered(token); a.Status != StatusCorrupt {
				t.Errorf("%d servers: %+v", servers, a)
			}
			r.pass(3 * askAfter) // the others ask too, and come to an end
			for _, h := range r.hosts {
				if n := len(h.core.parts[0].repairer.repairs); n > 0 {
					t.Errorf("%d servers: %v still asks", servers, h.id)
				}
			}
		}
		if a := r.do(1, Request{Op: OpAppend, Key: name("k"), Value: []byte("w")}); a.Status != StatusCorrupt {
			t.Errorf("%d servers, append: %+v", servers, a)
		}
		if st := r.host(1).core.Stats(); st.Unrepairable == 0 || st.Repaired != 0 {
			t.Errorf("%d servers: %+v", servers, st)
		}
	}
}

// TestRepairFromTheOneThatCan: two of three are corrupt, and each heals.
func TestRepairFromTheOneThatCan(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "v")
	r.host(1).spoilKey("k")
	r.host(2).spoilKey("k")
	if got := r.get(1, "k"); got != "v" {
		t.Errorf("read %q", got)
	}
	r.pass(2 * askAfter)
	r.wantStored("k", "v")
}

// TestSilentSource: the read waits no longer than queueTTL, another replica is
// asked on the ticks.
func TestSilentSource(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "v")
	r.host(1).spoilKey("k")
	r.drop = func(p parcel) bool { return p.to == 2 && p.msg.Type == MsgRepairAsk }
	token := r.read(1, name("k"))
	r.run()
	r.pass(askAfter)
	if a := r.answered(token); a.Status != StatusOK {
		t.Errorf("the second was asked: %+v", a)
	}
	r.host(1).spoilKey("k")
	r.drop = lost(MsgRepairAsk)
	token = r.read(1, name("k"))
	r.run()
	r.pass(queueTTL + 100*time.Millisecond)
	if a := r.answered(token); a.Status != StatusCorrupt {
		t.Errorf("nobody answers: %+v", a)
	}
	r.drop = nil
	r.pass(askAfter)
	r.wantStored("k", "v")
}

// TestRepairNeverReplacesNewer: a repair's answer comes after the backup that asked has
// applied a newer entry of the key.
func TestRepairNeverReplacesNewer(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "k", "old")
	r.host(2).spoilKey("k")
	release := r.hold(lost(MsgRepair))
	r.host(2).core.Repair(r.host(2).at(), 0, name("k"))
	r.run()
	r.set(1, "k", "new")
	r.drop = nil
	release()
	r.run()
	r.wantStored("k", "new")
}

// TestRepairNeverFromBehind: a primary asks a backup which has not got its last entry yet.
func TestRepairNeverFromBehind(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "k", "old")
	release := r.hold(lost(MsgAppend))
	r.write(1, Request{Op: OpSet, Key: name("k"), Value: []byte("new")})
	r.run()
	r.host(1).spoilKey("k")
	token := r.write(1, Request{Op: OpAppend, Key: name("k"), Value: []byte("er")})
	r.run()
	r.drop = nil
	release()
	r.pass(time.Second)
	if a := r.answered(token); a.Status != StatusOK || a.Number != int64(len("newer")) {
		t.Errorf("append after the repair: %+v", a)
	}
	r.wantStored("k", "newer")
}

// TestRepairAheadOfTheRequester: an answer made at a later head waits for the requester's
// log to get there.
func TestRepairAheadOfTheRequester(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "k", "v")
	r.host(2).spoilKey("k")
	release := r.hold(lost(MsgAppend))
	r.write(1, Request{Op: OpSet, Key: name("other"), Value: []byte("x")})
	r.host(1).step()
	r.host(2).core.Repair(r.host(2).at(), 0, name("k"))
	r.run()
	if _, err := r.host(2).store.Get(0, name("k")); err == nil {
		t.Error("repaired by a state that its log does not have")
	}
	r.drop = nil
	release()
	r.pass(time.Second)
	r.wantStored("k", "v")
}

func TestCorruptIsNeverServed(t *testing.T) {
	r := acting(t, 1, 1)
	r.set(1, "k", "v")
	r.host(1).store.items[name("k")][14] ^= 1 // a store that does not notice
	if got := r.get(1, "k"); got != fmt.Sprintf("status %d", StatusCorrupt) {
		t.Errorf("read %q", got)
	}
}

// TestRepairEndsWithTheTerm: an answer of the old term is dropped, and the new one
// asks anew.
func TestRepairEndsWithTheTerm(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "v")
	r.host(1).spoilKey("k")
	release := r.hold(lost(MsgRepair))
	token := r.read(1, name("k"))
	r.run()
	r.change(actingAre(1, 3))
	r.drop = nil
	release()
	r.pass(time.Second)
	if a := r.answered(token); a.Status != StatusOK || string(a.Value) != "v" {
		t.Errorf("read over a change of terms: %+v", a)
	}
	r.wantStored("k", "v")
}

// asksToGo counts the ejects of itself that a server asked for.
func (r *rig) asksToGo(id ring.ServerID) int {
	n := 0
	for _, q := range r.asked {
		if q.Kind == AskEject && q.Acting[0].ID == id {
			n++
		}
	}
	return n
}

// joinsFrom makes a server learn from another one, until it is asked for that it acts.
func (r *rig) joinsFrom(id, from ring.ServerID) {
	r.t.Helper()
	r.learn(id, from)
	r.pass(time.Second)
	if !r.handoff() {
		r.t.Fatalf("no handoff to s%d was asked for", id)
	}
}

// asksOut waits until a server asks to go, and lets the others act without it.
func (r *rig) asksOut(id ring.ServerID, others ...ring.ServerID) {
	r.t.Helper()
	r.pass(time.Second)
	if r.asksToGo(id) == 0 {
		r.t.Fatalf("s%d does not ask to be taken out", id)
	}
	r.change(actingAre(others...))
	r.pass(2 * r.view.LeaseTTL)
}

// TestDamagedCopyIsCopiedAnew: a copy with an unreadable range leaves when the
// others are enough, remembers that over a restart, and returns by a full copy.
func TestDamagedCopyIsCopiedAnew(t *testing.T) {
	r := acting(t, 2, 2)
	for _, k := range []string{"a", "b", "c"} {
		r.set(1, k, "v"+k)
	}
	r.host(2).spoilKey("b")
	r.host(2).core.Damaged(r.host(2).at(), 0)
	r.pass(time.Second)
	if r.asksToGo(2) != 0 {
		t.Error("it wants to leave min-copies")
	}
	r.host(2).crash()
	r.host(2).boot(false)
	r.change(func(p *ring.Partition) { p.MinCopies = 1 })
	r.pass(time.Second)
	if r.asksToGo(2) == 0 {
		t.Fatal("it does not ask to leave")
	}
	r.change(actingAre(1))
	r.host(2).core.Learn(r.host(2).at(), 0, 1)
	r.pass(time.Second)
	if st := r.host(2).core.Stats(); st.FullCopies != 1 {
		t.Errorf("%+v", st)
	}
	r.change(actingAre(1, 2))
	r.pass(time.Second)
	r.wantStored("b", "vb")
	if r.asked = nil; r.asksToGo(2) != 0 {
		t.Error("it still thinks itself damaged")
	}
}

// TestUnreadableMeta: the copy acts, and serves nothing: never an empty log.
func TestUnreadableMeta(t *testing.T) {
	for _, servers := range []int{1, 2} {
		r := acting(t, servers, 1)
		r.set(1, "k", "v")
		r.host(1).store.badMeta = true
		r.host(1).crash()
		r.host(1).boot(false)
		r.change(func(*ring.Partition) {})
		token := r.read(1, name("k"))
		r.pass(2 * time.Second)
		if a := r.answered(token); a.Status != StatusUnavailable {
			t.Errorf("%d servers: %+v", servers, a)
		}
		if r.asksToGo(1) == 0 {
			t.Errorf("%d servers: it does not ask to leave", servers)
		}
		if servers == 1 {
			continue
		}
		r.change(actingAre(2))
		r.host(1).core.Learn(r.host(1).at(), 0, 2)
		r.pass(2 * time.Second)
		r.change(actingAre(2, 1))
		r.pass(2 * time.Second)
		if got := r.get(2, "k"); got != "v" {
			t.Errorf("read %q", got)
		}
	}
}

// TestUnreadableIndex: a primary that cannot say what changed has its learner
// copy everything, and gives its copy up.
func TestUnreadableIndex(t *testing.T) {
	r := acting(t, 3, 1)
	r.set(1, "k", "v")
	r.host(3).crash()
	r.change(actingAre(1, 2))
	r.set(1, "k", "w")
	r.host(1).store.badRows = true
	r.host(3).boot(false)
	r.change(func(*ring.Partition) {})
	r.host(3).core.Learn(r.host(3).at(), 0, 2)
	r.pass(2 * time.Second)
	if st := r.host(3).core.Stats(); st.FullCopies != 1 {
		t.Errorf("%+v", st)
	}
	if r.asksToGo(1) == 0 {
		t.Error("the primary does not ask to leave")
	}
	r.change(actingAre(1, 2, 3))
	r.pass(time.Second)
	r.wantStored("k", "w")
}

// TestCorruptSource: a learner gets what its source cannot read from another
// one. The source repairs a key, and gives a range up.
func TestCorruptSource(t *testing.T) {
	for _, badBlock := range []bool{false, true} {
		r := acting(t, 2, 2)
		for _, k := range []string{"a", "b", "c"} {
			r.set(1, k, "v"+k)
		}
		third := &host{r: r, id: 3, store: newMemory()}
		r.hosts = append(r.hosts, third)
		r.nextView(func(v *ring.View) { v.Members = append(v.Members, ring.Member{ID: 3, Status: ring.In, Up: true}) })
		third.boot(true)
		r.nextView(func(*ring.View) {})
		for _, h := range r.hosts {
			h.adopt()
		}
		r.host(2).spoilKey("b")
		r.host(2).store.badBlock = badBlock
		third.core.Learn(third.at(), 0, 2)
		r.pass(3 * time.Second)
		r.change(actingAre(1, 2, 3))
		r.pass(time.Second)
		if badBlock {
			if r.asksToGo(2) == 0 {
				t.Error("the source does not ask to leave")
			}
			r.change(actingAre(1, 3))
			r.pass(time.Second)
		}
		for _, k := range []string{"a", "b", "c"} {
			r.wantStored(k, "v"+k)
		}
	}
}

// TestUnreadableRecord: while others act it is repaired before the partition serves.
// Alone, its primary reads and answers what it knows, repeats nothing that it may
// have done, and serves learners; the next term repairs the record.
func TestUnreadableRecord(t *testing.T) {
	r := acting(t, 2, 1)
	id := RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}
	q := Request{Op: OpAppend, Key: name("k"), Value: []byte("x"), ID: id}
	first := r.do(1, q)
	spoil := func() { r.host(1).store.corrupt = map[Key]bool{recordKey(0, id): true} }

	spoil()
	r.change(func(*ring.Partition) {})
	r.pass(time.Second)
	if a := r.do(1, q); a.Status != StatusOK || a.Number != first.Number || a.Version != first.Version {
		t.Errorf("a retry after the record was repaired: %+v", a)
	}

	spoil()
	r.change(actingAre(1))
	r.pass(time.Second)
	if a := r.do(1, q); a.Status != StatusUnavailable {
		t.Errorf("a retry without the record: %+v", a)
	}
	if got := r.get(1, "k"); got != "x" {
		t.Errorf("read %q", got)
	}
	late := Request{Op: OpAppend, Key: name("k"), Value: []byte("y"), ID: RequestID{Client: [16]byte{2}, Number: 1, Born: r.wall + 2*bornAheadMax.Milliseconds()}}
	r.wall = late.ID.Born
	if a := r.do(1, late); a.Status != StatusOK || a.Number != 2 {
		t.Errorf("an id born later than any record: %+v", a)
	}
	r.host(2).core.Learn(r.host(2).at(), 0, 1)
	r.pass(time.Second)
	r.change(actingAre(1, 2))
	r.pass(time.Second)
	if a := r.do(1, q); a.Status != StatusOK || a.Number != first.Number {
		t.Errorf("a retry in the next term: %+v", a)
	}
	r.wantStored("k", "xy")
}
