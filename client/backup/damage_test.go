package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/wire"
	"viewring/ring"
)

// small makes a folder of runs with four partitions: each run sets a key in each, the second deletes that of partition 1 too.
func small(t testing.TB, cluster byte, runs int) string {
	t.Helper()
	dir := t.TempDir()
	var base RunID
	for n := range runs {
		m := &Manifest{Cluster: [16]byte{cluster}, ID: RunID{cluster, byte(n + 1)}, Number: uint64(n + 1), Base: base, Began: 1, Ended: 2, Version: "v", Partitions: make([]Part, 4)}
		unfinished := filepath.Join(dir, runName(m.Number)+partSuffix)
		if err := os.Mkdir(unfinished, 0o755); err != nil {
			t.Fatal(err)
		}
		w := &runWriter{cluster: m.Cluster, run: m.ID, create: inFolder(unfinished), full: 1}
		into := &segmentWriter{w: w}
		for p := range m.Partitions {
			into.begin(sectionKeys, ring.PartitionID(p))
			v := Version{1, uint64(n + 1)}
			add(t, into, &record{kind: recordSet, name: fmt.Appendf(nil, "key%d.%d", p, n), version: v, expiry: int64(n), value: []byte("value")})
			if n == 1 && p == 1 {
				add(t, into, &record{kind: recordDeleted, name: []byte("key1.0"), version: v})
			}
			part, err := into.end()
			if err != nil {
				t.Fatal(err)
			}
			part.Whole, part.At = n == 0, v
			m.Partitions[p] = part
		}
		if err := into.finish(); err != nil {
			t.Fatal(err)
		}
		m.segments = w.segments
		if err := commit(dir, m); err != nil {
			t.Fatal(err)
		}
		base = m.ID
	}
	return dir
}

func add(t testing.TB, into *segmentWriter, x *record) {
	t.Helper()
	if err := into.add(x); err != nil {
		t.Fatal(err)
	}
}

// faults are how many Verify finds, or -1 where there is nothing to verify.
func faults(t *testing.T, dir string) int {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := f.Verify(nil)
	if err != nil {
		return -1
	}
	return len(v.Faults)
}

