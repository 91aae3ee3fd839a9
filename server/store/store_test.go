package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/tests/damage"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func mustOpen(t *testing.T, fs disk.FS) *Store {
	t.Helper()
	s, err := Open("data", fs, Options{SegmentBytes: 256 << 10}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// powerCut is the disk without what was not synced.
func powerCut(fs *crashdisk.FS) *crashdisk.FS { return fs.CrashClone(0, rand.New(rand.NewPCG(1, 2))) }

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
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	first := s.Identity()
	if !s.Fresh() || first.Incarnation != 1 || first.Previous != 0 || first.Store == [16]byte{} {
		t.Errorf("first start: fresh %v, %+v", s.Fresh(), first)
	}
	if err := s.Update(func(id *Identity) { id.Server, id.Cluster, id.Epoch, id.LeaseMax = 3, [16]byte{7}, 12, 600 }); err != nil {
		t.Fatal(err)
	}
	fs = powerCut(fs) // not closed
	s = mustOpen(t, fs)
	want := Identity{Store: first.Store, Server: 3, Incarnation: 2, Previous: 1, Cluster: [16]byte{7}, Epoch: 12, LeaseMax: 600,
		Starts: s.Identity().Starts}
	if s.Fresh() || !reflect.DeepEqual(s.Identity(), want) {
		t.Errorf("second start: fresh %v, %+v, want %+v", s.Fresh(), s.Identity(), want)
	}
	mustClose(t, s)
}

func TestFolderRefused(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	if _, err := Open("data", fs, Options{}, quiet); !errors.Is(err, ErrInUse) {
		t.Errorf("a folder in use: %v", err)
	}
	mustClose(t, s)
	for name, content := range map[string]string{"FORMAT": "viewring server 2\n", "letter.txt": "dear"} {
		fs := crashdisk.Mem()
		fs.Put(name, []byte(content))
		if _, err := Open("data", fs, Options{}, quiet); !errors.Is(err, ErrFormat) {
			t.Errorf("a folder with %s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, disk.Dir(path), Options{}, quiet); err == nil {
		t.Error("a file taken for a data folder")
	}
}

func TestBatchOperations(t *testing.T) {
	s := mustOpen(t, crashdisk.Mem())
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
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	var model []uint64
	next, floor := uint64(1), uint64(0)
	for range 300 {
		switch n := rng.IntN(20); {
		case n == 0:
			fs = powerCut(fs)
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
		fs := crashdisk.Mem()
		s := mustOpen(t, fs)
		const batches = 60
		synced := -1
		crashAt := rng.IntN(batches)
		var waits []func() error
		for n := range batches {
			big := strings.Repeat("x", rng.IntN(40_000)) // fills segments now and then
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
		clone := fs.CrashClone(rng.IntN(101), rng)
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
	s := mustOpen(t, crashdisk.Mem())
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

// TestDamagedValue flips bits of a value on the disk: reads say so and the process lives.
func TestDamagedValue(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	key := user(1, "k")
	text := noise(1, 20_000)
	mustApply(t, s, put(1, key, text))
	mustClose(t, s)
	damage.Text(t, fs, text[60:160])
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	if _, err := s.Get(1, key); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("get: %v", err)
	}
	told := 0
	err := s.Scan(1, replica.Cursor{}, func(k replica.Key, item []byte) bool {
		if _, err := replica.DecodeItem(k, item); k == key && errors.Is(err, replica.ErrCorrupt) {
			told++
		}
		return true
	})
	if err != nil || told != 1 {
		t.Errorf("scan: %v, told %d times", err, told)
	}
	if err := s.Verify(1, func(int) error { return nil }); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("verify: %v", err)
	}
	if s.Corruptions() == 0 || s.Err() != nil || !s.Failing() {
		t.Errorf("%d corruptions, failure %v", s.Corruptions(), s.Err())
	}
}

// TestFailedLog makes the log's writes fail, as on a dying disk, and on one that is full
// though it has promised the room: the batch's wait says so, and the store takes nothing
// more.
func TestFailedLog(t *testing.T) {
	for _, broken := range []error{errors.New("the disk is gone"), syscall.ENOSPC, syscall.EIO} {
		fs := crashdisk.Mem()
		var on atomic.Bool
		fs.Watch(func(st crashdisk.Step) error {
			if on.Load() && st.Kind == crashdisk.WriteSync {
				return broken
			}
			return nil
		})
		s := mustOpen(t, fs)
		on.Store(true)
		wait, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{put(1, user(1, "a"), "1")}})
		if err == nil {
			err = wait()
		}
		if !errors.Is(err, broken) {
			t.Errorf("a failed log: %v", err)
		}
		<-s.Failed()
		on.Store(false)
		if _, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{put(1, user(1, "b"), "2")}}); !errors.Is(err, broken) {
			t.Errorf("after a failed log: %v", err)
		}
		if err := s.Err(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "data") {
			t.Errorf("failed with %v", err)
		}
		mustClose(t, s)
	}
}

