package sim

import (
	"fmt"
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
)

// violated stops the run.
func (w *world) violated(name, format string, args ...any) {
	invariant.Check(false, name, format, args...)
}

// checkServing is I1: one primary serves in a partition's term.
func (w *world) checkServing(s *server, l *lane) {
	if l.core.Stats().DigestMismatches > 0 {
		w.violated("I4", "%v: a learner had everything, and another digest than its primary", s)
	}
	for p := l.id; p < w.partitions; p += lanes {
		c := l.core.Inspect(ring.PartitionID(p))
		if c.Acting && c.Whole && c.Durable > s.disk.syncedLast(ring.PartitionID(p)) {
			w.violated("I3", "%v takes partition %d for durable up to %d, which is not", s, p, c.Durable)
		}
		w.checkCommit(s, l, ring.PartitionID(p), c)
		w.checkBackup(s, ring.PartitionID(p), &c)
		if !c.Serving {
			continue
		}
		r := reign{ring.PartitionID(p), c.Term}
		id, ok := w.serving[r]
		invariant.Check(!ok || id == s.id(), "I1", "%v and %v serve partition %d in term %d", id, s.id(), p, c.Term)
		w.serving[r] = s.id()
		if w.newest[r.p] < r.term {
			w.newest[r.p] = r.term
			w.checkLeases(s, r)
		}
	}
}

// checkCommit is I3 when a primary's commit rises, whoever is answered then: the
// log up to it is synced on all that must have it, and they are enough.
func (w *world) checkCommit(s *server, l *lane, p ring.PartitionID, c replica.Copy) {
	rose := c.Commit > l.commits[p]
	l.commits[p] = c.Commit
	if rose && (!c.Serving || l.adoptedAt == w.now) {
		w.agreed[p] = max(w.agreed[p], c.Commit) // learned, or of a term that has just ended
	}
	if !rose || !c.Serving || l.adoptedAt == w.now {
		return
	}
	ids := l.core.Committers(p)
	for _, id := range ids {
		last := w.byID(id).disk.syncedLast(p)
		if l.believesLost(id, p) || w.dropped(id, p, c.Term) {
			continue
		}
		invariant.Check(last >= c.Commit, "I3", "%v commits partition %d up to %d, %v has synced up to %d", s.id(), p, c.Commit, id, last)
	}
	if c.Commit <= max(w.agreed[p], w.acked[p].Seq) {
		return // a new primary has learned what enough copies committed before
	}
	if l.epoch == s.view.Epoch {
		enough := int(s.view.Partitions[p].MinCopies)
		invariant.Check(len(ids) >= enough, "I3", "%v commits partition %d up to %d on %v, min-copies is %d", s.id(), p, c.Commit, ids, enough)
	}
	w.agreed[p] = c.Commit
}

// checkBackup is I5: what a backup takes for committed its primary has committed,
// and what its primary has committed the backup has in its log.
func (w *world) checkBackup(s *server, p ring.PartitionID, c *replica.Copy) {
	if !c.Acting || c.Serving || !c.Whole {
		return
	}
	primary := w.byID(w.serving[reign{p, c.Term}])
	if primary == nil || primary == s || !primary.alive || primary.node == nil {
		return
	}
	of := primary.lanes[int(p)%lanes].core.Inspect(p)
	if !of.Serving || of.Term != c.Term {
		return
	}
	if c.Commit > of.Commit || of.Commit > c.Last.Seq {
		w.violated("I5", "partition %d term %d: %v has committed %d of %d, its primary %v %d", p, c.Term, s, c.Commit, c.Last.Seq, primary, of.Commit)
	}
}

// dropped reports whether a server that acted in a term acts no more: it may have
// deleted its copy before the primary of that term looks at its acknowledgement. Who
// acts now has what it had, unless that was given up since.
func (w *world) dropped(id ring.ServerID, p ring.PartitionID, term uint64) bool {
	now := &w.leader.state.View().Partitions[p]
	return now.Term > term && (!now.IsActing(id) || now.ResetTerm > term)
}

