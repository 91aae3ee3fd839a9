package replica

import (
	"testing"
	"time"
)

// setUntil sets a key that expires ms from now by the rig's clock.
func (r *rig) setUntil(key, value string, ms int64) {
	r.t.Helper()
	if a := r.do(1, Request{Op: OpSet, Key: name(key), Value: []byte(value), Expiry: r.wall + ms}); a.Status != StatusOK {
		r.t.Fatalf("set %s: %+v", key, a)
	}
}

// later lets ms go by on all clocks.
func (r *rig) later(ms int64) { r.pass(time.Duration(ms) * time.Millisecond) }

func TestExpiryIsALoggedDelete(t *testing.T) {
	r := acting(t, 3, 2)
	r.setUntil("k", "v", 100)
	head := r.host(1).core.Inspect(0).Last.Seq
	if got := r.get(1, "k"); got != "v" {
		t.Fatalf("before its expiry: %q", got)
	}
	r.later(100)
	r.drop = lost(MsgAck)
	token := r.read(1, name("k"))
	r.run()
	if a, ok := r.got[token]; ok {
		t.Errorf("answered before the delete is on all replicas: %+v", a)
	}
	r.drop = nil
	r.later(500)
	if a := r.answered(token); a.Status != StatusNotFound {
		t.Errorf("an expired key: %+v", a)
	}
	for _, h := range r.hosts {
		if c := h.core.Inspect(0); c.Last.Seq != head+1 || c.Keys != 0 || h.store.items[name("k")] != nil {
			t.Errorf("%v: %+v, the log's head was %d", h.id, c, head)
		}
	}
}

func TestMutationOfAnExpiredKey(t *testing.T) {
	for _, c := range []struct {
		what    string
		q       Request
		status  Status
		number  int64
		entries uint64
		value   string
	}{
		{"append", Request{Op: OpAppend, Value: []byte("x")}, StatusOK, 1, 2, "x"},
		{"incr", Request{Op: OpIncr, Delta: 5}, StatusOK, 5, 2, "5"},
		{"set if absent", Request{Op: OpSet, Cond: CondAbsent, Value: []byte("y")}, StatusOK, 0, 2, "y"},
		{"set if present", Request{Op: OpSet, Cond: CondPresent, Value: []byte("y")}, StatusCondFailed, 0, 2, ""},
		{"set that keeps the expiry", Request{Op: OpSet, KeepExpiry: true, Value: []byte("z")}, StatusOK, 0, 2, "z"},
		{"delete", Request{Op: OpDelete}, StatusNotFound, 0, 2, ""},
		{"expire", Request{Op: OpExpire, Expiry: 1 << 60}, StatusNotFound, 0, 2, ""},
	} {
		r := acting(t, 2, 2)
		r.setUntil("k", "7", 100)
		r.later(100)
		head := r.host(1).core.Inspect(0).Last.Seq
		c.q.Key = name("k")
		if a := r.do(1, c.q); a.Status != c.status || a.Number != c.number {
			t.Errorf("%s: %+v", c.what, a)
		}
		if n := r.host(1).core.Inspect(0).Last.Seq - head; n != c.entries {
			t.Errorf("%s: %d entries", c.what, n)
		}
		if got := r.get(1, "k"); got != c.value {
			t.Errorf("%s: then %q", c.what, got)
		}
		r.later(1000)
		if got := r.get(1, "k"); got != c.value {
			t.Errorf("%s: later %q", c.what, got)
		}
		if a, b := r.host(1).core.Inspect(0), r.host(2).core.Inspect(0); a.Digest != b.Digest || a.Keys != b.Keys {
			t.Errorf("%s: %+v and %+v", c.what, a, b)
		}
	}
}

