package file

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/tree"
)

// full has all that there may be.
func full() Attributes {
	sum := md5.Sum([]byte("x"))
	return Attributes{ContentType: "text/plain", MD5: sum[:], SHA256: bytes.Repeat([]byte{7}, 32), SourceTime: time.Unix(1_700_000_000, 123),
		Meta: map[string]string{"colour": "blue", "": "empty key", "none": ""}}
}

// sealed is what Seal returns that knows before.
func sealed(a Attributes) func(Info) (Attributes, error) {
	return func(Info) (Attributes, error) { return a, nil }
}

// TestAttributesBytes: what is encoded is decoded, and what is cut or longer is not.
func TestAttributesBytes(t *testing.T) {
	for _, a := range []Attributes{{}, full(), {ContentType: "a"}, {MD5: full().MD5}, {Meta: map[string]string{"k": strings.Repeat("v", 4000)}}} {
		b, err := a.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeAttributes(b)
		if err != nil || !got.same(a) {
			t.Errorf("%+v became %+v, %v", a, got, err)
		}
		for n := 1; n < len(b); n++ {
			if _, err := decodeAttributes(b[:n]); !errors.Is(err, ErrUnreadable) {
				t.Errorf("%d bytes of %d: %v", n, len(b), err)
			}
		}
		if _, err := decodeAttributes(append(b, 0)); !errors.Is(err, ErrUnreadable) {
			t.Errorf("a byte more: %v", err)
		}
	}
}

// same compares what is kept.
func (a Attributes) same(b Attributes) bool {
	if !a.SourceTime.Equal(b.SourceTime) {
		return false
	}
	a.SourceTime, b.SourceTime = time.Time{}, time.Time{}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func wantAttributes(t *testing.T, f *FS, path string, want Attributes) Info {
	t.Helper()
	i, err := f.Stat(t.Context(), path)
	if err != nil || !i.Attributes.same(want) {
		t.Fatalf("%s has %+v, want %+v: %v", path, i.Attributes, want, err)
	}
	d, err := f.Describe(t.Context(), path)
	if err != nil || !reflect.DeepEqual(d.Info, i) {
		t.Errorf("described: %+v, %v", d.Info, err)
	}
	file, err := f.OpenFile(t.Context(), path)
	if err != nil || !reflect.DeepEqual(file.Info(), i) {
		t.Fatalf("opened: %v", err)
	}
	_ = file.Close()
	dir, _ := tree.Split(path)
	found := false
	for l, err := range f.List(t.Context(), dir) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Path == path {
			found = true
			if !l.Attributes.same(want) || l.Bytes != i.Bytes {
				t.Errorf("listed: %+v", l)
			}
		}
	}
	if !found {
		t.Errorf("%s is not listed", path)
	}
	return i
}

