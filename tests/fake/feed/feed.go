// Package feed has a cluster of which nothing is real, for the tests of the page.
package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// Feed tells of the cluster. Any goroutine may call its methods.
type Feed struct {
	mu     sync.Mutex
	view   *ring.View
	stats  map[ring.ServerID]admin.ServerStats
	events []admin.Event
	locks  admin.Locks
	age    time.Duration // of all heartbeats
	failed error
	asked  int
}

// New returns a cluster of so many servers in three zones, with all copies where they should be.
func New(servers, partitions int) *Feed {
	f := &Feed{view: &ring.View{Cluster: [16]byte{0xfe, 0xed}, Epoch: uint64(servers) + 1, MinCopies: 2, Partitions: make([]ring.Partition, partitions)}, stats: map[ring.ServerID]admin.ServerStats{}, age: 60 * time.Millisecond}
	for i := range servers {
		id := ring.ServerID(i + 1)
		f.view.Members = append(f.view.Members, ring.Member{ID: id, Addr: fmt.Sprintf("10.0.%d.%d:28600", i/250, i%250+1), Zone: fmt.Sprint("rack ", i%3+1), Weight: 1, Status: ring.In, Up: true})
		f.stats[id] = admin.ServerStats{Keys: uint64(30_000 + 317*i%900), Bytes: uint64(4_000_000_000 + 31_000_000*(i%17)), DiskFree: 1 << 40}
		f.note(id, "joined", f.view.Members[i].Addr)
	}
	table := f.table()
	for p := range f.view.Partitions {
		acting := table.Targets(ring.PartitionID(p))
		f.view.Partitions[p] = ring.Partition{Term: 1, MinCopies: 2, Acting: acting, Writable: acting}
	}
	return f
}

func (f *Feed) table() *ring.Table {
	table, err := ring.NewTable(f.view.Members, len(f.view.Partitions))
	if err != nil {
		panic(err)
	}
	return table
}

// note adds an event, at a time of its own. The caller holds mu, or is the only one.
func (f *Feed) note(id ring.ServerID, kind, detail string) {
	n := uint64(len(f.events)) + 1
	f.events = append(f.events, admin.Event{Number: n, Epoch: n + 1, At: time.Now(), Kind: kind, Server: id, Detail: detail})
}

// Down lets a server fail: its backups serve what it served.
func (f *Feed) Down(id ring.ServerID) {
	f.change(func(v *ring.View) {
		v.Member(id).Up = false
		for p := range v.Partitions {
			part := &v.Partitions[p]
			if n := len(part.Acting); n > 1 && part.IsActing(id) {
				var left []ring.ServerID
				for _, other := range part.Acting {
					if other != id {
						left = append(left, other)
					}
				}
				part.Acting = left
			}
		}
		f.note(id, "down", "")
	})
}

// Join lets a server join that has nothing yet.
func (f *Feed) Join() {
	f.change(func(v *ring.View) {
		id := v.Members[len(v.Members)-1].ID + 1
		v.Members = append(v.Members, ring.Member{ID: id, Addr: "10.0.9.1:28600", Zone: "rack 1", Weight: 1, Status: ring.In, Up: true})
		f.stats[id] = admin.ServerStats{Left: 120, LeftBytes: 9e9, Learners: 4, Rate: 180e6, MoveDone: 40, MoveDoneBytes: 3e9, DiskFree: 1 << 40}
		f.note(id, "joined", "10.0.9.1:28600")
	})
}

// HandOver lets the newest server act for so many partitions, in place of the last of their copies.
func (f *Feed) HandOver(partitions int) {
	f.change(func(v *ring.View) {
		id := v.Members[len(v.Members)-1].ID
		for p := range v.Partitions {
			part := &v.Partitions[p]
			if n := len(part.Acting); partitions > 0 && n == 3 && !part.IsActing(id) {
				part.Acting = []ring.ServerID{part.Acting[0], part.Acting[1], id}
				partitions--
			}
		}
	})
}

// Lock sets the locks that are held.
func (f *Feed) Lock(locks ...admin.Lock) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locks.Locks = locks
}

// Silence makes all heartbeats old.
func (f *Feed) Silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.age = time.Hour
}

// Fail has every question fail; nil: not any more.
func (f *Feed) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}

// Asked returns how often the status was asked for.
func (f *Feed) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// change makes the next view.
func (f *Feed) change(fn func(*ring.View)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = f.view.Clone()
	f.view.Epoch++
	fn(f.view)
}

// Status implements page.Source.
func (f *Feed) Status(context.Context) (*admin.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.failed != nil {
		return nil, f.failed
	}
	st := &admin.Status{View: f.view, Table: f.table()}
	for _, m := range f.view.Members {
		st.Servers = append(st.Servers, admin.ServerStatus{ID: m.ID, Heard: true, Age: f.age, Epoch: f.view.Epoch, Stats: f.stats[m.ID]})
	}
	return st, nil
}

// Events implements page.Source.
func (f *Feed) Events(_ context.Context, since uint64, _ time.Duration) ([]admin.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since > uint64(len(f.events)) {
		return nil, errors.New("from the future")
	}
	return f.events[since:], f.failed
}

// Elections implements page.Source.
func (f *Feed) Elections(context.Context, time.Time) ([]admin.Event, error) { return nil, nil }

// Locks implements page.Source.
func (f *Feed) Locks(context.Context) (admin.Locks, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locks, f.failed
}

// Close implements page.Source.
func (f *Feed) Close() error { return nil }
