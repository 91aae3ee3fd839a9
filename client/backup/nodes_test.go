package backup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

// fakeTree is a partition with files, whose bytes may be gone. It is a source: each barrier is a version more.
type fakeTree struct {
	version uint64
	nodes   map[string]*wire.TreeNode // as they are now
	told    []route.Told              // what a watch has to tell
	pages   [][]wire.PageKey
	bodies  map[wire.TreeVersion]string // by content
	errs    map[wire.TreeVersion]error
	refused map[wire.TreeVersion]error // when they are opened
	opened  []wire.TreeVersion
	during  func(*fakeTree) // called once, when the first file is half read
	waiting []int           // how much was there to be told when a file had been read
}

func (f *fakeTree) now() Version { return Version{1, f.version} }

// put makes a node, and has it be told.
func (f *fakeTree) put(path string, n *wire.TreeNode) {
	f.version++
	v := wire.TreeVersion{Term: 1, Seq: f.version}
	change := wire.ToldChange{Change: wire.TellDeleted, Name: nodeName(path)}
	if n != nil {
		_, n.Name = splitNode(change.Name)
		n.ID, n.Modified = v, v
		change.Change, change.HasValue, change.Value = wire.TellSet, true, wire.AppendTreeNode(nil, n)
	}
	f.nodes[path] = n
	f.told = append(f.told, route.Told{Told: wire.Told{Kind: wire.TellChanged, Term: v.Term, Seq: v.Seq, Changes: []wire.ToldChange{change}}})
}

func (f *fakeTree) long(path, body string, content uint64) {
	c := wire.TreeVersion{Term: 9, Seq: content}
	f.bodies[c] = body
	f.put(path, &wire.TreeNode{File: true, Content: c, Size: int64(len(body)), Value: []byte("manifest")})
}

// page makes all that there is be shown by a page, and forgets what was to be told of it.
func (f *fakeTree) page() {
	var keys []wire.PageKey
	for path, n := range f.nodes {
		keys = append(keys, wire.PageKey{Name: nodeName(path), Term: n.Modified.Term, Seq: n.Modified.Seq, Value: wire.AppendTreeNode(nil, n)})
	}
	f.pages, f.told = append(f.pages, keys), nil
}

func (f *fakeTree) Term(ring.PartitionID) uint64 { return 1 }

func (f *fakeTree) Page(_ context.Context, q *wire.KeyPageRequest) (page wire.KeyPage, err error) {
	f.version++
	page.Term, page.Seq = 1, f.version
	if q.Bytes > 0 && len(f.pages) > 0 {
		page.Keys, f.pages = f.pages[0], f.pages[1:]
	}
	return page, nil
}

func (f *fakeTree) Get(_ context.Context, name []byte) (wire.DoReply, error) {
	n := f.nodes[pathOf(name)]
	if n == nil {
		return wire.DoReply{}, client.ErrNotFound
	}
	return wire.DoReply{Term: n.Modified.Term, Seq: n.Modified.Seq, Value: wire.AppendTreeNode(nil, n)}, nil
}

func (f *fakeTree) Watch(context.Context, ring.PartitionID, *Version) (changes, error) {
	at := f.now()
	return &fakeWatch{f, []route.Told{{Told: wire.Told{Kind: wire.TellBegun, Term: at.Term}}}}, nil
}

type fakeWatch struct {
	f     *fakeTree
	first []route.Told
}

func (w *fakeWatch) Close() {}

func (w *fakeWatch) Try() (t route.Told, ok bool) {
	from := &w.f.told
	if len(w.first) > 0 {
		from = &w.first
	}
	if len(*from) == 0 {
		return t, false
	}
	t, *from = (*from)[0], (*from)[1:]
	return t, true
}

func (w *fakeWatch) Next(context.Context) (route.Told, error) {
	t, ok := w.Try()
	if !ok {
		t.Kind, t.Term, t.Seq = wire.TellPassed, 1, w.f.version
	}
	return t, nil
}

// fakeBody is a file that is read.
type fakeBody struct {
	f    *fakeTree
	text string
	err  error
}

func (b *fakeBody) Close() error { return nil }

func (b *fakeBody) WriteTo(w io.Writer) (n int64, err error) {
	half := len(b.text) / 2
	if _, err := io.WriteString(w, b.text[:half]); err != nil {
		return 0, err
	}
	if during := b.f.during; during != nil {
		b.f.during = nil
		during(b.f)
	}
	if b.err != nil {
		return int64(half), b.err
	}
	_, err = io.WriteString(w, b.text[half:])
	b.f.waiting = append(b.f.waiting, len(b.f.told))
	return int64(len(b.text)), err
}

