package replica

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/ring"
)

// tell notes what the server's watches and its feed are told.
func (h *host) tell(r *Ready) {
	changes := func(list []KeyChange) string {
		var words []string
		for _, c := range list {
			word := c.Key.Name() + [...]string{"?", " set", " deleted", " expired"}[c.Change]
			if c.Item != nil {
				it, err := DecodeItem(c.Key, c.Item)
				if err != nil {
					h.r.t.Errorf("%v: %v", c.Key, err)
				}
				word += "=" + string(it.Value)
			}
			words = append(words, word)
		}
		return strings.Join(words, ", ")
	}
	for i := range r.Watched {
		w := &r.Watched[i]
		said := ""
		switch w.Kind {
		case WatchChanged:
			said = fmt.Sprintf("%d: %s", w.Version.Seq, changes(w.Changes))
		case WatchEnded:
			said = fmt.Sprintf("ended %d", w.Status)
		default:
			said = fmt.Sprintf("%v %d", w.Kind, w.Version.Seq)
		}
		h.r.told[w.Token] = append(h.r.told[w.Token], said)
		h.r.last[w.Token] = w.Version
	}
	for i := range r.Fed {
		f := &r.Fed[i]
		h.r.fed = append(h.r.fed, fmt.Sprintf("s%d %s %d%s", h.id, [...]string{"", "began", "changes", "ended"}[f.Kind], f.Version.Seq, " "+changes(f.Changes)))
	}
}

func (r *rig) watch(at uint64, w Watch) {
	h := r.hosts[at-1]
	h.core.Watch(h.at(), w)
	r.run()
}

// isTold checks, and forgets, what a watch was told.
func (r *rig) isTold(token uint64, want ...string) {
	r.t.Helper()
	if got := r.told[token]; !slices.Equal(got, want) {
		r.t.Errorf("watch %d was told %q, not %q", token, got, want)
	}
	delete(r.told, token)
}

// TestWatch: each kind of change is told once it is committed, to whom it concerns.
func TestWatch(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "a", "0") // seq 1
	r.watch(1, Watch{Token: 1, Now: true, Key: name("a"), Values: true})
	r.watch(1, Watch{Token: 2, Now: true, Space: SpaceUser, Prefix: "a"})
	r.watch(1, Watch{Token: 3, Now: true, Space: SpaceUser})
	r.watch(1, Watch{Token: 4, Now: true, Space: SpaceMeta})
	for token := range uint64(4) {
		r.isTold(token+1, "begun 1")
	}
	r.drop = lost(MsgAck)
	r.write(1, Request{Op: OpSet, Key: name("a"), Value: []byte("1")})
	r.run()
	r.isTold(1) // it is not committed
	r.drop = nil
	r.pass(300 * time.Millisecond)
	r.isTold(1, "2: a set=1")
	r.isTold(2, "2: a set")
	r.isTold(3, "2: a set")
	r.do(1, Request{Op: OpBatch, Key: name("ab"), Writes: []KeyWrite{{Key: name("ab"), Value: []byte("x")}, {Key: name("b"), Value: []byte("y"), Expiry: r.wall + 50}, {Key: name("a"), Delete: true}}})
	r.isTold(1, "3: a deleted")
	r.isTold(2, "3: ab set, a deleted")
	r.isTold(3, "3: ab set, b set, a deleted")
	r.wall += 100
	if got := r.get(1, "b"); got != "" {
		t.Fatalf("b is %q after its time", got)
	}
	r.isTold(3, "4: b expired")
	r.hosts[0].core.Unwatch(r.hosts[0].at(), 0, 3)
	r.set(1, "c", "1")
	r.isTold(1)
	r.isTold(3)
	r.isTold(4)
}

