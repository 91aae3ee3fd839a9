package replica

import (
	"fmt"
	"testing"
	"time"

	"viewring/internal/invariant"
)

// batchOf is a batch that sets keys, given as pairs; a value "-" deletes.
func batchOf(pairs ...string) Request {
	r := Request{Op: OpBatch, Key: name(pairs[0])}
	for i := 0; i < len(pairs); i += 2 {
		w := KeyWrite{Key: name(pairs[i]), Value: []byte(pairs[i+1])}
		if pairs[i+1] == "-" {
			w.Delete, w.Value = true, nil
		}
		r.Writes = append(r.Writes, w)
	}
	return r
}

// when adds the condition that a key has that version.
func (r Request) when(key string, v Version) Request {
	r.Checks = append(r.Checks, KeyCheck{Key: name(key), Version: v})
	return r
}

// versionAt returns the version that a server stores at a key.
func (r *rig) versionAt(id int, key string) Version {
	r.t.Helper()
	v, err := versionOf(r.hosts[id-1].store.items[name(key)])
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// TestH29: a batch is one entry: every check counts, and every replica has all of its
// writes, with one version.
func TestH29(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.set(1, "a", "1")
		r.set(1, "b", "1")
		a, b := r.versionAt(1, "a"), r.versionAt(1, "b")
		r.set(1, "b", "2")
		no := r.do(1, batchOf("a", "x", "c", "x").when("a", a).when("b", b))
		return no.Status == StatusCondFailed && no.Version == r.versionAt(1, "b") && r.get(1, "a") == "1" && r.get(1, "c") == ""
	})
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.set(1, "gone", "1")
		ok := r.do(1, batchOf("a", "x", "b", "y", "gone", "-", "absent", "-").when("gone", r.versionAt(1, "gone")).when("a", Version{}))
		if ok.Status != StatusOK {
			t.Fatalf("%+v", ok)
		}
		for id := 1; id <= 2; id++ {
			if r.versionAt(id, "a") != ok.Version || r.versionAt(id, "b") != ok.Version {
				return false
			}
		}
		r.change(actingAre(2, 1))
		r.pass(2 * r.view.LeaseTTL)
		return r.get(2, "a") == "x" && r.get(2, "b") == "y" && r.get(2, "gone") == ""
	})
}

// TestH29Retry: a batch's answer is recorded like any other, whatever it was.
func TestH29Retry(t *testing.T) {
	r := acting(t, 2, 2)
	ok := batchOf("a", "1", "b", "1").when("a", Version{})
	ok.ID = RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}
	first := r.do(1, ok)
	r.set(1, "b", "2")
	if again := r.do(1, ok); again.Status != StatusOK || again.Version != first.Version || r.get(1, "b") != "2" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	no := batchOf("c", "1").when("a", first.Version).when("b", first.Version)
	no.ID = RequestID{Client: [16]byte{1}, Number: 2, Born: r.wall}
	no.Key = name("b")
	first = r.do(1, no)
	r.change(actingAre(2, 1))
	r.pass(2 * r.view.LeaseTTL)
	if again := r.do(2, no); first.Status != StatusCondFailed || again.Status != StatusCondFailed || again.Version != first.Version || first.Number != 1 || again.Number != 1 {
		t.Errorf("first %+v, again %+v", first, again)
	}
}

// TestH29Readers: who reads any key of a batch waits for it, and a check alone waits
// for what was written to its keys before.
func TestH29Readers(t *testing.T) {
	r := acting(t, 2, 2)
	r.drop = lost(MsgAck)
	batch := r.write(1, batchOf("a", "x", "b", "y"))
	r.run()
	a, b := r.read(1, name("a")), r.read(1, name("b"))
	check := r.write(1, Request{Op: OpBatch, Key: name("b")}.when("b", Version{Term: 1, Seq: 1}))
	r.run()
	for _, token := range []uint64{batch, a, b, check} {
		if early, ok := r.got[token]; ok {
			t.Errorf("answered before the commit: %+v", early)
		}
	}
	r.drop = nil
	r.pass(time.Second)
	if !r.reads(a, "x") || !r.reads(b, "y") || r.answered(batch).Status != StatusOK || r.answered(check).Status != StatusOK {
		t.Errorf("%+v", r.got)
	}
}

