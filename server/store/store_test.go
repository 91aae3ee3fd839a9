package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"viewring/ring"
	"viewring/server/replica"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func mustOpen(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("data", fs, Options{MemTableBytes: 1 << 20}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func mustApply(t *testing.T, s *Store, ops ...replica.StoreOp) {
	t.Helper()
	wait, err := s.ApplyBatch(&replica.Batch{Ops: ops})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func put(p ring.PartitionID, key replica.Key, value string) replica.StoreOp {
	item := replica.AppendItem(nil, key, replica.Item{
		Version: replica.Version{Term: 1, Seq: 1}, Kind: replica.KindValue, Value: []byte(value)})
	return replica.StoreOp{Kind: replica.PutItem, Partition: p, Key: key, Value: item}
}

func user(slot uint16, name string) replica.Key {
	return replica.MakeKey(slot, replica.SpaceUser, name)
}

func value(t *testing.T, s *Store, p ring.PartitionID, key replica.Key) string {
	t.Helper()
	b, err := s.Get(p, key)
	if err != nil {
		t.Fatal(err)
	}
	if b == nil {
		return "(none)"
	}
	it, err := replica.DecodeItem(key, b)
	if err != nil {
		t.Fatal(err)
	}
	return string(it.Value)
}

func rows(t *testing.T, s *Store, p ring.PartitionID, after uint64) []uint64 {
	t.Helper()
	var got []uint64
	if err := s.Index(p, after, func(seq uint64, row []byte) bool { got = append(got, seq); return true }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestIdentityOverStarts(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	first := s.Identity()
	if !s.Fresh() || first.Incarnation != 1 || first.Previous != 0 || first.Store == [16]byte{} {
		t.Errorf("first start: fresh %v, %+v", s.Fresh(), first)
	}
	if err := s.Update(func(id *Identity) { id.Server, id.Cluster, id.Epoch, id.LeaseMax = 3, [16]byte{7}, 12, 600 }); err != nil {
		t.Fatal(err)
	}
	fs = fs.CrashClone(vfs.CrashCloneCfg{}) // not closed
	s = mustOpen(t, fs)
	want := Identity{Store: first.Store, Server: 3, Incarnation: 2, Previous: 1, Cluster: [16]byte{7}, Epoch: 12, LeaseMax: 600,
		Starts: s.Identity().Starts}
	if s.Fresh() || !reflect.DeepEqual(s.Identity(), want) {
		t.Errorf("second start: fresh %v, %+v, want %+v", s.Fresh(), s.Identity(), want)
	}
	mustClose(t, s)
}

func TestFolderRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if _, err := Open("data", fs, Options{}, quiet); !errors.Is(err, ErrInUse) {
		t.Errorf("a folder in use: %v", err)
	}
	mustClose(t, s)
	for name, content := range map[string]string{"FORMAT": "viewring server 999\n", "letter.txt": "dear"} {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("data", 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create("data/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(content))
		_ = f.Close()
		if _, err := Open("data", fs, Options{}, quiet); !errors.Is(err, ErrFormat) {
			t.Errorf("a folder with %s: %v", name, err)
		}
	}
	path := t.TempDir() + "/file"
	f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := Open(path, vfs.Default, Options{}, quiet); err == nil {
		t.Error("a file taken for a data folder")
	}
}

func TestBatchOperations(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer mustClose(t, s)
	a, b := user(5, "a"), user(5, "b")
	index := func(p ring.PartitionID, seq uint64) replica.StoreOp {
		return replica.StoreOp{Kind: replica.PutIndex, Partition: p, Seq: seq, Value: []byte("row")}
	}
	mustApply(t, s, put(1, a, "1a"), put(1, b, "1b"), put(2, a, "2a"),
		index(1, 1), index(1, 2), index(1, 3), index(1, 4), index(2, 1),
		replica.StoreOp{Kind: replica.PutMeta, Partition: 1, Value: []byte("meta1")},
		replica.StoreOp{Kind: replica.PutMeta, Partition: 2, Value: []byte("meta2")})
	mustApply(t, s, replica.StoreOp{Kind: replica.TrimIndex, Partition: 1, Seq: 1})
	mustApply(t, s, replica.StoreOp{Kind: replica.TrimIndex, Partition: 1, Seq: 2},
		replica.StoreOp{Kind: replica.DeleteItem, Partition: 1, Key: b})
	if got := rows(t, s, 1, 0); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("after trims: %v", got)
	}
	mustApply(t, s, replica.StoreOp{Kind: replica.CutIndex, Partition: 1, Seq: 3}, index(1, 5))
	if got := rows(t, s, 1, 0); !slices.Equal(got, []uint64{3, 5}) {
		t.Errorf("after a cut: %v", got)
	}
	if value(t, s, 1, a) != "1a" || value(t, s, 1, b) != "(none)" || value(t, s, 2, a) != "2a" {
		t.Errorf("values: %s %s %s", value(t, s, 1, a), value(t, s, 1, b), value(t, s, 2, a))
	}
	mustApply(t, s, replica.StoreOp{Kind: replica.WipePartition, Partition: 1}, put(1, b, "new"), index(1, 9))
	metas := map[ring.PartitionID]string{}
	if err := s.Metas(func(p ring.PartitionID, m []byte) bool { metas[p] = string(m); return true }); err != nil {
		t.Fatal(err)
	}
	if len(metas) != 1 || metas[2] != "meta2" || value(t, s, 1, a) != "(none)" || value(t, s, 1, b) != "new" {
		t.Errorf("after a wipe: metas %v, a %s, b %s", metas, value(t, s, 1, a), value(t, s, 1, b))
	}
	if got := rows(t, s, 1, 0); !slices.Equal(got, []uint64{9}) || len(rows(t, s, 2, 0)) != 1 {
		t.Errorf("rows after a wipe: %v, of the neighbour %v", got, rows(t, s, 2, 0))
	}
	if value(t, s, 2, a) != "2a" {
		t.Error("the wipe reached its neighbour")
	}
	mustApply(t, s, put(3, b, "first"), put(2, b, "2b"), put(3, b, "second"), put(1, a, "1a"),
		replica.StoreOp{Kind: replica.DeleteItem, Partition: 2, Key: b})
	if value(t, s, 3, b) != "second" || value(t, s, 2, b) != "(none)" || value(t, s, 1, a) != "1a" {
		t.Errorf("several writes of one key: %s %s", value(t, s, 3, b), value(t, s, 2, b))
	}
}

// TestTrimsAgainstModel trims, cuts and adds rows at random, over reopens, and
// compares with a sorted list.
func TestTrimsAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	var model []uint64
	next, floor := uint64(1), uint64(0)
	for range 300 {
		switch n := rng.IntN(20); {
		case n == 0:
			fs = fs.CrashClone(vfs.CrashCloneCfg{})
			s = mustOpen(t, fs)
		case n < 12:
			for range rng.IntN(200) {
				mustApply(t, s, replica.StoreOp{Kind: replica.PutIndex, Partition: 4, Seq: next})
				model = append(model, next)
				next++
			}
		case n < 18 && next > floor+1:
			floor += 1 + rng.Uint64N(next-floor-1)
			mustApply(t, s, replica.StoreOp{Kind: replica.TrimIndex, Partition: 4, Seq: floor})
			model = slices.DeleteFunc(model, func(seq uint64) bool { return seq <= floor })
		default:
			cut := floor + rng.Uint64N(next-floor)
			mustApply(t, s, replica.StoreOp{Kind: replica.CutIndex, Partition: 4, Seq: cut})
			model = slices.DeleteFunc(model, func(seq uint64) bool { return seq > cut })
			next = cut + 1
		}
		if got := rows(t, s, 4, 0); !slices.Equal(got, model) {
			t.Fatalf("rows %v, want %v", got, model)
		}
	}
	mustClose(t, s)
}

// TestCrashKeepsPrefix crashes on a file system that loses what was not synced:
// exactly a prefix of the batches is left, with all whose wait had returned.
func TestCrashKeepsPrefix(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		fs := vfs.NewCrashableMem()
		s := mustOpen(t, fs)
		const batches = 60
		synced := -1
		crashAt := rng.IntN(batches)
		var waits []func() error
		for n := range batches {
			big := strings.Repeat("x", rng.IntN(40_000)) // fills memtables now and then
			wait, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{
				put(1, user(1, fmt.Sprint(n)), big), put(2, user(9, fmt.Sprint(n)), big)}})
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, wait)
			if rng.IntN(3) == 0 {
				for _, wait := range waits {
					if err := wait(); err != nil {
						t.Fatal(err)
					}
				}
				waits, synced = nil, n
			}
			if n == crashAt {
				break
			}
		}
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		for _, wait := range waits {
			_ = wait()
		}
		mustClose(t, s)
		s = mustOpen(t, clone)
		left := 0
		for ; left < batches && value(t, s, 1, user(1, fmt.Sprint(left))) != "(none)"; left++ {
		}
		for n := range batches {
			one, two := value(t, s, 1, user(1, fmt.Sprint(n))), value(t, s, 2, user(9, fmt.Sprint(n)))
			if one != two || (n < left) != (one != "(none)") {
				t.Fatalf("seed %d: batch %d is there in part, or after a gap at %d", seed, n, left)
			}
		}
		if left <= synced {
			t.Fatalf("seed %d: %d batches left, %d were synced", seed, left, synced+1)
		}
		mustClose(t, s)
	}
}

