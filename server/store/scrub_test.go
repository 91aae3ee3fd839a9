package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/tests/damage"
)

// noise is a value that no other one is like.
func noise(seed byte, n int) string {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{seed})
	_, _ = rng.Read(b)
	return string(b)
}

// scrub runs one and returns what it found, by partition: the keys, "" for what is not known.
func scrub(t *testing.T, s *Store) (found map[ring.PartitionID]string, bytes, items int) {
	t.Helper()
	found = make(map[ring.PartitionID]string)
	err := s.Scrub(context.Background(), &Scrub{
		Pace: func(n int) error { bytes += n; return nil },
		Item: func() { items++ },
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
	return found, bytes, items
}

// TestScrubReadsTheDisk: damage below values that were read a moment ago is found, by key,
// and so is an item that fails its own checksum. The scrub leaves nothing out.
func TestScrubReadsTheDisk(t *testing.T) {
	fs := crashdisk.Mem()
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
	for name := range values {
		p := ring.PartitionID(name[0] - '0')
		if value(t, s, p, user(uint16(p), name)) != values[name] {
			t.Fatal(name)
		}
	}
	if found, n, items := scrub(t, s); len(found) != 1 || found[6] != "6-9;" || n < parts*keys*10_000 || items != parts*keys {
		t.Fatalf("before: %v, %d bytes, %d items", found, n, items)
	}
	damage.Text(t, fs, values["3-2"][5000:5100])
	if found, _, _ := scrub(t, s); len(found) != 2 || found[6] != "6-9;" || found[3] != "3-2;" {
		t.Errorf("after: %v", found)
	}
	for p, corrupt := range map[ring.PartitionID]bool{2: false, 3: true, 4: false} {
		if err := s.Verify(p, func(int) error { return nil }); errors.Is(err, replica.ErrCorrupt) != corrupt {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	mustApply(t, s, put(3, user(3, "3-2"), "repaired"))
	if found, _, _ := scrub(t, s); len(found) != 1 || found[6] != "6-9;" {
		t.Errorf("repaired: %v", found)
	}
}

// TestWipedDamage: a damaged partition that is wiped is met no more, by a scrub or a start;
// its neighbours and what is written to it afterwards are there.
func TestWipedDamage(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	values := make(map[ring.PartitionID]string)
	for p := ring.PartitionID(0); p < 5; p++ {
		for k := range 5 {
			values[p] = noise(byte(p*5)+byte(k), 20_000)
			mustApply(t, s, put(p, user(uint16(p), fmt.Sprint(k)), values[p]))
		}
		mustApply(t, s, replica.StoreOp{Kind: replica.PutMeta, Partition: p, Value: []byte("meta")})
	}
	damage.Text(t, fs, noise(2*5+2, 20_000)[5000:5100])
	if found, _, _ := scrub(t, s); len(found) != 1 || found[2] != "2;" {
		t.Fatalf("found %v", found)
	}
	mustApply(t, s, put(4, user(4, "later"), "x"))
	mustApply(t, s, replica.StoreOp{Kind: replica.WipePartition, Partition: 2}, put(2, user(2, "new"), "y"))
	for range 2 {
		if value(t, s, 2, user(2, "new")) != "y" || value(t, s, 4, user(4, "later")) != "x" || value(t, s, 2, user(2, "2")) != "(none)" {
			t.Error("what was written after the wipe")
		}
		for p, v := range values {
			if p != 2 && value(t, s, p, user(uint16(p), "4")) != v {
				t.Errorf("partition %d", p)
			}
		}
		if found, _, _ := scrub(t, s); len(found) != 0 {
			t.Errorf("found %v", found)
		}
		mustClose(t, s)
		s = mustOpen(t, fs)
	}
	mustClose(t, s)
}

// TestScrubRepairsIdentity: what the server knows of itself is written anew where the disk
// has lost it, and there after a restart.
func TestScrubRepairsIdentity(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	if err := s.Adopt([]byte(noise(7, 500)), func(id *Identity) { id.Epoch = 12 }); err != nil {
		t.Fatal(err)
	}
	if !damage.Text(t, fs, noise(7, 500)) {
		t.Fatal("nothing to flip")
	}
	if found, _, _ := scrub(t, s); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	mustClose(t, s)
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	if string(s.View()) != noise(7, 500) || s.Identity().Epoch != 12 {
		t.Errorf("epoch %d", s.Identity().Epoch)
	}
}

// TestDamagedFiles flips a byte anywhere in what a killed server leaves: the store refuses
// and says what to do, or it comes up and each value is right or told of as corrupt. Only
// the last batch may be taken for one that was not finished.
func TestDamagedFiles(t *testing.T) {
	const batches = 60
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	for i := range batches {
		mustApply(t, s, put(1, user(1, fmt.Sprintf("%03d", i)), noise(byte(i), 3000)))
	}
	crashed := powerCut(fs)
	mustClose(t, s)
	names, err := crashed.List()
	if err != nil {
		t.Fatal(err)
	}
	refused, corrupt := 0, 0
	for _, name := range names {
		size := len(crashed.Bytes(name))
		for at := 11; at < size; at += max(1, size/40) {
			hurt := crashed.Clone()
			hurt.Flip(name, int64(at))
			r, c := openHurt(t, hurt, batches, fmt.Sprintf("%s at %d", name, at))
			refused, corrupt = refused+r, corrupt+c
		}
	}
	if corrupt == 0 {
		t.Error("no flip was noticed")
	}
	t.Logf("refused %d times, %d values were corrupt", refused, corrupt)
}

// openHurt opens a damaged store of TestDamagedFiles.
func openHurt(t *testing.T, fs *crashdisk.FS, batches int, what string) (refused, corrupt int) {
	t.Helper()
	s, err := Open("data", fs, Options{SegmentBytes: 256 << 10}, quiet)
	if err != nil {
		if !errors.Is(err, ErrFormat) && !strings.Contains(err.Error(), "Move the folder away") {
			t.Errorf("%s: %v", what, err)
		}
		return 1, 0
	}
	defer mustClose(t, s)
	for i := range batches {
		key := user(1, fmt.Sprintf("%03d", i))
		item, err := s.Get(1, key)
		switch {
		case errors.Is(err, replica.ErrCorrupt):
			corrupt++
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case item == nil && i < batches-1:
			t.Errorf("%s: batch %d of %d is not there", what, i, batches)
		case item != nil && !slices.Equal(item, put(1, key, noise(byte(i), 3000)).Value):
			t.Errorf("%s: another value", what)
		}
	}
	return 0, corrupt
}