// TestH29CheckDeposed: a check alone is not answered by who only believes in its term.
func TestH29CheckDeposed(t *testing.T) {
	r := acting(t, 2, 1)
	r.set(1, "k", "v")
	r.nextTerm(actingAre(2), 2)
	r.pass(2 * r.view.LeaseTTL)
	r.set(2, "k", "w")
	token := r.write(1, Request{Op: OpBatch, Key: name("k")}.when("k", r.versionAt(1, "k")))
	r.run()
	if a, ok := r.got[token]; ok {
		t.Errorf("%+v", a)
	}
}

// TestH29Expired: to a check an expired key is absent, and its delete is logged.
func TestH29Expired(t *testing.T) {
	r := acting(t, 2, 2)
	batch := batchOf("a", "1", "b", "1")
	batch.Writes[0].Expiry = r.wall + 100
	if a := r.do(1, batch); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	if a := r.do(1, Request{Op: OpBatch, Key: name("a")}.when("a", Version{})); a.Status != StatusCondFailed {
		t.Errorf("before its expiry: %+v", a)
	}
	r.pass(200 * time.Millisecond)
	no := r.do(1, batchOf("c", "1").when("a", Version{}).when("b", Version{}))
	if no.Status != StatusCondFailed || !r.versionAt(2, "a").IsZero() {
		t.Errorf("%+v, a has %v at s2", no, r.versionAt(2, "a"))
	}
	batch.Writes[0].Expiry = r.wall + 100
	if a := r.do(1, batch.when("a", Version{})); a.Status != StatusOK || r.stored(2, "a") != "1" {
		t.Errorf("%+v", a)
	}
}

// TestH29Repaired: a batch waits for each of its keys that cannot be read.
func TestH29Repaired(t *testing.T) {
	r := acting(t, 3, 2)
	r.do(1, batchOf("a", "1", "b", "1", "c", "1"))
	v := r.versionAt(1, "b")
	r.host(1).spoilKey("a")
	r.host(1).spoilKey("b")
	if a := r.do(1, batchOf("a", "2", "c", "2").when("b", v)); a.Status != StatusOK {
		t.Errorf("%+v", a)
	}
	r.wantStored("a", "2")
	r.wantStored("b", "1")
	r.wantStored("c", "2")
}

// TestH29Returner: several keys of one seq reach a returner, those of its dropped
// batch go, and a full copy has them too.
func TestH29Returner(t *testing.T) {
	for _, diskLost := range []bool{false, true} {
		r := returner(t, 2, diskLost, func(r *rig) {
			r.do(1, batchOf("old", "2", "gone", "-", "new", "2"))
		})
		r.learn(2, 1)
		r.run()
		r.do(1, batchOf("new", "3", "newer", "3"))
		r.pass(time.Second)
		if !r.handoff() {
			t.Fatal("no handoff")
		}
		r.pass(2 * r.view.LeaseTTL)
		for key, want := range map[string]string{"old": "2", "gone": "", "new": "3", "newer": "3"} {
			r.wantStored(key, want)
		}
		if s := r.host(2).core.Stats(); s.DigestMismatches != 0 || s.FullCopies != 0 != diskLost {
			t.Errorf("%+v", s)
		}
	}
	r := acting(t, 2, 1)
	r.do(1, batchOf("a", "1", "b", "1"))
	r.drop = lost(MsgAppend)
	r.write(1, batchOf("a", "dropped", "b", "-", "c", "dropped"))
	r.run()
	r.drop = nil
	r.change(actingAre(2))
	r.pass(2 * r.view.LeaseTTL)
	r.do(2, batchOf("a", "2"))
	r.learn(1, 2)
	r.pass(time.Second)
	if s := r.host(1).core.Stats(); !r.handoff() || s.FullCopies != 0 || s.DigestMismatches != 0 {
		t.Errorf("%+v", s)
	}
	r.pass(2 * r.view.LeaseTTL)
	r.wantStored("a", "2")
	r.wantStored("b", "1")
	r.wantStored("c", "")
}

