package roster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// How far a recovered roster counts on. Nobody knows the last token and session, nor
// which ids were given to servers that are not members any more: the first epoch grows by
// at least the milliseconds between two recoveries, also from the same reports, and at
// most 1<<countShift locks are granted in one.
const (
	countShift = 8
	tokenJump  = 1 << 32

	// recoveredSince is 2026-01-01 UTC, unix milliseconds: of two recoveries from the same
	// reports the later one is above. Counted from then, a hundred recoveries leave tokens and
	// sessions below 2^53, which is as far as others' numbers go (JSON, doubles).
	recoveredSince = 1_767_225_600_000
	idJump         = 1000
)

// Report is what a server tells a view leader that has lost the roster.
type Report struct {
	vocab.Register
	View  *ring.View // the newest that it has used; nil: none
	Epoch uint64     // the highest that it ever used
	Token uint64     // the highest that its copies know of any lock
}

// Recovery is what a lost roster is made from anew. DESIGN.md argues why it is enough.
type Recovery struct {
	Reports []Report        // one of each server
	Without []ring.ServerID // members that are not waited for; what they report is not heard
	// Unchanged: the operator vouches that since the newest reported view no server joined
	// or came back that has not reported, and that min-copies was lowered nowhere, neither
	// by configuring it nor because members left.
	Unchanged bool
	// AcceptLoss: the operator lets recovery go on without them even if only they have some
	// acknowledged writes.
	AcceptLoss bool
	At         int64 // unix ms
}

// Missing is a member of the newest view whose report is not there, or worth nothing.
type Missing struct {
	ID   ring.ServerID
	Addr string
	Why  string
}

// ErrIfChanged is all that keeps a Recovery from going on without some members: it
// takes the operator's word.
var ErrIfChanged = errors.New("writes may be lost if other servers joined, or min-copies was lowered (by its flag, or because servers left)")

// Findings is what a Recovery comes to so far.
type Findings struct {
	View     *ring.View // the newest that was reported; nil: none
	Reported []ring.ServerID
	Missing  []Missing
	// Err is why there can't be a roster, apart from those missing; nil: nothing.
	Err error
}

// Complete reports whether a roster can be made.
func (f *Findings) Complete() bool { return f.Err == nil && f.View != nil && len(f.Missing) == 0 }

// String tells an operator how far it is.
func (f *Findings) String() string {
	if f.View == nil && f.Err == nil {
		return "no server has reported a view yet"
	}
	var b strings.Builder
	if f.View != nil {
		fmt.Fprintf(&b, "the newest view is of epoch %d; reported: %s", f.View.Epoch, idList(f.Reported))
		for _, m := range f.Missing {
			fmt.Fprintf(&b, "; %v at %s %s", m.ID, m.Addr, m.Why)
		}
	}
	if f.Err != nil {
		fmt.Fprintf(&b, "; this does not fit: %v", f.Err)
	}
	return strings.TrimPrefix(b.String(), "; ")
}

