package replica

import (
	"testing"
	"time"
)

// under makes a request one of who holds lock l with that token.
func under(q Request, token uint64) Request {
	q.Fence = Fence{Lock: "l", Token: token}
	return q
}

// wantFenced has a server refuse a write under an older token.
func (r *rig) wantFenced(id int, key string, token, seen uint64) {
	r.t.Helper()
	at := r.hosts[id-1].id
	before := r.stored(at, key)
	if a := r.do(at, under(setTo(key, "too late"), token)); a.Status != StatusFenced || a.Number != int64(seen) || r.stored(at, key) != before {
		r.t.Errorf("token %d of %d: %+v", token, seen, a)
	}
}

// TestFence: the highest token that the partition has seen of a lock counts, whatever
// the operation and the key.
func TestFence(t *testing.T) {
	r := acting(t, 2, 2)
	for _, token := range []uint64{5, 5, 7} {
		if a := r.do(1, under(setTo("k", "v"), token)); a.Status != StatusOK {
			t.Errorf("token %d: %+v", token, a)
		}
	}
	r.wantFenced(1, "k", 6, 7)
	r.wantFenced(1, "another key", 6, 7)
	for _, q := range []Request{{Op: OpDelete, Key: name("k")}, {Op: OpAppend, Key: name("k"), Value: []byte("w")}, batchOf("k", "w", "b", "w")} {
		if a := r.do(1, under(q, 6)); a.Status != StatusFenced || r.stored(2, "k") != "v" {
			t.Errorf("operation %d: %+v", q.Op, a)
		}
	}
	q := under(setTo("k", "other lock"), 1)
	q.Fence.Lock = "m"
	if a := r.do(1, q); a.Status != StatusOK {
		t.Errorf("another lock: %+v", a)
	}
	q = under(setTo("k", "condition"), 9)
	q.Cond = CondAbsent
	if a := r.do(1, q); a.Status != StatusCondFailed {
		t.Errorf("%+v", a)
	}
	r.wantFenced(1, "k", 8, 9) // a condition that failed was seen all the same
	if a := r.do(1, under(batchOf("k", "w", "b", "w"), 9)); a.Status != StatusOK || r.stored(2, "b") != "w" {
		t.Errorf("%+v", a)
	}
	if a := r.do(1, setTo("k", "nobody's")); a.Status != StatusOK {
		t.Errorf("without a fence: %+v", a)
	}
}

// TestFenceRetry: a refusal is the answer to that request id from then on, and so is
// what was done before a higher token came.
func TestFenceRetry(t *testing.T) {
	r := acting(t, 2, 2)
	early := under(request(1, 1, 0), 3)
	if a := r.do(1, early); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	r.do(1, under(setTo("other", "v"), 4))
	late := under(request(1, 2, 0), 3)
	late.Mark = 0
	if a := r.do(1, late); a.Status != StatusFenced || a.Number != 4 {
		t.Errorf("%+v", a)
	}
	r.change(actingAre(2, 1))
	r.pass(2 * r.view.LeaseTTL)
	if a := r.do(2, late); a.Status != StatusFenced || a.Number != 4 {
		t.Errorf("again: %+v", a)
	}
	if a := r.do(2, early); a.Status != StatusOK || a.Number != 1 {
		t.Errorf("what was done: %+v", a)
	}
}

// TestFenceMoves: the token is where the partition is: at a new primary, at one that
// copied what changed, and at one that copied everything.
func TestFenceMoves(t *testing.T) {
	holds(t, func() bool {
		for _, diskLost := range []bool{false, true} {
			r := returner(t, 2, diskLost, func(r *rig) { r.do(1, under(setTo("k", "v"), 7)) })
			r.learn(2, 1)
			r.pass(time.Second)
			if s := r.host(2).core.Stats(); !r.handoff() || s.DigestMismatches != 0 {
				t.Fatalf("%+v", s)
			}
			r.change(actingAre(2))
			r.pass(2 * r.view.LeaseTTL)
			if a := r.do(2, under(setTo("k", "too late"), 6)); a.Status != StatusFenced || a.Number != 7 || r.stored(2, "k") != "v" {
				return false
			}
		}
		return true
	})
}

// TestFenceRepaired: a token that cannot be read is had from another replica, and what
// carries one waits for it.
func TestFenceRepaired(t *testing.T) {
	r := acting(t, 2, 2)
	r.do(1, under(setTo("k", "v"), 7))
	h := r.host(1)
	h.store.corrupt = map[Key]bool{h.core.parts[0].fenceKey("l"): true}
	r.wantFenced(1, "k", 6, 7)
	r.host(2).crash()
	r.change(actingAre(1))
	r.pass(2 * r.view.LeaseTTL)
	r.view.Partitions[0].MinCopies = 1
	r.change(actingAre(1))
	r.pass(2 * r.view.LeaseTTL)
	h.store.corrupt = map[Key]bool{h.core.parts[0].fenceKey("l"): true}
	if a := r.do(1, under(setTo("k", "w"), 8)); a.Status != StatusCorrupt || r.stored(1, "k") != "v" {
		t.Errorf("nobody to repair it: %+v", a)
	}
}

// TestFenceBeforeCommit: a refusal rests on a token that may not be committed, so it
// is answered after it.
func TestFenceBeforeCommit(t *testing.T) {
	r := acting(t, 2, 2)
	r.drop = lost(MsgAck)
	newer := r.write(1, under(setTo("k", "v"), 8))
	older := r.write(1, under(setTo("k", "w"), 7))
	r.run()
	if a, early := r.got[older]; early {
		t.Errorf("%+v", a)
	}
	r.drop = nil
	r.pass(time.Second)
	if r.answered(newer).Status != StatusOK || r.answered(older).Status != StatusFenced {
		t.Errorf("%+v, %+v", r.answered(newer), r.answered(older))
	}
}

// TestHighestFence: what a server has seen of all locks, for a view leader that has
// lost count.
func TestHighestFence(t *testing.T) {
	r := acting(t, 2, 2)
	for key, token := range map[string]uint64{"k": 5, "b": 8} {
		q := under(setTo(key, "v"), token)
		q.Fence.Lock = "of " + key
		if a := r.do(1, q); a.Status != StatusOK {
			t.Fatalf("%+v", a)
		}
	}
	for _, h := range r.hosts {
		if token, err := HighestFence(h.store, len(r.view.Partitions)); token != 8 || err != nil {
			t.Errorf("%v: token %d, %v", h.id, token, err)
		}
	}
}
