package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/tests/damage"
)

// idleDB is a store that could run one compaction, and has none waiting.
type idleDB struct{}

func (idleDB) GetAllowedWithoutPermission() int { return 1 }

func (idleDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return false, pebble.WaitingCompaction{}
}

func (idleDB) Schedule(pebble.CompactionGrantHandle) bool { return false }

// TestCompactionsPause: no more run than are allowed, and for a while none after
// one has failed; the pause grows with each failure and ends with a success.
func TestCompactionsPause(t *testing.T) {
	c := newCompactions()
	c.Register(1, idleDB{})
	defer c.Unregister()
	may := func() bool {
		ok, grant := c.TrySchedule()
		if ok {
			grant.Done()
		}
		return ok
	}
	ok, grant := c.TrySchedule()
	if !ok || may() {
		t.Error("not one, or more than one at a time")
	}
	grant.Done()
	bad := errors.New("a bad block")
	c.finished(bad, time.Now())
	if may() {
		t.Error("right after a failure")
	}
	if !c.caused(bad) || c.caused(errors.New("another")) {
		t.Error("whose error that was")
	}
	c.finished(bad, time.Now().Add(-compactAgainMin-time.Millisecond))
	if may() {
		t.Error("the second pause is as short as the first")
	}
	for range 20 {
		c.finished(bad, time.Now().Add(-compactAgainMax-time.Second))
	}
	if !may() {
		t.Error("the pause grows for ever")
	}
	c.finished(nil, time.Now())
	c.finished(bad, time.Now().Add(-compactAgainMin-time.Millisecond))
	if !may() {
		t.Error("a success does not shorten the pause")
	}
}

// TestBadBlockIsNotReadForEver: what Pebble does in the background with a table
// that cannot be opened leaves room for everything else.
func TestBadBlockIsNotReadForEver(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	for slot := range uint16(2000) {
		mustApply(t, s, put(ring.PartitionID(slot%8), user(slot, noise(byte(slot), 20)), noise(byte(slot), 500)))
	}
	mustCompact(t, s)
	if err := s.rewriteNode(); err != nil { // what cannot be read at the start ends it
		t.Fatal(err)
	}
	mustApply(t, s, replica.StoreOp{Kind: replica.WipePartition, Partition: 3})
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	path, layout := lowest(t, s)
	mustClose(t, s)
	damage.At(t, fs, path, int64(layout.MetaIndex.Offset+5))
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	end := time.Now().Add(time.Second)
	for at := range look.C {
		if n := s.Corruptions(); n > 50 {
			t.Fatalf("%d reads of a bad block", n)
		}
		if at.After(end) {
			break
		}
	}
	if s.Corruptions() < 3 {
		t.Errorf("%d reads of a bad block: nothing happens in the background", s.Corruptions())
	}
}

// lowest returns the path and the layout of the lowest table.
func lowest(t *testing.T, s *Store) (path string, layout *sstable.Layout) {
	t.Helper()
	levels, err := s.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	tables := slices.Concat(levels...)
	if len(tables) == 0 {
		t.Fatal("no table")
	}
	name := tableName(&tables[len(tables)-1])
	r, err := s.openTable(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	layout, err = r.Layout()
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return s.fs.PathJoin(s.dir, pebbleName, name), layout
}
