package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"viewring/client"
	"viewring/tests/local"
)

// The tests of this package, and the examples, share a cluster of three servers within this process.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// connect opens the record files of the cluster; chunks may be small.
func connect(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), cluster().Options())
	if err != nil {
		t.Fatal(err)
	}
	s.min = 1 << 10
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// create makes a file of small chunks.
func create(t *testing.T, s *Store, path string) *File {
	t.Helper()
	if err := s.Create(t.Context(), path, CreateOptions{ChunkBytes: 2 << 10}); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// all reads a file from somewhere to its end.
func all(t *testing.T, f *File, from From) (out []Entry) {
	t.Helper()
	for e, err := range f.Read(t.Context(), from, false) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// TestAppendAndRead: records of lengths around the bounds, over many chunks, and where readers begin.
func TestAppendAndRead(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/lengths")
	var want []string
	for i := range 40 {
		r := strings.Repeat(string(rune('a'+i%26)), []int{0, 1, 100, int(f.BatchBytesMax()) - 3}[i%4])
		out, err := f.Append(t.Context(), []byte(r), fmt.Appendf(nil, "%03d", i))
		if err != nil || out.Place != int64(len(want)) || out.Count != 2 || out.Time.IsZero() {
			t.Fatalf("%d: %+v, %v", i, out, err)
		}
		want = append(want, r, fmt.Sprintf("%03d", i))
	}
	entries := all(t, f, Start)
	for i, e := range entries {
		if e.Place != int64(i) || string(e.Data) != want[i] || e.Lost != 0 || i > 0 && e.Time.Before(entries[i-1].Time) {
			t.Fatalf("%d: %+v, want %.10q", i, e, want[i])
		}
	}
	if len(entries) != len(want) {
		t.Fatalf("%d records", len(entries))
	}
	for _, n := range []int{0, 1, 33, 79, 80, 500} {
		got := all(t, f, AtPlace(int64(n)))
		if len(got) != max(0, len(want)-n) || len(got) > 0 && got[0].Place != int64(n) {
			t.Errorf("from %d: %d records", n, len(got))
		}
	}
	at := entries[50].Time
	got := all(t, f, AtTime(at))
	if len(got) == 0 || got[0].Time.Before(at) || got[0].Place > 50 || got[0].Place > 0 && !entries[got[0].Place-1].Time.Before(at) {
		t.Errorf("from %v: %+v", at, got)
	}
	if got := all(t, f, End); len(got) != 0 {
		t.Errorf("behind the end: %+v", got)
	}
	st, err := f.Stat(t.Context())
	if err != nil || st.First != 0 || st.End != int64(len(want)) || st.Chunks < 4 || st.ChunkBytes != 2<<10 || !st.LastTime.Equal(entries[len(entries)-1].Time) || st.Bytes < 7000 {
		t.Errorf("%+v, %v", st, err)
	}
	if v, err := f.Verify(t.Context(), nil); err != nil || v.Records != int64(len(want)) || v.Lost != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestManyProducers: what several append at a time lands once each, in the order of each, and followers
// read the same.
func TestManyProducers(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/many")
	const producers, each = 8, 60
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read := make([][]string, 2)
	var reading, writing sync.WaitGroup
	for i := range read {
		reading.Go(func() {
			for e, err := range f.Read(ctx, Start, true) {
				if err != nil || e.Lost > 0 || e.Place != int64(len(read[i])) {
					t.Errorf("%+v, %v", e, err)
					return
				}
				if read[i] = append(read[i], string(e.Data)); len(read[i]) == producers*each {
					return
				}
			}
		})
	}
	places := make([][]int64, producers)
	for p := range producers {
		writing.Go(func() {
			mine, err := s.Open(ctx, "/many") // half of them share an appender
			if p%2 == 0 {
				mine = f
			}
			var named *Producer
			if p%4 == 1 && err == nil {
				named, err = mine.Join(ctx, fmt.Sprint("producer ", p))
			}
			for i := 0; i < each && err == nil; i++ {
				var out Appended
				if record := fmt.Appendf(nil, "%d %d", p, i); named != nil {
					out, err = named.Append(ctx, int64(i), record)
				} else {
					out, err = mine.Append(ctx, record)
				}
				places[p] = append(places[p], out.Place)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	writing.Wait()
	reading.Wait()
	if len(read[0]) != producers*each || !slices.Equal(read[0], read[1]) {
		t.Fatalf("%d and %d records", len(read[0]), len(read[1]))
	}
	for p := range producers {
		for i, place := range places[p] {
			if read[0][place] != fmt.Sprintf("%d %d", p, i) {
				t.Fatalf("at %d is %q, and %d of %d was answered so", place, read[0][place], i, p)
			}
		}
	}
}

// TestNamedProducer: a process that comes back goes on, what it had sent is taken once, and the one before is
// fenced.
func TestNamedProducer(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/named")
	first, err := f.Join(t.Context(), "p")
	if err != nil || first.Known() || first.Next() != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	record := func(from, to int) (out [][]byte) {
		for i := from; i < to; i++ {
			out = append(out, fmt.Appendf(nil, "record %d", i))
		}
		return out
	}
	if out, err := first.Append(t.Context(), 0, record(0, 5)...); err != nil || out.Known || out.Place != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err := first.Append(t.Context(), 0, record(0, 5)...); err != nil || !out.Known || out.Place != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	for range 30 { // other chunks
		if _, err := f.Append(t.Context(), make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
	}
	var gap *GapError
	if _, err := first.Append(t.Context(), 9, record(9, 10)...); !errors.Is(err, ErrGap) || !errors.As(err, &gap) || gap.Next != 5 {
		t.Errorf("%v", err)
	}
	second, err := f.Join(t.Context(), "p")
	if err != nil || !second.Known() || second.Next() != 5 {
		t.Fatalf("%+v, %v", second, err)
	}
	if out, err := second.Append(t.Context(), 3, record(3, 8)...); err != nil || out.Count != 5 || out.Place != -1 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := first.Append(t.Context(), 5, record(5, 6)...); !errors.Is(err, ErrFenced) {
		t.Errorf("%v", err)
	}
	var got []string
	for _, e := range all(t, f, Start) {
		if strings.HasPrefix(string(e.Data), "record") {
			got = append(got, string(e.Data))
			if e.Sequence != int64(len(got)-1) || e.Producer != producerID("p") {
				t.Errorf("%+v", e)
			}
		}
	}
	if len(got) != 8 || got[7] != "record 7" {
		t.Errorf("%q", got)
	}
}

// TestUnknownOutcome: after one, a named producer sends the same batch, and nothing else.
func TestUnknownOutcome(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/unknown")
	p, err := f.Join(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	p.pending = &pending{0, 1, 7}
	if _, err := p.Append(t.Context(), 0, []byte("another")); !errors.Is(err, ErrPending) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Append(ctx, []byte("a")); err == nil {
		t.Error("appended")
	}
	if got := all(t, f, Start); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestRefusals: what is no record file, or beyond the bounds.
func TestRefusals(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/refusals")
	ctx := t.Context()
	if err := s.Create(ctx, "/refusals", CreateOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := s.Create(ctx, "/no/parent", CreateOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := s.Create(ctx, "/refusals/child", CreateOptions{}); err == nil {
		t.Error("a file has a child")
	}
	for _, n := range []int64{5, ChunkBytesMax + 1, -1} {
		if err := s.Create(ctx, "/size", CreateOptions{ChunkBytes: n}); !errors.Is(err, client.ErrTooLarge) {
			t.Error(err)
		}
	}
	for _, path := range []string{"", "relative", "/..", "/a/", "/" + strings.Repeat("n", 10_000)} {
		if err := s.Create(ctx, path, CreateOptions{}); !errors.Is(err, ErrBadPath) {
			t.Errorf("%.20q: %v", path, err)
		}
	}
	if _, err := s.Open(ctx, "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := s.Open(ctx, "/"); !errors.Is(err, ErrNotRecords) {
		t.Error(err)
	}
	if _, err := f.Append(ctx); err == nil {
		t.Error("nothing was appended")
	}
	quarter := make([]byte, f.BatchBytesMax())
	if _, err := f.Append(ctx, quarter); err != nil {
		t.Error(err)
	}
	if _, err := f.Append(ctx, append(quarter, 1)); !errors.Is(err, client.ErrTooLarge) {
		t.Error(err)
	}
	if got := all(t, f, Start); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}
