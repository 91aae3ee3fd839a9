package seglog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// longStore has a value of n bytes between two short ones, in one frame.
func longStore(t testing.TB, n int, opts seglog.Options) (s *seglog.Store, d *crashdisk.FS, value []byte) {
	t.Helper()
	d = crashdisk.Mem()
	s, err := seglog.Open(d, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // nothing is looked at any more
	value = make([]byte, n)
	rng := rand.New(rand.NewPCG(1, 12))
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	var ops []seglog.Op
	for i, v := range [][]byte{[]byte("before"), value, []byte("after")} {
		ops = append(ops, seglog.Op{Kind: seglog.Put, Part: 1, Key: fmt.Appendf(nil, "k%d", i), Value: v})
	}
	wait, err := s.Apply(ops)
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, d, value
}

// part reads bytes from … to of the long value by themselves.
func part(s *seglog.Store, from, to int) (seglog.Piece, error) {
	pc, ok, err := s.GetPart(1, []byte("k1"), 40, func([]byte, int) (int, int) { return from, to })
	if err == nil && !ok {
		err = errors.New("it is not there")
	}
	return pc, err
}

// TestPartOfDamaged flips bytes of all that a store has on its disk, and reads a part of a
// long value: it is right or corrupt, and corrupt only where the damage is in a sector of the
// part or of what is before the value.
func TestPartOfDamaged(t *testing.T) {
	const from, to = 50_000, 54_000
	s, d, value := longStore(t, 100_000, seglog.Options{Manual: true})
	name := files(d, "segment-")[0]
	b := d.Bytes(name)
	valueAt := bytes.Index(b, value)
	end := len(bytes.TrimRight(b, "\x00"))
	step := 13
	if slow() {
		step = 1
	}
	corrupt, whole := 0, 0
	for at := 0; at < end; at += step {
		b[at] ^= 1 << (at % 8)
		pc, err := part(s, from, to)
		b[at] ^= 1 << (at % 8)
		inPart := at >= (valueAt+from)&^511 && at < (valueAt+to+511)&^511
		before := at >= valueAt-512 && at < valueAt+512
		switch {
		case err != nil && !errors.Is(err, seglog.ErrCorrupt):
			t.Fatal(err)
		case err != nil && !inPart && !before:
			t.Fatalf("byte %d, %d of the value, is flipped: %v", at, at-valueAt, err)
		case err != nil:
			corrupt++
		case at >= valueAt+from && at < valueAt+to:
			t.Fatalf("byte %d of the value is flipped, and %d bytes are given", at-valueAt, len(pc.Bytes))
		case pc.Whole && !bytes.Equal(pc.Bytes, value), !pc.Whole && !bytes.Equal(pc.Bytes, value[from:to]):
			t.Fatalf("byte %d is flipped: another value", at)
		case pc.Whole:
			whole++
		}
	}
	if corrupt < 4000/step || whole == 0 {
		t.Errorf("%d of %d bytes corrupt, %d times all was read", corrupt, end/step, whole)
	}
	// With the sums gone, damage elsewhere in the value is met.
	tail := bytes.TrimRight(b, "\x00")
	tail[len(tail)-600]++ // of the sums
	b[valueAt+10]++
	if _, err := part(s, from, to); !errors.Is(err, seglog.ErrCorrupt) {
		t.Errorf("neither the sums nor the value are sound, and a part is: %v", err)
	}
}

// bytesRead counts what is read of a disk.
func bytesRead(d *crashdisk.FS) *atomic.Int64 {
	n := new(atomic.Int64)
	d.Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.Read {
			n.Add(int64(st.Len))
		}
		return nil
	})
	return n
}

// TestPartCosts counts what is read for 4 KiB of a long value: besides the part and the
// sectors that it is in, four bytes for each sector of the frame, and two sectors.
func TestPartCosts(t *testing.T) {
	for _, size := range []int{64 << 10, 1 << 20, 16 << 20} {
		s, d, value := longStore(t, size, seglog.Options{Manual: true})
		n := bytesRead(d)
		rng := rand.New(rand.NewPCG(1, 13))
		for range 20 {
			from := rng.IntN(size - 4096)
			n.Store(0)
			pc, err := part(s, from, from+4096)
			if err != nil || pc.Whole || !bytes.Equal(pc.Bytes, value[from:from+4096]) {
				t.Fatalf("%d bytes at %d of %d: %v", len(pc.Bytes), from, size, err)
			}
			if limit := int64(size/128 + 4096 + 6*512); n.Load() > limit {
				t.Errorf("%d bytes are read for 4 KiB of %d, at most %d would do", n.Load(), size, limit)
			}
		}
	}
}