func TestCorruptItem(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer mustClose(t, s)
	key := user(1, "k")
	op := put(1, key, "value")
	op.Value[len(op.Value)-1] ^= 1
	mustApply(t, s, op)
	if _, err := s.Get(1, key); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("get: %v", err)
	}
	var got []Copy
	if _, err := s.Copies(1, nil, 10, func(c Copy) { got = append(got, c) }); err != nil || len(got) != 1 || !got[0].Corrupt {
		t.Errorf("copies: %+v, %v", got, err)
	}
	if s.Corruptions() != 2 {
		t.Errorf("%d corruptions counted", s.Corruptions())
	}
}

// TestDamagedTable flips bits of a table on disk: reads say so and the process
// lives.
func TestDamagedTable(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	key := user(1, "k")
	// A block of its own, however it is compressed; and not a long one, for Pebble
	// looks for the flipped bit by trying every one, which takes a long block minutes.
	noise := make([]byte, 20_000)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(noise)
	mustApply(t, s, put(1, key, string(noise)))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	flipText(t, fs, string(noise[60:160]))
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	if _, err := s.Get(1, key); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("get: %v", err)
	}
	if err := s.Scan(1, "", func(replica.Key, []byte) bool { return true }); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("scan: %v", err)
	}
	if s.Corruptions() == 0 || s.Err() != nil {
		t.Errorf("%d corruptions, failure %v", s.Corruptions(), s.Err())
	}
}

