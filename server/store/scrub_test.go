package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/tests/damage"
)

// noise is a value that no compression shortens.
func noise(seed byte, n int) string {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{seed})
	_, _ = rng.Read(b)
	return string(b)
}

// flipText damages the tables that hold text.
func flipText(t *testing.T, fs vfs.FS, text string) {
	t.Helper()
	damage.Text(t, fs, "data/"+pebbleName, text)
}

// scrub runs one and returns what it found, by partition: the keys, "" for ranges.
func scrub(t *testing.T, s *Store, only ...ring.PartitionID) (found map[ring.PartitionID]string, bytes int) {
	t.Helper()
	found = make(map[ring.PartitionID]string)
	err := s.Scrub(context.Background(), &Scrub{Only: only,
		Pace: func(n int) error { bytes += n; return nil },
		Found: func(f Finding) {
			name := ""
			if f.Key != "" {
				name = f.Key.Name()
			}
			found[f.Partition] += name + ";"
		}})
	if err != nil {
		t.Fatal(err)
	}
	return found, bytes
}

// TestScrubReadsTheDisk: what the cache hides is found, in the partition where it
// is; a corrupt item by its key. The scrub leaves nothing out and takes no time.
func TestScrubReadsTheDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	defer mustClose(t, s)
	const parts, keys = 8, 6
	values := make(map[string]string)
	for p := ring.PartitionID(0); p < parts; p++ {
		for k := range keys {
			name := fmt.Sprintf("%d-%d", p, k)
			values[name] = noise(byte(p*keys)+byte(k), 10_000)
			mustApply(t, s, put(p, user(uint16(p), name), values[name]))
		}
	}
	bad := put(6, user(6, "6-9"), "value")
	bad.Value[len(bad.Value)-1] ^= 1
	mustApply(t, s, bad)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for name := range values { // now in the cache
		p := ring.PartitionID(name[0] - '0')
		if value(t, s, p, user(uint16(p), name)) != values[name] {
			t.Fatal(name)
		}
	}
	if found, n := scrub(t, s); len(found) != 1 || found[6] != "6-9;" || n < parts*keys*10_000 {
		t.Fatalf("before: %v, %d bytes", found, n)
	}
	flipText(t, fs, values["3-2"][5000:5100])
	if found, _ := scrub(t, s); len(found) != 2 || found[6] != "6-9;" || found[3] != ";" {
		t.Errorf("after: %v", found)
	}
	if found, _ := scrub(t, s, 2, 4); len(found) != 0 {
		t.Errorf("partitions 2 and 4: %v", found)
	}
	if found, _ := scrub(t, s, 3); len(found) != 1 || found[3] != ";" {
		t.Errorf("partition 3: %v", found)
	}
}

func mustCompact(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
}

// TestCutOut: a damaged partition that is wiped is out of the tables: later
// compactions and scrubs do not meet it, nor does the next start; its neighbours
// and what is written to it afterwards are there.
func TestCutOut(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		values := make(map[ring.PartitionID]string)
		for p := ring.PartitionID(0); p < 5; p++ {
			for k := range 5 {
				values[p] = noise(byte(p*5)+byte(k), 20_000)
				mustApply(t, s, put(p, user(uint16(p), fmt.Sprint(k)), values[p]))
			}
			mustApply(t, s, replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: []byte("meta")})
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		flipText(t, fs, noise(2*5+2, 20_000)[5000:5100])
		mustApply(t, s, put(4, user(4, "later"), "x"))
		mustApply(t, s, replica.StoreOp{Kind: replica.WipePartition, Partition: 2, Damaged: damaged},
			put(2, user(2, "new"), "y"))
		s.cutOut(s.cutter.spots())
		mustClose(t, s)
		s = mustOpen(t, fs)
		if value(t, s, 2, user(2, "new")) != "y" || value(t, s, 4, user(4, "later")) != "x" || value(t, s, 2, user(2, "2")) != "(none)" {
			t.Error("what was written after the wipe")
		}
		for p, v := range values {
			if want := v; p != 2 && value(t, s, p, user(uint16(p), "4")) != want {
				t.Errorf("partition %d", p)
			}
		}
		found, _ := scrub(t, s)
		if clean := len(found) == 0; clean != damaged {
			t.Errorf("damaged %v: found %v", damaged, slices.Collect(maps.Keys(found)))
		}
		if damaged {
			mustCompact(t, s)
		}
		mustClose(t, s)
	}
}