// readable are the keys that a restore of the last run would write, and the partitions that it would leave out; an error
// that is no damage fails the test.
func readable(t *testing.T, dir string) (keys []string, out int, refused error) {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := f.chain(0)
	if err != nil {
		return nil, 0, err
	}
	r := &restorer{chain: chain, o: &RestoreOptions{}, out: make([]bool, len(chain[0].Manifest.Partitions))}
	done := &Restored{}
	if err := r.verify(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	for p := range r.out {
		if r.out[p] {
			continue
		}
		err := states(r.section(sectionKeys, ring.PartitionID(p)), func(x *record) error {
			keys = append(keys, string(x.name))
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(keys)
	return keys, len(done.LeftOut), nil
}

var allSmall = []string{"key0.0", "key0.1", "key1.1", "key2.0", "key2.1", "key3.0", "key3.1"}

func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: each bit that is flipped, and each length at which a file is cut, is found. What a restore would still
// write is right.
func TestDamage(t *testing.T) {
	dir := small(t, 1, 2)
	if n := faults(t, dir); n != 0 {
		t.Fatalf("%d faults in what is sound", n)
	}
	if keys, out, err := readable(t, dir); err != nil || out != 0 || !slices.Equal(keys, allSmall) {
		t.Fatalf("read %v, %d left out, %v", keys, out, err)
	}
	check := func(what string) {
		t.Helper()
		if faults(t, dir) < 1 {
			t.Errorf("%s: nothing was found", what)
		}
		keys, out, err := readable(t, dir)
		switch {
		case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat):
			t.Errorf("%s: %v", what, err)
		case err == nil && out == 0 && !slices.Equal(keys, allSmall):
			t.Errorf("%s: read %v", what, keys)
		case err == nil && slices.ContainsFunc(keys, func(k string) bool { return !slices.Contains(allSmall, k) }):
			t.Errorf("%s: read %v", what, keys)
		}
	}
	for path, b := range files(t, dir) {
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << (i % 8)
			write(t, path, bad)
			check(fmt.Sprintf("%s with a flipped bit in byte %d", filepath.Base(path), i))
			if i%3 == 0 {
				write(t, path, b[:i])
				check(fmt.Sprintf("%s cut at %d", filepath.Base(path), i))
			}
		}
		write(t, path, append(bytes.Clone(b), 0))
		check(filepath.Base(path) + " with a byte more")
		write(t, path, b)
	}
}

// TestWrongFiles: files that are sound, and in the wrong place.
func TestWrongFiles(t *testing.T) {
	seg := func(dir string, run, n int) string {
		return filepath.Join(dir, runName(uint64(run)), segmentName(uint32(n)))
	}
	exchange := func(t *testing.T, a, b string) {
		x, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(b)
		if err != nil {
			t.Fatal(err)
		}
		write(t, a, y)
		write(t, b, x)
	}
	other := small(t, 2, 2)
	for name, c := range map[string]struct {
		break_ func(t *testing.T, dir string)
		text   string
		out    int // partitions that a restore leaves out; -1: it is refused
	}{
		"a segment of another run":     {func(t *testing.T, dir string) { exchange(t, seg(dir, 1, 2), seg(dir, 2, 2)) }, "of another run", 1},
		"segments exchanged":           {func(t *testing.T, dir string) { exchange(t, seg(dir, 2, 1), seg(dir, 2, 3)) }, "it is segment 3", 2},
		"a segment of another cluster": {func(t *testing.T, dir string) { exchange(t, seg(dir, 2, 1), seg(other, 2, 1)) }, "of another cluster", 1},
		"a manifest in place of one": {func(t *testing.T, dir string) {
			exchange(t, seg(dir, 2, 1), filepath.Join(dir, runName(2), manifestName))
		}, "it is a segment", -1},
		"a manifest of another run": {func(t *testing.T, dir string) {
			exchange(t, filepath.Join(dir, runName(1), manifestName), filepath.Join(dir, runName(2), manifestName))
		}, "manifest of run", -1},
		"a missing segment":              {func(t *testing.T, dir string) { remove(t, seg(dir, 2, 4)) }, "it is missing", 1},
		"a missing manifest":             {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, runName(2), manifestName)) }, "no such file", -1},
		"a missing run":                  {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, runName(1))) }, "which is not there", -1},
		"a file that nobody has written": {func(t *testing.T, dir string) { write(t, seg(dir, 1, 9), []byte("x")) }, "not of this run", 0},
		"a newer format": {func(t *testing.T, dir string) {
			path := filepath.Join(dir, runName(2), manifestName)
			b := files(t, filepath.Dir(path))[path]
			b[len(magic)] = fileFormat + 1
			write(t, path, b)
		}, "use a newer viewring", -1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := small(t, 1, 2)
			c.break_(t, dir)
			f, err := OpenFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			v, err := f.Verify(nil)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, fault := range v.Faults {
				texts = append(texts, fault.Err.Error())
			}
			if !strings.Contains(strings.Join(texts, "\n"), c.text) {
				t.Errorf("found %q, want %q", texts, c.text)
			}
			_, out, err := readable(t, dir)
			if (err != nil) != (c.out < 0) || err == nil && out != c.out {
				t.Errorf("a restore leaves %d out, %v; want %d", out, err, c.out)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// streamBytes is a run as a stream.
func streamBytes(t testing.TB) []byte {
	t.Helper()
	dir := filepath.Join(small(t, 1, 1), runName(1))
	all := files(t, dir)
	var b []byte
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if filepath.Base(path) != manifestName {
			b = append(b, all[path]...)
		}
	}
	return append(b, all[filepath.Join(dir, manifestName)]...)
}

// TestSpool: a stream is a folder's run, and one that is cut off or damaged is none.
func TestSpool(t *testing.T) {
	whole := streamBytes(t)
	spool := func(b []byte) (string, error) {
		dir := t.TempDir()
		_, err := Spool(t.Context(), bytes.NewReader(b), dir)
		return dir, err
	}
	dir, err := spool(whole)
	if err != nil {
		t.Fatal(err)
	}
	if n := faults(t, dir); n != 0 {
		t.Errorf("%d faults", n)
	}
	if keys, _, err := readable(t, dir); err != nil || len(keys) != 4 {
		t.Errorf("read %v, %v", keys, err)
	}
	for n := 0; n < len(whole); n += 7 {
		if _, err := spool(whole[:n]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d of %d: %v", n, len(whole), err)
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 4
		if _, err := spool(bad); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
			t.Errorf("flipped at %d: %v", n, err)
		}
	}
	if _, err := spool(append(bytes.Clone(whole), whole...)); !errors.Is(err, ErrDamaged) {
		t.Errorf("two streams: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Spool(ctx, bytes.NewReader(whole), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestOwn: a folder that has something else is left alone, and so is one that another backup writes to.
func TestOwn(t *testing.T) {
	dir := t.TempDir()
	if err := own(filepath.Join(dir, "a", "b")); err != nil {
		t.Errorf("a new folder: %v", err)
	}
	write(t, filepath.Join(dir, "mine"), nil)
	if err := own(dir); !errors.Is(err, ErrForeign) {
		t.Errorf("somebody's folder: %v", err)
	}
	runs := small(t, 1, 1)
	if err := own(runs); err != nil {
		t.Errorf("a folder of backups: %v", err)
	}
	held, err := lock(runs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(runs); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("locked twice: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}

// TestLeft: what an interrupted run has left counts for nothing.
func TestLeft(t *testing.T) {
	dir := small(t, 1, 2)
	if err := os.Rename(filepath.Join(dir, runName(2)), filepath.Join(dir, runName(2)+partSuffix)); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Runs) != 1 || len(f.Left) != 1 {
		t.Fatalf("%d runs, left %v", len(f.Runs), f.Left)
	}
	if run, err := f.Run(0); err != nil || run.Number != 1 {
		t.Errorf("the last run is %v, %v", run, err)
	}
	if err := f.removeLeft(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
	if f, err := OpenFolder(t.TempDir()); err != nil {
		t.Fatal(err)
	} else if _, err := f.Run(0); !errors.Is(err, ErrNoRun) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestLargest: the longest value, with the longest name, fits into a block.
func TestLargest(t *testing.T) {
	x := &record{kind: recordSet, name: bytes.Repeat([]byte("k"), 64<<10), version: Version{1 << 60, 1 << 60}, expiry: 1 << 60, value: make([]byte, 16<<20)}
	b := appendRecord(binary.AppendUvarint(nil, ring.Slots-1), x)
	if len(b) > blockBytesMax || len(b) > len(x.name)+len(x.value)+recordHead+4 {
		t.Fatalf("%d bytes", len(b))
	}
	r := blockReader{from: bytes.NewReader(appendBlock(nil, 7, 54, keysBlock, b)), fileSum: 7, offset: 54}
	_, payload, err := r.next()
	if err == nil {
		err = decodeRecords(sectionKeys, payload, func(_ ring.PartitionID, got *record) error {
			if !bytes.Equal(got.name, x.name) || !bytes.Equal(got.value, x.value) || got.version != x.version || got.expiry != x.expiry {
				t.Error("it comes back as another")
			}
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind it: %v", err)
	}
}

// FuzzManifest: no bytes make trouble, and what is read is written as the same.
func FuzzManifest(f *testing.F) {
	f.Add(appendManifest(nil, &Manifest{Number: 3, Base: RunID{1}, Began: 5, Ended: 6, Version: "v1", Partitions: []Part{{Whole: true, At: Version{3, 4}, Records: 5, segment: 1, offset: 54, length: 10}, {}},
		Missing: []MissingKey{{1, "k", true}}, NotNamed: 2, segments: []segmentInfo{{100, 7}}}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := decodeManifest(appendManifest(nil, m))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Errorf("%v became %v, %v", m, again, err)
		}
	})
}

// FuzzSegment: no file makes trouble, whatever its checksums say; records that are read are within their bounds.
func FuzzSegment(f *testing.F) {
	dir := small(f, 1, 2)
	for _, b := range files(f, dir) {
		f.Add(b, false, byte(0))
		f.Add(b[headerBytes+blockHead:max(headerBytes+blockHead, len(b)-sumBytes)], true, byte(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, payload bool, s byte) {
		if payload {
			_ = decodeRecords(section(s%4), b, func(p ring.PartitionID, x *record) error {
				if p >= ring.Slots || len(x.name) > wire.KeyBytesMax || x.expiry < 0 {
					t.Errorf("a record %+v of partition %d", x, p)
				}
				return nil
			})
			return
		}
		if _, sum, err := decodeHeader(b); err == nil {
			_ = verifyBlocks(&blockReader{from: bytes.NewReader(b[headerBytes:]), fileSum: sum, offset: headerBytes})
		}
		_, _ = parseManifest(b) // no panic
	})
}

// TestBlockPlace: blocks that are exchanged, repeated or left out are found, though each is sound.
func TestBlockPlace(t *testing.T) {
	header := appendHeader(nil, &fileID{kind: segmentFile, number: 1})
	_, sum, err := decodeHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	at := int64(headerBytes)
	for i := range 3 {
		payload := appendRecord(binary.AppendUvarint(nil, 1), &record{kind: recordSet, name: fmt.Append(nil, i), version: Version{1, 1}})
		blocks = append(blocks, appendBlock(nil, sum, at, keysBlock, payload))
		at += int64(len(blocks[i]))
	}
	blocks = append(blocks, appendBlock(nil, sum, at, endBlock, binary.AppendUvarint(nil, 3)))
	for _, order := range [][]int{{1, 0, 2, 3}, {0, 0, 2, 3}, {0, 2, 3}, {0, 1, 2, 2, 3}, {3}} {
		var b []byte
		for _, i := range order {
			b = append(b, blocks[i]...)
		}
		if err := verifyBlocks(&blockReader{from: bytes.NewReader(b), fileSum: sum, offset: headerBytes}); !errors.Is(err, ErrDamaged) {
			t.Errorf("blocks %v: %v", order, err)
		}
	}
	if err := verifyBlocks(&blockReader{from: bytes.NewReader(bytes.Join(blocks, nil)), fileSum: sum, offset: headerBytes}); err != nil {
		t.Error(err)
	}
}