func TestWhatKeepsAnExpiry(t *testing.T) {
	r := acting(t, 2, 2)
	end := r.wall + 1000
	expiry := func() int64 {
		token := r.read(1, name("k"))
		r.run()
		return r.answered(token).Expiry
	}
	for i, c := range []struct {
		q      Request
		number int64
		want   int64
	}{
		{Request{Op: OpSet, Value: []byte("1"), Expiry: end}, 0, end},
		{Request{Op: OpIncr, Delta: 1}, 2, end},
		{Request{Op: OpAppend, Value: []byte("0")}, 2, end},
		{Request{Op: OpSet, Value: []byte("2"), KeepExpiry: true}, 0, end},
		{Request{Op: OpExpire, Expiry: end + 1}, 1, end + 1},
		{Request{Op: OpExpire}, 1, 0},
		{Request{Op: OpExpire}, 0, 0},
		{Request{Op: OpExpire, Expiry: end}, 1, end},
		{Request{Op: OpSet, Value: []byte("3")}, 0, 0},
	} {
		c.q.Key = name("k")
		if a := r.do(1, c.q); a.Status != StatusOK || a.Number != c.number {
			t.Errorf("step %d: %+v", i, a)
		}
		if got := expiry(); got != c.want {
			t.Errorf("step %d: the key expires at %d, want %d", i, got, c.want)
		}
	}
}

// TestRetryAcrossAnExpiry: a retry is answered from the record, though the key
// that the first try met has expired since.
func TestRetryAcrossAnExpiry(t *testing.T) {
	r := acting(t, 2, 2)
	r.setUntil("k", "ab", 100)
	q := Request{Op: OpAppend, Key: name("k"), Value: []byte("c"), ID: RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}}
	if a := r.do(1, q); a.Number != 3 {
		t.Fatalf("%+v", a)
	}
	r.later(200)
	if a := r.do(1, q); a.Number != 3 || r.get(1, "k") != "" {
		t.Errorf("the retry: %+v", a)
	}
}

// TestReadWaitsForWhatIsExpired: a write is past its expiry when it is committed;
// a read that waited for it does not see it.
func TestReadWaitsForWhatIsExpired(t *testing.T) {
	r := acting(t, 2, 2)
	r.drop = lost(MsgAck)
	r.write(1, Request{Op: OpSet, Key: name("k"), Value: []byte("v"), Expiry: r.wall + 100})
	token := r.read(1, name("k"))
	r.run()
	r.later(200)
	r.drop = nil
	r.later(500)
	if a := r.answered(token); a.Status != StatusNotFound {
		t.Errorf("%+v", a)
	}
}

func TestExpiryWithTooFewCopies(t *testing.T) {
	r := acting(t, 2, 2)
	r.setUntil("k", "v", 100)
	r.change(actingAre(1))
	r.later(2000)
	token := r.read(1, name("k"))
	r.run()
	r.confirmAll(1)
	if a := r.answered(token); a.Status != StatusTooFewCopies {
		t.Errorf("%+v", a)
	}
}

func TestSweeperIsCheckedAgain(t *testing.T) {
	r := acting(t, 2, 2)
	r.setUntil("k", "v", 100)
	r.set(1, "other", "w")
	head := r.host(1).core.Inspect(0).Last.Seq
	sweep := func(key string) uint64 {
		for _, h := range r.hosts { // the backup's sweeper as well: replicas never expire alone
			h.core.Expire(h.at(), 0, name(key))
		}
		r.run()
		return r.host(1).core.Inspect(0).Last.Seq - head
	}
	if sweep("k") != 0 || sweep("other") != 0 || sweep("none") != 0 {
		t.Error("something was deleted before its time")
	}
	r.later(100)
	if n := sweep("k"); n != 1 {
		t.Errorf("%d entries for one expired key", n)
	}
	if r.get(1, "k") != "" || r.get(1, "other") != "w" {
		t.Error("the wrong key went")
	}
}

// TestH18ClockJump: a server whose clock is off its peers' does not expire; the
// key reads as alive, and goes when the clock is right again.
func TestH18ClockJump(t *testing.T) {
	r := acting(t, 3, 2)
	r.setUntil("k", "v", 10_000)
	r.host(1).skew = 3_600_000
	if got := r.get(1, "k"); got != "v" {
		t.Errorf("right after the jump: %q", got)
	}
	r.later(500)
	if got := r.get(1, "k"); got != "v" {
		t.Errorf("after new pings: %q", got)
	}
	if a := r.do(1, Request{Op: OpAppend, Key: name("k"), Value: []byte("w")}); a.Number != 2 {
		t.Errorf("an append to what reads as alive: %+v", a)
	}
	r.host(1).skew = 0
	r.later(10_000)
	if got := r.get(1, "k"); got != "" {
		t.Errorf("the clock is right and the time has come: %q", got)
	}
}

