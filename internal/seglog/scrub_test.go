package seglog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// scrubbed returns the keys that a scrub tells of, and how many bytes it read; "" stands
// for a key that is not known.
func scrubbed(t *testing.T, s *seglog.Store) (found map[string]bool, read int) {
	t.Helper()
	found = make(map[string]bool)
	err := s.Scrub(context.Background(), &seglog.Scrubbing{
		Pace:  func(n int) error { read += n; return nil },
		Found: func(f seglog.Finding) { found[string(f.Key)] = true },
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, read
}

func fill(t *testing.T, s *seglog.Store, n int) {
	t.Helper()
	for i := range n {
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: uint16(i % 5), Key: fmt.Appendf(nil, "key-%d", i),
			Value: bytes.Repeat([]byte{byte(i)}, 700)}, {Kind: seglog.PutMeta, Part: uint16(i % 5), Value: []byte("meta")},
			{Kind: seglog.PutRow, Part: uint16(i % 5), Seq: uint64(i + 1), Value: []byte("row")}})
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestScrub: damage to what is needed is found wherever it is, and only there; damage to
// what is not is no finding; and the next scrub meets neither.
func TestScrub(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	disk := crashdisk.New(512, rng)
	s, err := seglog.Open(disk, seglog.Options{SegmentBytes: 64 << 10, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, 300)
	if found, read := scrubbed(t, s); len(found) > 0 || read < 300*700 {
		t.Fatalf("a sound store: found %v in %d bytes", found, read)
	}
	for round := range 40 {
		name := pick(disk, rng)
		b := disk.Bytes(name)
		at := 4096 + rng.IntN(len(b)-4096)
		b[at] ^= 0x11
		corrupt := make(map[string]bool)
		for i := range 300 {
			key := fmt.Sprintf("key-%d", i)
			if _, _, err := s.Get(uint16(i%5), []byte(key)); errors.Is(err, seglog.ErrCorrupt) {
				corrupt[key] = true
			}
		}
		found, _ := scrubbed(t, s)
		for key := range corrupt {
			if !found[key] && !found[""] {
				t.Fatalf("round %d: %s at %d: %q cannot be read, and the scrub found %v", round, name, at, key, found)
			}
			repair(t, s, key)
		}
		if len(corrupt) == 0 && len(found) > 0 {
			t.Fatalf("round %d: %s at %d: found %v, and all keys can be read", round, name, at, found)
		}
		if found, _ := scrubbed(t, s); len(found) > 0 {
			t.Fatalf("round %d: found again: %v", round, found)
		}
	}
}

// repair writes a key that could not be read.
func repair(t *testing.T, s *seglog.Store, key string) {
	t.Helper()
	var i int
	if _, err := fmt.Sscanf(key, "key-%d", &i); err != nil {
		t.Fatal(err)
	}
	wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: uint16(i % 5), Key: []byte(key), Value: bytes.Repeat([]byte{byte(i)}, 700)}})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestScanHeads: the beginnings of values come with all keys, in the order of Scan.
func TestScanHeads(t *testing.T) {
	s, err := seglog.Open(crashdisk.Mem(), seglog.Options{SegmentBytes: 64 << 10, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, 200)
	long := bytes.Repeat([]byte("k"), 5000)
	if _, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: 1, Key: long, Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	var keys []string
	if err := s.Scan(1, seglog.Cursor{}, func(key, _ []byte) bool { keys = append(keys, string(key)); return true }); err != nil {
		t.Fatal(err)
	}
	var heads []string
	err = s.ScanHeads(1, seglog.Cursor{}, 8, func(key, head []byte, n int) bool {
		if want := min(8, n); string(key) != string(long) && len(head) != want || string(key) == string(long) && string(head) != "v" {
			t.Errorf("%d bytes of the value of %.20q", len(head), key)
		}
		heads = append(heads, string(key))
		return true
	})
	if err != nil || len(keys) != 41 || fmt.Sprint(keys) != fmt.Sprint(heads) {
		t.Fatalf("%d keys, %d heads, %v", len(keys), len(heads), err)
	}
	if parts := s.Parts(); fmt.Sprint(parts) != "[0 1 2 3 4]" {
		t.Errorf("partitions %v", parts)
	}
}

// TestScrubTellsOfLost: what a missing segment had is told of by the scrub, by partition,
// until it is written anew.
func TestScrubTellsOfLost(t *testing.T) {
	disk := crashdisk.New(512, rand.New(rand.NewPCG(5, 6)))
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	s, err := seglog.Open(disk, opts)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove(files(disk, "segment-")[1]); err != nil {
		t.Fatal(err)
	}
	if s, err = seglog.Open(disk, opts); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lost := 0
	for range 2 {
		parts := make(map[uint16]bool)
		err := s.Scrub(context.Background(), &seglog.Scrubbing{Pace: func(int) error { return nil },
			Found: func(f seglog.Finding) { parts[f.Part] = true }})
		if err != nil || len(parts) != 5 {
			t.Errorf("found in %v, %v", parts, err)
		}
	}
	for i := range 300 {
		key := fmt.Sprintf("key-%d", i)
		if _, _, err := s.Get(uint16(i%5), []byte(key)); errors.Is(err, seglog.ErrCorrupt) {
			lost++
			repair(t, s, key)
		}
	}
	var ops []seglog.Op
	for p := range uint16(5) {
		ops = append(ops, seglog.Op{Kind: seglog.Trim, Part: p, Seq: 300})
	}
	if _, err := s.Apply(ops); err != nil {
		t.Fatal(err)
	}
	if found, _ := scrubbed(t, s); lost == 0 || len(found) > 0 {
		t.Errorf("%d keys were lost; found again: %v", lost, found)
	}
}
