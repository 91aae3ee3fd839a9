package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// fill appends records 0 to n-1, each in a batch of its own.
func fill(t *testing.T, f *File, n int) {
	t.Helper()
	for i := range n {
		if _, err := f.Append(t.Context(), fmt.Appendf(nil, "record %04d %s", i, strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
}

// readSome reads up to n records, or all that are there.
func readSome(t *testing.T, r interface {
	Read(ctx context.Context, follow bool) iter.Seq2[Entry, error]
}, n int) (out []Entry) {
	t.Helper()
	for e, err := range r.Read(t.Context(), false) {
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, e); len(out) == n {
			break
		}
	}
	return out
}

// TestReader: a name goes on behind what was committed, and one process reads under it at a time.
func TestReader(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/reader")
	fill(t, f, 50)
	join := func(opts ReadOptions) *Reader {
		t.Helper()
		r, err := f.ReadAs(t.Context(), "billing", opts)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := join(ReadOptions{})
	got := readSome(t, first, 10)
	if len(got) != 10 || got[0].Place != 0 {
		t.Fatalf("%d records from %d", len(got), got[0].Place)
	}
	if again := readSome(t, join(ReadOptions{}), 1); again[0].Place != 0 {
		t.Errorf("nothing was committed, and it went on at %d", again[0].Place)
	}
	if err := first.Commit(t.Context(), got[9]); !errors.Is(err, ErrNotReader) {
		t.Errorf("an earlier process commits: %v", err)
	}
	second := join(ReadOptions{})
	got = readSome(t, second, 10)
	if err := second.Commit(t.Context(), got[9]); err != nil {
		t.Fatal(err)
	}
	if err := second.Commit(t.Context(), got[3]); err != nil || second.Place() != 10 {
		t.Errorf("a commit of what comes before: %d, %v", second.Place(), err)
	}
	third := join(ReadOptions{})
	got = readSome(t, third, 100)
	if len(got) != 40 || got[0].Place != 10 {
		t.Fatalf("%d records from %d", len(got), got[0].Place)
	}
	if _, err := f.ReadAs(t.Context(), "billing", ReadOptions{From: &End}); !errors.Is(err, ErrKnownReader) {
		t.Errorf("a known name begins somewhere: %v", err)
	}
	from := AtPlace(45)
	if got := readSome(t, join(ReadOptions{From: &from, Reset: true}), 1); got[0].Place != 45 {
		t.Errorf("after a reset it begins at %d", got[0].Place)
	}
	if err := third.Commit(t.Context(), got[0]); !errors.Is(err, ErrNotReader) {
		t.Errorf("one from before the reset commits: %v", err)
	}
	if _, err := f.JoinGroup(t.Context(), "billing", GroupOptions{}); !errors.Is(err, ErrReaderKind) {
		t.Errorf("a group of a reader's name: %v", err)
	}
	for _, name := range []string{"", ".", "a/b", strings.Repeat("n", 2000), "\x00"} {
		if _, err := f.ReadAs(t.Context(), name, ReadOptions{}); !errors.Is(err, ErrBadPath) {
			t.Errorf("%.10q: %v", name, err)
		}
		if _, err := f.JoinGroup(t.Context(), name, GroupOptions{}); !errors.Is(err, ErrBadPath) {
			t.Errorf("%.10q: %v", name, err)
		}
	}
	late, err := f.ReadAs(t.Context(), "audit", ReadOptions{From: &End})
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.Readers(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "audit" || all[0].Next != 50 || all[0].Lag != 0 || all[1].Next != 45 || all[1].Lag != 5 || all[1].Group || all[1].Committed.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	fill(t, f, 1)
	got = readSome(t, late, 9)
	if len(got) != 1 || got[0].Place != 50 {
		t.Errorf("%+v", got)
	}
	if err := f.RemoveReader(t.Context(), "audit"); err != nil {
		t.Error(err)
	}
	if err := late.Commit(t.Context(), got[0]); !errors.Is(err, ErrNoReader) {
		t.Errorf("one that was removed commits: %v", err)
	}
	if err := f.RemoveReader(t.Context(), "audit"); !errors.Is(err, ErrNoReader) {
		t.Error(err)
	}
}

// TestReadersGo: places go with the file, and those that were left over are swept.
func TestReadersGo(t *testing.T) {
	s := connect(t)
	o := s.op(t.Context(), "look", "")
	dirs := func() []string {
		t.Helper()
		names, err := o.names(readersRoot)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	f := create(t, s, "/gone")
	if _, err := f.ReadAs(t.Context(), "r", ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	g, err := f.JoinGroup(t.Context(), "g", GroupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, f, 3)
	readSome(t, g, 2)
	_, name := tree.Split(readersOf(f.of))
	if !slices.Contains(dirs(), name) {
		t.Fatal("no places")
	}
	if err := s.Remove(t.Context(), "/gone"); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(dirs(), name) {
		t.Error("the places are still there")
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), "/gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	f = create(t, s, "/left")
	if _, err := f.ReadAs(t.Context(), "r", ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := tree.Remove(o.ask, "/left", tree.Always); err != nil { // as by a front
		t.Fatal(err)
	}
	if _, err := f.ReadAs(t.Context(), "another", ReadOptions{}); !errors.Is(err, ErrRemoved) {
		t.Errorf("a reader of a removed file: %v", err)
	}
	_, name = tree.Split(readersOf(f.of))
	for i := 0; slices.Contains(dirs(), name); i++ { // chance decides which are looked at
		if i == 1000 {
			t.Fatal("what a removed file left is not swept")
		}
		o.sweep()
	}
}

// TestGroup: members share the chunks, each is read by one, in order; what one leaves others take over, from what it
// committed.
func TestGroup(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/group")
	fill(t, f, 200)
	join := func(name string) *Group {
		t.Helper()
		g, err := f.JoinGroup(t.Context(), "g", GroupOptions{Member: name})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	a, b := join("a"), join("b")
	first := readSome(t, a, 3)
	if err := a.Commit(t.Context(), first[1]); err != nil {
		t.Fatal(err)
	}
	others := readSome(t, b, 5)
	if first[0].Place != 0 || others[0].Place <= first[2].Place {
		t.Fatalf("a begins at %d, b at %d", first[0].Place, others[0].Place)
	}
	all, err := f.Readers(t.Context())
	if err != nil || len(all) != 1 || !all[0].Group || all[0].Next != 2 || all[0].Lag != 198 || !slices.Equal(slices.Sorted(slices.Values(all[0].Members)), []string{"a", "b"}) {
		t.Errorf("%+v, %v", all, err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(t.Context(), others[4]); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]int{0: 1, 1: 1}
	for _, e := range others {
		seen[e.Place]++
	}
	last := map[int]int64{}
	// Until a's claim is removed, which is soon after its session's end, there is nothing to do but to ask again.
	for round := 0; len(seen) < 200; round++ {
		if t.Context().Err() != nil || round == 10_000 {
			t.Fatalf("%d records were read", len(seen))
		}
		for e, err := range b.Read(t.Context(), false) {
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := last[e.turn]; ok && e.Place != before+1 {
				t.Fatalf("%d after %d", e.Place, before)
			}
			last[e.turn] = e.Place
			seen[e.Place]++
			if err := b.Commit(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	for p, n := range seen {
		if n != 1 {
			t.Errorf("%d was read %d times", p, n)
		}
	}
	all, err = f.Readers(t.Context())
	if err != nil || len(all) != 1 || all[0].Lag != 0 || all[0].Next != 200 {
		t.Errorf("%+v, %v", all, err)
	}
	names, err := s.op(t.Context(), "look", "").names(a.path)
	if err != nil || len(names) > 4 {
		t.Errorf("the group has %q left, %v", names, err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCutOff: what is removed before a name has read it is told, and counted.
func TestCutOff(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/cut-off")
	fill(t, f, 100)
	r, err := f.ReadAs(t.Context(), "r", ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(t.Context(), readSome(t, r, 5)[4]); err != nil {
		t.Fatal(err)
	}
	g, err := f.JoinGroup(t.Context(), "g", GroupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Commit(t.Context(), readSome(t, g, 7)[6]); err != nil {
		t.Fatal(err)
	}
	o := s.op(t.Context(), "trim", f.path)
	p, err := o.ask(&wire.TreeRequest{Op: wire.TreeTrim, Home: f.of.Home, Nonce: f.of.Version, Records: wire.TreeRecords{First: 3}}) // as the janitor does
	if err != nil || p.Code != wire.TreeOK {
		t.Fatal(p.Code, err)
	}
	head, err := f.records(o).Head(3)
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.Readers(t.Context())
	if err != nil || len(all) != 2 || all[0].Removed != head.First-7 || all[0].Lag != 93 || all[1].Removed != head.First-5 || all[1].Lag != 95 {
		t.Errorf("%+v, %v", all, err)
	}
	check := func(what string, got []Entry, from int64) {
		t.Helper()
		if len(got) != 2 || !got[0].Retired || got[0].Place != from || got[0].Lost != head.First-from || got[1].Place != head.First {
			t.Errorf("%s: %+v", what, got)
		}
	}
	got := readSome(t, r, 2)
	check("reader", got, 5)
	if err := r.Commit(t.Context(), got[0]); err != nil || r.Place() != head.First {
		t.Errorf("%d, %v", r.Place(), err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	g, err = f.JoinGroup(t.Context(), "g", GroupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check("group", readSome(t, g, 2), 7)
	if again := readSome(t, g, 1); again[0].Place != head.First {
		t.Errorf("%+v", again)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