// testAttributes goes through all that is done to a file of that length.
func testAttributes(t *testing.T, f *FS, dir string, n int) {
	ctx := t.Context()
	path, other, far := dir+"/a", dir+"/b", dir+"-far/c"
	want := pattern(n, n)
	opts := PutOptions{Parents: true, Seal: func(i Info) (Attributes, error) {
		if i.Path != path || i.Bytes != int64(n) || !i.Attributes.IsZero() {
			t.Errorf("sealed: %+v", i)
		}
		if _, err := f.Stat(ctx, path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is there before it is sealed: %v", err)
		}
		return full(), nil
	}}
	i, err := f.Put(ctx, path, bytes.NewReader(want), opts)
	if err != nil || !i.Attributes.same(full()) {
		t.Fatal(i, err)
	}
	i = wantAttributes(t, f, path, full())
	wantFile(t, f, path, want)

	errSeal := errors.New("the sum is another")
	no := PutOptions{Parents: true, Seal: func(Info) (Attributes, error) { return Attributes{}, errSeal }}
	for _, p := range []string{path, dir + "/never"} {
		if _, err := f.Put(ctx, p, strings.NewReader(strings.Repeat("other", n)), no); !errors.Is(err, errSeal) {
			t.Errorf("put: %v", err)
		}
	}
	if _, err := f.Copy(ctx, path, dir+"/never", no); !errors.Is(err, errSeal) {
		t.Errorf("copy: %v", err)
	}
	if _, err := f.Stat(ctx, dir+"/never"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not sealed: %v", err)
	}
	if again := wantAttributes(t, f, path, full()); again.Modified != i.Modified {
		t.Error("it was changed")
	}

	if err := f.MkdirAll(ctx, dir+"-far"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{other, far} {
		if _, err := f.Copy(ctx, path, to, PutOptions{}); err != nil {
			t.Fatal(err)
		}
		wantAttributes(t, f, to, full())
		wantFile(t, f, to, want)
		if err := f.Rename(ctx, to, to+"2"); err != nil {
			t.Fatal(err)
		}
		wantAttributes(t, f, to+"2", full())
		wantFile(t, f, to+"2", want)
	}
	png := Attributes{ContentType: "image/png"}
	for _, to := range []string{path, other} { // also upon itself
		c, err := f.Copy(ctx, path, to, PutOptions{Seal: func(i Info) (Attributes, error) {
			if !i.Attributes.same(full()) || i.Path != to {
				t.Errorf("sealed: %+v", i)
			}
			return png, nil
		}})
		if err != nil || !c.Attributes.same(png) {
			t.Fatal(c, err)
		}
		wantAttributes(t, f, to, png)
		wantFile(t, f, to, want)
		if _, err := f.SetAttributes(ctx, path, full(), client.Version{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.SetAttributes(ctx, path, png, i.Modified); !errors.Is(err, ErrChanged) {
		t.Errorf("of a former version: %v", err)
	}
	i = wantAttributes(t, f, path, full())
	if _, err := f.SetAttributes(ctx, path, full(), i.Modified); err != nil {
		t.Error(err)
	}
	wantFile(t, f, path, want)
	if _, err := f.Append(ctx, path, strings.NewReader("more")); err != nil {
		t.Fatal(err)
	}
	left := Attributes{ContentType: full().ContentType, Meta: full().Meta}
	wantAttributes(t, f, path, left)
	wantFile(t, f, path, append(want, "more"...))
	for what, edit := range map[string]func() (Info, error){
		"truncate": func() (Info, error) { return f.Truncate(ctx, path, int64(n)) },
		"update":   func() (Info, error) { return f.Update(ctx, path, 0, bytes.NewReader(want[:n/2+1])) },
	} {
		if _, err := f.SetAttributes(ctx, path, full(), client.Version{}); err != nil {
			t.Fatal(err)
		}
		if _, err := edit(); err != nil {
			t.Fatal(what, err)
		}
		wantAttributes(t, f, path, left)
	}
	if _, err := f.Put(ctx, path, bytes.NewReader(want), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	wantAttributes(t, f, path, Attributes{})
}

// TestAttributes: those of files in entries and in chunks.
func TestAttributes(t *testing.T) {
	m := newMemory()
	f := small(m)
	for _, n := range []int{1, 8, 9, 100} {
		testAttributes(t, f, fmt.Sprint("/d", n), n)
	}
	m.tidy(t)
}

// TestAttributesOnServers is TestAttributes on servers.
func TestAttributesOnServers(t *testing.T) {
	f := connect(t)
	for _, n := range []int{100, inlineMax + 1} {
		testAttributes(t, f, fmt.Sprint("/attributes", n), n)
	}
}

// TestAttributesBounds: what is too much, or wrong, is refused before anything is changed.
func TestAttributesBounds(t *testing.T) {
	f := connect(t)
	for what, c := range map[string]struct {
		a    Attributes
		want error
	}{
		"too long":   {Attributes{Meta: map[string]string{"k": strings.Repeat("v", AttributesMax)}}, client.ErrTooLarge},
		"bad md5":    {Attributes{MD5: []byte{1}}, client.ErrRefused},
		"bad sha256": {Attributes{SHA256: full().MD5}, client.ErrRefused},
	} {
		for _, n := range []int{1, inlineMax + 1} {
			if _, err := f.Put(t.Context(), "/bounds/f", bytes.NewReader(pattern(1, n)), PutOptions{Parents: true, Seal: sealed(c.a)}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := f.Stat(t.Context(), "/bounds/f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := f.SetAttributes(t.Context(), "/bounds", full(), client.Version{}); !errors.Is(err, ErrIsDirectory) {
		t.Errorf("of a directory: %v", err)
	}
	if _, err := f.SetAttributes(t.Context(), "/bounds/none", full(), client.Version{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}