// TestH29Index: rows of many keys do not make the index long, nor a delta: beyond the
// bounds everything is copied.
func TestH29Index(t *testing.T) {
	keys := func(n int) []string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprint("key", i), "v")
		}
		return pairs
	}
	for _, c := range []struct {
		limits Limits
		full   uint64
		rows   int
	}{
		{Limits{}, 0, 22},
		{Limits{IndexKeys: 80}, 1, 10}, // those of the last 80 to 100 keys
		{Limits{DeltaBytes: 2000}, 1, 22},
		{Limits{IndexBytes: 1400}, 1, 14}, // those of the last 1,400 bytes, and of a piece
	} {
		r := returner(t, 2, false, func(r *rig) {
			for range 20 {
				r.do(1, batchOf(keys(10)...))
			}
		}, c.limits)
		if n := len(r.host(1).store.rows); n > c.rows {
			t.Errorf("%+v: %d rows", c.limits, n)
		}
		r.learn(2, 1)
		r.pass(2 * time.Second)
		if s := r.host(2).core.Stats(); !r.handoff() || s.FullCopies != c.full || s.DigestMismatches != 0 {
			t.Errorf("%+v: %+v", c.limits, s)
		}
		r.pass(2 * r.view.LeaseTTL)
		r.wantStored("key9", "v")
		r.wantStored("gone", "1")
	}
}

// TestH29Limits: values count together, and so do names; a full server takes deletes
// alone; what the server in front must see to is checked.
func TestH29Limits(t *testing.T) {
	r := acting(t, 2, 2) // values up to 1 KiB
	half := string(make([]byte, 512))
	if a := r.do(1, batchOf("a", half, "b", half)); a.Status != StatusOK {
		t.Errorf("at the limit: %+v", a)
	}
	if a := r.do(1, batchOf("a", half, "b", half+"x")); a.Status != StatusTooLarge {
		t.Errorf("beyond it: %+v", a)
	}
	long := string(make([]byte, BatchNamesMax/2))
	if a := r.do(1, batchOf(long+"1", "", long+"2", "")); a.Status != StatusTooLarge {
		t.Errorf("names: %+v", a)
	}
	many := Request{Op: OpBatch, Key: name("0")}
	for i := range BatchKeysMax {
		many.Writes = append(many.Writes, KeyWrite{Key: name(fmt.Sprint(i))})
		many.Checks = append(many.Checks, KeyCheck{Key: name(fmt.Sprint(i))})
	}
	if a := r.do(1, many); a.Status != StatusOK {
		t.Errorf("%d keys: %+v", BatchKeysMax, a)
	}
	for _, h := range r.hosts {
		h.core.SetFull(h.at(), true)
	}
	r.mono += 2 * fullPatience
	r.pings()
	if a := r.do(1, batchOf("a", "-", "b", "1")); a.Status != StatusFull {
		t.Errorf("full: %+v", a)
	}
	if a := r.do(1, batchOf("a", "-", "b", "-")); a.Status != StatusOK {
		t.Errorf("full, deletes: %+v", a)
	}
	twice, other := batchOf("a", "1", "a", "2"), batchOf("a", "1")
	other.Writes[0].Key = MakeKey(2, SpaceUser, "a")
	many.Checks = append(many.Checks, KeyCheck{Key: name("one more")})
	for _, bad := range []Request{twice, other, many, {Op: OpBatch, Key: name("a")}} {
		func() {
			defer func() {
				if _, ok := recover().(invariant.Violation); !ok {
					t.Errorf("taken: %v", bad.Key)
				}
			}()
			r.write(1, bad)
		}()
	}
}
