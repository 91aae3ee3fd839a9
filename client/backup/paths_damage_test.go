package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"

	"viewring/client/file"
	records "viewring/client/record"
	"viewring/internal/tree"
)

// nodeName is the name of a node's record.
func nodeName(path string) []byte {
	dir, name := tree.Split(path)
	return []byte(dir + tree.Separator + name)
}

// smallPaths makes a folder of one run, of one partition that has a node, files and a record file.
func smallPaths(t testing.TB, spoil func(s section, x *record)) string {
	t.Helper()
	dir := t.TempDir()
	m := &Manifest{Cluster: [16]byte{1}, ID: RunID{1}, Number: 1, Version: "v", Partitions: make([]Part, 1), Missing: []MissingKey{{0, "/lost", true}}, Tree: Tree{Nodes: 3, Lost: 1}}
	m.makePaths()
	unfinished := filepath.Join(dir, runName(1)+partSuffix)
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		t.Fatal(err)
	}
	w := &runWriter{cluster: m.Cluster, run: m.ID, create: inFolder(unfinished), full: 1 << 20}
	into := &segmentWriter{w: w}
	v := Version{1, 2}
	attributes, err := file.Attributes{ContentType: "text/plain"}.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	long := node{kind: nodeLong, size: 6, sum: xxhash.Sum64String("abcdef"), attributes: attributes}
	short, numbers := node{kind: nodeShort, created: 5, value: []byte("v")}, node{kind: nodeNumbers, next: 7}
	s := stream{path: "/log", id: v, chunkBytes: 1 << 20, first: 2, from: 3, end: 5, producers: []records.ProducerInfo{{ID: [16]byte{1}, Next: 2}}, readers: []readerPlace{{"r", true, 4}}}
	b := batch{place: 3, time: 9, producer: [16]byte{1}, sequence: 1, records: [][]byte{[]byte("x"), nil}}
	for of, all := range [sectionsEnd][]record{
		sectionNodes: {{kind: recordSet, name: nodeName("/short"), version: v, value: short.encode()},
			{kind: recordBody, name: nodeName("/long"), version: v, value: []byte("abcd")},
			{kind: recordBody, name: nodeName("/long"), version: v, expiry: 4, value: []byte("ef")},
			{kind: recordSet, name: nodeName("/long"), version: v, value: long.encode()},
			{kind: recordSet, name: []byte("/queue\x00"), version: v, value: numbers.encode()}},
		sectionBatches: {{kind: recordBatch, name: []byte(s.path), version: v, value: b.encode()}},
		sectionStreams: {{kind: recordStream, name: []byte(s.path), version: v, value: s.encode()}},
	} {
		into.begin(section(of), 0)
		for i := range all {
			if spoil != nil {
				spoil(section(of), &all[i])
			}
			add(t, into, &all[i])
		}
		part, err := into.end()
		if err != nil {
			t.Fatal(err)
		}
		part.Whole, part.At = true, v
		*m.part(section(of), 0) = part
	}
	if err := into.finish(); err != nil {
		t.Fatal(err)
	}
	m.segments = w.segments
	if err := commit(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPathsDamage: each byte that is changed, of nodes, files and records, is found, and leaves the partition out.
func TestPathsDamage(t *testing.T) {
	dir := smallPaths(t, nil)
	if n := faults(t, dir); n != 0 {
		t.Fatalf("%d faults of what is sound", n)
	}
	for path, b := range files(t, dir) {
		for i := range b {
			b[i] ^= 1 << (i % 8)
			write(t, path, b)
			if n := faults(t, dir); n == 0 {
				t.Fatalf("%s, byte %d: not found", path, i)
			}
			b[i] ^= 1 << (i % 8)
		}
		write(t, path, b)
	}
}

// TestPathsSense: what has sound checksums and makes no sense is damage too: a file without some of its bytes above all.
func TestPathsSense(t *testing.T) {
	for name, spoil := range map[string]func(s section, x *record){
		"other bytes":            func(_ section, x *record) { swap(x, recordBody, []byte("ef"), []byte("EF")) },
		"bytes are missing":      func(_ section, x *record) { swap(x, recordBody, []byte("ef"), []byte("e")) },
		"bytes at another place": func(_ section, x *record) { x.expiry = min(x.expiry, 3) },
		"bytes of another file": func(_ section, x *record) {
			if x.kind == recordBody {
				x.name = nodeName("/other")
			}
		},
		"bytes of another version": func(_ section, x *record) {
			if x.kind == recordBody {
				x.version.Seq++
			}
		},
		"no path": func(_ section, x *record) {
			if x.kind == recordSet {
				x.name = []byte("a\x00b")
			}
		},
		"no node": func(_ section, x *record) {
			if x.kind == recordSet {
				x.value = []byte{99}
			}
		},
		"no batch": func(s section, x *record) {
			if s == sectionBatches {
				x.value = x.value[:4]
			}
		},
		"no stream": func(s section, x *record) {
			if s == sectionStreams {
				x.value = append(x.value, 0)
			}
		},
	} {
		f, err := OpenFolder(smallPaths(t, spoil))
		if err != nil {
			t.Fatal(err)
		}
		r := &restorer{chain: f.Runs, o: &RestoreOptions{}, out: make([]bool, 1)}
		done := &Restored{}
		if err := r.verify(t.Context(), done); err != nil || len(done.LeftOut) != 1 || len(done.Faults) != 1 || !errors.Is(done.Faults[0].Err, ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
}

func swap(x *record, kind recordKind, from, to []byte) {
	if x.kind == kind && string(x.value) == string(from) {
		x.value = to
	}
}

// FuzzPaths: no value makes trouble, and what is read is written as the same.
func FuzzPaths(f *testing.F) {
	_ = smallPaths(f, func(s section, x *record) { f.Add(byte(s), x.name, x.value) })
	f.Fuzz(func(t *testing.T, s byte, name, value []byte) {
		x := record{name: name, value: value, kind: recordSet}
		var err error
		again := func(b []byte) {
			if y := (record{name: name, value: b}); string(b) != string(value) {
				var was, is any
				switch section(s) {
				case sectionNodes:
					was, _ = decodeNode(value)
					is, err = decodeNode(b)
				case sectionBatches:
					was, _ = decodeBatch(&x)
					is, err = decodeBatch(&y)
				case sectionStreams:
					was, _ = decodeStream(&x)
					is, err = decodeStream(&y)
				}
				if err != nil || fmt.Sprint(was) != fmt.Sprint(is) {
					t.Errorf("%v became %v: %v", was, is, err)
				}
			}
		}
		switch section(s) {
		case sectionNodes:
			var n node
			if n, err = decodeNode(value); err == nil {
				again(n.encode())
			}
			_ = checkNodeName(name)
		case sectionBatches:
			var b batch
			if b, err = decodeBatch(&x); err == nil {
				again(b.encode())
			}
		case sectionStreams:
			var one stream
			if one, err = decodeStream(&x); err == nil {
				again(one.encode())
			}
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%v", err)
		}
	})
}
