package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"viewring/client"
	"viewring/internal/wire"
)

// pattern is n bytes that tell where they are, and of which writer.
func pattern(writer, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(writer), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// read is a whole file by Get, which compares its checksum.
func read(f *FS, path string) ([]byte, error) {
	var b bytes.Buffer
	_, err := f.Get(context.Background(), path, &b)
	return b.Bytes(), err
}

func wantFile(t *testing.T, f *FS, path string, want []byte) {
	t.Helper()
	got, err := read(f, path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes, %v, want %d (equal: %v)", path, len(got), err, len(want), bytes.Equal(got, want))
	}
}

// TestLengths: files of lengths around all bounds are what was put, read in each way.
func TestLengths(t *testing.T) {
	m := newMemory()
	f := small(m)
	lengths := []int{0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 16 * 15, 16 * 16, 16*16 + 1, 16 * 100, 16*2000 + 5}
	for _, n := range lengths {
		want := pattern(n, n)
		info, err := f.Put(t.Context(), "/dir/file", bytes.NewReader(want), PutOptions{Parents: true})
		if err != nil || info.Bytes != int64(n) {
			t.Fatalf("%d bytes: %+v, %v", n, info, err)
		}
		wantFile(t, f, "/dir/file", want)
		if s, err := f.Stat(t.Context(), "/dir/file"); err != nil || s.Bytes != int64(n) || s.Dir || s.Modified != info.Modified {
			t.Errorf("%+v, %v, want %v", s, err, info.Modified)
		}
		file, err := f.OpenFile(t.Context(), "/dir/file")
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 && n < 1000 {
			if err := iotestReader(file, want); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
		if _, err := file.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		m.tidy(t)
	}
	if err := f.RemoveAll(t.Context(), "/dir", nil); err != nil {
		t.Fatal(err)
	}
	if m.tidy(t); len(m.chunks) != 0 || len(m.contents) != 0 {
		t.Errorf("%d chunks, %d contents are left", len(m.chunks), len(m.contents))
	}
}

// TestDeath: a client that dies at any step of a change leaves the old file or the new one, and
// nothing that is not cleared away.
func TestDeath(t *testing.T) {
	before, more := pattern(1, 100), pattern(2, 70)
	for what, c := range map[string]struct {
		do    func(f *FS) error
		after []byte
	}{
		"put": {func(f *FS) error {
			_, err := f.Put(context.Background(), "/f", bytes.NewReader(more), PutOptions{})
			return err
		}, more},
		"append": {func(f *FS) error {
			_, err := f.Append(context.Background(), "/f", bytes.NewReader(more))
			return err
		}, append(bytes.Clone(before), more...)},
		"truncate": {func(f *FS) error { _, err := f.Truncate(context.Background(), "/f", 50); return err }, before[:50]},
		"copy": {func(f *FS) error {
			_, err := f.Copy(context.Background(), "/other/g", "/f", PutOptions{})
			return err
		}, more},
		"put together": {func(f *FS) error {
			_, err := f.Concat(context.Background(), "/f", []string{"/other/g"}, PutOptions{})
			return err
		}, more},
		"rename": {func(f *FS) error { return f.Rename(context.Background(), "/other/g", "/f") }, more},
	} {
		for _, carried := range []bool{false, true} {
			for _, heals := range []bool{false, true} {
				for step := 1; ; step++ {
					m := newMemory()
					f := small(m)
					for path, b := range map[string][]byte{"/f": before, "/other/g": more} {
						if _, err := f.Put(t.Context(), path, bytes.NewReader(b), PutOptions{Parents: true}); err != nil {
							t.Fatal(err)
						}
					}
					client := &mortal{store: m, left: step, carried: carried, heals: heals}
					err := c.do(small(client))
					if client.at == "" {
						if err != nil {
							t.Fatalf("%s: %v", what, err)
						}
						break
					}
					if isUnknown(err) && (client.at != fmt.Sprint("step ", wire.TreeChange) || heals && what != "rename") {
						t.Errorf("%s, death at mutation %d (%s), heard again %v: the outcome could be known: %v", what, step, client.at, heals, err)
					}
					judge(t, fmt.Sprintf("%s, death at mutation %d (%s), carried out %v, heard again %v", what, step, client.at, carried, heals), m, err, before, c.after)
				}
			}
		}
	}
}

func isUnknown(err error) bool { return errors.Is(err, client.ErrUnknownOutcome) }

// judge says whether a file is what a client was told that died.
func judge(t *testing.T, what string, m *memory, told error, before, after []byte) {
	t.Helper()
	got, err := read(small(m), "/f")
	isOld, isNew := bytes.Equal(got, before), bytes.Equal(got, after)
	switch {
	case err != nil || !isOld && !isNew:
		t.Errorf("%s: neither the old file nor the new one: %v", what, err)
	case told == nil && !isNew:
		t.Errorf("%s: told that it is done, and it is not", what)
	case told != nil && !errors.Is(told, client.ErrUnknownOutcome) && isNew && !strings.Contains(told.Error(), "is still there too"):
		t.Errorf("%s: told that it is not done (%v), and it is", what, told)
	}
	m.tidy(t)
	if again, err := read(small(m), "/f"); err != nil || !bytes.Equal(got, again) {
		t.Errorf("%s: after the janitor it is another: %v", what, err)
	}
}

// TestModel: appends, updates and truncations in any order make of a file what they make of a slice.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		playModel(t, small(newMemory()), seed, 100, 200)
	}
}

