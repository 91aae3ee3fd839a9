package seglog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

var lossOpts = seglog.Options{SegmentBytes: 64 << 10, Manual: true}

// powerLoss switches a store's machine off.
func powerLoss(s *seglog.Store, d *crashdisk.FS) *crashdisk.FS {
	next := d.Crash()
	_ = s.Close() // the machine is dead
	return next
}

func removeNewest(t *testing.T, d *crashdisk.FS) {
	t.Helper()
	names := files(d, "segment-")
	if err := d.Remove(names[len(names)-1]); err != nil {
		t.Fatal(err)
	}
}

// TestNewestSegmentMissing loses the newest segment of a log, which may be its only one, in
// all the states of a store: it is always noticed.
func TestNewestSegmentMissing(t *testing.T) {
	for _, closes := range []int{0, 1, 3} {
		for _, checkpoint := range []bool{false, true} {
			t.Run(fmt.Sprintf("closed %d times,checkpoint=%v", closes, checkpoint), func(t *testing.T) {
				d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
				s := mustOpen(t, d, lossOpts)
				for n := range closes {
					if err := errors.Join(putSync(s, 1, fmt.Sprintf("before%d", n), 10), s.Close()); err != nil {
						t.Fatal(err)
					}
					s = mustOpen(t, d, lossOpts)
					if s.LostAll() || s.Stats().Damage > 0 {
						t.Fatalf("after close %d something is lost", n)
					}
				}
				if err := putSync(s, 1, "key", 10); err != nil {
					t.Fatal(err)
				}
				d = powerLoss(s, d)
				if !checkpoint {
					d = withoutCheckpoint(d)
				}
				removeNewest(t, d)
				for range 3 {
					s = mustOpen(t, d, lossOpts)
					for part := range uint16(3) {
						if _, ok, err := s.Get(part, []byte("key")); ok || !errors.Is(err, seglog.ErrCorrupt) {
							t.Errorf("key of partition %d: %v, %v", part, ok, err)
						}
					}
					if !s.LostAll() {
						t.Error("nothing is said to be lost")
					}
					d = powerLoss(s, d)
				}
			})
		}
	}
}