// believesLost reports whether a lane still counts on a start of another server that
// had more on its disk than is there now. The next view ends that, or where that start
// was proposed only, the next term.
func (l *lane) believesLost(id ring.ServerID, p ring.PartitionID) bool {
	d := l.s.w.byID(id).disk
	if term, lost := d.lostTerms[p]; lost && l.core.Inspect(p).Term <= term {
		return true
	}
	m := l.s.w.leader.views[l.epoch].Member(id)
	return m == nil || m.Incarnation <= d.lostBefore
}

// checkLeases is I8 without waiting for a read: when a term begins to be served,
// nobody may answer reads by the lease of an earlier one.
func (w *world) checkLeases(s *server, r reign) {
	for _, o := range w.servers {
		if o == s || !o.alive || o.node == nil {
			continue
		}
		c := o.lanes[int(r.p)%lanes].core
		invariant.Check(c.Inspect(r.p).Term >= r.term || !c.Leased(o.instant(), r.p), "I8",
			"%v begins to serve partition %d in term %d, while %v holds a lease of term %d", s.id(), r.p, r.term, o.id(), c.Inspect(r.p).Term)
	}
}

// arrival is what held when a request came, and its read from the disk.
type arrival struct {
	term   uint64 // the partition's, at the view leader, when the request came
	leased bool   // its read did not come back from the disk just now without a lease
}

// checkRead is I8: who answers a read by its lease is followed by nobody yet.
// Who answers because the view leader vouched for its term had it vouched for after
// the read arrived, when that term stood.
func (w *world) checkRead(s *server, p ring.PartitionID, in *input, a *replica.Answer, came arrival) {
	twice := dup(string(a.Value))
	invariant.Check(twice == "" || in.step != nil, "I7", "key %s: %s twice in %q", in.key, twice, a.Value)
	if a.Status != replica.StatusOK && a.Status != replica.StatusNotFound || a.Length == byTheLog {
		return
	}
	term := s.lanes[int(p)%lanes].core.Inspect(p).Term
	if a.Confirmed {
		invariant.Check(came.term <= term, "I8", "%v reads partition %d in term %d, confirmed: term %d stood when the read came", s.id(), p, term, came.term)
		return
	}
	invariant.Check(came.leased, "I8", "%v answers a read of partition %d that was neither confirmed nor under a lease when it came from the disk", s.id(), p)
	invariant.Check(w.newest[p] <= term, "I8", "%v reads partition %d by its lease in term %d, while term %d is served", s.id(), p, term, w.newest[p])
}

// checkAnswer is I3: what is answered, written or read, lies on the disk of
// every acting replica of its primary's term, synced; and I7, with the record of
// its request.
func (w *world) checkAnswer(s *server, p ring.PartitionID, try *attempt, a *replica.Answer, came arrival) {
	in := &try.rec.in
	l := s.lanes[int(p)%lanes]
	life := uint64(0)
	if v := w.leader.views[l.epoch]; v != nil { // else it has not adopted any
		life = v.Partitions[p].ResetTerm
	}
	w.checkFull(in, p, a)
	if w.leader.state.View().Partitions[p].ResetTerm == life { // what a former life fenced is forgotten with it
		w.checkFence(p, try.rec, a)
	}
	if in.op == 0 {
		w.checkRead(s, p, in, a, came)
	}
	if a.Status != replica.StatusOK {
		return
	}
	c := l.core.Inspect(p)
	if a.Version.Term < life && (in.op != 0 || a.Confirmed) && w.now-l.adoptedAt < 10*time.Millisecond {
		return // answered by its record, or confirmed, and then the lane adopted the new life before the answer left
	}
	invariant.Check(a.Version.Term >= life, "I7", "partition %d: answered version %v in the life that began in term %d", p, a.Version, life)
	invariant.Check(a.Version.Term <= c.Term, "I6", "partition %d: answered version %v in term %d", p, a.Version, c.Term)
	if a.Version.Term != c.Term && in.op != 0 {
		return // the record of an earlier term answered a retry
	}
	if in.op == 0 && w.leader.state.View().Partitions[p].Term > c.Term {
		return // read before its term was over, answered late: who acted then may have deleted its copy since
	}
	if w.leader.state.View().Partitions[p].ResetTerm > life {
		return // the server has not heard that the partition was given up: others have dropped that life
	}
	record := w.recordKey(p, try.id)
	// The client waits for this answer, and it is too young to have gone for its age.
	kept := in.op != 0 && try.current() && w.now-try.rec.call < time.Second
	for _, id := range l.core.Committers(p) {
		d := w.byID(id).disk
		if l.believesLost(id, p) || w.dropped(id, p, c.Term) {
			continue
		}
		invariant.Check(d.syncedLast(p) >= a.Version.Seq, "I3", "partition %d: %v is answered, %v has synced up to %d", p, a.Version, id, d.syncedLast(p))
		has, known := d.hasSynced(p, record)
		invariant.Check(!kept || has || !known, "I7", "partition %d: %v is answered, %v has no record of request %d", p, a.Version, id, try.id.Number)
	}
	if in.op != 0 && a.Version.Compare(w.acked[p]) > 0 {
		w.acked[p] = a.Version
	}
}

