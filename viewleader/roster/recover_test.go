package roster

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// named is a registration of a start that has a name, after those before it.
func named(id ring.ServerID, incarnation uint64, starts ...uint64) Command {
	c := reg(id, byte(id), incarnation)
	c.Register.Starts = starts
	return c
}

// lost is a cluster of servers s1 to sn whose view leader is lost; each has the newest view.
func lost(t *testing.T, minCopies, n int) (*world, *Recovery) {
	t.Helper()
	w := newWorld(t, minCopies)
	all := make([]ring.ServerID, n)
	for i := range all {
		c := named(0, 1, 1000+uint64(i+1))
		c.Register.Store, c.Register.Addr = [16]byte{byte(i + 1)}, "host:"+string('1'+rune(i))
		c.Register.Instance = uint64(i+1)<<32 | 1
		all[i] = w.must(c).ID
		w.inc[all[i]] = 1
	}
	for p := range w.s.parts {
		w.must(w.handoff(ring.PartitionID(p), w.targets(ring.PartitionID(p))...))
	}
	return w, w.reports(all...)
}

// reports is what servers say that run and have the present view.
func (w *world) reports(ids ...ring.ServerID) *Recovery { return reportsOn(w.s, ids...) }

func reportsOn(s *State, ids ...ring.ServerID) *Recovery {
	r := &Recovery{At: 99}
	for _, id := range ids {
		m := s.member(id)
		c := named(id, m.Incarnation, m.Start)
		c.Register.Cluster, c.Register.Instance, c.Register.Store = s.cluster, m.Instance, m.Store
		r.Reports = append(r.Reports, Report{Register: c.Register, View: s.View(), Epoch: s.Epoch()})
	}
	return r
}

