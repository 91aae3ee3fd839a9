package upkeep

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/server/tree"
)

// tidying is a janitor, and the cluster that it works on: one slot, that of the root, and chunks.
type tidying struct {
	*testing.T
	janitor *Janitor
	views   *reaping // whose primary it is
	store   *store.Store
	began   time.Time

	mu     sync.Mutex
	items  map[replica.Key]replica.Item
	seq    uint64
	chunks map[wire.Chunk]bool
	fails  int // chunk deletes that fail
}

var testGraces = Graces{Replaced: time.Minute, Writing: 15 * time.Minute, Sweep: time.Hour}

func tidy(t *testing.T, play func(w *tidying)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &tidying{T: t, began: time.Now(), items: make(map[replica.Key]replica.Item), chunks: make(map[wire.Chunk]bool), views: &reaping{T: t, adopted: make(chan struct{}), view: viewOf(1)}}
		var err error
		if w.store, err = store.Open("", crashdisk.Mem(), store.Options{}, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		base := &Base{Self: 1, Store: w.store, Logger: slog.New(slog.DiscardHandler), Context: ctx,
			Now: func() replica.Instant { return replica.Instant{Mono: time.Since(w.began)} }}
		w.janitor = NewJanitor(base, w.views, w, testGraces, 1)
		var running sync.WaitGroup
		running.Go(w.janitor.Run)
		running.Go(NewOrphans(base, w.views, w, testGraces).Run)
		play(w)
		cancel()
		running.Wait()
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Tree carries out a step as the primary does.
func (w *tidying) Tree(_ context.Context, _ string, q *wire.TreeRequest) (wire.TreeReply, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := tree.Check(q); err != nil {
		return wire.TreeReply{}, err
	}
	if !q.Op.Mutates() {
		it, ok := w.items[tree.ReadKey(q)]
		return tree.ReadReply(q, ok, it.Value)
	}
	var r replica.Request
	tree.Fill(q, &r)
	w.seq++
	version := replica.Version{Term: 1, Seq: w.seq}
	keys := slices.Clone(r.Keys)
	for {
		found := make([]replica.Item, len(keys))
		for i, k := range keys {
			found[i] = w.items[k]
		}
		out := r.Evaluate(found, version, 0)
		if len(out.More) > 0 {
			keys = append(keys, out.More...)
			continue
		}
		b := &replica.Batch{}
		for _, change := range out.Writes {
			kind := replica.DeleteItem
			if delete(w.items, change.Key); !change.Delete {
				w.items[change.Key] = replica.Item{Version: version, Value: bytes.Clone(change.Value)}
				kind = replica.PutItem
			}
			b.Ops = append(b.Ops, replica.StoreOp{Kind: kind, Key: change.Key})
		}
		Storing(b, w.janitor)
		p, _ := tree.Reply(&out.Answer)
		return p, nil
	}
}

func (w *tidying) Chunk(_ context.Context, _ string, q *wire.ChunkRequest) (wire.DoReply, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails > 0 {
		w.fails--
		return wire.DoReply{}, errors.New("not there")
	}
	delete(w.chunks, q.Chunk)
	return wire.DoReply{Status: wire.DoOK}, nil
}

func (w *tidying) step(q *wire.TreeRequest) wire.TreeReply {
	w.Helper()
	p, err := w.Tree(w.Context(), "", q)
	if err != nil || p.Code != wire.TreeOK {
		w.Errorf("%+v: %+v, %v", q, p, err)
	}
	return p
}

// begin begins a content of so many chunks.
func (w *tidying) begin(chunks int) wire.TreeVersion {
	w.Helper()
	v := w.step(&wire.TreeRequest{Op: wire.TreeBegin, Home: ring.SlotOf("/"), Limit: chunks}).Version
	for i := range chunks {
		w.put(w.chunk(v, i))
	}
	return v
}

func (w *tidying) put(c wire.Chunk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chunks[c] = true
}

func (w *tidying) chunk(v wire.TreeVersion, i int) wire.Chunk {
	return wire.Chunk{Content: wire.Content{Home: ring.SlotOf("/"), Version: v}, Index: uint32(i)}
}

func (w *tidying) touch(v wire.TreeVersion) {
	w.Helper()
	w.step(&wire.TreeRequest{Op: wire.TreeTouch, Home: ring.SlotOf("/"), Nonce: v})
}

func (w *tidying) change(kind wire.TreeItemKind, v wire.TreeVersion) {
	w.Helper()
	it := wire.TreeItem{Kind: kind, Name: "f", DataVersion: -1, File: kind != wire.TreeRemove, Content: v}
	w.step(&wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{it}})
}

// after lets time pass, and then wants so many chunks and contents.
func (w *tidying) after(d time.Duration, chunks, contents int) {
	w.Helper()
	wait.For(w.Context(), d) // of the bubble's time
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for k := range w.items {
		if k.Space() == replica.SpaceFile {
			n++
		}
	}
	if len(w.chunks) != chunks || n != contents {
		w.Errorf("after %v there are %d chunks of %d contents, want %d and %d", time.Since(w.began), len(w.chunks), n, chunks, contents)
	}
}

// TestJanitor: what nothing names goes with all its chunks, after its grace, and nothing else does.
func TestJanitor(t *testing.T) {
	for name, play := range map[string]func(w *tidying){
		"replaced": func(w *tidying) {
			w.change(wire.TreeCreate, w.begin(3))
			w.after(time.Hour, 3, 1)
			w.change(wire.TreeSet, w.begin(2))
			w.after(59*time.Second, 5, 2)
			w.after(10*time.Second, 2, 1)
			w.change(wire.TreeRemove, wire.TreeVersion{})
			w.after(2*time.Minute, 0, 0)
		},
		"read": func(w *tidying) {
			v := w.begin(2)
			w.change(wire.TreeCreate, v)
			w.change(wire.TreeRemove, wire.TreeVersion{})
			for range 20 {
				w.after(20*time.Second, 2, 1)
				w.touch(v)
			}
			w.after(2*time.Minute, 0, 0)
		},
		"written": func(w *tidying) {
			v := w.begin(2)
			for range 10 {
				w.after(10*time.Minute, 2, 1)
				w.touch(v)
			}
			w.after(14*time.Minute, 2, 1)
			w.after(2*time.Minute, 0, 0)
		},
		"of another primary": func(w *tidying) {
			w.views.adopt(2)
			w.begin(2)
			w.after(time.Hour, 2, 1)
			w.views.adopt(1)
			w.after(time.Minute, 0, 0)
		},
		"not done at once": func(w *tidying) {
			w.mu.Lock()
			w.fails = 5
			w.mu.Unlock()
			w.begin(1024)
			w.after(16*time.Minute, 0, 0)
		},
		"wiped": func(w *tidying) {
			w.begin(1)
			Storing(&replica.Batch{Ops: []replica.StoreOp{{Kind: replica.WipePartition}}}, w.janitor)
			w.after(time.Hour, 1, 1)
		},
	} {
		t.Run(name, func(t *testing.T) { tidy(t, play) })
	}
}

// TestOrphans: a chunk whose content is gone is deleted, and none else, nor where an operator has
// given up what would tell.
func TestOrphans(t *testing.T) {
	tidy(t, func(w *tidying) {
		named := w.begin(1)
		w.change(wire.TreeCreate, named)
		late := w.chunk(wire.TreeVersion{Term: 1, Seq: 99}, 0)
		former := w.chunk(wire.TreeVersion{Seq: 99}, 0)
		for _, c := range []wire.Chunk{late, former, w.chunk(named, 0)} {
			w.put(c)
			key := replica.MakeKey(c.Slot(), replica.SpaceChunk, c.Name())
			item := replica.AppendItem(nil, key, replica.Item{Version: replica.Version{Term: 1, Seq: 1}, Kind: replica.KindValue, Value: []byte("v")})
			durable, err := w.store.ApplyBatch(&replica.Batch{Number: 1, Ops: []replica.StoreOp{{Kind: replica.PutItem, Key: key, Value: item}}})
			if err == nil {
				err = durable()
			}
			if err != nil {
				w.Fatal(err)
			}
		}
		v := viewOf(1)
		v.Partitions[0].ResetTerm = 1
		w.views.mu.Lock()
		w.views.view = v
		w.views.mu.Unlock()
		w.after(2*time.Hour, 2, 1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.chunks[late] {
			w.Error("the late one is there")
		}
	})
}

// TestJanitorLine: to-dos come and go in any order, and those that are due are found, each once, until it was worked on.
func TestJanitorLine(t *testing.T) {
	rng := rand.New(rand.NewPCG(16, 16))
	now := time.Duration(0)
	views := &reaping{T: t, view: viewOf(1)}
	base := Base{Self: 1, Logger: slog.New(slog.DiscardHandler), Context: t.Context(), Now: func() replica.Instant { return replica.Instant{Mono: now} }}
	j := &Janitor{b: base, views: views, graces: testGraces}
	j.mu.todo = make(map[wire.Content]*todo)
	slot := ring.SlotOf("/")
	keyOf := func(c wire.Content) replica.Key {
		name := binary.BigEndian.AppendUint64(make([]byte, 8), c.Version.Term)
		return replica.MakeKey(slot, replica.SpaceOwned, string(binary.BigEndian.AppendUint64(name, c.Version.Seq)))
	}
	model, working := map[wire.Content]time.Duration{}, map[wire.Content]bool{}
	for step := range 5000 {
		c := wire.Content{Home: slot, Version: wire.TreeVersion{Term: 1, Seq: rng.Uint64N(40) + 1}}
		switch rng.IntN(5) {
		case 0, 1:
			j.add(0, keyOf(c))
			model[c] = now + testGraces.Replaced
		case 2:
			j.forget(c)
			delete(model, c)
			delete(working, c)
		case 3:
			now += time.Duration(rng.IntN(30)) * time.Second
			var want []wire.Content
			for c, at := range model {
				if at <= now && !working[c] {
					want = append(want, c)
				}
			}
			got := j.due()
			for _, c := range got {
				working[c] = true
				if !slices.Contains(want, c) {
					t.Fatalf("step %d: %v is due", step, c)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("step %d: %d are due, want %d", step, len(got), len(want))
			}
		case 4:
			for c := range working {
				delete(working, c)
				j.done(c, now+time.Second)
				if at, ok := model[c]; ok {
					model[c] = max(at, now+time.Second)
				}
				break
			}
		}
		if j.Waiting() != len(model) {
			t.Fatalf("step %d: %d wait, want %d", step, j.Waiting(), len(model))
		}
	}
}