// TestLossIsKept looks at what is said of a loss of nobody knows what: over restarts, with
// all records moved and without the checkpoint; by partitions that were wiped since, that
// were made since, and when it is forgotten.
func TestLossIsKept(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	s := mustOpen(t, d, lossOpts)
	if err := putSync(s, 1, "key", 10); err != nil {
		t.Fatal(err)
	}
	d = powerLoss(s, d)
	removeNewest(t, d)
	s = mustOpen(t, d, lossOpts)
	// 2 is wiped since, 3 is written to without a wipe.
	wait, err := s.Apply([]seglog.Op{{Kind: seglog.Wipe, Part: 2}, {Kind: seglog.Put, Part: 2, Key: []byte("new"), Value: []byte("value")},
		{Kind: seglog.Put, Part: 3, Key: []byte("new"), Value: []byte("value")}})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string, forgotten bool) {
		t.Helper()
		if s.LostAll() == forgotten {
			t.Errorf("%s: lost: %v", when, s.LostAll())
		}
		for part := range uint16(5) {
			_, ok, err := s.Get(part, []byte("key"))
			if sound := part == 2 || forgotten; ok || sound != (err == nil) {
				t.Errorf("%s: an absent key of partition %d: %v, %v", when, part, ok, err)
			}
			if _, ok, err := s.Get(part, []byte("new")); (part == 2 || part == 3) && (!ok || err != nil) {
				t.Errorf("%s: a new key of partition %d: %v, %v", when, part, ok, err)
			}
		}
	}
	for _, forgotten := range []bool{false, true} {
		if forgotten {
			if err := s.ForgetLoss(); err != nil {
				t.Fatal(err)
			}
		}
		look("at once", forgotten)
		for n := range 3 {
			if err := s.CollectAll(); err != nil {
				t.Fatal(err)
			}
			if err := s.Audit(); err != nil {
				t.Error(err)
			}
			look("collected", forgotten)
			d = powerLoss(s, d)
			if n == 1 {
				d = withoutCheckpoint(d)
			}
			s = mustOpen(t, d, lossOpts)
			look(fmt.Sprintf("start %d", n), forgotten)
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = s.Close() // nothing is looked at any more
}

// TestLossNoticedEarly loses the first of many segments, without a checkpoint: partitions
// that the replay meets only later have lost records as well.
func TestLossNoticedEarly(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	s := mustOpen(t, d, lossOpts)
	for _, key := range []string{"old", "old2"} {
		if err := putSync(s, 9, key, 20<<10); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		if err := putSync(s, 1, "junk", 20<<10); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Collect(); err != nil {
		t.Fatal(err)
	}
	if err := putSync(s, 9, "new", 10); err != nil {
		t.Fatal(err)
	}
	d = withoutCheckpoint(powerLoss(s, d))
	if err := d.Remove(files(d, "segment-")[0]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = mustOpen(t, d, lossOpts)
		if _, ok, err := s.Get(9, []byte("old")); ok || err == nil {
			t.Errorf("a key that is lost: %v, %v", ok, err)
		}
		if _, ok, err := s.Get(9, []byte("new")); !ok || err != nil {
			t.Errorf("a key that was written after what is lost: %v, %v", ok, err)
		}
		d = powerLoss(s, d)
	}
}

// TestStateDamaged damages records of states: floor, cuts, and that a partition is suspect are
// known all the same.
func TestStateDamaged(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	s := mustOpen(t, d, lossOpts)
	const text = "the meta of a partition"
	var ops []seglog.Op
	for seq := range uint64(9) {
		ops = append(ops, seglog.Op{Kind: seglog.PutRow, Part: 1, Seq: seq + 1}, seglog.Op{Kind: seglog.PutRow, Part: 2, Seq: seq + 1})
	}
	wait, err := s.Apply(ops)
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	wait, err = s.Apply([]seglog.Op{{Kind: seglog.Trim, Part: 1, Seq: 6}, {Kind: seglog.PutMeta, Part: 1, Value: []byte(text)},
		{Kind: seglog.Trim, Part: 2, Seq: 6}, {Kind: seglog.Cut, Part: 2, Seq: 4}, {Kind: seglog.PutMeta, Part: 2, Value: []byte(text)}})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	d = powerLoss(s, d)
	name := files(d, "segment-")[0]
	b := d.Bytes(name)
	hurt := 0
	for at := range len(b) - len(text) {
		if string(b[at:at+len(text)]) == text {
			b[at] ^= 0x20
			hurt++
		}
	}
	s = mustOpen(t, d, lossOpts)
	defer s.Close() // only read
	if m := s.Metas(); hurt != 2 || len(m) != 2 || m[0].Value != nil || m[1].Value != nil || m[0].Suspect || m[1].Suspect {
		t.Errorf("%d states were damaged; metas %v", hurt, m)
	}
	for part, want := range map[uint16]string{1: "7 8 9 ", 2: ""} {
		got := ""
		err := s.Rows(part, 0, func(seq uint64, _ []byte) bool { got += fmt.Sprint(seq, " "); return true })
		if got != want || err != nil {
			t.Errorf("partition %d has rows %q, not %q: %v", part, got, want, err)
		}
	}
	for seq, ok := range map[uint64]bool{5: true, 4: false} {
		if _, err := s.Apply([]seglog.Op{{Kind: seglog.PutRow, Part: 2, Seq: seq}}); ok != (err == nil) {
			t.Errorf("row %d: %v", seq, err)
		}
	}
}

// TestNumbersAreNotUsedAgain loses the end of a log, goes on, and finds what was lost put
// back: it is not taken for what was written since.
func TestNumbersAreNotUsedAgain(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	s := mustOpen(t, d, lossOpts)
	for n := range 20 {
		if err := putSync(s, 1, fmt.Sprintf("key%d", n), 20<<10); err != nil {
			t.Fatal(err)
		}
	}
	d = powerLoss(s, d)
	lost := make(map[string][]byte)
	names := files(d, "segment-")
	for _, name := range names[len(names)-3:] {
		lost[name] = d.Bytes(name)
		if err := d.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, d, lossOpts)
	if _, err := s.Apply([]seglog.Op{{Kind: seglog.Wipe, Part: 1}}); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := putSync(s, 1, fmt.Sprintf("again%d", n), 20<<10); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	d = powerLoss(s, d)
	for name, b := range lost {
		if d.Bytes(name) != nil {
			t.Errorf("%s is there again", name)
		}
		d.Put(name, b)
	}
	for _, d := range []*crashdisk.FS{d, withoutCheckpoint(d)} {
		s = mustOpen(t, d, lossOpts)
		for n := range 20 {
			if _, ok, err := s.Get(1, fmt.Appendf(nil, "key%d", n)); ok || err != nil {
				t.Errorf("key%d, which was wiped: %v, %v", n, ok, err)
			}
			if _, ok, err := s.Get(1, fmt.Appendf(nil, "again%d", n)); !ok || err != nil {
				t.Errorf("again%d: %v, %v", n, ok, err)
			}
		}
		_ = s.Close() // only read
	}
}