// checkNothingDone is hole 10: who is told that nothing was done may repeat the
// operation under another id, so its entry must not be in any log. Only of a
// request that came once is it known that this try made the entry.
func (w *world) checkNothingDone(p ring.PartitionID, try *attempt, a *replica.Answer) {
	switch a.Status {
	case replica.StatusMoved, replica.StatusUnavailable, replica.StatusTooFewCopies, replica.StatusBusy, replica.StatusFull:
	default:
		return
	}
	name := requestName{try.id.Client[0], try.id.Number}
	if try.rec.in.op != 0 && w.arrived[name] == 1 && w.sequenced[name] {
		w.violated("H10", "partition %d: client %d number %d is told %q, its entry is in the log", p, name.client, name.number, statusName(a.Status))
	}
}

// checkRetry is I7: a request that comes again answers what it answered first, or
// is refused.
func (w *world) checkRetry(rec *record, a *replica.Answer) {
	if rec.in.op == 0 || rec.done == never || !recorded(a.Status) || rec.out.status == replica.StatusTooLarge {
		return
	}
	w.count("retries answered by a record")
	invariant.Check(a.Status == rec.out.status && a.Version == rec.out.ver && a.Number == rec.out.number, "I7",
		"key %s : a retry of %+v answers %s %v %d", rec.in.key, *rec, statusName(a.Status), a.Version, a.Number)
}

// checkActing is I4: whoever acts has synced every acknowledged write, unless its
// disk has lost what it had, which it says when it registers. After a recovery from an
// older view it has to say so again (seed 50018946).
func (w *world) checkActing(v *ring.View) {
	for p := range v.Partitions {
		for _, id := range v.Partitions[p].Acting {
			o := w.byID(id)
			if o == nil || o.disk.rolledBack || v.Member(id).Incarnation <= o.disk.lostBefore || w.acked[p].Term < v.Partitions[p].ResetTerm {
				continue
			}
			last := o.disk.syncedLast(ring.PartitionID(p))
			invariant.Check(last >= w.acked[p].Seq, "I4", "partition %d: %v acts from epoch %d on and has synced up to %d, %v was acknowledged",
				p, id, v.Epoch, last, w.acked[p])
		}
	}
}

// checkHandoff is I4: a handoff that may be done names replicas that have, synced and whole, what
// its primary has committed.
func (w *world) checkHandoff(s *server, l *lane, q replica.LeaderRequest) {
	if q.Kind != replica.AskHandoff || w.leader.state.View().Partitions[q.Partition].Term != q.Term {
		return // of a term that is over: it will be refused
	}
	commit := l.core.Inspect(q.Partition).Commit
	for _, a := range q.Acting {
		if o := w.byID(a.ID); o.disk.incarnation == a.Incarnation && !o.disk.rolledBack {
			last := o.disk.syncedLast(q.Partition)
			invariant.Check(last >= commit, "I4", "%v hands partition %d to %v, which has synced up to %d of %d", s.id(), q.Partition, a.ID, last, commit)
		}
	}
}

// checkPurge is I9: a copy is deleted only when the ring's replicas are acting,
// and each has all that any other copy has. The view is that of the epoch that the
// message names: it is obeyed in no other.
func (w *world) checkPurge(m *replica.Message) {
	v := w.leader.views[m.Seq]
	p := &v.Partitions[m.Partition]
	if p.Term != m.Term {
		return // it will not be obeyed
	}
	targets := w.leader.table(v).Targets(m.Partition)
	invariant.Check(same(p.Acting, targets) && same(p.Acting, p.Writable), "I9", "partition %d is purged at epoch %d: acting %v, targets %v, W %v",
		m.Partition, v.Epoch, p.Acting, targets, p.Writable)
}