// TestWatchFrom: who comes late is told from the index, with what is still there of values.
func TestWatchFrom(t *testing.T) {
	r := acting(t, 3, 2)
	r.watch(1, Watch{Token: 1, Now: true, Space: SpaceUser, Values: true})
	r.isTold(1, "begun 0")
	r.set(1, "a", "1")
	first := r.last[1]
	r.set(1, "b", "2")
	r.set(1, "a", "3")
	r.do(1, Request{Op: OpDelete, Key: name("b")})
	told := r.told[1]
	if want := []string{"1: a set=1", "2: b set=2", "3: a set=3", "4: b deleted"}; !slices.Equal(told, want) {
		t.Fatalf("told %q", told)
	}
	r.watch(1, Watch{Token: 2, From: first, Space: SpaceUser, Values: true})
	r.isTold(2, "begun 1", "2: b set", "3: a set=3", "4: b deleted")
	r.watch(1, Watch{Token: 3, Space: SpaceUser, Values: true})
	r.isTold(3, "begun 0", "1: a set", "2: b set", "3: a set=3", "4: b deleted")
	r.watch(1, Watch{Token: 4, From: first, Key: name("b")})
	r.isTold(4, "begun 1", "2: b set", "4: b deleted")
	r.watch(1, Watch{Token: 5, From: first, Key: name("c")})
	r.isTold(5, "begun 1", "passed 4")
	r.watch(1, Watch{Token: 6, From: Version{Term: first.Term, Seq: 5}, Key: name("a")})
	r.isTold(6, "anew 4")
	r.watch(1, Watch{Token: 7, From: Version{Term: first.Term + 1, Seq: 1}, Key: name("a")})
	r.isTold(7, "anew 4")
	r.hosts[0].store.badRows = true
	r.watch(1, Watch{Token: 8, From: first, Key: name("a")})
	r.isTold(8, "begun 1", "anew 4")
}

// TestWatchOfAFormerLife: who began when a partition was empty is told that it began anew.
func TestWatchOfAFormerLife(t *testing.T) {
	r := acting(t, 1, 1)
	r.watch(1, Watch{Token: 1, Now: true, Space: SpaceUser})
	began := r.last[1]
	r.set(1, "former", "1")
	r.watch(1, Watch{Token: 2, From: began, Key: name("former")})
	r.isTold(2, "begun 0", "1: former set")
	r.change(func(p *ring.Partition) { p.ResetTerm = r.view.Epoch + 1 })
	r.pass(2 * r.view.LeaseTTL)
	r.watch(1, Watch{Token: 3, From: began, Space: SpaceUser})
	r.isTold(3, "anew 0")
	r.watch(1, Watch{Token: 4, From: r.last[3], Space: SpaceUser})
	r.set(1, "other", "1")
	r.isTold(4, "begun 0", "1: other set")
}

// TestWatchMany: of many watches some are told at a time how far they are.
func TestWatchMany(t *testing.T) {
	r := acting(t, 1, 1)
	for i := range uint64(2 * watchPassAtOnce) {
		r.watch(1, Watch{Token: 100 + i, Now: true, Key: name(fmt.Sprint(i))})
	}
	for range watchPassEvery {
		r.set(1, "x", "1")
	}
	told := func() (n int) {
		for _, said := range r.told {
			if slices.Contains(said, fmt.Sprintf("passed %d", watchPassEvery)) {
				n++
			}
		}
		return n
	}
	if n := told(); n != 0 {
		t.Errorf("%d were told before a tick", n)
	}
	r.ticks()
	if n := told(); n != watchPassAtOnce {
		t.Errorf("%d were told in a tick", n)
	}
	r.ticks()
	if n := told(); n != 2*watchPassAtOnce {
		t.Errorf("%d were told in two", n)
	}
	for i := range uint64(2 * watchPassAtOnce) {
		r.hosts[0].core.Unwatch(r.hosts[0].at(), 0, 100+i)
	}
	r.watch(1, Watch{Token: 2000, Now: true, Space: SpaceUser, Prefix: "p"})
	r.isTold(2000, fmt.Sprintf("begun %d", watchPassEvery))
}

