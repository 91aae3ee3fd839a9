package seglog_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestScanReadsStretches: items that stand in the log in the order of a scan are read many at a time, and told
// as if each had been read for itself, also where one is damaged, was replaced or is still on its way to the disk.
func TestScanReadsStretches(t *testing.T) {
	const keys = 600
	name := func(i int) []byte { return fmt.Appendf(binary.BigEndian.AppendUint64(nil, uint64(i)), "k%d", i) }
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 100+i%50) }
	d := crashdisk.Mem()
	s := mustOpen(t, d, seglog.Options{Manual: true, Place: func(key []byte) uint64 {
		if n := binary.BigEndian.Uint64(key); n != 299 {
			return n
		}
		return 298 // two keys have one place
	}})
	defer s.Close()
	put := func(numbers ...int) {
		t.Helper()
		var ops []seglog.Op
		for _, i := range numbers {
			ops = append(ops, seglog.Op{Kind: seglog.Put, Part: 1, Key: name(i), Value: value(i)})
		}
		wait, err := s.Apply(ops)
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	scan := func(damaged int) {
		t.Helper()
		next := 0
		err := s.Scan(1, seglog.Cursor{}, func(key, got []byte) bool {
			if !bytes.Equal(key, name(next)) || next != damaged && !bytes.Equal(got, value(next)) || next == damaged && bytes.Equal(got, value(next)) {
				t.Fatalf("item %d is told as %q of %d bytes", next, key, len(got))
			}
			next++
			return true
		})
		if err != nil || next != keys {
			t.Fatalf("%d items of %d, %v", next, keys, err)
		}
		scanInto(t, s, keys, func(i int, got []byte) bool { return (i == damaged) != bytes.Equal(got, value(i)) })
	}
	var all []int
	for i := range keys {
		all = append(all, i)
	}
	put(all...)
	reads := new(atomic.Int64)
	d.Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.Read && strings.HasPrefix(st.Name, "segment-") {
			reads.Add(1)
		}
		return nil
	})
	scan(-1)
	if n := reads.Load(); n > keys/20 {
		t.Errorf("%d reads for %d items that stand one behind the other", n, keys)
	}
	b := d.Bytes(files(d, "segment-")[0])
	for _, i := range []int{0, 1, 299, keys - 1} {
		at := bytes.Index(b, append(name(i), value(i)...)) + len(name(i)) + 20
		b[at] ^= 1
		scan(i)
		b[at] ^= 1
	}
	put(17, 300, 301, 3) // elsewhere now
	scan(-1)
}

// scanInto scans partition 1 into memory that is too small for all of it, and looks at all items when the scan has ended.
func scanInto(t *testing.T, s *seglog.Store, keys int, isRight func(i int, value []byte) bool) {
	t.Helper()
	left := make([]byte, keys*60)
	var values [][]byte
	err := s.ScanInto(1, seglog.Cursor{}, func(n int) []byte {
		if n > len(left) || len(values)%7 == 3 {
			return nil
		}
		b := left[:n]
		left = left[n:]
		return b
	}, func(_, value []byte) bool {
		values = append(values, value)
		return true
	})
	if err != nil || len(values) != keys {
		t.Fatalf("%d items of %d, %v", len(values), keys, err)
	}
	if n := s.Readers(); n != 0 {
		t.Errorf("segments are read by %d after the scan", n)
	}
	for i, value := range values {
		if !isRight(i, value) {
			t.Errorf("item %d is read as %d bytes that are not its", i, len(value))
		}
	}
}

// TestScanWhileCollected: a scan that holds segments ends well where they are collected, and freed, meanwhile.
func TestScanWhileCollected(t *testing.T) {
	const keys = 300
	d := crashdisk.Mem()
	s := mustOpen(t, d, seglog.Options{Manual: true, SegmentBytes: 64 << 10, Place: func(key []byte) uint64 { return binary.BigEndian.Uint64(key) }})
	defer s.Close()
	name := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	put := func(part uint16, i int) {
		t.Helper()
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: part, Key: name(i), Value: bytes.Repeat([]byte{byte(i)}, 1000)}})
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range keys { // as clients write: one partition's items stand between others
		put(1, i)
		put(2, i%10)
	}
	before := files(d, "segment-")
	next, most := 0, int32(0)
	err := s.ScanInto(1, seglog.Cursor{}, func(int) []byte { return nil }, func(key, value []byte) bool {
		if next == keys/2 {
			if _, err := s.Collect(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(key, name(next)) || !bytes.Equal(value, bytes.Repeat([]byte{byte(next)}, 1000)) {
			t.Fatalf("item %d is told as %q of %d bytes", next, key, len(value))
		}
		next++
		most = max(most, s.Readers())
		return true
	})
	if err != nil || next != keys {
		t.Fatalf("%d items of %d, %v", next, keys, err)
	}
	if n := s.Readers(); n != 0 || most < 2 {
		t.Errorf("%d segments were held at once, and %d after the scan", most, n)
	}
	if after := files(d, "segment-"); after[0] == before[0] {
		t.Errorf("nothing was collected: %v", after)
	}
}

// BenchmarkScanScattered reads pages of items that stand between those of other partitions, as clients write them.
func BenchmarkScanScattered(b *testing.B) {
	const parts, keys = 256, 50_000
	s, err := seglog.Open(disk.Dir(b.TempDir()), seglog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for from := 0; from < keys; from += 100 {
		var ops []seglog.Op
		for i := from; i < from+100; i++ {
			ops = append(ops, seglog.Op{Kind: seglog.Put, Part: uint16(i % parts), Key: fmt.Appendf(nil, "key%d", i), Value: make([]byte, 1<<10)})
		}
		wait, err := s.Apply(ops)
		if err == nil {
			err = wait()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	memory := make([]byte, 1<<20)
	for _, into := range []bool{false, true} {
		b.Run(fmt.Sprint("into=", into), func(b *testing.B) {
			for items := 0; items < b.N; {
				left := memory
				room := func(n int) (out []byte) {
					if n <= len(left) {
						out, left = left[:n], left[n:]
					}
					return out
				}
				if !into {
					room = nil
				}
				if err := s.ScanInto(uint16(items%parts), seglog.Cursor{}, room, func(_, _ []byte) bool {
					items++
					return true
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
