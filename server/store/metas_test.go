package store

import (
	"io"
	"maps"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/ring"
	"viewring/server/replica"
)

// TestFormerFormat: a folder of the first format is brought up to date, all its
// partitions' metas with it, also one that was on another shelf, and once.
func TestFormerFormat(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	want := make(map[ring.PartitionID]string)
	for p := ring.PartitionID(0); p < 300; p += 7 {
		want[p] = string(rune('a' + p%26))
		ops := []replica.StoreOp{
			put(p, user(uint16(p), "key"), "value"),
			{Kind: replica.PutIndex, Partition: p, Seq: 1, Value: []byte("row")},
			{Kind: replica.PutMeta, Partition: p, Value: []byte(want[p])},
		}
		if p == 14 || p == 21 {
			ops = append([]replica.StoreOp{{Kind: replica.WipePartition, Partition: p, Damaged: true}}, ops...)
		}
		mustApply(t, s, ops...)
	}
	toFormerFormat(t, s)
	mustClose(t, s)
	writeFormat(t, fs, "viewring server 1\n")
	for range 2 {
		s = mustOpen(t, fs)
		if got := metasOf(t, s); !maps.Equal(got, want) {
			t.Errorf("metas %v, want %v", got, want)
		}
		if rows, err := s.metasOneByOne(s.appendOldMetaKey); len(rows) > 0 || err != nil {
			t.Errorf("%d metas are in their former place, %v", len(rows), err)
		}
		rows := 0
		if err := s.Index(14, 0, func(uint64, []byte) bool { rows++; return true }); err != nil || rows != 1 {
			t.Errorf("%d rows, %v", rows, err)
		}
		mustClose(t, s)
		if got := formatOf(t, fs); got != "viewring server 2\n" {
			t.Errorf("the folder says %q", got)
		}
	}
}

// toFormerFormat puts the metas where the first format had them.
func toFormerFormat(t *testing.T, s *Store) {
	t.Helper()
	pb := s.db.NewBatch()
	for p, meta := range metasOf(t, s) {
		if err := pb.Set(s.appendOldMetaKey(nil, p), []byte(meta), nil); err != nil {
			t.Fatal(err)
		}
		if err := pb.Delete(s.appendMetaKey(nil, p), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.write(pb); err != nil {
		t.Fatal(err)
	}
	s.shelves.metasMoved.Store(false)
	if err := s.saveShelves(); err != nil {
		t.Fatal(err)
	}
	if got := metasOf(t, s); len(got) != 0 {
		t.Fatalf("metas %v in a folder of the former format", got)
	}
}

func metasOf(t *testing.T, s *Store) map[ring.PartitionID]string {
	t.Helper()
	got := make(map[ring.PartitionID]string)
	err := s.Metas(func(p ring.PartitionID, meta []byte) bool {
		got[p] = string(meta)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func writeFormat(t *testing.T, fs vfs.FS, text string) {
	t.Helper()
	f, err := fs.Create("data/FORMAT", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func formatOf(t *testing.T, fs vfs.FS) string {
	t.Helper()
	f, err := fs.Open("data/FORMAT")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // read only
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