// TestWatchPrefixes: whatever prefixes others watch, of any lengths and one in another, each watch is told
// of the keys that begin with its own, once, and of no others, also after others have ended.
func TestWatchPrefixes(t *testing.T) {
	r := acting(t, 2, 2)
	const lengths = 200
	watches := make(map[uint64]string)
	watch := func(prefix string) {
		token := uint64(100 + len(watches))
		watches[token] = prefix
		r.watch(1, Watch{Token: token, Now: true, Space: SpaceUser, Prefix: prefix})
	}
	for i := range lengths {
		watch(strings.Repeat("p", i))
		watch(strings.Repeat("p", i) + "q")
	}
	watch("other/")
	watch("other/")
	r.watch(1, Watch{Token: 1, Now: true, Space: SpaceMeta, Prefix: "other/"})
	for round := range 2 {
		for _, key := range []string{"other/x", "other", "p", "ppq", strings.Repeat("p", lengths+5), "q", "z"} {
			clear(r.told)
			r.set(1, key, "v")
			for token, prefix := range watches {
				told := 0
				for _, said := range r.told[token] {
					if strings.HasSuffix(said, ": "+key+" set") {
						told++
					}
				}
				want := 0
				if strings.HasPrefix(key, prefix) {
					want = 1
				}
				if told != want {
					t.Errorf("round %d: %q: a watch of %q was told %d times: %q", round, key, prefix, told, r.told[token])
				}
			}
		}
		for token := range watches {
			if token%3 == 0 {
				r.hosts[0].core.Unwatch(r.hosts[0].at(), 0, token)
				delete(watches, token)
			}
		}
	}
}

// TestWatchAnew: what the index does not have any more is not passed over in silence.
func TestWatchAnew(t *testing.T) {
	r := acting(t, 3, 2, Limits{IndexRows: 4, IndexTrimEvery: 2})
	r.watch(1, Watch{Token: 1, Now: true, Space: SpaceUser})
	r.set(1, "a", "1")
	first := r.last[1]
	for range 40 {
		r.set(1, "b", "2")
	}
	if r.hosts[0].core.part(0).floor <= first.Seq {
		t.Fatal("the index has all")
	}
	r.watch(1, Watch{Token: 2, From: first, Key: name("a")})
	r.isTold(2, "anew 41")
	r.set(1, "a", "2")
	r.isTold(2, "42: a set")
}

// TestWatchReplayed: a replay goes on as fast as its client, and may be overtaken.
func TestWatchReplayed(t *testing.T) {
	r := acting(t, 3, 2, Limits{IndexBytes: 1 << 20})
	for range watchRowsMax + 2 {
		r.set(1, "a", "1")
	}
	r.watch(1, Watch{Token: 1, Key: name("b")})
	r.isTold(1, "begun 0", fmt.Sprintf("paused %d", watchRowsMax))
	r.set(1, "b", "1")
	r.isTold(1)
	r.hosts[0].core.ResumeWatch(r.hosts[0].at(), 0, 1)
	r.run()
	r.isTold(1, fmt.Sprintf("%d: b set", watchRowsMax+3))
	r.set(1, "b", "2")
	r.isTold(1, fmt.Sprintf("%d: b set", watchRowsMax+4))
	from, large := r.last[1], strings.Repeat("x", 1000)
	for i := range 2 * watchBytesMax / 1000 {
		r.set(1, fmt.Sprint(i), large)
	}
	r.watch(1, Watch{Token: 2, From: from, Space: SpaceUser, Values: true})
	said := r.told[2]
	if n := len(said); n > watchBytesMax/900 || !strings.HasPrefix(said[n-1], "paused") {
		t.Errorf("told %d things at once, at last %q", len(said), said[len(said)-1])
	}
}

// TestWatchPasses: a watch that nothing concerns is told how far it is.
func TestWatchPasses(t *testing.T) {
	r := acting(t, 3, 2)
	r.watch(1, Watch{Token: 1, Now: true, Key: name("a")})
	for range 2 * watchPassEvery {
		r.set(1, "b", "1")
	}
	r.isTold(1, "begun 0", fmt.Sprintf("passed %d", watchPassEvery), fmt.Sprintf("passed %d", 2*watchPassEvery))
	r.set(1, "b", "1")
	r.isTold(1)
	r.pass(watchPassAfter + 100*time.Millisecond)
	r.isTold(1, fmt.Sprintf("passed %d", 2*watchPassEvery+1))
}