// copyTree makes a run of the fake, and returns what is to be restored of it, and what is missing.
func copyTree(t *testing.T, f *fakeTree, base map[string]*stream) (got map[string]string, missing []string, c *collector) {
	t.Helper()
	dir := t.TempDir()
	w := &runWriter{create: plainFiles(dir), full: segmentBytes}
	into := &segmentWriter{w: w}
	open := func(_ context.Context, _ string, n *wire.TreeNode) (body, error) {
		f.opened = append(f.opened, n.Content)
		if err := f.refused[n.Content]; err != nil {
			return nil, err
		}
		return &fakeBody{f, f.bodies[n.Content], f.errs[n.Content]}, nil
	}
	c = &collector{from: f, into: into, pages: 1, pace: func(context.Context, int) error { return nil }, nodes: &nodeCopier{open: open, base: base},
		lack: func(_ ring.PartitionID, name []byte) { missing = append(missing, pathOf(name)) }}
	part, err := c.copyPartition(t.Context(), 0, nil)
	if err == nil {
		err = into.finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &Manifest{Partitions: make([]Part, 1), segments: w.segments}
	m.makePaths()
	*m.part(sectionNodes, 0) = part
	r := &restorer{chain: []*Run{{Dir: dir, Manifest: m}}, o: &RestoreOptions{}, out: make([]bool, 1)}
	got = make(map[string]string)
	var bytes string
	err = states(r.section(sectionNodes, 0), func(x *record) error {
		if x.kind == recordBody {
			if x.expiry == 0 {
				bytes = ""
			}
			bytes += string(x.value)
			return nil
		}
		n, err := decodeNode(x.value)
		if _, twice := got[pathOf(x.name)]; twice {
			return fmt.Errorf("%q is told twice", x.name)
		}
		if got[pathOf(x.name)] = string(n.value); n.kind == nodeLong {
			got[pathOf(x.name)] = bytes
		}
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got, missing, c
}

func newTree() *fakeTree {
	return &fakeTree{nodes: make(map[string]*wire.TreeNode), bodies: make(map[wire.TreeVersion]string), errs: make(map[wire.TreeVersion]error)}
}

func content(n uint64) wire.TreeVersion { return wire.TreeVersion{Term: 9, Seq: n} }

// TestFilesGone: files whose bytes are gone when they are read were replaced, and are copied as they are by then; what is lost is
// named, and not there; what a page and the watch both tell is read once.
func TestFilesGone(t *testing.T) {
	f := newTree()
	f.long("/d/replaced", "old", 1)
	f.long("/d/removed", "old", 2)
	f.long("/d/lost", "before", 6)
	f.long("/d/sound", "sound", 4)
	told := f.told[3:]
	f.page()
	f.told = append(f.told, told...)
	f.long("/d/lost", "half", 3)
	f.errs[content(1)], f.errs[content(2)], f.errs[content(3)] = file.ErrReplaced, file.ErrReplaced, fmt.Errorf("%w: 1 of 2", file.ErrLost)
	f.refused = map[wire.TreeVersion]error{content(8): file.ErrUnreadable}
	f.long("/d/unreadable", "of another build", 8)
	f.long("/d/replaced", "new", 5)
	f.put("/d/removed", nil)
	f.told = append(f.told, route.Told{Told: wire.Told{Kind: wire.TellPassed, Term: 1, Seq: f.version}})
	got, missing, c := copyTree(t, f, nil)
	if fmt.Sprint(got) != fmt.Sprint(map[string]string{"/d/replaced": "new", "/d/sound": "sound"}) || !slices.Equal(slices.Sorted(slices.Values(missing)), []string{"/d/lost", "/d/unreadable"}) {
		t.Errorf("copied %q, missing %q", got, missing)
	}
	if n := len(slices.DeleteFunc(f.opened, func(v wire.TreeVersion) bool { return v != content(5) && v != content(4) })); n != 2 { // each once
		t.Errorf("the sound ones were read %d times", n)
	}
	if c.nodes.tally.Files != 3 { // one of them is lost since
		t.Errorf("counted: %+v", c.nodes.tally)
	}
}

// TestFilesWhileRead: what is told while a long file is read is not held up, whatever it is: a short one, and a long one, which
// is read in the end, and the same file.
func TestFilesWhileRead(t *testing.T) {
	f := newTree()
	f.long("/d/a", "first version", 1)
	f.page()
	f.during = func(f *fakeTree) {
		f.put("/d/short", &wire.TreeNode{Value: []byte("told")})
		f.long("/d/b", "another", 2)
		f.long("/d/a", "second version", 3)
	}
	got, missing, _ := copyTree(t, f, nil)
	if fmt.Sprint(got) != fmt.Sprint(map[string]string{"/d/a": "second version", "/d/b": "another", "/d/short": "told"}) || len(missing) > 0 || f.waiting[0] > 0 {
		t.Errorf("copied %q, missing %q, waiting %d", got, missing, f.waiting)
	}
}

// TestNodesLeftOut: nodes of sessions are counted and not there, also where they took the place of others; so are places of readers.
func TestNodesLeftOut(t *testing.T) {
	f := newTree()
	f.put("/d/plain", &wire.TreeNode{Value: []byte("v")})
	f.put("/d/session", &wire.TreeNode{Value: []byte("v")})
	f.put("/.records/1-2-3", &wire.TreeNode{})
	f.put("/d/records", &wire.TreeNode{File: true, Content: content(7), Value: []byte{3}})
	f.page()
	f.put("/d/session", &wire.TreeNode{Owner: 5})
	got, _, c := copyTree(t, f, nil)
	if fmt.Sprint(got) != fmt.Sprint(map[string]string{"/d/plain": "v", "/d/records": ""}) || c.nodes.tally.Ephemeral != 1 {
		t.Errorf("copied %q, %+v", got, c.nodes.tally)
	}
	if len(c.nodes.live) != 1 || c.nodes.live["/d/records"] != Version(f.nodes["/d/records"].ID) {
		t.Errorf("record files: %v", c.nodes.live)
	}
}
