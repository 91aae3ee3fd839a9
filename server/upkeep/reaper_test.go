package upkeep

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wait"
	"viewring/ring"
	"viewring/server/replica"
)

// reaping is a reaper with all that it meets: one partition, whose primary is server 1 or
// not, and a view leader.
type reaping struct {
	*testing.T
	reaper *Reaper

	mu       sync.Mutex
	view     *ring.View
	adopted  chan struct{}
	open     map[uint64]bool
	ends     uint64
	ended    chan struct{} // closed with the next end
	asked    int
	asking   func() // between what the view leader sees and its answer
	failing  error  // of the view leader
	refusing int    // of the lanes, so often
	reaps    int
	stored   map[replica.Key]bool
}

// reap plays a test in a bubble, where time passes when all wait.
func reap(t *testing.T, play func(w *reaping)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &reaping{T: t, adopted: make(chan struct{}), ended: make(chan struct{}), open: make(map[uint64]bool), ends: 5, stored: make(map[replica.Key]bool)}
		w.view = viewOf(1)
		began := time.Now()
		w.reaper = NewReaper(&Base{Self: 1, Lanes: w, Logger: slog.New(slog.DiscardHandler), Context: ctx,
			Now: func() replica.Instant { return replica.Instant{Mono: time.Since(began)} }}, w, w, 0)
		var running sync.WaitGroup
		running.Go(w.reaper.Run)
		running.Go(w.reaper.RunEnds)
		play(w)
		cancel()
		running.Wait()
	})
}

func viewOf(primary ring.ServerID) *ring.View {
	return &ring.View{Partitions: []ring.Partition{{Acting: []ring.ServerID{primary}}}}
}

func (w *reaping) View() *ring.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

func (w *reaping) Placement() (*ring.View, *ring.Table) { return w.View(), nil }

func (w *reaping) Next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.adopted
}

// adopt makes a server primary.
func (w *reaping) adopt(primary ring.ServerID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.view = viewOf(primary)
	close(w.adopted)
	w.adopted = make(chan struct{})
}

func (w *reaping) SessionsEnded(_ context.Context, ids []uint64) ([]uint64, error) {
	w.mu.Lock()
	w.asked++
	err, asking := w.failing, w.asking
	ended := slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool { return w.open[id] })
	w.mu.Unlock()
	if asking != nil {
		asking()
	}
	return ended, err
}

func (w *reaping) AwaitSessionEnds(ctx context.Context, since uint64, most time.Duration) (uint64, error) {
	for end := time.Now().Add(most); ; {
		w.mu.Lock()
		count, ended, err := w.ends, w.ended, w.failing
		w.mu.Unlock()
		if count != since || err != nil {
			return count, err
		}
		select {
		case <-ended:
		case <-time.After(time.Until(end)):
			return since, nil
		case <-ctx.Done():
			return since, ctx.Err()
		}
	}
}

func (w *reaping) begin(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[id] = true
}

// end ends a session, and tells who waits.
func (w *reaping) end(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, id)
	w.ends++
	close(w.ended)
	w.ended = make(chan struct{})
}

func (w *reaping) SetFull(bool)                             {}
func (w *reaping) Learn(ring.PartitionID, ring.ServerID)    {}
func (w *reaping) Expired(ring.PartitionID, []replica.Key)  {}
func (w *reaping) Corrupt(ring.PartitionID, ...replica.Key) {}

// Propose reaps, as far as it may: no node of a session that is open.
func (w *reaping) Propose(_ ring.PartitionID, r *replica.Request, done func(replica.Answer)) {
	w.mu.Lock()
	w.reaps++
	refuse := w.refusing > 0
	w.refusing--
	var gone []replica.Key
	for k := range w.stored {
		if slices.Contains(r.Keys, k) && !refuse {
			if w.open[sessionOf(k)] {
				w.Errorf("a node of session %d is removed, which is open", sessionOf(k))
			}
			gone = append(gone, k)
		}
	}
	w.mu.Unlock()
	if refuse {
		done(replica.Answer{Status: replica.StatusMoved})
		return
	}
	w.store(replica.DeleteItem, gone...)
	done(replica.Answer{Status: replica.StatusOK})
}