// TestPartOfLater reads parts of values that share a frame: where its head is too far away, all
// is read.
func TestPartOfLater(t *testing.T) {
	s, err := seglog.Open(crashdisk.Mem(), seglog.Options{Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // nothing is looked at any more
	var ops []seglog.Op
	for i := range 6 {
		ops = append(ops, seglog.Op{Kind: seglog.Put, Part: 1, Key: fmt.Appendf(nil, "k%d", i), Value: bytes.Repeat([]byte{byte(i)}, 70_000)})
	}
	wait, err := s.Apply(ops)
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i := range 6 {
		pc, ok, err := s.GetPart(1, fmt.Appendf(nil, "k%d", i), 9, func(head []byte, n int) (int, int) {
			if len(head) != 9 || n != 70_000 {
				t.Errorf("%d bytes of head, %d of value", len(head), n)
			}
			return n - 10, n
		})
		if err != nil || !ok || !bytes.HasSuffix(bytes.Repeat([]byte{byte(i)}, 70_000), pc.Bytes) {
			t.Errorf("k%d: %v, %v", i, ok, err)
		}
		if pc.Whole {
			whole++
		} else if len(pc.Bytes) != 10 {
			t.Errorf("k%d: %d bytes", i, len(pc.Bytes))
		}
	}
	if whole == 0 || whole == 6 {
		t.Errorf("%d of 6 values are read as a whole", whole)
	}
}

// TestPartMoves reads parts of a value while it is overwritten and its segments are collected.
func TestPartMoves(t *testing.T) {
	const size = 70_000
	opts := seglog.Options{SegmentBytes: 256 << 10, Manual: true}
	opts.OpenFiles(2)
	s, _, _ := longStore(t, size, opts)
	var newest atomic.Int64 // that may be there; the one before it may be no more
	done := make(chan error, 1)
	put := func(i int) error {
		newest.Store(int64(i))
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: 1, Key: []byte("k1"), Value: bytes.Repeat([]byte{byte(i)}, size)}})
		if err != nil || i%3 == 0 {
			return err // the next reads meet it in memory
		}
		return wait()
	}
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	go func() {
		var err error
		for i := 2; i < 150 && err == nil; i++ {
			if err = put(i); err == nil && i%5 == 0 {
				err = s.CollectAll()
			}
		}
		done <- err
	}()
	rng := rand.New(rand.NewPCG(1, 14))
	inPart := 0
	for n := 0; ; n++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if inPart == 0 {
				t.Errorf("none of %d reads was one of a part", n)
			}
			return
		default:
		}
		from, least := rng.IntN(size-5000), newest.Load()-1
		pc, err := part(s, from, from+5000)
		if err != nil {
			t.Fatal(err)
		}
		if !pc.Whole {
			inPart++
		}
		is := int64(pc.Bytes[0])
		if is < least || is > newest.Load() || bytes.Count(pc.Bytes, []byte{byte(is)}) != len(pc.Bytes) {
			t.Fatalf("%d of %d bytes are of write %d, where %d to %d may be", bytes.Count(pc.Bytes, []byte{byte(is)}), len(pc.Bytes), is, least, newest.Load())
		}
	}
}

// BenchmarkGetPart is 4 KiB of a value of 16 MiB.
func BenchmarkGetPart(b *testing.B) {
	const size = 16 << 20
	s, d, _ := longStore(b, size, seglog.Options{Manual: true})
	n := bytesRead(d)
	rng := rand.New(rand.NewPCG(1, 15))
	b.ResetTimer()
	for range b.N {
		from := rng.IntN(size - 4096)
		if _, err := part(s, from, from+4096); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n.Load())/float64(b.N), "read-bytes/op")
}
