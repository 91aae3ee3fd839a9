package s3keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/client/file"
	"viewring/tests/local"
)

var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

func openFiles(t *testing.T) *file.FS {
	t.Helper()
	f, err := file.Open(t.Context(), cluster().Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// newStore is NewStore, which does not take its time.
func newStore(f *file.FS, secret string) *Store {
	s := NewStore(f, secret)
	s.rounds = 10
	return s
}

func names(t *testing.T, s *Store) (all []string) {
	t.Helper()
	for k, err := range s.List(t.Context()) {
		if err != nil || k.Secret != "" {
			t.Fatalf("%+v, %v", k, err)
		}
		all = append(all, k.Name)
	}
	slices.Sort(all)
	return all
}

// TestKeys: the life of keys, and what is refused.
func TestKeys(t *testing.T) {
	f := openFiles(t)
	ctx := t.Context()
	s := NewStore(f, "password")
	a, err := s.Add(ctx, "a", []string{"one", "two"})
	if err != nil || !IsID(a.ID) || len(a.Secret) != 40 {
		t.Fatalf("%+v, %v", a, err)
	}
	if got, err := s.Lookup(ctx, a.ID); err != nil || got.Secret != a.Secret || got.Name != "a" || !slices.Equal(got.Buckets, a.Buckets) || !got.Created.Equal(a.Created) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Add(ctx, "a", nil); !errors.Is(err, ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	for _, bad := range []string{"", ".a", "a/b", "ä", "a b", strings.Repeat("a", 65)} {
		if _, err := s.Add(ctx, bad, nil); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "name/", "Name", "ab", "*", "mine\x00more", "a..b", "1.2.3.4"} {
		if _, err := s.Add(ctx, "x", []string{"good", bad}); !errors.Is(err, ErrBadBucket) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := newStore(f, "").Add(ctx, "x", nil); !errors.Is(err, ErrNoSecret) {
		t.Errorf("no secret: %v", err)
	}
	if _, err := newStore(f, "other").Lookup(ctx, a.ID); !errors.Is(err, ErrSealed) {
		t.Errorf("another password: %v", err)
	}
	for _, id := range []string{"VRAAAAAAAAAAAAAAAAAA", "", "../names/a", "VR/../../../names/a"} {
		if _, err := s.Lookup(ctx, id); !errors.Is(err, ErrNoKey) {
			t.Errorf("%q: %v", id, err)
		}
	}
	b, err := s.Add(ctx, "b", nil)
	if err != nil || b.ID == a.ID || b.Secret == a.Secret {
		t.Errorf("%+v, %v", b, err)
	}
	if got := names(t, newStore(f, "")); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	// Half added, or half removed.
	if err := f.Remove(ctx, keysDir+"/"+b.ID); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"a", "b"} {
		if err := s.Remove(ctx, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Remove(ctx, name); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s again: %v", name, err)
		}
	}
	if _, err := s.Lookup(ctx, a.ID); !errors.Is(err, ErrNoKey) {
		t.Errorf("a removed key: %v", err)
	}
	for _, dir := range []string{keysDir, namesDir} {
		for i, err := range f.List(ctx, dir) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left, %v", i.Path, err)
			}
		}
	}
}

// TestSealed: what is stored has no secret, and who changes it gains no bucket and no other's key.
func TestSealed(t *testing.T) {
	f := openFiles(t)
	ctx := t.Context()
	s := newStore(f, "password")
	one, err := s.Add(ctx, "one", []string{"mine"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Add(ctx, "two", nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(id string) []byte {
		b, err := s.read(ctx, keysDir+"/"+id)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, err := range f.Walk(ctx, "/.s3") {
		if err != nil {
			t.Fatal(err)
		}
		if i.Dir {
			continue
		}
		b, err := s.read(ctx, i.Path)
		if err != nil || bytes.Contains(b, []byte(one.Secret)) || bytes.Contains(b, []byte("password")) {
			t.Errorf("%s: %q, %v", i.Path, b, err)
		}
	}
	good := read(one.ID)
	for name, change := range map[string]func(string) string{
		"another bucket": func(s string) string { return strings.Replace(s, `"mine"`, `"mine","more"`, 1) },
		"all buckets":    func(s string) string { return strings.Replace(s, `"buckets":["mine"],`, "", 1) },
		"another name":   func(s string) string { return strings.Replace(s, `"one"`, `"eno"`, 1) },
		"another's":      func(string) string { return strings.ReplaceAll(string(read(two.ID)), two.ID, one.ID) },
		"no nonce":       func(s string) string { return strings.Replace(s, `"nonce":"`, `"nonce":"AA`, 1) },
		"another format": func(s string) string { return strings.Replace(s, `"format":1`, `"format":2`, 1) },
		"no JSON":        func(string) string { return "x" },
		"too long":       func(s string) string { return s + strings.Repeat(" ", entryMax) },
	} {
		if _, err := f.Put(ctx, keysDir+"/"+one.ID, strings.NewReader(change(string(good))), file.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if k, err := s.Lookup(ctx, one.ID); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	for _, name := range []string{"one", "two"} {
		if err := s.Remove(ctx, name); err != nil {
			t.Error(err)
		}
	}
}

// TestAddRemove: a key whose name was removed while it was added is none: nobody could list or remove it.
func TestAddRemove(t *testing.T) {
	f := openFiles(t)
	s := newStore(f, "password")
	for _, other := range []string{"", "VRAAAAAAAAAAAAAAAAAA"} {
		k, err := s.Add(t.Context(), "raced", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Remove(t.Context(), namesDir+"/raced"); err != nil {
			t.Fatal(err)
		}
		if other != "" {
			if _, err := f.Put(t.Context(), namesDir+"/raced", strings.NewReader(other), file.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, look := range []func(context.Context, string) (Key, error){s.Lookup, NewCache(s).Lookup} {
			if got, err := look(t.Context(), k.ID); !errors.Is(err, ErrNoKey) {
				t.Errorf("%+v, %v", got, err)
			}
		}
		if err := f.Remove(t.Context(), keysDir+"/"+k.ID); err != nil {
			t.Error(err)
		}
	}
	if err := s.Remove(t.Context(), "raced"); err != nil {
		t.Error(err)
	}
}

// TestCache: a key is told for a while without looking, and no longer than that; ids that are none are not kept.
func TestCache(t *testing.T) {
	f := openFiles(t)
	ctx := t.Context()
	s := newStore(f, "password")
	k, err := s.Add(ctx, "cached", nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := NewCache(s)
	c.now = func() time.Time { return now }
	look := func(what string, want error) {
		t.Helper()
		got, err := c.Lookup(ctx, k.ID)
		if !errors.Is(err, want) || want == nil && got.Secret != k.Secret {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	look("found", nil)
	now = now.Add(Freshness)
	look("looked at again", nil)
	if err := s.Remove(ctx, "cached"); err != nil {
		t.Fatal(err)
	}
	look("removed, still fresh", nil)
	now = now.Add(Freshness)
	look("removed", ErrNoKey)
	for n := range 10 {
		if _, err := c.Lookup(ctx, fmt.Sprintf("VRAAAAAAAAAAAAAAAAA%c", 'A'+n)); !errors.Is(err, ErrNoKey) {
			t.Error(err)
		}
	}
	if len(c.keys) != 0 {
		t.Errorf("%d ids are kept", len(c.keys))
	}
	sealed := NewCache(newStore(f, "other"))
	if k, err = s.Add(ctx, "cached", nil); err != nil {
		t.Fatal(err)
	}
	sealed.now = c.now
	for n := range 3 { // the same bytes are not derived from again, also when they are looked at again
		if _, err := sealed.Lookup(ctx, k.ID); !errors.Is(err, ErrSealed) {
			t.Errorf("%v", err)
		}
		if now = now.Add(Freshness * time.Duration(n)); n == 0 {
			sealed.store.secret = "password"
		}
	}
	look("found again", nil)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	now = now.Add(Freshness)
	if _, err := c.Lookup(ended, k.ID); !errors.Is(err, context.Canceled) || len(c.keys[k.ID].sealed) == 0 {
		t.Errorf("what was derived is kept though a client went: %v", err)
	}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			if got, err := c.Lookup(ctx, k.ID); err != nil || got.Secret != k.Secret {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	running.Wait()
	if err := s.Remove(ctx, "cached"); err != nil {
		t.Error(err)
	}
}