// TestCutOutTogether: a bad block that holds the rows of several partitions is cut
// out when all of them have been wiped, whatever has been written to them since, and
// not before: cutting at a block that cannot be read would drop sound rows.
func TestCutOutTogether(t *testing.T) {
	const parts = 40
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	values := make(map[ring.PartitionID]string)
	for p := range ring.PartitionID(parts) {
		values[p] = noise(byte(p), 2000) // 8 in a block
		mustApply(t, s, put(p, user(uint16(p), "k"), values[p]),
			replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: []byte{byte(p)}})
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	flipText(t, fs, values[20][500:600])
	found, _ := scrub(t, s)
	if len(found) < 3 || len(found) > 20 {
		t.Fatalf("damaged: %v", found)
	}
	check := func(cut ...ring.PartitionID) {
		t.Helper()
		for p, v := range values {
			if slices.Contains(cut, p) {
				v = "anew"
			} else if found[p] != "" {
				continue
			}
			if got := value(t, s, p, user(uint16(p), "k")); got != v {
				t.Fatalf("partition %d after %v: %.10q", p, cut, got)
			}
		}
	}
	bad := slices.Sorted(maps.Keys(found))
	for i, p := range bad {
		mustApply(t, s, replica.StoreOp{Kind: replica.WipePartition, Partition: p, Damaged: true})
		mustApply(t, s, put(p, user(uint16(p), "k"), "anew"), replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: []byte{byte(p)}})
		if all := s.cutOut(s.cutter.spots()); all != (i == len(bad)-1) {
			t.Errorf("cut out after %d of %d: %v", i+1, len(bad), all)
		}
		check(bad[:i+1]...)
		if found, _ := scrub(t, s); found[p] != "" {
			t.Errorf("partition %d, though it is elsewhere", p)
		}
		if i == len(bad)/2 {
			mustClose(t, s)
			s = mustOpen(t, fs)
			check(bad[:i+1]...)
		}
	}
	defer func() { mustClose(t, s) }()
	if found, _ := scrub(t, s); len(found) != 0 {
		t.Errorf("still damaged: %v", found)
	}
	mustCompact(t, s)
	check(bad...)
	metas := 0
	if err := s.Metas(func(p ring.PartitionID, m []byte) bool {
		if int(p) != metas || len(m) != 1 || m[0] != byte(p) {
			t.Errorf("meta %d of partition %d: %v", metas, p, m)
		}
		metas++
		return true
	}); err != nil || metas != parts {
		t.Errorf("%d metas, %v", metas, err)
	}
	if stored, err := s.Parts(); err != nil || len(stored) != parts || !slices.IsSorted(stored) {
		t.Errorf("partitions %v, %v", stored, err)
	}
	names := 0
	for cursor, more := []byte(nil), true; more; more = cursor != nil {
		var err error
		if cursor, err = s.Names(cursor, 3, func(bool, string) { names++ }); err != nil {
			t.Fatal(err)
		}
	}
	if names != parts {
		t.Errorf("%d names", names)
	}
}