// TestFailedLog makes the log's writes and syncs fail: the batch's wait says so,
// and the store takes nothing more. The store's own goroutines may end with it.
func TestFailedLog(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, kinds := range [][]errorfs.OpKind{{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}, {errorfs.OpFileWrite}} {
		toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
			if slices.Contains(kinds, op.Kind) && strings.HasSuffix(op.Path, ".log") {
				return broken
			}
			return nil
		})}
		s := mustOpen(t, errorfs.Wrap(vfs.NewMem(), toggle))
		toggle.On()
		wait, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{put(1, user(1, "a"), "1")}})
		if err == nil {
			err = wait()
		}
		if !errors.Is(err, broken) {
			t.Errorf("a failed log: %v", err)
		}
		<-s.Failed()
		toggle.Off()
		if _, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{put(1, user(1, "b"), "2")}}); !errors.Is(err, broken) {
			t.Errorf("after a failed log: %v", err)
		}
		mustClose(t, s)
	}
}

// TestFailedFlush makes the writing of tables fail, as on a full or dying disk: the
// store ends and says why, and does not try again.
func TestFailedFlush(t *testing.T) {
	for _, broken := range []error{syscall.ENOSPC, syscall.EIO} {
		toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
				return broken
			}
			return nil
		})}
		s, err := Open("data", errorfs.Wrap(vfs.NewMem(), toggle), Options{MemTableBytes: 256 << 10}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		toggle.On()
		value := strings.Repeat("v", 64<<10)
		ended := make(chan struct{})
		go func() { // may stand still in the store, which waits for room in memory
			defer close(ended)
			for i := 0; s.Err() == nil; i++ {
				if wait, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{put(1, user(1, fmt.Sprint(i%100)), value)}}); err == nil {
					_ = wait() // what is in the log is durable, table or not
				}
			}
		}()
		<-s.Failed()
		if err := s.Err(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "data") {
			t.Errorf("a failed flush: %v", err)
		}
		toggle.Off()
		<-ended
		mustClose(t, s)
	}
}

