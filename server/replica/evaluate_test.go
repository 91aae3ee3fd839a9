package replica

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/internal/invariant"

	"viewring/ring"
)

// counted is an evaluation that takes the next number from the key "next", and writes what it
// gets to the key "taken" and that number, of which it asks to be shown the key.
func counted(value string) Request {
	keys := []Key{name("next"), name("other")}
	return Request{Op: OpEvaluate, Key: keys[0], Keys: keys, Evaluate: func(found []Item, version Version, _ int64) Outcome {
		taken := name(fmt.Sprint("taken", len(found[0].Value)))
		if len(found) == len(keys) {
			return Outcome{More: []Key{taken}}
		}
		if !found[2].Version.IsZero() {
			return Outcome{Answer: Answer{Status: StatusCondFailed, Version: found[2].Version, Number: -1}}
		}
		return Outcome{Writes: []KeyWrite{{Key: taken, Value: []byte(value)}, {Key: keys[0], Value: append(found[0].Value[:len(found[0].Value):len(found[0].Value)], '|')}, {Key: keys[1], Delete: true}},
			Answer: Answer{Status: StatusOK, Version: version, Number: int64(len(found[0].Value))}}
	}}
}

// TestH31: an evaluation sees what is not committed yet, and what it writes is one entry.
func TestH31(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.set(1, "other", "1")
		r.drop = lost(MsgAck)
		one, two := r.write(1, counted("a")), r.write(1, counted("b"))
		r.run()
		if len(r.got) > 1 {
			t.Fatalf("answered before the commit: %+v", r.got)
		}
		r.drop = nil
		r.pass(time.Second)
		if a, b := r.answered(one), r.answered(two); a.Number != 0 || b.Number != 1 || b.Version.Seq != a.Version.Seq+1 {
			t.Fatalf("%+v, %+v", a, b)
		}
		v := r.answered(two).Version
		for id := 1; id <= 2; id++ {
			if r.versionAt(id, "taken1") != v || r.versionAt(id, "next") != v || !r.versionAt(id, "other").IsZero() {
				return false
			}
		}
		r.change(actingAre(2, 1))
		r.pass(2 * r.view.LeaseTTL)
		return r.get(2, "taken0") == "a" && r.get(2, "taken1") == "b" && r.get(2, "next") == "||"
	})
}

// TestH31Retry: the answer is recorded, whatever it is, and a retry evaluates nothing.
func TestH31Retry(t *testing.T) {
	r := acting(t, 2, 2)
	ok := counted("a")
	ok.ID = RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}
	first := r.do(1, ok)
	r.set(1, "taken1", "there")
	no := counted("b")
	no.ID = RequestID{Client: [16]byte{1}, Number: 2, Born: r.wall}
	failed := r.do(1, no)
	r.do(1, Request{Op: OpDelete, Key: name("taken1")})
	r.change(actingAre(2, 1))
	r.pass(2 * r.view.LeaseTTL)
	if again := r.do(2, ok); first.Status != StatusOK || again.Version != first.Version || again.Number != first.Number {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if again := r.do(2, no); failed.Status != StatusCondFailed || again.Status != StatusCondFailed || again.Version != failed.Version || again.Number != -1 {
		t.Errorf("first %+v, again %+v", failed, again)
	}
}

// TestH31Repaired: an evaluation waits for each key that cannot be read, also of those that it
// asks for, and a range for what lies in it.
func TestH31Repaired(t *testing.T) {
	r := acting(t, 3, 2)
	r.do(1, batchOf("next", "|", "taken1", "there", "taken2", "there"))
	r.host(1).spoilKey("next")
	r.host(1).spoilKey("taken1")
	if a := r.do(1, counted("a")); a.Status != StatusCondFailed || a.Number != -1 {
		t.Errorf("%+v", a)
	}
	r.host(1).spoilKey("taken2")
	g := &Range{Prefix: name("taken"), ItemsMax: 10, KeysMax: 10, BytesMax: 1000, ReadMax: 1000, Head: upTo(100)}
	if a := r.do(1, ranged(g)); a.Status != StatusOK || len(g.Items) != 2 {
		t.Errorf("%+v, %+v", a, g)
	}
	r.wantStored("taken2", "there")
}

