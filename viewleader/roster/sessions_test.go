package roster

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"viewring/viewleader/vocab"
)

func (w *world) session(ttl, delay int64) uint64 {
	w.t.Helper()
	return w.must(Command{Kind: KindSessionOpen, TTL: ttl, Delay: delay}).Session
}

func inSession(id uint64, c Command) Command {
	c.Session = id
	return c
}

func reader(c Command) Command {
	c.Shared = true
	return c
}

// grants names who got what, in order.
func grants(r Result) (got []string) {
	for _, g := range r.Grants {
		got = append(got, fmt.Sprintf("%s:%s.%d", g.Lock, g.Client, g.Session))
	}
	return got
}

// A session's locks are free at once when it ends by its client's word, and it
// leaves all queues.
func TestSessionEnds(t *testing.T) {
	w := newWorld(t, 2)
	first, second := w.session(1000, 500), w.session(1000, 500)
	if first == 0 || second <= first || len(w.s.Sessions()) != 2 {
		t.Fatalf("sessions %d, %d: %v", first, second, w.s.Sessions())
	}
	w.must(inSession(first, lockGet("l", "a", true)))
	w.must(lockGet("m", "x", true))
	w.apply(inSession(first, lockGet("m", "a", true)))
	w.apply(lockGet("m", "y", true))
	// The same name in another session is somebody else.
	if r := w.apply(inSession(second, lockGet("l", "a", true))); r.Code != Waiting {
		t.Fatalf("%+v", r)
	}
	if r := w.apply(lockFree("l", "a")); r.Code != NotHeld {
		t.Fatalf("%+v", r)
	}
	if got := grants(w.must(Command{Kind: KindSessionEnd, Session: first})); !slices.Equal(got, []string{fmt.Sprint("l:a.", second)}) {
		t.Errorf("granted %v", got)
	}
	if got := waitersOf(w.s, 1); !slices.Equal(got, []string{"y"}) {
		t.Errorf("for m wait %v", got)
	}
	for _, c := range []Command{inSession(first, lockGet("l", "a", true)), {Kind: KindSessionEnd, Session: first}} {
		if r := w.apply(c); r.Code != NoSession {
			t.Errorf("%+v", r)
		}
	}
	w.refuse(Command{Kind: KindSessionOpen}, "a session of 0 ms")
	w.refuse(Command{Kind: KindSessionOpen, TTL: 1, Delay: -1}, "a lock delay of -1 ms")
}

// A session that fell silent may think that it goes on: its locks wait for the lock
// delay, or for their own end when that comes first.
func TestSessionExpires(t *testing.T) {
	w := newWorld(t, 2)
	id := w.session(1000, 500)
	w.must(inSession(id, lockGet("l", "a", true)))
	short := inSession(id, lockGet("short", "a", true))
	short.TTL = 300
	w.must(short)
	w.must(inSession(id, reader(lockGet("read", "a", true))))
	for _, name := range []string{"l", "short"} {
		w.apply(lockGet(name, "b", true))
	}
	w.apply(lockGet("read", "b", true))
	if r := w.must(Command{Kind: KindSessionExpire, Sessions: []uint64{id, 77}}); len(r.Grants) != 0 || !slices.Equal(r.Ended, []uint64{id}) {
		t.Fatalf("%+v", r)
	}
	if h := w.s.Locks()[0].Holders[0]; !h.Lost || h.Expires.UnixMilli() != w.at+500 {
		t.Errorf("%+v", h)
	}
	if r := w.apply(inSession(id, lockFree("l", "a"))); r.Code != NotHeld {
		t.Errorf("%+v", r)
	}
	if r := w.must(Command{Kind: KindSessionExpire, Sessions: []uint64{id}}); r.Ended != nil {
		t.Errorf("ended twice: %+v", r)
	}
	w.at += 300
	if got := grants(w.must(Command{Kind: KindLockTick})); !slices.Equal(got, []string{"short:b.0"}) {
		t.Errorf("after 300 ms: %v", got)
	}
	w.at += 199
	if r := w.apply(lockGet("l", "c", false)); r.Code != Locked {
		t.Errorf("%+v", r)
	}
	w.at++
	if got := grants(w.must(Command{Kind: KindLockTick})); !slices.Equal(got, []string{"l:b.0", "read:b.0"}) {
		t.Errorf("after 500 ms: %v", got)
	}
	if last := w.s.Events(0); last[len(last)-4].Kind != vocab.EventSessionLost {
		t.Errorf("%+v", last)
	}
	// Without a delay they are free at once.
	id = w.session(1000, 0)
	w.must(inSession(id, lockGet("n", "a", true)))
	w.apply(lockGet("n", "b", true))
	if got := grants(w.must(Command{Kind: KindSessionExpire, Sessions: []uint64{id}})); !slices.Equal(got, []string{"n:b.0"}) {
		t.Errorf("granted %v", got)
	}
}