func sessionOf(k replica.Key) uint64 { return binary.BigEndian.Uint64([]byte(k.Name())) }

func owned(session uint64, name string) replica.Key {
	b := binary.BigEndian.AppendUint64(nil, session)
	return replica.MakeKey(ring.SlotOf("/d"), replica.SpaceOwned, string(b)+"/d\x00"+name)
}

func (w *reaping) store(kind replica.WriteKind, keys ...replica.Key) {
	b := &replica.Batch{}
	w.mu.Lock()
	for _, k := range keys {
		b.Ops = append(b.Ops, replica.StoreOp{Kind: kind, Key: k})
		if delete(w.stored, k); kind == replica.PutItem {
			w.stored[k] = true
		}
	}
	w.mu.Unlock()
	Storing(b, w.reaper)
}

// left waits until nothing more happens soon, and compares what is stored.
func (w *reaping) left(want ...replica.Key) {
	w.Helper()
	wait.For(w.Context(), 10*time.Second) // of the bubble's time
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := slices.Sorted(maps.Keys(w.stored)); !slices.Equal(got, want) {
		w.Errorf("left are %q, want %q", got, want)
	}
}

// TestReaper: a session's nodes go with it, whenever its end and its nodes come.
func TestReaper(t *testing.T) {
	for name, play := range map[string]func(w *reaping){
		"ended": func(w *reaping) {
			w.begin(1)
			w.begin(2)
			w.store(replica.PutItem, owned(1, "a"), owned(2, "b"))
			w.left(owned(1, "a"), owned(2, "b"))
			asked := w.asked
			w.left(owned(1, "a"), owned(2, "b"))
			if w.asked != asked {
				w.Error("it asks though nothing happens")
			}
			w.end(1)
			w.left(owned(2, "b"))
		},
		"created late": func(w *reaping) {
			w.begin(1)
			w.store(replica.PutItem, owned(1, "a"))
			w.left(owned(1, "a"))
			w.end(1)
			w.left()
			w.store(replica.PutItem, owned(1, "b"))
			w.left()
		},
		"ended while the answer is on its way": func(w *reaping) {
			w.begin(1)
			var once sync.Once
			w.asking = func() {
				once.Do(func() {
					w.end(1)
					wait.For(w.Context(), time.Second) // it is told of the end first
				})
			}
			w.store(replica.PutItem, owned(1, "a"))
			w.left()
		},
		"of another primary": func(w *reaping) {
			w.adopt(2)
			w.store(replica.PutItem, owned(1, "a"))
			w.left(owned(1, "a"))
			if w.asked > 0 {
				w.Error("it asks for what another server is primary of")
			}
			w.adopt(1)
			w.left()
		},
		"not done at once": func(w *reaping) {
			w.refusing = 3
			w.store(replica.PutItem, owned(1, "a"))
			w.left()
			if w.reaps != 4 {
				w.Errorf("asked %d times", w.reaps)
			}
		},
		"no view leader for a while": func(w *reaping) {
			w.failing = errors.New("not there")
			w.store(replica.PutItem, owned(1, "a"))
			w.left(owned(1, "a"))
			w.mu.Lock()
			w.failing = nil
			w.mu.Unlock()
			w.left()
		},
		"wiped": func(w *reaping) {
			w.begin(1)
			w.store(replica.PutItem, owned(1, "a"))
			w.store(replica.WipePartition, "")
			w.left(owned(1, "a"))
			w.end(1)
			w.left(owned(1, "a"))
			if w.reaper.any() {
				w.Error("it knows of what is wiped")
			}
		},
		"many": func(w *reaping) {
			for i := range 1000 {
				w.store(replica.PutItem, owned(uint64(1+i%7), fmt.Sprint(i)))
			}
			w.left()
			if w.reaper.any() {
				w.Error("it knows of what is gone")
			}
		},
	} {
		t.Run(name, func(t *testing.T) { reap(t, play) })
	}
}
