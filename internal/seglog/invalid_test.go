package seglog_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestInvalidBatch applies batches of which a later operation cannot be carried out: nothing
// of them is, and the store goes on.
func TestInvalidBatch(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	s := mustOpen(t, d, seglog.Options{SegmentBytes: 64 << 10, Manual: true})
	put := seglog.Op{Kind: seglog.Put, Part: 1, Key: []byte("key"), Value: []byte("value")}
	row := func(seq uint64) seglog.Op { return seglog.Op{Kind: seglog.PutRow, Part: 1, Seq: seq} }
	op := func(kind seglog.OpKind, seq uint64) seglog.Op { return seglog.Op{Kind: kind, Part: 1, Seq: seq} }
	if _, err := s.Apply([]seglog.Op{row(5), op(seglog.Trim, 7)}); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]seglog.Op{
		{put, row(7)},
		{put, row(9), op(seglog.Trim, 9), row(9)},
		{put, op(seglog.Cut, 6), row(6)},
		{put, op(seglog.Wipe, 0), row(0)},
		{put, op(seglog.Cut, 3), op(seglog.Trim, 8), row(8)},
		{put, {Kind: 99}},
		{put, {Kind: seglog.Put, Key: []byte(strings.Repeat("k", seglog.KeyBytesMax+1))}},
	} {
		if _, err := s.Apply(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
		if s.Err() != nil {
			t.Fatalf("%v ended the store: %v", bad, s.Err())
		}
		if _, ok, _ := s.Get(1, []byte("key")); ok {
			t.Fatalf("a part of %v was carried out", bad)
		}
	}
	good := []seglog.Op{put, op(seglog.Cut, 3), row(4), op(seglog.Wipe, 0), row(1), put}
	wait, err := s.Apply(good)
	if err == nil {
		err = wait()
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, d, seglog.Options{Manual: true})
	defer s.Close() // only read
	rows := ""
	if err := s.Rows(1, 0, func(seq uint64, _ []byte) bool { rows += fmt.Sprint(seq, " "); return true }); err != nil || rows != "1 " {
		t.Errorf("rows %s, %v", rows, err)
	}
}

// TestLostAmongColliding writes and deletes keys which have the same bound as one that is
// lost: that stays lost, and is not taken for absent.
func TestLostAmongColliding(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	opts.HashBits(1) // two bounds
	s := mustOpen(t, d, opts)
	for i := range 6 {
		if err := putSync(s, 1, fmt.Sprintf("key%d", i), 40); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := d.Bytes("segment-0000000001")
	b[strings.Index(string(b), "key2")+3] ^= 0x40
	s = mustOpen(t, d, opts)
	if err := s.CollectAll(); err != nil {
		t.Fatal(err)
	}
	lost := func() {
		t.Helper()
		if _, ok, err := s.Get(1, []byte("key2")); ok || err == nil {
			t.Errorf("the lost key: %v, %v", ok, err)
		}
	}
	lost()
	for i := 6; i < 12; i++ {
		key := fmt.Sprintf("key%d", i)
		if err := putSync(s, 1, key, 40); err != nil {
			t.Fatal(err)
		}
		lost()
		if _, err := s.Apply([]seglog.Op{{Kind: seglog.Delete, Part: 1, Key: []byte(key)}}); err != nil {
			t.Fatal(err)
		}
		lost()
	}
	if err := s.CollectAll(); err != nil {
		t.Fatal(err)
	}
	lost()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, withoutCheckpoint(d), opts)
	lost()
	_ = s.Close() // only read
}