// TestWatchMoves: a change of hands ends a watch, and who goes on elsewhere misses nothing.
func TestWatchMoves(t *testing.T) {
	r := acting(t, 3, 2)
	r.watch(1, Watch{Token: 1, Now: true, Space: SpaceUser})
	r.watch(2, Watch{Token: 2, Now: true, Space: SpaceUser})
	r.isTold(2, fmt.Sprintf("ended %d", StatusMoved))
	r.set(1, "a", "1")
	last := r.last[1]
	r.change(actingAre(1, 2)) // it stays primary
	r.set(1, "b", "1")
	r.isTold(1, "begun 0", "1: a set", "2: b set")
	r.drop = lost(MsgAck)
	r.write(1, Request{Op: OpSet, Key: name("c")})
	r.run() // committed by nobody
	r.isTold(1)
	r.drop = nil
	r.change(actingAre(2, 1))
	r.watch(2, Watch{Token: 3, From: last, Space: SpaceUser}) // holds are not over
	r.isTold(3)
	r.isTold(1, fmt.Sprintf("ended %d", StatusMoved))
	r.pass(2 * r.view.LeaseTTL)
	r.isTold(3, "begun 1", "2: b set", "3: c set")
	r.set(2, "d", "1")
	r.isTold(3, "4: d set")
}

// TestFeed: all changes of what is served are told, and what is served.
func TestFeed(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "a", "1")
	for _, h := range r.hosts {
		h.core.SetFeed(h.at(), true)
	}
	isFed := func(want ...string) {
		t.Helper()
		if !slices.Equal(r.fed, want) {
			t.Errorf("fed %q, not %q", r.fed, want)
		}
		r.fed = nil
	}
	r.run()
	isFed("s1 began 1 ")
	r.do(1, Request{Op: OpDelete, Key: name("a"), ID: RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}})
	isFed("s1 changes 2 a deleted")
	r.change(actingAre(1, 2))
	r.run()
	isFed("s1 began 2 ")
	r.drop = lost(MsgAck)
	r.write(1, Request{Op: OpSet, Key: name("c")})
	r.run()
	isFed()
	r.drop = nil
	r.change(actingAre(2, 1))
	r.pass(2 * r.view.LeaseTTL)
	isFed("s1 ended 2 ", "s2 began 3 ", "s2 changes 3 c set")
	r.hosts[1].core.SetFeed(r.hosts[1].at(), false)
	r.set(2, "c", "1")
	isFed()
}

// TestFeedGoesOn: a primary that goes on in the next term tells the feed nothing until it serves,
// and then all. Meanwhile it has no lease, by which a listener knows that others may tell more; they do
// if it is replaced or removed before it serves, and it says so when it hears of that.
func TestFeedGoesOn(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		r := acting(t, 3, 2)
		for _, h := range r.hosts {
			h.core.SetFeed(h.at(), true)
		}
		r.run()
		first := r.host(1)
		isFed := func(want ...string) {
			t.Helper()
			if !slices.Equal(r.fed, want) {
				t.Errorf("replaced %v: fed %q, not %q", replaced, r.fed, want)
			}
			r.fed = nil
		}
		isFed("s1 began 0 ")
		r.drop = lost(MsgAck)
		r.write(1, Request{Op: OpSet, Key: name("a")})
		r.run()
		r.drop = func(p parcel) bool { return p.from == 1 || p.to == 1 }
		r.change(actingAre(1, 2, 3))
		r.pass(time.Second)
		isFed()
		if first.core.Leased(first.at(), 0) {
			t.Errorf("replaced %v: a primary that does not serve has a lease", replaced)
		}
		if replaced {
			r.nextTerm(actingAre(2, 3), 2, 3)
			r.pass(2 * r.view.LeaseTTL)
			isFed("s2 began 1 ", "s2 changes 1 a set")
			r.drop = nil
			first.adopt()
			r.run()
			isFed("s1 ended 0 ")
			continue
		}
		r.drop = nil
		r.pass(time.Second)
		isFed("s1 began 1 ", "s1 changes 1 a set")
	}
}
