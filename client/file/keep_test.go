package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wire"
)

// touched is a store that notes when contents are touched.
type touched struct {
	store
	mu sync.Mutex
	at []time.Time
}

func (s *touched) Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error) {
	if q.Op == wire.TreeTouch {
		s.mu.Lock()
		s.at = append(s.at, time.Now())
		s.mu.Unlock()
	}
	return s.store.Tree(ctx, name, q)
}

func (s *touched) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at)
}

// longest is the longest time without a touch from one moment to another.
func (s *touched) longest(from, to time.Time) (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range append(slices.Clone(s.at), to) {
		if at.Before(from) {
			continue
		}
		longest = max(longest, at.Sub(from))
		from = at
	}
	return longest
}

// TestKeep: what is written or read for long is kept, by far more often than servers ask for, and
// no longer than it is in use.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &touched{store: newMemory()}
		f := small(s)
		began := time.Now()
		idle := readerFunc(func([]byte) (int, error) { <-time.After(time.Hour); return 0, io.EOF })
		if _, err := f.Put(t.Context(), "/f", io.MultiReader(bytes.NewReader(pattern(1, 100)), idle), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := s.longest(began, time.Now()); got > 5*time.Minute {
			t.Errorf("while a file was written there was no touch for %v", got)
		}
		file, err := f.OpenFile(t.Context(), "/f")
		if err != nil {
			t.Fatal(err)
		}
		opened := time.Now()
		<-time.After(time.Hour)
		if got := s.longest(opened, time.Now()); got > 20*time.Second {
			t.Errorf("while a file was open there was no touch for %v", got)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := s.count()
		<-time.After(time.Hour)
		if n := s.count() - before; n != 0 {
			t.Errorf("%d touches after all was closed", n)
		}
	})
}

// TestEnded: a write that servers have given up meanwhile fails by name, wherever it is.
func TestEnded(t *testing.T) {
	for name, rest := range map[string]int{"before the change": 0, "before more chunks": 16 * 100} {
		m := newMemory()
		f := small(m)
		ending := readerFunc(func([]byte) (int, error) { m.janitor(); return 0, io.EOF })
		_, err := f.Put(t.Context(), "/f", io.MultiReader(bytes.NewReader(pattern(1, 100)), ending, bytes.NewReader(pattern(1, rest))), PutOptions{})
		if !errors.Is(err, ErrEnded) || m.nodes["/f"] != nil {
			t.Errorf("%s: %v, %+v", name, err, m.nodes["/f"])
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := small(m)
		waiting := readerFunc(func([]byte) (int, error) { m.janitor(); <-time.After(time.Hour); return 0, io.EOF })
		began := time.Now()
		_, err := f.Put(t.Context(), "/f", io.MultiReader(bytes.NewReader(pattern(1, 100)), waiting, bytes.NewReader(pattern(1, 100))), PutOptions{})
		if took := time.Since(began); !errors.Is(err, ErrEnded) || took > time.Hour {
			t.Errorf("%v after %v", err, took)
		}
		for c := range m.chunks { // six may have been on their way
			if c.Index >= 6 {
				t.Errorf("chunk %d was stored after the end was known", c.Index)
			}
		}
	})
}

// TestChunkThere: a chunk that is there already counts as stored if it is the same, and only then.
func TestChunkThere(t *testing.T) {
	for _, other := range []bool{false, true} {
		m := newMemory()
		f := small(m)
		want := pattern(1, 100)
		chunk := wire.Chunk{Content: wire.Content{Home: homeOf("/"), Version: wire.TreeVersion{Term: 1, Seq: m.now + 1}}, Index: 2}
		m.chunks[chunk] = bytes.Clone(want[32:48])
		if other {
			m.chunks[chunk][3] ^= 1
		}
		_, err := f.Put(t.Context(), "/f", bytes.NewReader(want), PutOptions{})
		if (err != nil) != other {
			t.Errorf("other bytes %v: %v", other, err)
		}
		if !other {
			wantFile(t, f, "/f", want)
		}
		m.tidy(t)
	}
}

// slow is a store whose chunks take long, by a clock that is not the machine's.
type slow struct {
	store
	mu      sync.Mutex
	running int
}

func (s *slow) Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (wire.DoReply, error) {
	s.add(1)
	defer s.add(-1)
	<-time.After(time.Second)
	return s.store.Chunk(ctx, name, q)
}

func (s *slow) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += n
}

func (s *slow) Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error) {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if q.Op == wire.TreeChange && running > 0 {
		return wire.TreeReply{}, errors.New("a change while chunks are under way")
	}
	return s.store.Tree(ctx, name, q)
}

// TestParallel: chunks are under way several at a time, in both directions, and all are answered
// before the file is changed.
func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := small(&slow{store: newMemory()})
		want := pattern(1, 16*parallelMax*4)
		began := time.Now()
		if _, err := f.Put(t.Context(), "/f", bytes.NewReader(want), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("put: %v", took)
		}
		began = time.Now()
		wantFile(t, f, "/f", want)
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("get: %v", took)
		}
	})
}
