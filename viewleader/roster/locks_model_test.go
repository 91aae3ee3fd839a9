package roster

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"viewring/tests/history"
)

// player plays clients of locks against a roster: what they ask takes its time,
// and so do the answers. Time is in milliseconds.
type player struct {
	t       *testing.T
	r       *rand.Rand
	s       *State
	now     int64
	history history.LockHistory
	due     []dueCommand
	waits   map[owner]asking // by whom nothing else is asked meanwhile
	holds   map[owner]held
	open    map[int]uint64 // sessions of clients
	granted int
	ended   int
}

type dueCommand struct {
	at    int64
	cmd   Command
	asked int64
}

type asking struct {
	cmd   Command
	asked int64
	token uint64 // of what it frees
}

type held struct {
	lock   string
	shared bool
	token  uint64
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (o owner) String() string { return fmt.Sprintf("%s.%d", o.Client, o.Session) }

// ask has a client do something, if it waits for nothing.
func (p *player) ask(n int) {
	me := owner{fmt.Sprint("c", n), p.open[n]}
	if _, busy := p.waits[me]; busy {
		return
	}
	c := Command{Client: me.Client, Session: me.Session}
	switch h, holds := p.holds[me]; {
	case holds && p.r.IntN(3) > 0:
		c.Kind, c.Lock, c.Token = KindLockFree, h.lock, h.token*uint64(p.r.IntN(2))
	case holds && p.r.IntN(3) > 0:
		return
	default:
		c.Kind, c.Lock = KindLockGet, fmt.Sprint("L", p.r.IntN(3))
		c.Shared, c.Wait = p.r.IntN(2) == 0, p.r.IntN(4) > 0
		if p.r.IntN(4) == 0 {
			c.TTL = 1 + p.r.Int64N(60)
		}
	}
	p.waits[me] = asking{c, p.now, p.holds[me].token}
	p.due = append(p.due, dueCommand{p.now + p.r.Int64N(8), c, p.now})
}

// step lets the view leader do what is due, in one batch.
func (p *player) step() {
	p.now++
	var batch []Command
	var asked []int64
	p.due = slices.DeleteFunc(p.due, func(d dueCommand) bool {
		if d.at > p.now {
			return false
		}
		batch, asked = append(batch, d.cmd), append(asked, d.asked)
		return true
	})
	if next := p.s.NextLockExpiry(); next != 0 && next <= p.now && p.r.IntN(3) > 0 {
		batch, asked = append(batch, Command{Kind: KindLockTick}), append(asked, p.now)
	}
	if len(batch) == 0 {
		return
	}
	for i := range batch {
		batch[i].At = p.now
	}
	for i, r := range p.s.Apply(batch) {
		p.answer(&batch[i], r, asked[i])
		for _, g := range r.Grants {
			who := owner{g.Client, g.Session}
			if w, ok := p.waits[who]; ok && w.cmd.Kind == KindLockGet && w.cmd.Lock == g.Lock {
				p.got(&w.cmd, g.Token, w.asked)
				continue
			}
			p.lost(who, held{g.Lock, p.shared(g.Lock), g.Token}, p.now) // it does not wait any more
		}
	}
	if err := checkLocks(&p.s.locks); err != nil {
		p.t.Fatalf("at %d: %v\n%+v", p.now, err, batch)
	}
}

func (p *player) answer(c *Command, r Result, asked int64) {
	me := owner{c.Client, c.Session}
	op := history.LockOp{Lock: c.Lock, Owner: me.String(), Shared: c.Shared, Token: r.Token, Call: ms(asked), Return: ms(p.now) + ms(p.r.Int64N(8))}
	switch c.Kind {
	case KindLockGet:
		if r.Code == Waiting {
			return // it may leave the queue, or be granted the lock
		}
		delete(p.waits, me)
		switch r.Code {
		case Done:
			p.got(c, r.Token, asked)
		case Locked:
			op.Refused = true
			p.history.Add(op)
		}
	case KindLockFree:
		w, ok := p.waits[me]
		if !ok || w.cmd.Kind != KindLockFree || w.cmd.Lock != c.Lock {
			return // of what was lost by taking another lock
		}
		delete(p.waits, me)
		op.Kind, op.Token, op.Any, op.Refused = history.LockFree, w.token, c.Token == 0, r.Code == NotHeld
		p.history.Add(op)
		delete(p.holds, me)
	}
}

// got is what a client does that has a lock.
func (p *player) got(c *Command, token uint64, asked int64) {
	me := owner{c.Client, c.Session}
	delete(p.waits, me)
	p.granted++
	p.history.Add(history.LockOp{Lock: c.Lock, Owner: me.String(), Shared: c.Shared, Token: token, Call: ms(asked), Return: ms(p.now + p.r.Int64N(8))})
	if former, ok := p.holds[me]; ok && former.lock != c.Lock {
		p.due = append(p.due, dueCommand{p.now, Command{Kind: KindLockFree, Lock: former.lock, Client: me.Client, Session: me.Session}, p.now})
		p.lost(me, former, p.now)
	}
	h := held{c.Lock, c.Shared, token}
	if c.TTL > 0 {
		p.lost(me, h, p.now+c.TTL)
	}
	p.holds[me] = h
}

func (p *player) lost(who owner, h held, from int64) {
	p.history.Add(history.LockOp{Lock: h.lock, Owner: who.String(), Kind: history.LockLost, Shared: h.shared, Token: h.token, Call: ms(from)})
}

// shared reports whether those who hold a lock share it.
func (p *player) shared(lock string) bool {
	l := p.s.locks.held[lock]
	return l != nil && l.Shared
}

// session opens a client's session, or ends it: by its word, or by silence, with a
// delay for whoever is next.
func (p *player) session(n int) {
	id := p.open[n]
	if id == 0 {
		p.open[n] = p.s.Apply([]Command{{Kind: KindSessionOpen, At: p.now, TTL: 1000, Delay: 20}})[0].Session
		return
	}
	me := owner{fmt.Sprint("c", n), id}
	if _, busy := p.waits[me]; busy && p.r.IntN(2) == 0 {
		return
	}
	c, delay := Command{Kind: KindSessionEnd, Session: id}, int64(0)
	if p.r.IntN(2) == 0 {
		c, delay = Command{Kind: KindSessionExpire, Sessions: []uint64{id, 1 << 40}}, 20
	}
	if h, ok := p.holds[me]; ok {
		p.lost(me, h, p.now+delay)
	}
	p.ended++
	delete(p.open, n)
	delete(p.holds, me)
	delete(p.waits, me)
	p.due = slices.DeleteFunc(p.due, func(d dueCommand) bool { return d.cmd.Session == id })
	p.due = append(p.due, dueCommand{p.now, c, p.now})
	p.step()
}

// TestLockModel: whatever clients ask and however long it takes, what they are told
// is what one after the other might have been told.
func TestLockModel(t *testing.T) {
	ops, granted, ended := 0, 0, 0
	for seed := range uint64(60) {
		p := &player{t: t, r: rand.New(rand.NewPCG(seed, 7)), s: New(Config{Partitions: 1, MinCopies: 1}),
			waits: map[owner]asking{}, holds: map[owner]held{}, open: map[int]uint64{}}
		for range 600 {
			if n := p.r.IntN(6); p.r.IntN(25) == 0 {
				p.session(n)
			} else {
				p.ask(n)
			}
			p.step()
			if p.r.IntN(50) == 0 {
				s, err := Restore(p.s.AppendSnapshot(nil))
				if err != nil || !bytes.Equal(s.AppendSnapshot(nil), p.s.AppendSnapshot(nil)) {
					t.Fatalf("seed %d: a restored state is another one: %v", seed, err)
				}
				p.s = s
			}
		}
		if err := p.history.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		ops, granted, ended = ops+p.history.Len(), granted+p.granted, ended+p.ended
	}
	t.Logf("%d operations, %d grants, %d sessions ended", ops, granted, ended)
	if ops < 5000 || granted < 2000 || ended < 100 {
		t.Errorf("only %d operations, %d grants, %d sessions ended", ops, granted, ended)
	}
}

// checkLocks says how a table contradicts itself.
func checkLocks(t *lockTable) error {
	holders, waiters := 0, 0
	holds := make(map[owner]map[string]bool)
	uses := make(map[uint64]map[string]int)
	use := func(id uint64, name string) {
		if uses[id] == nil {
			uses[id] = make(map[string]int)
		}
		uses[id][name]++
	}
	for name, l := range t.held {
		timed, last := false, uint64(0)
		for _, h := range l.Holders {
			if h.Token <= last || h.Token > t.token {
				return fmt.Errorf("%q: token %d after %d", name, h.Token, last)
			}
			last, timed = h.Token, timed || h.Expires != 0
			if h.Lost {
				continue
			}
			if holds[h.owner] == nil {
				holds[h.owner] = make(map[string]bool)
			}
			holds[h.owner][name] = true
			use(h.Session, name)
		}
		for _, w := range l.Waiters {
			if w.Session != 0 && t.sessions[w.Session] == nil {
				return fmt.Errorf("%q: %v waits", name, w.owner)
			}
			use(w.Session, name)
		}
		holders, waiters = holders+len(l.Holders), waiters+len(l.Waiters)
		if len(l.Waiters) > 0 && l.Shared && l.Waiters[0].Shared {
			return fmt.Errorf("%q: a reader waits for readers", name)
		}
		if timed != t.timed[name] {
			return fmt.Errorf("%q: timed %v", name, t.timed[name])
		}
	}
	for id, s := range t.sessions {
		if !maps.Equal(s.uses, uses[id]) {
			return fmt.Errorf("session %d uses %v, it should be %v", id, s.uses, uses[id])
		}
	}
	if holders != t.holders || waiters != t.waiters || fmt.Sprint(holds) != fmt.Sprint(t.holds) || len(t.timed) > len(t.held) {
		return fmt.Errorf("%d holders, %d waiters, %v; the table says %d, %d, %v", holders, waiters, holds, t.holders, t.waiters, t.holds)
	}
	return t.validRestored()
}