// TestH18LaggingSuccessor: what was said to be gone stays gone at a primary whose
// clock lags.
func TestH18LaggingSuccessor(t *testing.T) {
	r := acting(t, 3, 2)
	r.setUntil("k", "v", 100)
	r.host(2).skew = -900 // within what a clock may be off
	r.later(100)
	if got := r.get(1, "k"); got != "" {
		t.Fatalf("%q after its expiry", got)
	}
	r.host(1).crash()
	r.change(actingAre(2, 3))
	r.mono += time.Second // the lease of s1
	r.pings()
	r.ticks()
	r.pings()
	if got := r.get(2, "k"); got != "" {
		t.Errorf("at the new primary %q, it was gone", got)
	}
}

func TestClockSane(t *testing.T) {
	for _, c := range []struct {
		what  string
		skews []int64
		heard int // promises from so many others
		want  bool
	}{
		{"alone", []int64{0}, 0, true},
		{"all agree", []int64{0, 0, 0}, 2, true},
		{"a second is allowed", []int64{1000, 0, 0}, 2, true},
		{"off", []int64{1001, 0, 0}, 2, false},
		{"another is off", []int64{0, 9000, 0}, 2, true},
		{"behind", []int64{-2000, 0, 0}, 2, false},
		{"two camps", []int64{0, 0, 9000, 9000}, 3, false},
		{"two that differ", []int64{0, 9000}, 1, false},
		{"nothing heard yet", []int64{0, 0, 0}, 0, false},
		{"more than half heard", []int64{0, 0, 0}, 1, true},
		{"half heard", []int64{0, 0, 0, 0}, 1, false},
	} {
		r := newRig(t, len(c.skews))
		r.change(actingAre(1))
		for i, h := range r.hosts {
			h.skew = c.skews[i]
			if i > 0 && i <= c.heard {
				r.ping(1, h.id)
			}
		}
		core := r.host(1).core
		core.enter(r.host(1).at())
		if got := core.clockSane(); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
		r.mono += 4 * time.Second
		core.enter(r.host(1).at())
		if len(c.skews) > 1 && core.clockSane() {
			t.Errorf("%s: trusts clocks that it has not heard of for long", c.what)
		}
	}
}

func TestSlowPromiseSaysNothingOfClocks(t *testing.T) {
	n := NewNode(1, 1)
	ping := n.Ping(Instant{Mono: time.Second})
	m := &Message{Type: MsgPromise, SentAt: ping.SentAt, Incarnation: 1, Wall: 5_000}
	if pr, _ := n.OnPromise(Instant{Mono: time.Second + 2*clockRoundTripMax}, 2, m); pr.ClockBase != 0 {
		t.Errorf("after a long round trip: %+v", pr)
	}
	pr, ok := n.OnPromise(Instant{Mono: time.Second + 200*time.Millisecond}, 2, m)
	if !ok || pr.ClockBase != 5_000-1_100 {
		t.Errorf("%+v, %v", pr, ok)
	}
}

// TestDeadlineOfAClockThatIsOff: a time to live ends by the clocks of most servers.
func TestDeadlineOfAClockThatIsOff(t *testing.T) {
	for _, c := range []struct {
		what  string
		skews []int64
		late  int64
	}{
		{"right", []int64{0, 0, 0}, 0},
		{"a little off", []int64{-800, 0, 0}, -800},
		{"an hour behind", []int64{-3_600_000, 0, 0}, 0},
		{"an hour ahead", []int64{3_600_000, 0, 0}, 0},
		{"in doubt, behind", []int64{-3_600_000, 0}, 0},
		{"in doubt, ahead", []int64{3_600_000, 0}, 3_600_000},
	} {
		r := acting(t, len(c.skews), 2)
		for i, h := range r.hosts {
			h.skew = c.skews[i]
		}
		r.pings()
		r.do(1, Request{Op: OpSet, Key: name("k"), TTL: 5000})
		token := r.read(1, name("k"))
		r.run()
		if got := r.answered(token).Expiry; got != r.wall+5000+c.late {
			t.Errorf("%s: expires %d ms from now", c.what, got-r.wall)
		}
	}
}
