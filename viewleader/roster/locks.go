package roster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"viewring/viewleader/vocab"
)

// owner is who holds a lock or waits for it: a client, by itself (session 0) or in
// a session. One name in two sessions is two owners.
type owner struct {
	Client  string
	Session uint64
}

// lock is held by somebody: a lock that nobody holds is not kept.
type lock struct {
	Shared  bool     // by readers, who hold it together; else by one
	Holders []holder // in the order of their tokens
	Waiters []waiter // first come first
}

type holder struct {
	owner
	Token   uint64
	Since   int64 // unix ms
	Expires int64 // unix ms; 0 = until released
	Lost    bool  // its session fell silent: it may not know yet, so others wait until Expires
}

type waiter struct {
	owner
	TTL            int64 // ms from the grant on; 0 = until released
	Shared         bool
	WaitInDeadlock bool // it closed a cycle and waits all the same
}

type lockTable struct {
	held     map[string]*lock
	timed    map[string]bool           // the held locks of which a holder has an end
	holds    map[owner]map[string]bool // what those who are not lost hold
	waiting  map[owner][]string        // what they wait for, in the order in which they came
	sessions map[uint64]*session
	holders  int
	waiters  int
	token    uint64 // the last given out; only grows, over all locks
	session  uint64 // the last given out
}

func newLockTable() lockTable {
	return lockTable{
		held:     make(map[string]*lock),
		timed:    make(map[string]bool),
		holds:    make(map[owner]map[string]bool),
		waiting:  make(map[owner][]string),
		sessions: make(map[uint64]*session),
	}
}

// apply runs a command on locks and sessions; false when it is none.
func (t *lockTable) apply(c *Command) (Result, bool) {
	switch c.Kind {
	case KindLockGet:
		return t.get(c), true
	case KindLockFree:
		return t.free(c), true
	case KindLockDequeue:
		return t.dequeue(c), true
	case KindLockTick:
		return t.tick(c), true
	case KindSessionOpen:
		return t.open(c), true
	case KindSessionEnd:
		return t.end(c), true
	case KindSessionExpire:
		return t.expire(c), true
	}
	return Result{}, false
}