// TestAnyBadBlock: whichever block of a small store is bad, it can be cut out, even
// where the kinds of rows meet. Only the last one cannot, which also holds what the
// server knows of itself.
func TestAnyBadBlock(t *testing.T) {
	const parts = 512
	for block, blocks := 0, 2; block < blocks-1; block++ {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		for p := range ring.PartitionID(parts) {
			if p%4 != 3 { // some are elsewhere
				mustApply(t, s, put(p, user(uint16(p), "k"), noise(byte(p), 150)),
					replica.StoreOp{Kind: replica.PutIndex, Partition: p, Seq: 5, Value: []byte(noise(byte(p), 60))},
					replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: []byte(noise(byte(p), 60))})
			}
		}
		if err := errors.Join(s.db.Flush(), s.rewriteNode()); err != nil {
			t.Fatal(err)
		}
		path, layout := lowest(t, s)
		blocks = len(layout.Data)
		mustClose(t, s)
		damage.At(t, fs, path, int64(layout.Data[block].Offset+20))
		s = mustOpen(t, fs)
		s.SetPartitions(parts)
		found, _ := scrub(t, s)
		delete(found, localPartition)
		for p := range found {
			mustApply(t, s, replica.StoreOp{Kind: replica.WipePartition, Partition: p, Damaged: true})
		}
		if !s.cutOut(s.cutter.spots()) {
			t.Errorf("block %d of %d: %d partitions damaged, and not cut out", block, blocks, len(found))
		} else {
			mustCompact(t, s)
		}
		if found, _ := scrub(t, s); len(found) > 0 {
			t.Errorf("block %d of %d: still damaged: %d", block, blocks, len(found))
		}
		mustClose(t, s)
	}
}

// TestCutOutKeepsLocalNames: they lie between two kinds of rows.
func TestCutOutKeepsLocalNames(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	s.SetPartitions(1)
	wipe := replica.StoreOp{Kind: replica.WipePartition, Partition: 0, Damaged: true}
	mustApply(t, s, put(0, user(0, "k"), "v"), wipe)
	if err := s.SetLocal("local", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !s.cutOut(s.cutter.spots()) {
			t.Error("not cut out")
		}
		if v, _, err := s.GetLocal("local"); err != nil || string(v) != "v" {
			t.Errorf("%q, %v", v, err)
		}
		mustClose(t, s)
		s = mustOpen(t, fs)
		s.SetPartitions(1)
	}
	mustClose(t, s)
}

// TestLargeBadBlock: Pebble alone would look for the flipped bit for minutes.
func TestLargeBadBlock(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	long := noise(1, 8<<20)
	mustApply(t, s, put(1, user(1, "k"), long))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	flipText(t, fs, long[1000:1100])
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	start := time.Now()
	if _, err := s.Get(1, user(1, "k")); err == nil {
		t.Error("read")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a bad block of 8 MiB takes %v", took)
	}
}

// TestDamagedLog flips a byte of the log: the store refuses and says what to do. In
// the last few batches the damage looks like the end of the log: the store comes up
// with a prefix of what was synced, and it is for the protocol to notice that the
// others' logs are longer. Nothing is made up.
func TestDamagedLog(t *testing.T) {
	refused, short := 0, 0
	const batches, shortMax = 60, 4
	for at := int64(1000); at < 190_000; at += 9973 {
		if at > 140_000 {
			at -= 9000 // closer where the log's last block may be
		}
		fs := vfs.NewCrashableMem()
		s := mustOpen(t, fs)
		for i := range batches {
			mustApply(t, s, put(1, user(1, fmt.Sprintf("%03d", i)), noise(byte(i), 3000)))
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, s)
		if !damage.Logs(t, crashed, "data/"+pebbleName, at) {
			continue
		}
		s, err := Open("data", crashed, Options{MemTableBytes: 1 << 20}, quiet)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), "Move the folder away") {
				t.Errorf("at %d: %v", at, err)
			}
			continue
		}
		n := 0
		for ; n < batches && value(t, s, 1, user(1, fmt.Sprintf("%03d", n))) != "(none)"; n++ {
		}
		for i := range batches {
			if got := value(t, s, 1, user(1, fmt.Sprintf("%03d", i))); i < n && got != noise(byte(i), 3000) || i >= n && got != "(none)" {
				t.Errorf("at %d: batch %d after %d", at, i, n)
			}
		}
		if n < batches {
			short++
		}
		if n < batches-shortMax {
			t.Errorf("at %d: comes up with %d of %d batches, and says nothing", at, n, batches)
		}
		mustClose(t, s)
	}
	if refused == 0 || short == 0 {
		t.Error("no flip was noticed, or all were")
	}
	t.Logf("refused %d, came up short %d", refused, short)
}
