package store

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	spoiledGap      = 10 * time.Second // without a failure, and the damage counts as gone
	spoiledPatience = 30 * time.Second // for damaged partitions to be given away and cut out
	spoiledSayEvery = 10 * time.Second
)

// ErrSpoiled is why a store was given up whose damage could not be cut out.
var ErrSpoiled = errors.New("the store's tables are damaged beyond what can be cut out of them")

// spoiled follows compactions that fail at bad blocks. Cutting out the damaged
// partitions ends that, unless a block also holds rows of what no other server has:
// then the tables that cannot be compacted pile up until writes stand still.
type spoiled struct {
	mu                sync.Mutex
	first, last, said time.Time
}

// note takes in a failure; it reports whether to say so.
func (d *spoiled) note(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.last) > spoiledGap {
		d.first = now
	}
	d.last = now
	say := now.Sub(d.said) >= spoiledSayEvery
	if say {
		d.said = now
	}
	return say
}

func (d *spoiled) persists(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Sub(d.last) <= spoiledGap && d.last.Sub(d.first) >= spoiledPatience
}

func (d *spoiled) lately(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Sub(d.last) <= spoiledGap
}

// Failing reports whether a compaction has failed at a bad block lately: a scrub
// would find what is damaged.
func (s *Store) Failing() bool { return s.spoiled.lately(time.Now()) }

// Spoiled reports whether compactions have failed at bad blocks for so long that
// only a new store will help.
func (s *Store) Spoiled() bool { return s.spoiled.persists(time.Now()) }

// GiveUp ends a store that is spoiled.
func (s *Store) GiveUp() {
	s.fail(fmt.Errorf("%w. Move the folder away and start the server with an empty one: it joins as a new server and copies its share "+
		"from the others; then remove the old one (viewring remove)", ErrSpoiled))
}