func TestLocalNames(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer mustClose(t, s)
	if _, ok, err := s.GetLocal("a"); ok || err != nil {
		t.Errorf("a name that is not there: %v, %v", ok, err)
	}
	for _, v := range []string{"", "one", "two\n\xff"} {
		if err := s.SetLocal("a", []byte(v)); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := s.GetLocal("a"); !ok || err != nil || string(got) != v {
			t.Errorf("got %q, %v, %v, want %q", got, ok, err, v)
		}
	}
}

func TestPages(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer mustClose(t, s)
	var want []string
	for i := range 50 {
		name := fmt.Sprintf("key%02d\n", i)
		p, slot := ring.PartitionID(i/10), uint16(i/5)
		mustApply(t, s, put(p, user(slot, name), name))
		record := replica.MakeKey(slot, replica.SpaceSystem, name)
		mustApply(t, s, put(p, record, "answer"))
		want = append(want, "false "+name)
	}
	if err := s.SetLocal("mine", []byte("x")); err != nil {
		t.Fatal(err)
	}
	want = append(want, "true mine")
	for _, limit := range []int{1, 7, 1000} {
		var got []string
		var cursor []byte
		for {
			next, err := s.Names(cursor, limit, func(local bool, name string) { got = append(got, fmt.Sprint(local, " ", name)) })
			if err != nil {
				t.Fatal(err)
			}
			if cursor = next; len(cursor) == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: names %q, want %q", limit, got, want)
		}
		got = nil
		for p := range ring.PartitionID(6) {
			for cursor = nil; ; {
				next, err := s.Copies(p, cursor, limit, func(c Copy) { got = append(got, fmt.Sprint(c.Corrupt, " ", c.Name)) })
				if err != nil {
					t.Fatal(err)
				}
				if cursor = next; len(cursor) == 0 {
					break
				}
			}
		}
		if !slices.Equal(got, want[:50]) {
			t.Errorf("limit %d: copies %q", limit, got)
		}
	}
	parts, err := s.Parts()
	if err != nil || !slices.Equal(parts, []ring.PartitionID{0, 1, 2, 3, 4}) {
		t.Errorf("partitions %v, %v", parts, err)
	}
}

func TestScanAfter(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer mustClose(t, s)
	mustApply(t, s, put(1, user(1, "a"), "1"), put(1, user(1, "a\x00"), "2"), put(1, user(1, "b"), "3"), put(2, user(0, "z"), "4"))
	var got []string
	err := s.Scan(1, user(1, "a"), func(k replica.Key, item []byte) bool { got = append(got, k.Name()); return true })
	if err != nil || !slices.Equal(got, []string{"a\x00", "b"}) {
		t.Errorf("scan: %q, %v", got, err)
	}
}

// TestItemIsTheCallers: what was read is the reader's own: changing it changes nothing in
// the store, be it in memory or in a table.
func TestItemIsTheCallers(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer mustClose(t, s)
	key := user(7, "k")
	mustApply(t, s, put(3, key, "value"))
	for _, where := range []string{"in memory", "in a table", "in a table that was read"} {
		if where == "in a table" {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		item, err := s.Get(3, key)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		clear(item)
	}
}
