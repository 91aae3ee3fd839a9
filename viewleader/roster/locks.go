package roster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// lock is held by somebody: a lock that nobody holds is not kept.
type lock struct {
	Holder  string
	Token   uint64
	Since   int64 // unix ms
	Expires int64 // unix ms; 0 = until released
	Waiters []waiter
}

type waiter struct {
	Client string
	TTL    int64 // ms from the grant on; 0 = until released
}

type lockTable struct {
	held    map[string]*lock
	timed   map[string]bool     // the held locks that have a time to live
	waiting map[string][]string // client → the locks that it waits for
	waiters int
	token   uint64 // the last given out; only grows, over all locks
}

func newLockTable() lockTable {
	return lockTable{
		held:    make(map[string]*lock),
		timed:   make(map[string]bool),
		waiting: make(map[string][]string),
	}
}

// LockState is a lock as the roster holds it.
type LockState struct {
	Name, Holder string
	Token        uint64
	Since        int64 // unix ms
	Expires      int64 // unix ms; 0 = until released
	Waiters      []string
}

// Locks returns all held locks, sorted by name.
func (s *State) Locks() []LockState {
	out := make([]LockState, 0, len(s.locks.held))
	for name, l := range s.locks.held {
		ls := LockState{Name: name, Holder: l.Holder, Token: l.Token, Since: l.Since, Expires: l.Expires}
		for _, w := range l.Waiters {
			ls.Waiters = append(ls.Waiters, w.Client)
		}
		out = append(out, ls)
	}
	slices.SortFunc(out, func(a, b LockState) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// LockHolder returns who holds a lock, with its token; "" and 0 when nobody.
func (s *State) LockHolder(name string) (string, uint64) {
	if l := s.locks.held[name]; l != nil {
		return l.Holder, l.Token
	}
	return "", 0
}

// NextLockExpiry returns when the first lock's time ends (unix ms), 0 when none
// has one.
func (s *State) NextLockExpiry() int64 {
	var next int64
	for name := range s.locks.timed {
		if at := s.locks.held[name].Expires; next == 0 || at < next {
			next = at
		}
	}
	return next
}

// get gives a free lock to the client, tells the holder that it holds it, and
// lets others wait in line.
func (t *lockTable) get(c *Command) Result {
	if err := validLock(c); err != nil {
		return refused(err)
	}
	var grants []Grant
	l := t.held[c.Lock]
	if l != nil && l.Expires != 0 && l.Expires <= c.At {
		grants = t.pass(c.Lock, c.At)
		l = t.held[c.Lock]
	}
	switch {
	case l == nil && len(t.held) >= LocksMax:
		return refused(fmt.Errorf("%d locks are held, the limit", LocksMax))
	case l == nil:
		l = t.grant(c.Lock, waiter{c.Client, c.TTL}, c.At, nil)
		return Result{Code: Done, Token: l.Token, Since: l.Since}
	case l.Holder == c.Client:
		if c.TTL > 0 {
			l.Expires = c.At + c.TTL
			t.timed[c.Lock] = true
		}
		return Result{Code: Done, Token: l.Token, Since: l.Since, Held: true, Grants: grants}
	case !c.Wait:
		return Result{Code: Locked, Grants: grants,
			Reason: fmt.Sprintf("%q is held by %q", c.Lock, l.Holder)}
	}
	r := t.enqueue(c, l)
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

func (t *lockTable) enqueue(c *Command, l *lock) Result {
	if slices.Contains(t.waiting[c.Client], c.Lock) {
		return Result{Code: Waiting}
	}
	if t.waiters >= WaitersMax {
		return refused(fmt.Errorf("%d clients wait for locks, the limit", WaitersMax))
	}
	if cycle := t.cycle(c.Lock, c.Client); cycle != "" {
		return Result{Code: Deadlock, Reason: cycle}
	}
	l.Waiters = append(l.Waiters, waiter{c.Client, c.TTL})
	t.waiting[c.Client] = append(t.waiting[c.Client], c.Lock)
	t.waiters++
	return Result{Code: Waiting}
}

// free releases a lock of its holder. With a token it does so only while that
// grant stands.
func (t *lockTable) free(c *Command) Result {
	l := t.held[c.Lock]
	switch {
	case l == nil:
		return Result{Code: NotHeld, Reason: fmt.Sprintf("%q is not held", c.Lock)}
	case l.Holder != c.Client:
		return Result{Code: NotHeld, Reason: fmt.Sprintf("%q is held by %q, not by %q", c.Lock, l.Holder, c.Client)}
	case c.Token != 0 && c.Token != l.Token:
		return Result{Code: NotHeld, Reason: fmt.Sprintf("%q is held with token %d, not %d", c.Lock, l.Token, c.Token)}
	}
	return Result{Code: Done, Grants: t.pass(c.Lock, c.At)}
}

// dequeue takes a waiter out of line.
func (t *lockTable) dequeue(c *Command) Result {
	l := t.held[c.Lock]
	if l == nil || !slices.Contains(t.waiting[c.Client], c.Lock) {
		return Result{Code: Done}
	}
	l.Waiters = slices.DeleteFunc(l.Waiters, func(w waiter) bool { return w.Client == c.Client })
	t.unwait(c.Client, c.Lock)
	return Result{Code: Done}
}

func (t *lockTable) unwait(client, name string) {
	left := slices.DeleteFunc(t.waiting[client], func(n string) bool { return n == name })
	if len(left) == 0 {
		delete(t.waiting, client)
	} else {
		t.waiting[client] = left
	}
	t.waiters--
}

// tick ends the locks whose time is over.
func (t *lockTable) tick(c *Command) Result {
	var over []string
	for name := range t.timed {
		if t.held[name].Expires <= c.At {
			over = append(over, name)
		}
	}
	slices.Sort(over) // tokens are given out in this order everywhere
	var grants []Grant
	for _, name := range over {
		grants = append(grants, t.pass(name, c.At)...)
	}
	return Result{Code: Done, Grants: grants}
}

// pass takes a lock from its holder and gives it to the first in line.
func (t *lockTable) pass(name string, at int64) []Grant {
	l := t.held[name]
	delete(t.timed, name)
	if len(l.Waiters) == 0 {
		delete(t.held, name)
		return nil
	}
	next := l.Waiters[0]
	t.unwait(next.Client, name)
	l = t.grant(name, next, at, l.Waiters[1:])
	return []Grant{{Lock: name, Client: next.Client, Token: l.Token, Since: l.Since}}
}

func (t *lockTable) grant(name string, to waiter, at int64, line []waiter) *lock {
	t.token++
	l := &lock{Holder: to.Client, Token: t.token, Since: at, Waiters: line}
	if to.TTL > 0 {
		l.Expires = at + to.TTL
		t.timed[name] = true
	}
	t.held[name] = l
	return l
}

// cycle says in words how client would wait for itself if it waited for name;
// "" when it would not. A waiter waits for the holder and for everyone in line
// before it.
func (t *lockTable) cycle(name, client string) string {
	seen := map[string]bool{}
	var walk func(name, who string) []string
	walk = func(name, who string) []string {
		l := t.held[name]
		ahead := []string{l.Holder}
		for _, w := range l.Waiters {
			if w.Client == who {
				break
			}
			ahead = append(ahead, w.Client)
		}
		for i, other := range ahead {
			step := fmt.Sprintf("%q waits for %q held by %q", who, name, other)
			if i > 0 {
				step = fmt.Sprintf("%q waits for %q after %q", who, name, other)
			}
			if other == client {
				return []string{step}
			}
			if seen[other] {
				continue
			}
			seen[other] = true
			for _, next := range t.waiting[other] {
				if rest := walk(next, other); rest != nil {
					return append([]string{step}, rest...)
				}
			}
		}
		return nil
	}
	return strings.Join(walk(name, client), ", ")
}