// Readers share a lock; none passes a writer that came before, and a writer waits
// for all of them.
func TestSharedLocks(t *testing.T) {
	w := newWorld(t, 2)
	first := w.must(reader(lockGet("l", "r1", true)))
	second := w.must(reader(lockGet("l", "r2", false)))
	if second.Token <= first.Token {
		t.Errorf("tokens %d, %d", first.Token, second.Token)
	}
	if again := w.must(reader(lockGet("l", "r1", true))); again.Token != first.Token || !again.Held {
		t.Errorf("%+v", again)
	}
	w.refuse(lockGet("l", "r1", true), "must be released first")
	if r := w.apply(lockGet("l", "w1", false)); r.Code != Locked {
		t.Errorf("%+v", r)
	}
	w.apply(lockGet("l", "w1", true))
	if r := w.apply(reader(lockGet("l", "r3", false))); r.Code != Locked {
		t.Errorf("a reader passes a writer: %+v", r)
	}
	for _, name := range []string{"r3", "r4"} {
		w.apply(reader(lockGet("l", name, true)))
	}
	w.apply(lockGet("l", "w2", true))
	w.apply(reader(lockGet("l", "r5", true)))
	if got := grants(w.must(lockFree("l", "r1"))); got != nil {
		t.Errorf("with a reader left: %v", got)
	}
	if got := grants(w.must(lockFree("l", "r2"))); !slices.Equal(got, []string{"l:w1.0"}) {
		t.Errorf("after the readers: %v", got)
	}
	w.refuse(reader(lockGet("l", "w1", true)), "must be released first")
	if got := grants(w.must(lockFree("l", "w1"))); !slices.Equal(got, []string{"l:r3.0", "l:r4.0"}) {
		t.Errorf("after the writer: %v", got)
	}
	// A writer that gives up lets the readers behind it in.
	if got := grants(w.must(Command{Kind: KindLockDequeue, Lock: "l", Client: "w2"})); !slices.Equal(got, []string{"l:r5.0"}) {
		t.Errorf("after the writer left: %v", got)
	}
	if l := w.s.Locks()[0]; !l.Shared || len(l.Holders) != 3 {
		t.Errorf("%+v", l)
	}
}

// beforeSessions makes a snapshot without locks one of the third format, but for its
// first byte: no number of the last event, no sessions.
func beforeSessions(b []byte) []byte {
	return append(slices.Clone(b[:len(b)-6]), 0, 0, 0) // token, locks, waiters
}

// Locks of a snapshot of the third format had one holder and no sessions.
func TestLocksOfTheThirdFormat(t *testing.T) {
	w := newWorld(t, 2)
	w.s.parts = w.s.parts[:1]
	w.must(lockGet("lock", "ho", true))
	w.apply(lockGet("lock", "wa", true))
	w.s.lockEvents, w.s.eventNumber = nil, 0
	b := w.s.AppendSnapshot(nil)
	old := slices.Clone(b)
	old[0] = snapshotFormatThird
	cut := func(after string, n int) {
		i := bytes.Index(old, []byte(after)) + len(after)
		old = slices.Delete(old, i, i+n)
	}
	i := bytes.Index(old, []byte("\x04lock"))
	old = slices.Delete(old, i-5, i-1) // number of events; after the token: sessions given out, and those open
	old = slices.Insert(old, i-5, 1)
	cut("\x04lock", 2) // shared, number of holders
	cut("\x02ho", 1)   // session
	i = bytes.Index(old, []byte("\x01\x02wa"))
	old = slices.Delete(old, i-1, i) // lost
	cut("\x02wa", 1)                 // session
	cut("\x02wa\x00", 2)             // shared, waits in a deadlock
	i = bytes.LastIndex(old, []byte("\x02wa"))
	old = slices.Delete(old, i+3, i+4) // session
	s, err := Restore(old)
	if err != nil {
		t.Fatalf("%v: %q", err, old)
	}
	if again := s.AppendSnapshot(nil); !bytes.Equal(again, b) {
		t.Errorf("%q became %q, want %q", old, again, b)
	}
}

// Sessions that end in one moment get nothing of each other: who waits beside them
// would wait for the lock delay of one that never knew of its lock.
func TestSessionsEndTogether(t *testing.T) {
	w := newWorld(t, 2)
	first, second, third := w.session(1000, 0), w.session(1000, 5000), w.session(1000, 5000)
	w.must(inSession(first, lockGet("l", "a", true)))
	w.apply(inSession(second, lockGet("l", "b", true)))
	w.apply(inSession(third, lockGet("l", "c", true)))
	if got := grants(w.must(Command{Kind: KindSessionExpire, Sessions: []uint64{first, second, first}})); !slices.Equal(got, []string{fmt.Sprint("l:c.", third)}) {
		t.Errorf("granted %v", got)
	}
	if err := checkLocks(&w.s.locks); err != nil {
		t.Error(err)
	}
}
