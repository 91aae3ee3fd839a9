package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server/replica"
)

// TestGetPart reads random parts of values, short and long: what is told of them is what
// Get says, and of long ones not all is read.
func TestGetPart(t *testing.T) {
	s := mustOpen(t, crashdisk.Mem())
	defer mustClose(t, s)
	rng := rand.New(rand.NewPCG(1, 16))
	const p = ring.PartitionID(3)
	want := make(map[replica.Key]replica.Item)
	for n := range 12 {
		key := replica.MakeKey(7, replica.SpaceUser, fmt.Sprint("k", n))
		it := replica.Item{Version: replica.Version{Term: 1 + rng.Uint64N(1<<40), Seq: 1 + rng.Uint64N(1<<60)}, Kind: replica.KindValue,
			Flags: byte(n), Expiry: rng.Int64N(2) * rng.Int64(), Value: make([]byte, []int{0, 10, 5000, 70_000, 300_000, 1 << 20}[n%6])}
		for i := range it.Value {
			it.Value[i] = byte(rng.Uint32())
		}
		mustApply(t, s, replica.StoreOp{Kind: replica.PutItem, Partition: p, Key: key, Value: replica.AppendItem(nil, key, it)})
		want[key] = it
	}
	for key, it := range want {
		whole := 0
		for range 30 {
			from := rng.IntN(len(it.Value) + 1)
			to := from + rng.IntN(len(it.Value)+1-from)
			pc, item, err := s.GetPart(p, key, func(int) (int, int) { return from, to })
			if err != nil || pc.Length != len(it.Value) || !bytes.Equal(pc.Value, it.Value[from:to]) {
				t.Fatalf("bytes %d to %d of %d: %d bytes of %d, %v", from, to, len(it.Value), len(pc.Value), pc.Length, err)
			}
			if pc.Version != it.Version || pc.Kind != it.Kind || pc.Flags != it.Flags || pc.Expiry != it.Expiry {
				t.Fatalf("%+v, not %+v", pc.Item, it)
			}
			if item != nil {
				whole++
				if all, err := replica.DecodeItem(key, item); err != nil || !bytes.Equal(all.Value, it.Value) {
					t.Fatal(err)
				}
			}
		}
		if short := len(it.Value) < 60_000; short != (whole == 30) {
			t.Errorf("of %d bytes all is read %d times of 30", len(it.Value), whole)
		}
		pc, item, err := s.GetPart(p, key, replica.Nothing)
		if err != nil || pc.Length != len(it.Value) || len(pc.Value) > 0 || (item == nil) != (len(it.Value) > 60_000) {
			t.Errorf("the head of %d bytes: %+v, %v", len(it.Value), pc.Length, err)
		}
	}
	pc, item, err := s.GetPart(p, replica.MakeKey(7, replica.SpaceUser, "none"), replica.Nothing)
	if err != nil || item != nil || !pc.Version.IsZero() {
		t.Errorf("an absent key: %+v, %v", pc, err)
	}
}

// TestGetPartDamaged damages what an item has before its value, and its checksum: never
// another version, expiry or part.
func TestGetPartDamaged(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	defer mustClose(t, s)
	key := replica.MakeKey(7, replica.SpaceUser, "long")
	value := bytes.Repeat([]byte("0123456789"), 10_000)
	mustApply(t, s, put(3, key, string(value)))
	names, _ := fs.List()
	at, b := -1, []byte(nil)
	for _, n := range names {
		if i := bytes.Index(fs.Bytes(n), value); i >= 0 {
			at, b = i, fs.Bytes(n)
		}
	}
	if at < 0 {
		t.Fatal("the value is nowhere")
	}
	part := func(int) (int, int) { return 30_000, 30_010 }
	for i := at - 80; i < at; i++ {
		b[i] ^= 4
		if pc, _, err := s.GetPart(3, key, part); !errors.Is(err, replica.ErrCorrupt) && (err != nil || string(pc.Value) != "0123456789" || pc.Version.Seq != 1 || pc.Expiry != 0) {
			t.Errorf("byte %d before the value is flipped: %+v, %v", at-i, pc, err)
		}
		b[i] ^= 4
	}
	short := put(3, replica.MakeKey(7, replica.SpaceUser, "short"), "value")
	short.Value[len(short.Value)-1]++ // damaged before it was written
	mustApply(t, s, short)
	if pc, _, err := s.GetPart(3, short.Key, replica.Nothing); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("an item that fails its checksum: %+v, %v", pc, err)
	}
}
