package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"

	"viewring/client"
)

// TestBeside: files of both directories lie in the same slot, for each slot that there is.
func TestBeside(t *testing.T) {
	for _, dir := range []string{"/", "/a", "/a/b{tag}/c"} {
		got, err := Beside(dir, "/uploads/x")
		if err != nil || homeOf(got) != homeOf(dir) || homeOf(got+"/below") != homeOf(dir) {
			t.Errorf("beside %s: %s, %v", dir, got, err)
		}
	}
	const slots = 16384
	seen := map[uint16]bool{}
	for n := 0; len(seen) < slots; n++ {
		if n == besideMax {
			t.Fatalf("%d slots of %d", len(seen), slots)
		}
		seen[homeOf(fmt.Sprint(n))] = true
	}
	for _, bad := range [][2]string{{"/a", "/x{1}"}, {"/a", "x"}, {"a", "/x"}, {"/a", "/x}"}} {
		if p, err := Beside(bad[0], bad[1]); !errors.Is(err, ErrBadPath) {
			t.Errorf("%v: %s, %v", bad, p, err)
		}
	}
}

// concatModel puts files together that were written in all ways, and edits the outcome.
func concatModel(t *testing.T, f *FS, dir string, seed uint64, rounds int) {
	t.Helper()
	ctx := t.Context()
	r := rand.New(rand.NewPCG(seed, 3))
	beside, err := Beside(dir, dir+"-parts")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{}
	var names []string
	chunk := int(f.chunk)
	for i := range 12 {
		path := fmt.Sprint([]string{dir, beside, dir + "-far"}[r.IntN(3)], "/", i)
		b := pattern(i, []int{0, 1, chunk - 1, chunk, 2 * chunk, 5 * chunk, 3*chunk + 1, r.IntN(9 * chunk)}[r.IntN(8)])
		if _, err := f.Put(ctx, path, bytes.NewReader(b), PutOptions{Parents: true}); err != nil {
			t.Fatal(err)
		}
		if at := r.IntN(len(b) + chunk); i%3 == 0 {
			if _, err := f.Update(ctx, path, int64(at), bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := read(f, path)
		if err != nil {
			t.Fatal(err)
		}
		want[path] = got
		names = append(names, path)
	}
	for i := range rounds {
		var parts []string
		var whole []byte
		for range r.IntN(6) {
			p := names[r.IntN(len(names))]
			parts, whole = append(parts, p), append(whole, want[p]...)
		}
		if len(whole) > 400*chunk {
			continue
		}
		to := names[r.IntN(len(names))]
		if r.IntN(2) == 0 {
			to = fmt.Sprint(dir, "/c", i)
			names = append(names, to)
		}
		info, err := f.Concat(ctx, to, parts, PutOptions{})
		if err != nil || info.Bytes != int64(len(whole)) {
			t.Fatalf("seed %d: %s of %v: %+v, %v", seed, to, parts, info, err)
		}
		want[to] = whole
		wantFile(t, f, to, whole)
		switch r.IntN(4) {
		case 0:
			n := r.IntN(len(whole) + 1)
			_, err = f.Truncate(ctx, to, int64(n))
			want[to] = whole[:n:n]
		case 1:
			_, err = f.Append(ctx, to, bytes.NewReader(pattern(i, 20)))
			want[to] = append(whole, pattern(i, 20)...)
		case 2:
			at := r.IntN(len(whole) + 1)
			n := min(len(whole)-at, r.IntN(3*chunk))
			_, err = f.Update(ctx, to, int64(at), bytes.NewReader(pattern(i, n)))
			want[to] = bytes.Clone(whole)
			copy(want[to][at:], pattern(i, n))
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wantFile(t, f, to, want[to])
	}
	for _, p := range names {
		wantFile(t, f, p, want[p])
		if err := f.Rename(ctx, p, p+"-moved"); err != nil {
			t.Fatal(err)
		}
		wantFile(t, f, p+"-moved", want[p])
	}
}

// TestConcat: files are put together of any others, and stay what they are.
func TestConcat(t *testing.T) {
	for seed := range uint64(40) {
		m := newMemory()
		concatModel(t, small(m), "/d", seed, 30)
		m.tidy(t)
	}
}

// TestConcatOnServers is TestConcat on servers.
func TestConcatOnServers(t *testing.T) {
	f := connect(t)
	f.chunk, f.inline = 1<<10, 100
	concatModel(t, f, "/concat", 1, 12)
}

// TestConcatShares: what can be shared is, of as many parts as servers allow, and nothing that can't be is.
func TestConcatShares(t *testing.T) {
	m := newMemory()
	f := small(m)
	parts := []string{}
	for i := range 300 {
		p := fmt.Sprintf("/d{t}/%03d", i)
		b := pattern(i, 32)
		if i == 299 {
			b = b[:20]
		}
		if _, err := f.Put(t.Context(), p, bytes.NewReader(b), PutOptions{Parents: true}); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	for what, c := range map[string]struct {
		to    string
		parts []string
		new   int // chunks that are stored
	}{
		"all shared":       {"/e{t}/f", parts[:100], 0},
		"the last shorter": {"/e{t}/f", parts[250:], 0},
		"one is shorter":   {"/e{t}/f", append(append([]string{}, parts[297:]...), parts[:3]...), 8},
		"elsewhere":        {"/f", parts[:10], 20},
		"too many":         {"/e{t}/f", parts, 2*(299-concatOwnersMax) + 2},
	} {
		chunks, gets := len(m.chunks), m.gets
		if _, err := f.Concat(t.Context(), c.to, c.parts, PutOptions{Parents: true}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := len(m.chunks) - chunks; n != c.new || m.gets-gets != c.new {
			t.Errorf("%s: %d chunks were stored and %d read, want %d", what, n, m.gets-gets, c.new)
		}
		var whole []byte
		for _, p := range c.parts {
			b, err := read(f, p)
			if err != nil {
				t.Fatal(err)
			}
			whole = append(whole, b...)
		}
		wantFile(t, f, c.to, whole)
		if err := f.Remove(t.Context(), c.to); err != nil {
			t.Fatal(err)
		}
		m.tidy(t)
	}
	if err := f.RemoveAll(t.Context(), "/d{t}", nil); err != nil {
		t.Fatal(err)
	}
	m.tidy(t)
}

// TestConcatRefused: what is wrong is told, and nothing is changed.
func TestConcatRefused(t *testing.T) {
	m := newMemory()
	f := small(m)
	ctx := t.Context()
	i, err := f.Put(ctx, "/a", bytes.NewReader(pattern(1, 64)), PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	errPart := errors.New("another part")
	seen := 0
	part := func(n int, p Info) error {
		if n != seen || p.Path != "/a" || p.Modified != i.Modified {
			t.Errorf("part %d: %+v", n, p)
		}
		if seen++; n == 1 {
			return errPart
		}
		return nil
	}
	for what, c := range map[string]struct {
		parts []string
		opts  PutOptions
		want  error
	}{
		"no such part":       {[]string{"/a", "/none"}, PutOptions{}, fs.ErrNotExist},
		"a directory":        {[]string{"/a", "/"}, PutOptions{}, ErrIsDirectory},
		"a part that is not": {[]string{"/a", "/a", "/a"}, PutOptions{Part: part}, errPart},
		"not sealed":         {[]string{"/a", "/a"}, PutOptions{Seal: func(Info) (Attributes, error) { return Attributes{}, errPart }}, errPart},
		"another version":    {[]string{"/a", "/a"}, PutOptions{IfModified: client.Version{Term: 9}}, ErrChanged},
		"there":              {[]string{"/a", "/a"}, PutOptions{IfAbsent: true}, fs.ErrExist},
		"bad path":           {[]string{"/a", "a"}, PutOptions{}, ErrBadPath},
	} {
		if _, err := f.Concat(ctx, "/a", c.parts, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantFile(t, f, "/a", pattern(1, 64))
	if _, err := f.Concat(ctx, "/a", []string{"/a", "/a"}, PutOptions{}); err != nil {
		t.Error(err)
	}
	wantFile(t, f, "/a", append(pattern(1, 64), pattern(1, 64)...))
	if _, err := f.Concat(ctx, "/empty", nil, PutOptions{}); err != nil {
		t.Error(err)
	}
	wantFile(t, f, "/empty", []byte{})
	m.tidy(t)
}