// Locks returns all held locks, sorted by name.
func (s *State) Locks() []vocab.Lock {
	out := make([]vocab.Lock, 0, len(s.locks.held))
	for name, l := range s.locks.held {
		told := vocab.Lock{Name: name, Shared: l.Shared}
		for _, h := range l.Holders {
			told.Holders = append(told.Holders, h.told())
		}
		for _, w := range l.Waiters {
			told.Waiters = append(told.Waiters, vocab.LockWaiter{Client: w.Client, Session: w.Session, Shared: w.Shared})
		}
		out = append(out, told)
	}
	slices.SortFunc(out, func(a, b vocab.Lock) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// told returns h as it is listed.
func (h *holder) told() vocab.LockHolder {
	out := vocab.LockHolder{Client: h.Client, Session: h.Session, Token: h.Token, Since: time.UnixMilli(h.Since), Lost: h.Lost}
	if h.Expires != 0 {
		out.Expires = time.UnixMilli(h.Expires)
	}
	return out
}

// NextLockExpiry returns when the first lock's time ends (unix ms), 0 when none
// has one.
func (s *State) NextLockExpiry() int64 {
	var next int64
	for name := range s.locks.timed {
		for i := range s.locks.held[name].Holders {
			if at := s.locks.held[name].Holders[i].Expires; at != 0 && (next == 0 || at < next) {
				next = at
			}
		}
	}
	return next
}

// get grants a free lock to the client, tells a holder that it holds it, and queues the
// others. Readers share a lock, but none of them passes a writer that came before.
func (t *lockTable) get(c *Command) Result {
	if err := validLock(c); err != nil {
		return refused(err)
	}
	if c.Session != 0 && t.sessions[c.Session] == nil {
		return noSession(c.Session)
	}
	var grants []Grant
	if t.lapse(c.Lock, c.At) {
		grants = t.grantNext(c.Lock, c.At)
	}
	r := t.ask(c)
	r.Grants = grants
	return r
}

func validLock(c *Command) error {
	switch {
	case c.Lock == "" || len(c.Lock) > NameBytesMax:
		return fmt.Errorf("a lock name of %d bytes: want 1 to %d", len(c.Lock), NameBytesMax)
	case c.Client == "" || len(c.Client) > NameBytesMax:
		return fmt.Errorf("a client name of %d bytes: want 1 to %d", len(c.Client), NameBytesMax)
	case c.TTL < 0:
		return fmt.Errorf("a negative time to live")
	}
	return nil
}

func (t *lockTable) ask(c *Command) Result {
	l, me := t.held[c.Lock], owner{c.Client, c.Session}
	if l == nil {
		l = &lock{Shared: c.Shared}
	}
	if h := l.holder(me); h != nil {
		if l.Shared != c.Shared {
			return refused(fmt.Errorf("%q is held by %q as %s: it must be released first", c.Lock, c.Client, modeName(l.Shared)))
		}
		// An end only moves to later: an earlier question may come late, and the owner
		// relies on the one that gave it more time.
		if c.TTL > 0 && h.Expires != 0 {
			h.Expires = max(h.Expires, c.At+c.TTL)
		}
		return Result{Code: Done, Token: h.Token, Since: h.Since, Held: true}
	}
	free := len(l.Holders) == 0 || l.Shared && c.Shared && len(l.Waiters) == 0
	switch {
	case free && t.holders >= LocksMax:
		return refused(fmt.Errorf("%d locks are held, the limit", LocksMax))
	case free:
		t.held[c.Lock] = l
		h := t.grant(c.Lock, waiter{owner: me, TTL: c.TTL, Shared: c.Shared}, c.At)
		return Result{Code: Done, Token: h.Token, Since: h.Since}
	case !c.Wait:
		return Result{Code: Locked, Reason: fmt.Sprintf("%q is held by %s", c.Lock, l.Holders[0])}
	}
	return t.enqueue(c, me, l)
}

func modeName(shared bool) string {
	if shared {
		return "a shared lock"
	}
	return "an exclusive lock"
}

// String names a holder in refusals.
func (h holder) String() string {
	switch {
	case h.Lost:
		return fmt.Sprintf("%q until %d ms, whose session %d has ended", h.Client, h.Expires, h.Session)
	case h.Session != 0:
		return fmt.Sprintf("%q in session %d", h.Client, h.Session)
	}
	return fmt.Sprintf("%q", h.Client)
}

// holder returns what o holds of l, nil when it does not.
func (l *lock) holder(o owner) *holder {
	for i := range l.Holders {
		if h := &l.Holders[i]; h.owner == o && !h.Lost {
			return h
		}
	}
	return nil
}

func (t *lockTable) enqueue(c *Command, me owner, l *lock) Result {
	if i := slices.IndexFunc(l.Waiters, func(w waiter) bool { return w.owner == me }); i >= 0 {
		w := &l.Waiters[i]
		if w.Shared != c.Shared {
			return refused(fmt.Errorf("%q waits for %q as %s already: it must leave the queue first", c.Client, c.Lock, modeName(w.Shared)))
		}
		if c.TTL == 0 || w.TTL != 0 && c.TTL > w.TTL {
			w.TTL = c.TTL
		}
		return Result{Code: Waiting}
	}
	if t.waiters >= WaitersMax {
		return refused(fmt.Errorf("%d clients wait for locks, the limit", WaitersMax))
	}
	cycle := t.cycle(c.Lock, me, c.Shared, len(l.Waiters))
	if cycle != nil && !c.WaitInDeadlock {
		return Result{Code: Deadlock, Reason: cycle.String(), Cycle: cycle}
	}
	l.Waiters = append(l.Waiters, waiter{owner: me, TTL: c.TTL, Shared: c.Shared, WaitInDeadlock: cycle != nil})
	t.waiting[me] = append(t.waiting[me], c.Lock)
	t.waiters++
	t.use(me.Session, c.Lock, 1)
	return Result{Code: Waiting, Cycle: cycle}
}

// free releases a lock of its holder. With a token it does so only while that
// grant stands.
func (t *lockTable) free(c *Command) Result {
	l, me := t.held[c.Lock], owner{c.Client, c.Session}
	if l == nil {
		return Result{Code: NotHeld, Reason: fmt.Sprintf("%q is not held", c.Lock)}
	}
	h := l.holder(me)
	switch {
	case h == nil:
		return Result{Code: NotHeld, Reason: fmt.Sprintf("%q is held by %s, not by %s", c.Lock, l.Holders[0], holder{owner: me})}
	case c.Token != 0 && c.Token != h.Token:
		return Result{Code: NotHeld, Reason: fmt.Sprintf("%q is held with token %d, not %d", c.Lock, h.Token, c.Token)}
	}
	t.drop(c.Lock, func(h *holder) bool { return h.owner == me && !h.Lost })
	return Result{Code: Done, Grants: t.grantNext(c.Lock, c.At)}
}

// dequeue takes a waiter out of its queue. Those behind it may pass.
func (t *lockTable) dequeue(c *Command) Result {
	if !t.leaveQueue(c.Lock, owner{c.Client, c.Session}) {
		return Result{Code: Done}
	}
	return Result{Code: Done, Grants: t.grantNext(c.Lock, c.At)}
}

// leaveQueue takes o out of the queue of a lock; false when it is not there.
func (t *lockTable) leaveQueue(name string, o owner) bool {
	l := t.held[name]
	if l == nil || !slices.Contains(t.waiting[o], name) {
		return false
	}
	l.Waiters = slices.DeleteFunc(l.Waiters, func(w waiter) bool { return w.owner == o })
	t.unwait(o, name)
	return true
}

func (t *lockTable) unwait(o owner, name string) {
	left := slices.DeleteFunc(t.waiting[o], func(n string) bool { return n == name })
	if len(left) == 0 {
		delete(t.waiting, o)
	} else {
		t.waiting[o] = left
	}
	t.waiters--
	t.use(o.Session, name, -1)
}

// tick ends the locks whose time is over.
func (t *lockTable) tick(c *Command) Result {
	var over []string
	for name := range t.timed {
		if t.lapse(name, c.At) {
			over = append(over, name)
		}
	}
	slices.Sort(over) // tokens are given out in this order everywhere
	var grants []Grant
	for _, name := range over {
		grants = append(grants, t.grantNext(name, c.At)...)
	}
	return Result{Code: Done, Grants: grants}
}

// lapse drops the holders of a lock whose time is over; grantNext must follow when
// there were any.
func (t *lockTable) lapse(name string, at int64) bool {
	return t.timed[name] && t.drop(name, func(h *holder) bool { return h.Expires != 0 && h.Expires <= at })
}

// drop takes holders from a lock; grantNext must follow when there were any.
func (t *lockTable) drop(name string, which func(*holder) bool) bool {
	l := t.held[name]
	before := len(l.Holders)
	l.Holders = slices.DeleteFunc(l.Holders, func(h holder) bool {
		if !which(&h) {
			return false
		}
		t.unhold(name, &h)
		t.holders--
		return true
	})
	return len(l.Holders) < before
}

// unhold forgets that an owner holds a lock.
func (t *lockTable) unhold(name string, h *holder) {
	if h.Lost {
		return
	}
	delete(t.holds[h.owner], name)
	if len(t.holds[h.owner]) == 0 {
		delete(t.holds, h.owner)
	}
	t.use(h.Session, name, -1)
}

// grantNext gives a lock to those in the queue who can have it now: the first, and if it
// is a reader the readers right behind it.
func (t *lockTable) grantNext(name string, at int64) (grants []Grant) {
	l := t.held[name]
	for len(l.Waiters) > 0 && (len(l.Holders) == 0 || l.Shared && l.Waiters[0].Shared) {
		next := l.Waiters[0]
		l.Waiters = l.Waiters[1:]
		t.unwait(next.owner, name)
		h := t.grant(name, next, at)
		grants = append(grants, Grant{Lock: name, Client: next.Client, Session: next.Session, Token: h.Token, Since: h.Since})
	}
	if !slices.ContainsFunc(l.Holders, func(h holder) bool { return h.Expires != 0 }) {
		delete(t.timed, name)
	}
	if len(l.Holders) == 0 {
		delete(t.held, name)
	}
	return grants
}

// grant makes an owner a holder, with the next token.
func (t *lockTable) grant(name string, to waiter, at int64) *holder {
	l := t.held[name]
	t.token++
	h := holder{owner: to.owner, Token: t.token, Since: at}
	if to.TTL > 0 {
		h.Expires = at + to.TTL
		t.timed[name] = true
	}
	l.Shared = to.Shared
	l.Holders = append(l.Holders, h)
	t.holders++
	t.hold(name, &h)
	return &l.Holders[len(l.Holders)-1]
}

// hold notes that an owner holds a lock.
func (t *lockTable) hold(name string, h *holder) {
	if h.Lost {
		return
	}
	if t.holds[h.owner] == nil {
		t.holds[h.owner] = make(map[string]bool)
	}
	t.holds[h.owner][name] = true
	t.use(h.Session, name, 1)
}