func (r *Recovery) must(t *testing.T) *State {
	t.Helper()
	s, err := r.Recover(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestH23: a view leader that lost everything goes on from what the servers report,
// above all that anybody has seen.
func TestH23(t *testing.T) {
	w, r := lost(t, 2, 4)
	v := w.s.View()
	w.must(named(4, 2, 1004, 2004)) // nobody heard of it, but s4
	r.Reports[3] = w.reports(4).Reports[0]
	newest := w.s.View()
	r.Reports[1].Token = 77
	s := r.must(t)
	got := s.View()
	if got.Epoch < newest.Epoch+ring.RecoveryJump || got.Cluster != v.Cluster || got.MinCopies != v.MinCopies || got.LeaseTTL != v.LeaseTTL {
		t.Fatalf("%+v", got)
	}
	for i, p := range got.Partitions {
		q := newest.Partitions[i]
		if p.Term != got.Epoch || !slices.Equal(p.Acting, q.Acting) || !slices.Equal(p.Writable, q.Writable) || p.MinCopies != q.MinCopies {
			t.Fatalf("partition %d: %+v, it was %+v", i, p, q)
		}
	}
	for i, m := range got.Members {
		if m != newest.Members[i] {
			t.Errorf("%+v, it was %+v", m, newest.Members[i])
		}
	}
	if s.locks.token <= 77 || s.locks.session == 0 || s.nextID < 5 {
		t.Errorf("token %d, session %d, next id %d", s.locks.token, s.locks.session, s.nextID)
	}
	if e := s.Events(0); len(e) != 1 || e[0].Kind != vocab.EventRecovered || e[0].Number <= w.s.eventNumber || e[0].Epoch != got.Epoch {
		t.Errorf("%+v", e)
	}
	twin, err := Restore(s.AppendSnapshot(nil))
	if err != nil || !bytes.Equal(twin.AppendSnapshot(nil), s.AppendSnapshot(nil)) {
		t.Errorf("the snapshot: %v", err)
	}
	// Lost once more, before anybody heard of it: not the same epoch again.
	r.At += 5
	if again := r.must(t); again.Epoch() < s.Epoch()+5 {
		t.Errorf("epoch %d after %d", again.Epoch(), s.Epoch())
	}
}

// TestH23Waits: it goes on only when all that may know a later view have reported.
func TestH23Waits(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(w *world, r *Recovery)
		words string
	}{
		"nobody":      {func(_ *world, r *Recovery) { r.Reports = nil }, "no server has reported"},
		"no view":     {func(_ *world, r *Recovery) { r.Reports = r.Reports[:1]; r.Reports[0].View, r.Reports[0].Epoch = nil, 0 }, "no server has reported a view"},
		"one is away": {func(_ *world, r *Recovery) { r.Reports = r.Reports[:2] }, "s3 at host:3 has not reported"},
		"rolled back": {func(_ *world, r *Recovery) { r.Reports[2].Starts = []uint64{5} }, "s3 at host:3 has reported from an older state"},
		"started anew on an older state": {func(_ *world, r *Recovery) {
			r.Reports[2].Starts, r.Reports[2].Incarnation = []uint64{5, 6}, 9
		}, "s3 at host:3 has reported from an older state"},
		"wiped":         {func(_ *world, r *Recovery) { r.Reports[2].Store = [16]byte{66} }, "s3 at host:3 has reported from another store"},
		"a later epoch": {func(_ *world, r *Recovery) { r.Reports[2].Epoch++ }, "nobody has a view of that epoch"},
		"other cluster": {func(_ *world, r *Recovery) { r.Reports[2].Cluster = [16]byte{9} }, "is of cluster"},
		"contradiction": {func(w *world, r *Recovery) {
			v := w.s.View().Clone()
			v.Partitions[3].Acting = ids{2, 1, 3}
			r.Reports[2].View = v
		}, "contradict each other: partition 3"},
		"an older view that a rolled back view leader made": {func(w *world, r *Recovery) {
			v := w.s.View().Clone()
			v.Partitions[3].Term++
			v.Epoch++
			for p := range ring.PartitionID(3) {
				w.must(w.eject(p, w.s.parts[p].Primary(), w.s.parts[p].Acting[2]))
			}
			r.Reports[0] = w.reports(1).Reports[0]
			r.Reports[2].View, r.Reports[2].Epoch = v, v.Epoch
		}, "contradict each other: partition 0"},
		"without nobody":     {func(_ *world, r *Recovery) { r.Without = ids{8} }, "s8 is no member"},
		"without one":        {func(_ *world, r *Recovery) { r.Without = ids{3} }, "if other servers joined, or min-copies was lowered"},
		"without min-copies": {func(_ *world, r *Recovery) { r.Without = ids{2, 3} }, "without s2, s3 writes may be lost"},
		"without all acting": {func(w *world, r *Recovery) {
			w.expire(2)
			w.expire(3)
			*r = *w.reports(1, 2, 3)
			r.Without = ids{1}
		}, "nobody has reported"},
	} {
		w, r := lost(t, 2, 3)
		c.spoil(w, r)
		_, err := r.Recover(Config{})
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", what, err, c.words)
		}
	}
}

// TestH23Without: fewer than min-copies may be away, and come back.
func TestH23Without(t *testing.T) {
	_, forced := lost(t, 2, 3)
	forced.Without, forced.Reports, forced.AcceptLoss = ids{2, 3}, forced.Reports[:1], true
	forced.must(t)

	_, r := lost(t, 2, 3)
	r.Without, r.Reports, r.Unchanged = ids{3}, r.Reports[:2], true
	s := r.must(t)
	if m := s.member(3); m.Up || m.Instance != 0 || len(s.View().Partitions[0].Acting) != 3 {
		t.Fatalf("%+v", m)
	}
	copied := named(3, 1, 1003, 5)
	copied.Register.Starts = []uint64{5}
	if res := s.Apply([]Command{copied}); res[0].Code != Refused {
		t.Errorf("a copy of its folder is taken for s3: %+v", res)
	}
	same := named(3, 1, 1003)
	same.Register.Store = [16]byte{3}
	if res := s.Apply([]Command{same}); res[0].Code != Done || !s.isUp(3) || len(s.View().Partitions[0].Acting) != 3 {
		t.Errorf("its process: %+v", res)
	}
	same.Register.Instance++
	if res := s.Apply([]Command{same}); res[0].Code != Refused {
		t.Errorf("another process of the same start: %+v", res)
	}

	s = r.must(t)
	s.Apply([]Command{{Kind: KindExpire, Who: []ring.Incarnated{{ID: 3, Incarnation: 1}}}})
	if res := s.Apply([]Command{named(3, 2, 1003, 2003)}); res[0].Code != Done || len(s.View().Partitions[0].Acting) != 2 {
		t.Errorf("its next start: %+v", res)
	}
}