func (m *memory) ScanKeys(p ring.PartitionID, _ Key, from Cursor, fn func(Key) bool) error {
	return m.Scan(p, from, func(key Key, _ []byte) bool { return fn(key) })
}

func (m *memory) ScanInto(p ring.PartitionID, from Cursor, room func(int) []byte, fn func(Key, []byte) bool) error {
	return m.Scan(p, from, func(key Key, item []byte) bool {
		if b := room(len(item)); b != nil {
			copy(b, item)
			item = b
		}
		return fn(key, item)
	})
}

// upTo is the Head of so many bytes; of none, keys alone.
func upTo(n int) func([]byte) int {
	if n == 0 {
		return nil
	}
	return func([]byte) int { return n }
}

// ranged is an evaluation that writes nothing, and fills a range.
func ranged(g *Range) Request {
	return Request{Op: OpEvaluate, Key: name("next"), Keys: []Key{name("next")}, Frees: true, Range: g,
		Evaluate: func([]Item, Version, int64) Outcome { return Outcome{Answer: Answer{Status: StatusOK}} }}
}

// TestH31Range: a range is the state at the head of the log, also of what no batch has brought
// to the store, page by page; on the spot it is read only where nothing is under way.
func TestH31Range(t *testing.T) {
	r := acting(t, 2, 2)
	want := map[string]string{}
	for i := range 20 {
		key := fmt.Sprint("in/", i)
		r.set(1, key, "old")
		r.set(1, fmt.Sprint("out/", i), "x")
		want[key] = "old"
	}
	h := r.host(1)
	spot := func() (*Range, bool) {
		g := &Range{Prefix: name("in/"), ItemsMax: 100, KeysMax: 100, BytesMax: 1 << 20, ReadMax: 1 << 20, Head: upTo(100)}
		_, ok := h.core.ReadRange(h.at(), 0, []Key{name("in/0")}, g)
		return g, ok
	}
	if g, ok := spot(); !ok || len(g.Items) != 20 || g.More {
		t.Errorf("on the spot: %v, %d items", ok, len(g.Items))
	}
	for _, pairs := range [][]string{{"in/4", "-"}, {"in/3", "new"}, {"in/new", "new"}, {"out/new", "x"}} {
		r.write(1, batchOf(pairs...))
		if _, ok := spot(); ok {
			t.Errorf("read on the spot while %v is under way", pairs)
		}
	}
	want["in/3"], want["in/new"] = "new", "new"
	delete(want, "in/4")
	got, pages := map[string]string{}, 0
	for g := (&Range{Prefix: name("in/"), ItemsMax: 3, KeysMax: 5, BytesMax: 1 << 20, ReadMax: 1 << 20, Head: upTo(100)}); ; g.From = g.Next {
		token := r.write(1, ranged(g))
		for _, it := range g.Items {
			if _, twice := got[it.Key.Name()]; twice {
				t.Errorf("%s twice", it.Key.Name())
			}
			got[it.Key.Name()] = string(it.Item.Value)
		}
		if pages++; pages == 1 {
			if _, early := r.got[token]; early {
				t.Error("answered before the commit")
			}
		}
		if !g.More {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || pages < 7 {
		t.Errorf("%d pages: %v, want %v", pages, got, want)
	}
	r.run()
}

// TestH31RangeHeads: of values as much is told as is wanted; of keys alone nothing is read, damage neither, and changes of
// values may be under way.
func TestH31RangeHeads(t *testing.T) {
	r := acting(t, 2, 2)
	r.do(1, batchOf("in/", "|", "in/a", "0123456789", "in/b", "01"))
	h := r.host(1)
	read := func(head int) (g *Range, ok bool) {
		g = &Range{Prefix: name("in/"), ItemsMax: 100, KeysMax: 100, BytesMax: 1 << 20, ReadMax: 1 << 20, Head: upTo(head)}
		_, ok = h.core.ReadRange(h.at(), 0, []Key{name("in/")}, g)
		return g, ok
	}
	if g, ok := read(4); !ok || len(g.Items) != 2 {
		t.Errorf("heads: %v, %+v", ok, g.Items)
	}
	for _, c := range []struct {
		head int
		want string
	}{{4, "in/a 10 0123, in/b 2 01"}, {0, "in/a 0 , in/b 0 "}} {
		g, ok := read(c.head)
		var got []string
		for _, it := range g.Items {
			got = append(got, fmt.Sprintf("%s %d %s", it.Key.Name(), it.Length, it.Item.Value))
		}
		if slices.Sort(got); !ok || strings.Join(got, ", ") != c.want {
			t.Errorf("%d bytes of each: %v, %q", c.head, ok, got)
		}
	}
	r.write(1, batchOf("in/a", "new"))
	if _, ok := read(4); ok {
		t.Error("a value that is being changed is told")
	}
	if g, ok := read(0); !ok || len(g.Items) != 2 {
		t.Errorf("keys alone, while a value is changed: %v, %d", ok, len(g.Items))
	}
	r.write(1, batchOf("in/", "|", "in/c", "x"))
	if _, ok := read(0); ok {
		t.Error("keys alone are told while the key is written that is read with them")
	}
	r.run()
	h.spoilKey("in/b")
	if g, ok := read(0); !ok || len(g.Items) != 3 {
		t.Errorf("keys alone, one of them damaged: %v, %d", ok, len(g.Items))
	}
}

// TestH31RangeBounds: what lies between counts as looked at alone, and a page that is full goes
// on over it.
func TestH31RangeBounds(t *testing.T) {
	r := acting(t, 1, 1)
	r.set(1, "in/", "the prefix itself is none of it")
	for i := range 10 {
		r.set(1, fmt.Sprint("in/", i), strings.Repeat("x", 100))
		for k := range 3 {
			r.set(1, fmt.Sprint("out/", i, "/", k), strings.Repeat("x", 1000))
		}
	}
	pages := func(g Range) (pages int) {
		g.Prefix, g.Head = name("in/"), upTo(200)
		told := make(map[Key]bool)
		for g.More = true; g.More; pages++ {
			if a := r.do(1, ranged(&g)); a.Status != StatusOK {
				t.Fatalf("%+v", a)
			}
			for _, it := range g.Items {
				if told[it.Key] || it.Key == g.Prefix {
					t.Errorf("%q is told twice, or is none of it", it.Key)
				}
				told[it.Key] = true
			}
			g.From = g.Next
		}
		if len(told) != 10 {
			t.Errorf("%d of 10", len(told))
		}
		return pages
	}
	const plenty = 1 << 20
	for _, c := range []struct {
		what       string
		g          Range
		least, max int
	}{
		{"just enough", Range{ItemsMax: 10, BytesMax: 2000, KeysMax: 41, ReadMax: 50_000}, 1, 1},
		{"half the items", Range{ItemsMax: 5, BytesMax: plenty, KeysMax: plenty, ReadMax: plenty}, 2, 2},
		{"half the bytes", Range{ItemsMax: plenty, BytesMax: 600, KeysMax: plenty, ReadMax: plenty}, 2, 2},
		{"half the keys", Range{ItemsMax: plenty, BytesMax: plenty, KeysMax: 21, ReadMax: plenty}, 2, 2},
		{"a tenth of what is read", Range{ItemsMax: plenty, BytesMax: plenty, KeysMax: plenty, ReadMax: 3000}, 8, 12},
	} {
		if n := pages(c.g); n < c.least || n > c.max {
			t.Errorf("%s: %d pages", c.what, n)
		}
	}
}

// TestH31Limits: what is too large is not written, and recorded; a full server takes what
// frees; what the server in front must see to is checked.
func TestH31Limits(t *testing.T) {
	r := acting(t, 2, 2) // values up to 1 KiB
	big := counted(strings.Repeat("x", 1<<10))
	big.ID = RequestID{Client: [16]byte{1}, Number: 1, Born: r.wall}
	if a := r.do(1, big); a.Status != StatusTooLarge || r.get(1, "next") != "" {
		t.Errorf("%+v", a)
	}
	for _, h := range r.hosts {
		h.core.SetFull(h.at(), true)
	}
	r.mono += 2 * fullPatience
	r.pings()
	if a := r.do(1, counted("a")); a.Status != StatusFull {
		t.Errorf("full: %+v", a)
	}
	frees := counted("a")
	frees.Frees = true
	if a := r.do(1, frees); a.Status != StatusOK {
		t.Errorf("full, frees: %+v", a)
	}
	other := counted("a")
	other.Keys = []Key{MakeKey(2, SpaceUser, "a")}
	other.Frees = true
	defer func() {
		if _, ok := recover().(invariant.Violation); !ok {
			t.Errorf("taken: %v", other.Keys)
		}
	}()
	r.write(1, other)
}

// TestH31BadOutcome: an evaluation that comes to what it may not is refused, nothing of it is
// written or recorded, and the partition goes on.
func TestH31BadOutcome(t *testing.T) {
	r := acting(t, 2, 2)
	r.badOutcomes = true
	r.set(1, "next", "|")
	ok := Answer{Status: StatusOK}
	next, elsewhere := KeyWrite{Key: name("next")}, MakeKey(2, SpaceUser, "a")
	many := make([]Key, BatchKeysMax)
	for i := range many {
		many[i] = name(fmt.Sprint("many", i))
	}
	for i, bad := range []Outcome{
		{Answer: ok, Writes: []KeyWrite{next, {Key: name("unseen")}}},
		{Answer: ok, Writes: []KeyWrite{next, next}},
		{Answer: ok, Writes: []KeyWrite{{Key: next.Key, Expiry: 1}}},
		{Answer: ok, Writes: []KeyWrite{{Key: next.Key, TTL: 1}}},
		{Answer: ok, Writes: []KeyWrite{{Key: elsewhere}}},
		{Writes: []KeyWrite{next}},
		{Answer: Answer{Status: StatusMoved}},
		{More: []Key{elsewhere}},
		{More: []Key{name("other")}}, // again and again
		{More: []Key{name("more"), name("more")}},
		{More: many},
	} {
		q := counted("a")
		q.ID = RequestID{Client: [16]byte{1}, Number: uint64(1 + i), Born: r.wall}
		q.Evaluate = func([]Item, Version, int64) Outcome { return bad }
		if a := r.do(1, q); a.Status != StatusBadOutcome || r.get(1, "next") != "|" {
			t.Errorf("%d: %+v, %q", i, a, r.get(1, "next"))
		}
		q.Evaluate = func([]Item, Version, int64) Outcome { return Outcome{Answer: ok} }
		if a := r.do(1, q); a.Status != StatusOK {
			t.Errorf("%d: a retry: %+v", i, a)
		}
	}
	asks := 0
	forever := counted("a")
	forever.Evaluate = func([]Item, Version, int64) Outcome {
		asks++
		return Outcome{More: []Key{name(fmt.Sprint("another", asks))}}
	}
	if a := r.do(1, forever); a.Status != StatusBadOutcome || asks > BatchKeysMax {
		t.Errorf("%+v after %d", a, asks)
	}
	if a := r.do(1, counted("a")); a.Status != StatusOK || r.get(1, "taken1") != "a" {
		t.Errorf("after all that: %+v", a)
	}
}