// TestLostLog: a store whose log is gone, or is one of an earlier day, is not opened, and the
// error says what to do. One whose identity is gone is not taken for a new one.
func TestLostLog(t *testing.T) {
	fs := crashdisk.Mem()
	var days []*crashdisk.FS
	for range 3 {
		s := mustOpen(t, fs)
		for i := range 100 {
			mustApply(t, s, put(1, user(1, fmt.Sprint(i)), "value"), replica.StoreOp{Kind: replica.PutMeta, Partition: 1, Value: []byte("meta")})
		}
		mustClose(t, s)
		days = append(days, fs.Clone())
	}
	log := func(d *crashdisk.FS) []string {
		names, err := d.List()
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "segment-") && !strings.HasPrefix(n, "checkpoint-") })
	}
	for what, hurt := range map[string]func(d *crashdisk.FS) error{
		"the log is gone": func(d *crashdisk.FS) (err error) {
			for _, n := range log(d) {
				err = errors.Join(err, d.Remove(n))
			}
			return err
		},
		"an identity of a later day": func(d *crashdisk.FS) error {
			d.Put(identityName, days[2].Bytes(identityName))
			return nil
		},
		"no identity":      func(d *crashdisk.FS) error { return d.Remove(identityName) },
		"a damaged one":    func(d *crashdisk.FS) error { clear(d.Bytes(identityName)); return nil },
		"an identity of 0": func(d *crashdisk.FS) error { d.Put(identityName, nil); return nil },
	} {
		d := days[1].Clone()
		if err := hurt(d); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("data", d, Options{}, quiet); !errors.Is(err, replica.ErrCorrupt) || !strings.Contains(err.Error(), "Move the folder away") {
			t.Errorf("%s: opened with %v", what, err)
		}
	}
	for half := range 2 { // one of the two copies is enough
		d := days[1].Clone()
		b := d.Bytes(identityName)
		b[half*len(b)/2+10] ^= 1
		s := mustOpen(t, d)
		if s.Identity().Incarnation != 3 || s.Fresh() {
			t.Errorf("incarnation %d", s.Identity().Incarnation)
		}
		mustClose(t, s)
	}
}

func TestLocalNames(t *testing.T) {
	s := mustOpen(t, crashdisk.Mem())
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
	s := mustOpen(t, crashdisk.Mem())
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
	byPlace(want)
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
	if parts := s.Parts(); !slices.Equal(parts, []ring.PartitionID{0, 1, 2, 3, 4}) {
		t.Errorf("partitions %v", parts)
	}
}

// byPlace orders the names of TestPages, each of which says what its slot is.
func byPlace(want []string) {
	slices.SortFunc(want, func(a, b string) int {
		key := func(s string) replica.Key {
			var i int
			_, _ = fmt.Sscanf(s, "false key%d", &i) // they all have one
			return user(uint16(i/5), strings.TrimPrefix(s, "false "))
		}
		return replica.ComparePlaces(key(a), key(b))
	})
}

// TestScanFrom goes on from any key, also over a restart.
func TestScanFrom(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	var keys []replica.Key
	for i := range 20 {
		keys = append(keys, user(uint16(i%3), fmt.Sprint(i)))
		mustApply(t, s, put(1, keys[i], "1"), put(2, keys[i], "2"))
	}
	slices.SortFunc(keys, replica.ComparePlaces)
	mustClose(t, s)
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	for i, from := range keys {
		var got []replica.Key
		err := s.Scan(1, replica.After(from), func(k replica.Key, _ []byte) bool { got = append(got, k); return true })
		if err != nil || !slices.Equal(got, keys[i+1:]) {
			t.Errorf("after %q: %q, %v", from, got, err)
		}
		var heads []replica.Key
		_, more, err := s.Heads(1, replica.After(from), func(k replica.Key, _ int64) bool { heads = append(heads, k); return true })
		if err != nil || more || !slices.Equal(heads, got) {
			t.Errorf("heads after %q: %q, %v, %v", from, heads, more, err)
		}
	}
	if next, more, err := s.Heads(1, replica.Cursor{}, func(replica.Key, int64) bool { return false }); err != nil || !more || next.Key != keys[0] {
		t.Errorf("the first: %v, %v, %v", next, more, err)
	}
}

// TestKeysOf: the keys of one space are found among others, in every slot, and those alone.
func TestKeysOf(t *testing.T) {
	s := mustOpen(t, crashdisk.Mem())
	defer mustClose(t, s)
	want := map[replica.Space][]replica.Key{replica.SpaceMeta: nil, replica.SpaceOwned: nil} // with others on both sides, or on one
	for i := range 60 {
		slot := uint16(i%7*(ring.Slots-1)/6) / 2 * 2
		if i%2 == 0 {
			slot++ // next to another
		}
		for _, space := range []replica.Space{replica.SpaceUser, replica.SpaceMeta, replica.SpaceSystem, replica.SpaceOwned} {
			if _, ok := want[space]; ok && i%7 == 3 {
				continue
			}
			key := replica.MakeKey(slot, space, fmt.Sprint(i))
			mustApply(t, s, put(1, key, "v"), put(2, key+"2", "v"))
			if _, ok := want[space]; ok {
				want[space] = append(want[space], key)
			}
		}
	}
	for space, keys := range want {
		var got []replica.Key
		if err := s.KeysOf(1, space, func(k replica.Key) { got = append(got, k) }); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(keys, replica.ComparePlaces)
		if !slices.Equal(got, keys) {
			t.Errorf("%d keys of space %d are found, want %d", len(got), space, len(keys))
		}
	}
	if err := s.KeysOf(3, replica.SpaceOwned, func(k replica.Key) { t.Errorf("%q in an empty partition", k) }); err != nil {
		t.Error(err)
	}
}

// TestItemIsTheCallers: what was read is the reader's own: changing it changes nothing in
// the store, be it in memory or on the disk.
func TestItemIsTheCallers(t *testing.T) {
	s := mustOpen(t, crashdisk.Mem())
	defer mustClose(t, s)
	key := user(7, "k")
	wait, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{put(3, key, "value")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"in memory, perhaps", "on the disk", "on the disk, again"} {
		item, err := s.Get(3, key)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		clear(item)
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
}
