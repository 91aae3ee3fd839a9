package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"viewring/client"
	"viewring/tests/local"
)

// The tests of this file, and the examples, share a cluster of three servers within this process.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// connect opens the files of the cluster.
func connect(t *testing.T) *FS {
	t.Helper()
	f, err := Open(t.Context(), cluster().Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestClusterLengths: files of lengths around all bounds, on servers.
func TestClusterLengths(t *testing.T) {
	f := connect(t)
	for _, n := range []int{0, 1, inlineMax, inlineMax + 1, defaultChunk - 1, defaultChunk, defaultChunk + 1, 3*defaultChunk + 7} {
		path := fmt.Sprint("/lengths/", n)
		want := pattern(n, n)
		if _, err := f.Put(t.Context(), path, bytes.NewReader(want), PutOptions{Parents: true}); err != nil {
			t.Fatal(err)
		}
		wantFile(t, f, path, want)
		d, err := f.Describe(t.Context(), path)
		if chunks := int64((n + defaultChunk - 1) / defaultChunk); err != nil || d.Bytes != int64(n) || n > inlineMax && d.Chunks != chunks || n <= inlineMax && d.Chunks != 0 {
			t.Errorf("%d bytes: %+v, %v", n, d, err)
		}
	}
	listed := 0
	for i, err := range f.List(t.Context(), "/lengths") {
		if err != nil || fmt.Sprint(i.Bytes) != i.Name() || i.Dir {
			t.Errorf("%+v, %v", i, err)
		}
		listed++
	}
	if listed != 8 {
		t.Errorf("%d files are listed", listed)
	}
}

// TestClusterModel plays TestModel's changes on servers.
func TestClusterModel(t *testing.T) {
	f := connect(t)
	f.chunk = 1 << 10
	f.inline = 100
	for seed := range uint64(2) {
		playModel(t, f, seed, 25, 20<<10)
	}
}

// TestClusterIOFS: the view as io/fs, on servers.
func TestClusterIOFS(t *testing.T) {
	f := connect(t)
	view, err := fs.Sub(f.FS(t.Context()), "iofs")
	if err != nil {
		t.Fatal(err)
	}
	testIOFS(t, f, "/iofs", view)
}

// TestReplaceAndRead: who reads a file that others replace reads one of them whole.
func TestReplaceAndRead(t *testing.T) {
	f := connect(t)
	f.chunk = 64 << 10
	const size, writers, rounds = 500 << 10, 3, 5
	if _, err := f.Put(t.Context(), "/replaced", bytes.NewReader(pattern(0, size)), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		running.Go(func() {
			for range rounds {
				if _, err := f.Put(t.Context(), "/replaced", bytes.NewReader(pattern(w, size-w)), PutOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for over := false; !over; {
				select {
				case <-done:
					over = true // once more
				default:
				}
				got, err := read(f, "/replaced")
				if w := size - len(got); err != nil || w < 0 || w >= writers || !bytes.Equal(got, pattern(w, size-w)) {
					t.Errorf("%d bytes that nobody wrote: %v", len(got), err)
					return
				}
			}
		})
	}
	running.Wait()
	close(done)
	reading.Wait()
}

// TestTwoAppenders: appends of several clients are all there in the end, each once and whole, where
// who came second begins anew.
func TestTwoAppenders(t *testing.T) {
	f := connect(t)
	f.chunk, f.inline = 1<<10, 64
	const each = 10
	var running sync.WaitGroup
	for w := range 2 {
		running.Go(func() {
			for i := range each {
				line := fmt.Sprintf("%d %d %s\n", w, i, strings.Repeat("x", 300))
				for {
					_, err := f.Append(t.Context(), "/log", strings.NewReader(line))
					if err == nil {
						break
					}
					if !errors.Is(err, ErrChanged) && !errors.Is(err, fs.ErrExist) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	running.Wait()
	got, err := read(f, "/log")
	if err != nil {
		t.Fatal(err)
	}
	next := [2]int{}
	lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	for _, line := range lines {
		var w, i int
		if _, err := fmt.Sscan(line, &w, &i); err != nil || i != next[w] || len(line) != 304 {
			t.Fatalf("%.20q (%d bytes), want number %v: %v", line, len(line), next, err)
		}
		next[w]++
	}
	if len(lines) != 2*each {
		t.Errorf("%d lines", len(lines))
	}
}

// TestDeathOnServers: a client that is gone in the middle of a put leaves the old file.
func TestDeathOnServers(t *testing.T) {
	f := connect(t)
	f.chunk = 1 << 10
	before := pattern(1, 5000)
	if _, err := f.Put(t.Context(), "/death", bytes.NewReader(before), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for step := 1; ; step++ {
		m := &mortal{store: f.store, left: step, carried: step%2 == 0}
		after := pattern(step+1, 5100)
		_, err := (&FS{store: m, inline: f.inline, chunk: f.chunk}).Put(t.Context(), "/death", bytes.NewReader(after), PutOptions{})
		got, readErr := read(f, "/death")
		switch {
		case readErr != nil:
			t.Fatalf("mutation %d (%s): %v", step, m.at, readErr)
		case m.at == "":
			if err != nil || !bytes.Equal(got, after) {
				t.Errorf("nobody died: %v", err)
			}
			return
		case bytes.Equal(got, after) && errors.Is(err, client.ErrUnknownOutcome):
			before = after
		case !bytes.Equal(got, before):
			t.Errorf("mutation %d (%s): another file: %v", step, m.at, err)
		}
	}
}