// TestH23Trust: who did not act in the newest view is not believed to be whole.
func TestH23Trust(t *testing.T) {
	w, _ := lost(t, 2, 3)
	w.expire(2)
	w.expire(3)
	w.must(named(3, 2, 1003, 2003)) // up, in W, and does not act: it may have begun to learn
	r := w.reports(1, 2, 3)
	s := r.must(t)
	p := &s.parts[0]
	if !slices.Equal(p.Acting, ids{1}) || !slices.Equal(p.Writable, ids{1, 3}) || p.marked(p.tainted|p.ejected, 1) {
		t.Fatalf("%+v", p)
	}
	s.Apply([]Command{{Kind: KindExpire, Who: []ring.Incarnated{{ID: 1, Incarnation: 1}}}})
	offer := Command{Kind: KindRestore, From: ring.Incarnated{ID: 3, Incarnation: 2}, Partition: 0, Term: s.parts[0].Term}
	if res := s.Apply([]Command{offer}); res[0].Code != Refused || !strings.Contains(res[0].Reason, "ejected") {
		t.Errorf("restored: %+v", res)
	}
}

// TestH23Out: a server that was out and has reported takes part again; nothing would
// make it register (seed 50011916).
func TestH23Out(t *testing.T) {
	w, _ := lost(t, 2, 3)
	w.expire(3)
	w.must(Command{Kind: KindOut, ID: 3})
	if m := w.s.member(3); m.Status != ring.Out {
		t.Fatalf("%+v", m)
	}
	for _, m := range w.reports(1, 2, 3).must(t).View().Members {
		if !m.Up || m.Status != ring.In {
			t.Errorf("%+v", m)
		}
	}
}

// TestH23AnyState: whatever state a roster was in, it is recovered, and goes on by its
// rules.
func TestH23AnyState(t *testing.T) {
	recovered := 0
	for seed := range uint64(60) {
		d := newDriver(seed)
		sets := make(map[[2]uint64]string)
		for step := range 200 {
			if step%50 == 49 && len(d.s.members) > 0 {
				var all []ring.ServerID
				for _, m := range d.s.members {
					all = append(all, m.ID)
				}
				r := reportsOn(d.s, all...)
				r.At = d.at
				before := d.s.View()
				d.s = r.must(t)
				recovered++
				for i, p := range d.s.View().Partitions {
					if q := before.Partitions[i]; p.Term <= before.Epoch || !slices.Equal(p.Acting, q.Acting) {
						t.Fatalf("seed %d step %d: partition %d is %+v, it was %+v", seed, step, i, p, q)
					}
				}
			}
			batch := []Command{d.command()}
			before := d.s.View()
			results := d.s.Apply(batch)
			if err := checkStep(before, d.s.View(), batch, results, sets); err != nil {
				t.Fatalf("seed %d step %d: %v\n%+v", seed, step, err, batch)
			}
		}
	}
	if recovered < 150 {
		t.Errorf("recovered only %d times", recovered)
	}
}

// Tokens, sessions and epochs stay below 2^53 over a hundred recoveries, the last of
// them eight years from now.
func TestRecoveredNumbersStayNarrow(t *testing.T) {
	const narrow = 1 << 53
	var s State
	reported := Report{Epoch: 1 << 20, Token: 1 << 20}
	for i := range 100 {
		at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).AddDate(0, i, 0)
		r := Recovery{At: at.UnixMilli(), Reports: []Report{reported}}
		r.count(&s)
		if s.epoch <= reported.Epoch || s.locks.token <= reported.Token {
			t.Fatalf("recovery %d: epoch %d, token %d, not above %+v", i, s.epoch, s.locks.token, reported)
		}
		reported.Epoch, reported.Token = s.epoch, s.locks.token
	}
	if s.epoch >= narrow || s.eventNumber >= narrow || s.locks.token >= narrow || s.locks.session >= narrow {
		t.Errorf("epoch %d, event %d, token %d, session %d", s.epoch, s.eventNumber, s.locks.token, s.locks.session)
	}
}