func idList(list []ring.ServerID) string {
	if len(list) == 0 {
		return "nobody"
	}
	names := make([]string, len(list))
	for i, id := range list {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}

// Survey says how far a recovery is.
func (r *Recovery) Survey() *Findings {
	f := &Findings{}
	var newest *Report
	for i := range r.Reports {
		if o := &r.Reports[i]; r.hears(o.ID) && o.View != nil && (newest == nil || o.View.Epoch > newest.View.Epoch) {
			newest = o
		}
	}
	if newest != nil {
		f.View = newest.View
		for i := range f.View.Members {
			m := &f.View.Members[i]
			if why := r.lacks(m); why == "" {
				f.Reported = append(f.Reported, m.ID)
			} else if r.hears(m.ID) {
				f.Missing = append(f.Missing, Missing{m.ID, m.Addr, why})
			}
		}
	}
	f.Err = cmp.Or(r.disputed(newest), r.unknown(f.View))
	if f.Complete() && !r.AcceptLoss {
		f.Err = r.mayGoWithout(f)
	}
	return f
}

// hears leaves out also who never was a member.
func (r *Recovery) hears(id ring.ServerID) bool { return id != 0 && !slices.Contains(r.Without, id) }

func (r *Recovery) report(id ring.ServerID) *Report {
	i := slices.IndexFunc(r.Reports, func(o Report) bool { return o.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Reports[i]
}

// lacks says why a member counts as missing; "" when its report counts. A report from
// a folder that was rolled back, or lost, does not know what its server did later.
func (r *Recovery) lacks(m *ring.Member) string {
	o := r.report(m.ID)
	switch {
	case !r.hears(m.ID):
		return "is not waited for"
	case o == nil:
		return "has not reported"
	case o.Store != m.Store:
		return "has reported from another store"
	case o.Incarnation < m.Incarnation || !sameStartOf(m, &o.Register) && !(&member{Member: *m}).precedes(&o.Register):
		return "has reported from an older state of its data folder"
	}
	return ""
}

// sameStartOf reports whether r speaks for the start that is registered as m.
func sameStartOf(m *ring.Member, r *vocab.Register) bool {
	return r.Store == m.Store && r.Incarnation == m.Incarnation && (m.Start == 0 || r.Start() == m.Start)
}

// disputed says why the reports can't be of one cluster's history.
func (r *Recovery) disputed(newest *Report) error {
	var first *Report
	for i := range r.Reports {
		o := &r.Reports[i]
		if !r.hears(o.ID) {
			continue
		}
		if first == nil {
			first = o
		}
		switch {
		case o.Cluster != first.Cluster || o.View != nil && o.View.Cluster != o.Cluster:
			return fmt.Errorf("%v at %s is of cluster %x, %v at %s of %x", first.ID, first.Addr, first.Cluster, o.ID, o.Addr, o.Cluster)
		case o.View != nil && o.Epoch < o.View.Epoch:
			return fmt.Errorf("%v has a view of epoch %d and says that it never used one above %d", o.ID, o.View.Epoch, o.Epoch)
		case newest == nil && o.Epoch > 0 || newest != nil && o.Epoch > newest.View.Epoch:
			return fmt.Errorf("%v has used epoch %d, and nobody has a view of that epoch", o.ID, o.Epoch)
		}
		if o.View == nil {
			continue
		}
		if err := wellFormed(o.View); err != nil {
			return fmt.Errorf("the view of %v: %w", o.ID, err)
		}
		if err := oneHistory(o.View, newest.View); err != nil {
			return fmt.Errorf("the views of %v and %v contradict each other: %w", o.ID, newest.ID, err)
		}
	}
	return nil
}

// oneHistory checks that a and b, which is not older, can be of one view leader: what
// did not change since a is the same in both.
func oneHistory(a, b *ring.View) error {
	if len(a.Partitions) != len(b.Partitions) {
		return fmt.Errorf("%d partitions in epoch %d, %d in epoch %d", len(a.Partitions), a.Epoch, len(b.Partitions), b.Epoch)
	}
	for i := range a.Partitions {
		p, q := &a.Partitions[i], &b.Partitions[i]
		if q.Term <= a.Epoch && (p.Term != q.Term || p.MinCopies != q.MinCopies || p.ResetTerm != q.ResetTerm ||
			!slices.Equal(p.Acting, q.Acting) || !slices.Equal(p.Writable, q.Writable)) || q.Term > a.Epoch && a.Epoch == b.Epoch {
			return fmt.Errorf("partition %d has %v acting in term %d by epoch %d, %v in term %d by epoch %d",
				i, p.Acting, p.Term, a.Epoch, q.Acting, q.Term, b.Epoch)
		}
	}
	return nil
}

// wellFormed refuses a view that no view leader made.
func wellFormed(v *ring.View) error {
	c := Config{Partitions: len(v.Partitions), MinCopies: int(v.MinCopies), LeaseTTL: v.LeaseTTL}
	if err := c.Validate(); err != nil {
		return err
	}
	for i := range v.Partitions {
		p := &v.Partitions[i]
		stranger := func(id ring.ServerID) bool { return v.Member(id) == nil }
		if p.Term > v.Epoch || p.ResetTerm > p.Term || p.MinCopies == 0 || len(p.Writable) > actingMax ||
			slices.ContainsFunc(p.Acting, stranger) || slices.ContainsFunc(p.Writable, stranger) {
			return fmt.Errorf("partition %d is malformed", i)
		}
	}
	return nil
}

// unknown says which of those who are not waited for is nobody.
func (r *Recovery) unknown(v *ring.View) error {
	if v == nil {
		return nil
	}
	for _, id := range r.Without {
		if v.Member(id) == nil && r.report(id) == nil {
			return fmt.Errorf("%v is no member in epoch %d: there is no need to go on without it", id, v.Epoch)
		}
	}
	return nil
}

// mayGoWithout says what may be lost by not waiting for members. A later view than
// the newest that was reported can only have been used by them, and by those whom they
// let in and nobody else has heard of. There they acknowledged something only if they
// are min-copies, as those were then; and all that was acknowledged otherwise is on each
// acting replica, so one of those must have reported.
func (r *Recovery) mayGoWithout(f *Findings) error {
	away := slices.DeleteFunc(slices.Clone(r.Without), func(id ring.ServerID) bool { return f.View.Member(id) == nil })
	slices.Sort(away)
	away = slices.Compact(away)
	if len(away) == 0 {
		return nil
	}
	for i := range f.View.Partitions {
		p := &f.View.Partitions[i]
		here := slices.ContainsFunc(p.Acting, func(id ring.ServerID) bool { return slices.Contains(f.Reported, id) })
		switch {
		case p.Term == 0:
		case len(away) >= int(p.MinCopies):
			return fmt.Errorf("without %s writes may be lost: %d of them were enough to acknowledge one in partition %d", idList(away), p.MinCopies, i)
		case !here:
			return fmt.Errorf("without %s writes may be lost: of those that act in partition %d (%s) nobody has reported", idList(away), i, idList(p.Acting))
		}
	}
	if !r.Unchanged {
		return fmt.Errorf("without %s %w after epoch %d", idList(away), ErrIfChanged, f.View.Epoch)
	}
	return nil
}

// Recover makes the roster that the reports stand for: the members and partitions of
// the newest view, all terms raised to an epoch that nobody has heard of. Of c it
// takes the patience alone.
func (r *Recovery) Recover(c Config) (*State, error) {
	f := r.Survey()
	if !f.Complete() {
		return nil, fmt.Errorf("recover: %v", f)
	}
	v := f.View
	c.Cluster, c.Partitions, c.MinCopies, c.LeaseTTL = v.Cluster, len(v.Partitions), int(v.MinCopies), v.LeaseTTL
	s := New(c)
	s.at = r.At
	r.count(s)
	for i := range v.Members {
		s.members = append(s.members, r.memberOf(&v.Members[i]))
	}
	for i := range s.parts {
		s.parts[i] = distrustful(&v.Partitions[i])
		if s.parts[i].Term > 0 {
			s.touch(&s.parts[i])
		}
	}
	s.membersChanged(true)
	without := ""
	if len(r.Without) > 0 {
		without = ", without " + idList(r.Without)
	}
	s.note(vocab.EventRecovered, 0, "from the view of epoch %d; reported: %s%s", v.Epoch, idList(f.Reported), without)
	s.finish()
	return s, nil
}

// count lets everything that only grows begin above all that anybody may have seen.
func (r *Recovery) count(s *State) {
	var epoch, token uint64
	id := s.nextID
	for i := range r.Reports {
		o := &r.Reports[i]
		epoch, token, id = max(epoch, o.Epoch), max(token, o.Token), max(id, o.ID)
		if o.View == nil {
			continue
		}
		epoch = max(epoch, o.View.Epoch)
		for k := range o.View.Members {
			id = max(id, o.View.Members[k].ID)
		}
	}
	at := max(0, r.At)
	if at >= recoveredSince { // else the clock is wrong, but may still tell two recoveries apart
		at -= recoveredSince
	}
	first := epoch + ring.RecoveryJump + uint64(at)
	s.epoch, s.eventNumber, s.nextID = first-1, first, id+idJump
	s.locks.token, s.locks.session = max(token+tokenJump, first<<countShift), first<<countShift
}

// memberOf is up when the process that is registered has reported, and then takes
// part again: it has no reason to register. Whoever started anew since, or did not
// report, is down until it registers.
func (r *Recovery) memberOf(vm *ring.Member) member {
	m := member{Member: *vm, DownAt: r.At, SaidZone: vm.Zone}
	m.Up = false
	if o := r.report(m.ID); o != nil {
		m.SaidZone, m.SaidWeight = o.Zone, o.SaidWeight()
	}
	if o := r.report(m.ID); o != nil && r.hears(m.ID) && sameStartOf(vm, &o.Register) {
		m.Up, m.Instance, m.DownAt = true, o.Instance, 0
		if m.Status == ring.Out {
			m.Status = ring.In
		}
	}
	return m
}

// distrustful trusts only those who act: no view tells who of W has begun to learn, or
// was ejected.
func distrustful(vp *ring.Partition) partition {
	p := partition{Partition: *vp}
	for i, id := range p.Writable {
		if !p.IsActing(id) {
			p.tainted |= 1 << i
			p.ejected |= 1 << i
		}
	}
	return p
}

// recognize takes the process that speaks for a member's registered start for its
// process, where a recovery left open which one that is. Nobody else knows the name
// of that start as its own: a start on a copy of the folder has another one.
func (m *member) recognize(r *vocab.Register) {
	if m.Instance == 0 && m.Start != 0 && sameStartOf(&m.Member, r) {
		m.Instance = r.Instance
	}
}