// playModel plays some changes of a file of up to about size bytes.
func playModel(t *testing.T, f *FS, seed uint64, changes, size int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	ctx := t.Context()
	path := fmt.Sprint("/model", seed)
	want := pattern(int(seed), r.IntN(size))
	_, err := f.Put(ctx, path, bytes.NewReader(want), PutOptions{})
	for i := 0; i < changes && err == nil; i++ {
		n := r.IntN(size / 4)
		data := pattern(i, n)
		what := ""
		var info Info
		switch r.IntN(5) {
		case 0:
			what = fmt.Sprint("append ", n)
			info, err = f.Append(ctx, path, bytes.NewReader(data))
			want = append(want, data...)
		case 1, 2:
			at := r.IntN(len(want) + size/3)
			what = fmt.Sprint("update at ", at, " with ", n)
			info, err = f.Update(ctx, path, int64(at), bytes.NewReader(data))
			if n > 0 {
				want = append(want, make([]byte, max(at+n-len(want), 0))...)
				copy(want[at:], data)
			}
		case 3:
			to := r.IntN(size)
			what = fmt.Sprint("truncate to ", to)
			info, err = f.Truncate(ctx, path, int64(to))
			want = append(want[:min(to, len(want))], make([]byte, max(to-len(want), 0))...)
		case 4:
			what = "copy and rename"
			if _, err = f.Copy(ctx, path, path+"-copy", PutOptions{}); err == nil {
				err = f.Rename(ctx, path+"-copy", path)
			}
			info.Bytes = int64(len(want))
		}
		got, readErr := read(f, path)
		if err != nil || readErr != nil || !bytes.Equal(got, want) || info.Bytes != int64(len(want)) {
			t.Fatalf("seed %d, change %d, %s: %v; %v; %d bytes, told %d, want %d", seed, i, what, err, readErr, len(got), info.Bytes, len(want))
		}
		if m, ok := f.store.(*memory); ok {
			m.tidy(t)
		}
		for range 3 {
			from, n := r.IntN(len(want)+2), r.IntN(size)
			var b bytes.Buffer
			_, err := f.GetRange(ctx, path, &b, int64(from), int64(n))
			if part := want[min(from, len(want)):min(from+n, len(want))]; err != nil || !bytes.Equal(b.Bytes(), part) {
				t.Fatalf("seed %d, %d bytes from %d: %d, %v", seed, n, from, b.Len(), err)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSharing: a change of a part stores that part and no more, and reads no more than it must.
func TestSharing(t *testing.T) {
	m := newMemory()
	f := small(m)
	want := pattern(1, 16*1000+3)
	if _, err := f.Put(t.Context(), "/f", bytes.NewReader(want), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		do     func() (Info, error)
		chunks int // new ones
		gets   int
	}{
		"append":      {func() (Info, error) { return f.Append(t.Context(), "/f", strings.NewReader(strings.Repeat("x", 16))) }, 2, 2},
		"update":      {func() (Info, error) { return f.Update(t.Context(), "/f", 160, strings.NewReader("0123456789")) }, 1, 2},
		"truncate":    {func() (Info, error) { return f.Truncate(t.Context(), "/f", 15990) }, 0, 4},
		"lengthen":    {func() (Info, error) { return f.Truncate(t.Context(), "/f", 16<<20) }, 1, 2},
		"far beyond":  {func() (Info, error) { return f.Update(t.Context(), "/f", 16<<30, strings.NewReader("the end 0123456")) }, 2, 2},
		"copy":        {func() (Info, error) { return f.Copy(t.Context(), "/f", "/g", PutOptions{}) }, 0, 0},
		"longest":     {func() (Info, error) { return f.Truncate(t.Context(), "/f", 16*chunksMax) }, 1, 2},
		"same length": {func() (Info, error) { return f.Truncate(t.Context(), "/f", int64(len(want))) }, 0, 0},
	} {
		if _, err := f.Put(t.Context(), "/f", bytes.NewReader(want), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		m.tidy(t)
		chunks, gets := len(m.chunks), m.gets
		if _, err := c.do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d, err := f.Describe(t.Context(), "/f"); err != nil || d.Bytes < 15990 {
			t.Errorf("%s: %+v, %v", what, d, err)
		}
		if chunks, gets = len(m.chunks)-chunks, m.gets-gets; chunks != c.chunks || gets > c.gets {
			t.Errorf("%s: %d chunks were stored and %d read, want %d and %d", what, chunks, gets, c.chunks, c.gets)
		}
	}
}

// TestFragments: a file that was changed in many places is made whole before it has too many pieces.
func TestFragments(t *testing.T) {
	m := newMemory()
	f := small(m)
	want := pattern(1, 16*400)
	if _, err := f.Put(t.Context(), "/f", bytes.NewReader(want), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	most := 0
	for i := range 200 {
		at := i * 37 % 400 * 16
		if _, err := f.Update(t.Context(), "/f", int64(at), bytes.NewReader(pattern(i, 16))); err != nil {
			t.Fatal(err)
		}
		copy(want[at:], pattern(i, 16))
		wantFile(t, f, "/f", want)
		n := m.nodes["/f"]
		if len(n.Value) > manifestBytesMax {
			t.Fatalf("a manifest of %d bytes", len(n.Value))
		}
		owners := len(m.contents[wire.Content{Home: homeOf("/"), Version: n.Content}].Owners)
		if most = max(most, owners); owners > ownersMax {
			t.Fatalf("%d owners", owners)
		}
		m.tidy(t)
	}
	if most != ownersMax {
		t.Errorf("%d owners at most, want %d", most, ownersMax)
	}
}

// TestReplacedAndLost: chunks that are gone are never read as anything, and it is told why they are.
func TestReplacedAndLost(t *testing.T) {
	m := newMemory()
	f := small(m)
	put := func(b []byte) {
		t.Helper()
		if _, err := f.Put(t.Context(), "/f", bytes.NewReader(b), PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(pattern(1, 160))
	file, err := f.OpenFile(t.Context(), "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	put(pattern(2, 160))
	if b, err := io.ReadAll(file); err != nil || !bytes.Equal(b, pattern(1, 160)) {
		t.Errorf("of a file that was replaced %d bytes are read, %v", len(b), err)
	}
	m.janitor()
	if n, err := file.ReadAt(make([]byte, 20), 10); !errors.Is(err, ErrReplaced) || n != 0 {
		t.Errorf("%d bytes of a file that is gone, %v", n, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if n, err := io.Copy(io.Discard, file); !errors.Is(err, ErrReplaced) || n != 0 {
		t.Errorf("%d bytes of a file that is gone, %v", n, err)
	}
	var second wire.Chunk
	for c := range m.chunks {
		if c.Index == 1 {
			second = c
		}
	}
	whole := m.chunks[second]
	m.chunks[second] = pattern(3, 16)
	if b, err := read(f, "/f"); !errors.Is(err, ErrChecksum) || len(b) != 160 {
		t.Errorf("%d bytes with another chunk, %v", len(b), err)
	}
	m.chunks[second] = whole[:15]
	if b, err := read(f, "/f"); !errors.Is(err, ErrLost) || len(b) != 16 {
		t.Errorf("%d bytes with a short chunk, %v", len(b), err)
	}
	delete(m.chunks, second)
	if b, err := read(f, "/f"); !errors.Is(err, ErrLost) || len(b) != 16 {
		t.Errorf("%d bytes without a chunk, %v", len(b), err)
	}
}

// TestBadInput: what makes no sense is refused by name, and nothing is lost.
func TestBadInput(t *testing.T) {
	m := newMemory()
	f := small(m)
	ctx := t.Context()
	none := strings.NewReader("")
	put := func(path string, o PutOptions) error {
		_, err := f.Put(ctx, path, bytes.NewReader(pattern(1, 40)), o)
		return err
	}
	for _, path := range []string{"/dir/file", "/dir/sub/other"} {
		if err := put(path, PutOptions{Parents: true}); err != nil {
			t.Fatal(err)
		}
	}
	info, _ := f.Stat(ctx, "/dir/file")
	broken := errors.New("broken")
	list := func(path string) (err error) {
		for _, err = range f.List(ctx, path) {
		}
		return err
	}
	info1 := func(_ Info, err error) error { return err }
	for what, c := range map[string]struct{ err, want error }{
		"put without a directory":         {put("/no/file", PutOptions{}), fs.ErrNotExist},
		"put below a file":                {put("/dir/file/x", PutOptions{}), ErrNotDirectory},
		"put with parents below a file":   {put("/dir/file/x/y", PutOptions{Parents: true}), ErrNotDirectory},
		"put in place of a directory":     {put("/dir", PutOptions{}), ErrIsDirectory},
		"put in place of the root":        {put("/", PutOptions{}), ErrIsDirectory},
		"put what exists":                 {put("/dir/file", PutOptions{IfAbsent: true}), fs.ErrExist},
		"put at another version":          {put("/dir/file", PutOptions{IfModified: client.Version{Term: 1, Seq: 1 << 40}}), ErrChanged},
		"put what is absent at a version": {put("/dir/no", PutOptions{IfModified: info.Modified}), fs.ErrNotExist},
		"put with both conditions":        {put("/dir/no", PutOptions{IfModified: info.Modified, IfAbsent: true}), client.ErrRefused},
		"put in small chunks":             {put("/dir/no", PutOptions{ChunkBytes: 100}), client.ErrRefused},
		"put in large chunks":             {put("/dir/no", PutOptions{ChunkBytes: 1 << 30}), client.ErrRefused},
		"put what can't be read":          {info1(f.Put(ctx, "/dir/file", io.MultiReader(bytes.NewReader(pattern(2, 100)), badReader{broken}), PutOptions{})), broken},
		"put a little that can't be read": {info1(f.Put(ctx, "/dir/file", badReader{broken}, PutOptions{})), broken},
		"append what can't be read":       {info1(f.Append(ctx, "/dir/file", io.MultiReader(bytes.NewReader(pattern(2, 100)), badReader{broken}))), broken},
		"get what is absent":              {info1(f.Get(ctx, "/dir/no", io.Discard)), fs.ErrNotExist},
		"get a directory":                 {info1(f.Get(ctx, "/dir", io.Discard)), ErrIsDirectory},
		"get from before the beginning":   {info1(f.GetRange(ctx, "/dir/file", io.Discard, -1, 1)), client.ErrRefused},
		"get to who takes nothing":        {info1(f.Get(ctx, "/dir/file", badWriter{broken})), broken},
		"list a file":                     {list("/dir/file"), ErrNotDirectory},
		"list what is absent":             {list("/dir/no"), fs.ErrNotExist},
		"make what exists":                {f.Mkdir(ctx, "/dir"), fs.ErrExist},
		"make the root":                   {f.Mkdir(ctx, "/"), fs.ErrExist},
		"make without a directory":        {f.Mkdir(ctx, "/no/dir"), fs.ErrNotExist},
		"make below a file":               {f.Mkdir(ctx, "/dir/file/x"), ErrNotDirectory},
		"make all below a file":           {f.MkdirAll(ctx, "/dir/file/x/y"), ErrNotDirectory},
		"make all in place of a file":     {f.MkdirAll(ctx, "/dir/file"), ErrNotDirectory},
		"remove what is not empty":        {f.Remove(ctx, "/dir"), ErrNotEmpty},
		"remove the root":                 {f.Remove(ctx, "/"), ErrBadPath},
		"remove what is absent":           {f.Remove(ctx, "/dir/no"), fs.ErrNotExist},
		"remove all of what is absent":    {f.RemoveAll(ctx, "/dir/no", nil), fs.ErrNotExist},
		"remove at another version":       {f.RemoveIf(ctx, "/dir/file", client.Version{Term: 1, Seq: 1 << 40}), ErrChanged},
		"rename what is absent":           {f.Rename(ctx, "/dir/no", "/dir/x"), fs.ErrNotExist},
		"rename a directory":              {f.Rename(ctx, "/dir/sub", "/dir/x"), ErrIsDirectory},
		"rename to a directory":           {f.Rename(ctx, "/dir/file", "/dir/sub"), ErrIsDirectory},
		"rename to where no directory is": {f.Rename(ctx, "/dir/file", "/no/x"), fs.ErrNotExist},
		"rename to what exists":           {f.RenameIfAbsent(ctx, "/dir/file", "/dir/sub/other"), fs.ErrExist},
		"rename to what exists beside":    {f.RenameIfAbsent(ctx, "/dir/file", "/dir/sub"), fs.ErrExist},
		"rename to itself":                {f.RenameIfAbsent(ctx, "/dir/file", "/dir/file"), fs.ErrExist},
		"copy what is absent":             {info1(f.Copy(ctx, "/dir/no", "/dir/x", PutOptions{})), fs.ErrNotExist},
		"copy a directory":                {info1(f.Copy(ctx, "/dir/sub", "/dir/x", PutOptions{})), ErrIsDirectory},
		"copy to a directory":             {info1(f.Copy(ctx, "/dir/file", "/dir/sub", PutOptions{})), ErrIsDirectory},
		"copy to what exists":             {info1(f.Copy(ctx, "/dir/file", "/dir/sub/other", PutOptions{IfAbsent: true})), fs.ErrExist},
		"update what is absent":           {info1(f.Update(ctx, "/dir/no", 0, none)), fs.ErrNotExist},
		"update before the beginning":     {info1(f.Update(ctx, "/dir/file", -1, none)), client.ErrRefused},
		"update beyond all bounds":        {info1(f.Update(ctx, "/dir/file", 1<<62, none)), client.ErrTooLarge},
		"update beyond all chunks":        {info1(f.Update(ctx, "/dir/file", 1<<50, strings.NewReader("0123456789"))), client.ErrTooLarge},
		"update at the last chunk":        {info1(f.Update(ctx, "/dir/file", 16*chunksMax-1, strings.NewReader("0123456789"))), client.ErrTooLarge},
		"truncate beyond all chunks":      {info1(f.Truncate(ctx, "/dir/file", 16*chunksMax+1)), client.ErrTooLarge},
		"truncate to less than nothing":   {info1(f.Truncate(ctx, "/dir/file", -1)), client.ErrRefused},
		"truncate what is absent":         {info1(f.Truncate(ctx, "/dir/no", 1)), fs.ErrNotExist},
		"truncate a directory":            {info1(f.Truncate(ctx, "/dir", 1)), ErrIsDirectory},
		"append to a directory":           {info1(f.Append(ctx, "/dir", none)), ErrIsDirectory},
		"append where no directory is":    {info1(f.Append(ctx, "/no/x", none)), fs.ErrNotExist},
		"stat what is absent":             {info1(f.Stat(ctx, "/dir/no")), fs.ErrNotExist},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
	for _, path := range []string{"", "a", "/a/", "//", "/..", "/dir/../x", "/a\x00b", "/" + strings.Repeat("n", 1025), strings.Repeat("/n", 129)} {
		for what, err := range map[string]error{"put": put(path, PutOptions{Parents: true}), "mkdir": f.MkdirAll(ctx, path), "stat": info1(f.Stat(ctx, path)),
			"list": list(path), "rename": f.Rename(ctx, "/dir/file", path), "copy": info1(f.Copy(ctx, "/dir/file", path, PutOptions{}))} {
			if !errors.Is(err, ErrBadPath) {
				t.Errorf("%s %.20q: %v", what, path, err)
			}
		}
	}
	wantFile(t, f, "/dir/file", pattern(1, 40))
	wantFile(t, f, "/dir/sub/other", pattern(1, 40))
	m.tidy(t)
	if after, err := f.Stat(ctx, "/dir/file"); err != nil || !reflect.DeepEqual(after, info) || len(m.nodes) != 5 {
		t.Errorf("after all that: %+v, %v, %d nodes", after, err, len(m.nodes))
	}
}

type badReader struct{ err error }

func (r badReader) Read([]byte) (int, error) { return 0, r.err }

type badWriter struct{ err error }

func (w badWriter) Write([]byte) (int, error) { return 0, w.err }

// TestIOFS: the view as io/fs is what its own test wants.
func TestIOFS(t *testing.T) {
	f := small(newMemory())
	testIOFS(t, f, "", f.FS(t.Context()))
}

// testIOFS puts files below a directory, of which view is the view.
func testIOFS(t *testing.T, f *FS, dir string, view fs.FS) {
	t.Helper()
	for path, n := range map[string]int{"/a": 0, "/b": 5, "/d/c": 500, "/d/e/f": 17, "/d/{tag} ü": 33} {
		if _, err := f.Put(t.Context(), dir+path, bytes.NewReader(pattern(n, n)), PutOptions{Parents: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Mkdir(t.Context(), dir+"/empty"); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(view, "a", "b", "d/c", "d/e/f", "d/{tag} ü", "empty"); err != nil {
		t.Error(err)
	}
	if _, err := fs.ReadFile(view, "d/\x01"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that nothing has: %v", err)
	}
}

// TestCancelled: who gives up in the middle of a write leaves nothing.
func TestCancelled(t *testing.T) {
	m := newMemory()
	f := small(m)
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(pattern(1, 1000)), readerFunc(func([]byte) (int, error) { cancel(); return 1, nil }), bytes.NewReader(pattern(1, 1000)))
	_, err := f.Put(ctx, "/f", r, PutOptions{})
	if !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	for k, c := range m.contents {
		if c.State != wire.ContentEnded {
			t.Errorf("content %v was not given up: %+v", k, c)
		}
	}
	m.tidy(t)
	if _, err := f.Stat(t.Context(), "/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPlainNodes: what package tree made is a directory, or a file of the node's value, and is changed as such.
func TestPlainNodes(t *testing.T) {
	m := newMemory()
	f := small(m)
	value := pattern(1, 50) // longer than what a file keeps in its entry
	v := wire.TreeVersion{Term: 1}
	m.nodes["/value"] = &wire.TreeNode{Modified: v, Value: value, ValueBytes: 50}
	m.nodes["/none"] = &wire.TreeNode{Modified: v}
	m.nodes["/parent"] = &wire.TreeNode{Modified: v, Value: value, ValueBytes: 50, HasRecord: true}
	m.nodes["/damaged"] = &wire.TreeNode{Modified: v, Value: value, ValueBytes: 50, File: true, Content: v, Size: 50}
	for path, dir := range map[string]bool{"/value": false, "/none": true, "/parent": true} {
		if i, err := f.Stat(t.Context(), path); err != nil || i.Dir != dir || i.Bytes != 50 && !dir {
			t.Errorf("%s: %+v, %v", path, i, err)
		}
	}
	wantFile(t, f, "/value", value)
	if _, err := f.Copy(t.Context(), "/value", "/copy", PutOptions{}); err != nil {
		t.Error(err)
	}
	wantFile(t, f, "/copy", value)
	if _, err := f.Update(t.Context(), "/value", 20, bytes.NewReader(pattern(2, 10))); err != nil {
		t.Error(err)
	}
	copy(value[20:], pattern(2, 10))
	wantFile(t, f, "/value", value)
	if _, err := read(f, "/damaged"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("a damaged entry: %v", err)
	}
	if _, err := f.Put(t.Context(), "/damaged", bytes.NewReader(value), PutOptions{}); err != nil {
		t.Errorf("a damaged entry is not replaced: %v", err)
	}
	wantFile(t, f, "/damaged", value)
	for _, n := range []int64{30, 100} {
		m.nodes["/value"] = &wire.TreeNode{Modified: v, Value: value, ValueBytes: 50}
		if _, err := f.Truncate(t.Context(), "/value", n); err != nil {
			t.Error(err)
		}
		wantFile(t, f, "/value", append(bytes.Clone(value), make([]byte, 50)...)[:n])
	}
	m.nodes["/value"] = &wire.TreeNode{Modified: v, Value: value, ValueBytes: 50}
	if _, err := f.Update(t.Context(), "/value", 100, bytes.NewReader(value)); err != nil {
		t.Error(err)
	}
	wantFile(t, f, "/value", append(append(bytes.Clone(value), make([]byte, 50)...), value...))
}