func same(a, b []ring.ServerID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// unconverged says what keeps the cluster from being as it should be: every
// partition on exactly its targets, all whole and equal, nothing elsewhere.
func (w *world) unconverged() string {
	v := w.leader.state.View()
	t := w.leader.table(v)
	if why := w.lockHead.unconverged(); w.quiet && why != "" {
		return why
	}
	for _, s := range w.servers {
		if s.gone || s.id() != 0 && w.stranded(s.id()) {
			continue
		}
		if !s.alive || s.node == nil || s.done != v.Epoch {
			return fmt.Sprintf("%v is not at epoch %d", s, v.Epoch)
		}
	}
	for p := range v.Partitions {
		if why := w.unconvergedPartition(v, ring.PartitionID(p), t.Targets(ring.PartitionID(p))); why != "" {
			return fmt.Sprintf("partition %d (acting %v, targets %v, W %v): %s", p, v.Partitions[p].Acting,
				t.Targets(ring.PartitionID(p)), v.Partitions[p].Writable, why)
		}
	}
	return ""
}

// checkPurged is I9 where a copy is deleted: in the view that its server believes in,
// acting = targets = W, and it is none of them.
func (w *world) checkPurged(l *lane, id ring.PartitionID, was, is replica.Detail) {
	if was.State == is.State {
		return
	}
	v := w.leader.views[l.epoch]
	p := &v.Partitions[id]
	targets := w.leader.table(v).Targets(id)
	invariant.Check(same(p.Acting, targets) && same(p.Acting, p.Writable) && !slices.Contains(targets, l.s.id()), "I9",
		"partition %d: %v deletes its copy at epoch %d: acting %v, targets %v, W %v", id, l.s, v.Epoch, p.Acting, targets, p.Writable)
}

// checkRebalanced is I10: when every server is at the same epoch and none has a
// learner, a stray or a primary that does not serve, all is where it should be.
func (w *world) checkRebalanced() {
	v := w.leader.state.View()
	for _, s := range w.servers {
		if s.gone || s.id() == 0 || w.stranded(s.id()) {
			continue
		}
		if !s.alive || s.node == nil || s.done != v.Epoch {
			return
		}
		for _, l := range s.lanes {
			if st := l.core.Stats(); st.Learners+st.Strays+st.Inactive > 0 {
				return
			}
		}
	}
	t := w.leader.table(v)
	for p := range v.Partitions {
		if !slices.Equal(v.Partitions[p].Acting, t.Targets(ring.PartitionID(p))) {
			return
		}
	}
	for _, s := range w.servers {
		m, ok := s.disk.drive.(*mapDrive)
		if !ok || s.gone || s.id() == 0 || w.stranded(s.id()) {
			continue
		}
		for p := range v.Partitions {
			sp := m.visible[ring.PartitionID(p)]
			if sp != nil && sp.meta != nil && !slices.Contains(t.Targets(ring.PartitionID(p)), s.id()) {
				w.violated("I10", "every server says that nothing is left to do: %v still has partition %d", s, p)
			}
		}
	}
}

func (w *world) unconvergedPartition(v *ring.View, p ring.PartitionID, targets []ring.ServerID) string {
	if !slices.Equal(v.Partitions[p].Acting, targets) {
		return "acting is not the targets"
	}
	var first replica.Copy
	for i, id := range targets {
		o := w.byID(id)
		if o == nil || o.node == nil {
			return fmt.Sprintf("%v is not there", id)
		}
		c := o.lanes[int(p)%lanes].core.Inspect(p)
		if i == 0 {
			first = c
		}
		if !c.Whole || c.Durable != c.Last.Seq || c.Last != first.Last || c.Digest != first.Digest || i == 0 && !c.Serving {
			return fmt.Sprintf("%v has %+v, the primary %+v", id, c, first)
		}
	}
	for _, s := range w.servers {
		if s.gone || s.id() == 0 || w.stranded(s.id()) || slices.Contains(targets, s.id()) {
			continue
		}
		if s.disk.syncedMeta(p) != nil {
			return fmt.Sprintf("%v still has a copy", s.id())
		}
	}
	return w.unequal(p, targets)
}
