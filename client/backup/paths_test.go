package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"viewring/client"
	"viewring/client/file"
	records "viewring/client/record"
	"viewring/client/tree"
	"viewring/internal/wire"
	"viewring/tests/local"
)

// The tests of paths share two clusters within this process: one is backed up, the other is restored into.
var clusters = sync.OnceValue(func() [2]*local.Cluster {
	return [2]*local.Cluster{local.Keep(local.Options{Servers: 3}), local.Keep(local.Options{Servers: 3})}
})

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// world is a cluster, and all that clients do with it.
type world struct {
	t       *testing.T
	ctx     context.Context
	backup  *Cluster
	keys    *client.Client
	tree    *tree.Tree
	files   *file.FS
	records *records.Store
}

func connect(t *testing.T, c *local.Cluster) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context()}
	var errs [5]error
	w.backup, errs[0] = Open(w.ctx, c.Options())
	w.keys, errs[1] = client.Open(w.ctx, c.Options())
	w.tree, errs[2] = tree.Open(w.ctx, c.Options())
	w.files, errs[3] = file.Open(w.ctx, c.Options())
	w.records, errs[4] = records.Open(w.ctx, c.Options())
	w.must(errors.Join(errs[:]...))
	t.Cleanup(func() {
		_, _, _, _, _ = w.backup.Close(), w.keys.Close(), w.tree.Close(), w.files.Close(), w.records.Close()
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) node(path, value string) {
	w.t.Helper()
	_, err := w.tree.Create(w.ctx, path, []byte(value), tree.Parents)
	w.must(err)
}

func (w *world) set(path, value string) {
	w.t.Helper()
	_, err := w.tree.Set(w.ctx, path, []byte(value), tree.Always())
	w.must(err)
}

func (w *world) put(path string, b []byte, a file.Attributes) {
	w.t.Helper()
	_, err := w.files.Put(w.ctx, path, bytes.NewReader(b), file.PutOptions{Parents: true, Seal: func(file.Info) (file.Attributes, error) { return a, nil }})
	w.must(err)
}

func (w *world) stream(path string, o records.CreateOptions) *records.File {
	w.t.Helper()
	if err := w.records.Create(w.ctx, path, o); !errors.Is(err, os.ErrExist) {
		w.must(err)
	}
	f, err := w.records.Open(w.ctx, path)
	w.must(err)
	return f
}

func (w *world) backedUp(dir string, o Options) *Run {
	w.t.Helper()
	run, err := ToFolder(w.ctx, w.backup, dir, o)
	w.must(err)
	return run
}

func (w *world) restored(dir string, o RestoreOptions) (*Restored, error) {
	w.t.Helper()
	f, err := OpenFolder(dir)
	w.must(err)
	done, err := f.Restore(w.ctx, w.backup, o)
	if done == nil {
		w.t.Fatal(err)
	}
	return done, err
}

// digest is all that there is below a path: values, bytes and attributes of files, records with places, producers and readers.
func (w *world) digest(root string) map[string]string {
	w.t.Helper()
	all := make(map[string]string)
	for n, err := range w.tree.Walk(w.ctx, root) {
		w.must(err)
		if isLeftOut(n.Path) || n.Stat.Owner != 0 {
			continue
		}
		i, err := w.files.Stat(w.ctx, n.Path)
		w.must(err)
		switch {
		case i.Records:
			all[n.Path] = w.recordsOf(n.Path)
		case i.Bytes > file.SmallMax:
			var b bytes.Buffer
			_, err := w.files.Get(w.ctx, n.Path, &b)
			w.must(err)
			all[n.Path] = fmt.Sprintf("file %q %v", b.Bytes(), i.Attributes)
		default:
			n, err := w.tree.Get(w.ctx, n.Path)
			w.must(err)
			all[n.Path] = fmt.Sprintf("%q %v", n.Value, i.Attributes)
		}
	}
	return all
}

func (w *world) recordsOf(path string) string {
	w.t.Helper()
	f, err := w.records.Open(w.ctx, path)
	w.must(err)
	st, err := f.Stat(w.ctx)
	w.must(err)
	out := fmt.Sprint("records from ", st.First, st.ChunkBytes, st.RetainBytes, st.RetainAge)
	for e, err := range f.Read(w.ctx, records.Start, false) {
		w.must(err)
		out += fmt.Sprintf(" %d:%x:%d:%d:%q", e.Place, e.Producer, e.Sequence, e.Lost, e.Data)
	}
	readers, err := f.Readers(w.ctx)
	w.must(err)
	for _, r := range readers {
		out += fmt.Sprint(" reader ", r.Name, r.Group, r.Next)
	}
	producers, err := f.Producers(w.ctx)
	w.must(err)
	slices.SortFunc(producers, func(a, b records.ProducerInfo) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out + fmt.Sprint(producers)
}

// same compares what is below a path in two clusters.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for path, w := range want {
		if g, ok := got[path]; !ok || g != w {
			t.Errorf("%s: %v %.300q, want %.300q", path, ok, g, w)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is there", path)
		}
	}
}

func noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// fill makes one of each.
func (w *world) fill(root string) {
	w.node(root+"/config", "on")
	w.set(root+"/config", "off")
	w.node(root+"/config/limits", "10") // a node with a value and children
	w.node(root+"/empty", "")
	for i := range 150 { // more than one step
		w.node(fmt.Sprintf("%s/many/n%03d", root, i), strings.Repeat("v", i))
	}
	for range 3 {
		_, err := w.tree.Create(w.ctx, root+"/queue/job-", nil, tree.Sequential, tree.Parents)
		w.must(err)
	}
	w.must(w.tree.Remove(w.ctx, root+"/queue/job-0000000002", tree.Always()))
	attributes := file.Attributes{ContentType: "text/plain", SHA256: noise(1, 32), Meta: map[string]string{"a": "b"}}
	w.put(root+"/files/short", []byte("short"), attributes)
	w.put(root+"/files/none", nil, file.Attributes{})
	w.put(root+"/files/long", noise(2, 3<<20+17), attributes)
	w.put(root+"/files/deep/er/edge", noise(3, file.SmallMax+1), file.Attributes{})
	_, err := w.files.Append(w.ctx, root+"/files/long", strings.NewReader("appended"))
	w.must(err)
	_, err = w.files.Concat(w.ctx, root+"/files/both", []string{root + "/files/long", root + "/files/short"}, file.PutOptions{})
	w.must(err)
	_, err = w.files.Truncate(w.ctx, root+"/files/deep/er/edge", 4<<20) // with holes
	w.must(err)
	w.records1(root + "/log")
	w.stream(root+"/silent", records.CreateOptions{ChunkBytes: 1 << 20, RetainBytes: 5 << 20})
	s, err := w.keys.OpenSession(w.ctx, client.SessionOptions{})
	w.must(err)
	w.t.Cleanup(func() { _ = s.Close(context.Background()) })
	_, err = w.tree.CreateEphemeral(w.ctx, s, root+"/ephemeral", nil)
	w.must(err)
}

// records1 appends as two named producers and nobody, and reads as a reader and a group.
func (w *world) records1(path string) {
	w.t.Helper()
	f := w.stream(path, records.CreateOptions{ChunkBytes: 1 << 20})
	for _, name := range []string{"shop", "till"} {
		p, err := f.Join(w.ctx, name)
		w.must(err)
		for range 3 {
			_, err = p.Append(w.ctx, p.Next(), []byte(name), noise(uint64(p.Next()), 200_000))
			w.must(err)
		}
	}
	_, err := f.Append(w.ctx, []byte("nobody's"), nil)
	w.must(err)
	r, err := f.ReadAs(w.ctx, "audit", records.ReadOptions{})
	w.must(err)
	for e, err := range r.Read(w.ctx, false) {
		w.must(err)
		w.must(r.Commit(w.ctx, e))
		if e.Place >= r.Place() || e.Place >= 4 {
			break
		}
	}
	if made, err := f.RestoreReader(w.ctx, "workers", true, 3); err != nil || !made {
		infos, _ := f.Readers(w.ctx)
		w.t.Log("workers: ", made, err, infos)
	}
}

// TestPaths backs up one of each, restores it into another cluster, and again; and then what has changed since.
func TestPaths(t *testing.T) {
	from, to := connect(t, clusters()[0]), connect(t, clusters()[1])
	from.fill("/app")
	dir := filepath.Join(t.TempDir(), "backups")
	run := from.backedUp(dir, Options{})
	if n := run.Manifest.Tree; n.Streams != 2 || n.Ephemeral != 1 || n.Files != 5 || n.Records != 14 || n.Lost != 0 {
		t.Errorf("in the run: %+v", n)
	}
	if f, err := OpenFolder(dir); err != nil {
		t.Fatal(err)
	} else if v, err := f.Verify(nil); err != nil || len(v.Faults) > 0 {
		t.Errorf("verified: %+v, %v", v, err)
	}
	dry, err := to.restored(dir, RestoreOptions{DryRun: true})
	to.must(err)
	if got := to.digest("/"); len(got) != 0 {
		t.Errorf("a dry run made %d nodes", len(got))
	}
	done, err := to.restored(dir, RestoreOptions{})
	to.must(err)
	if done.Paths != dry.Paths || done.Files != dry.Files || done.Streams != dry.Streams || done.Records != dry.Records || done.Files.Written != 5 || done.Streams.Written != 2 || len(done.Notes) > 0 {
		t.Errorf("restored %+v\ndry %+v", done, dry)
	}
	want := from.digest("/")
	same(t, to.digest("/"), want)
	if path, err := to.tree.Create(to.ctx, "/app/queue/job-", nil, tree.Sequential); err != nil || path != "/app/queue/job-0000000003" {
		t.Errorf("the next number: %s, %v", path, err)
	}
	f := to.stream("/app/log", records.CreateOptions{})
	if p, err := f.Join(to.ctx, "shop"); err != nil || p.Next() != 6 || !p.Known() {
		t.Errorf("the producer goes on: %v, %v", p, err)
	}

	// Again: all is there.
	again, err := to.restored(dir, RestoreOptions{})
	to.must(err)
	if again.Paths.Written+again.Files.Written+again.Streams.Written+again.Records+again.Paths.Kept+again.Files.Kept > 0 || again.Files.Same != 5 || again.Streams.Same != 2 {
		t.Errorf("restored again: %+v", again)
	}
}

// TestPathsSince: a run has what has changed since the one before, and the chain is what there was.
func TestPathsSince(t *testing.T) {
	from, to := connect(t, clusters()[0]), connect(t, clusters()[1])
	from.fill("/since")
	_, err := from.stream("/since/silent", records.CreateOptions{}).Append(from.ctx, []byte("a"), []byte("b"))
	from.must(err)
	dir := filepath.Join(t.TempDir(), "backups")
	from.backedUp(dir, Options{})
	from.node("/since/new", "new")
	from.set("/since/config", "changed")
	from.must(from.tree.Remove(from.ctx, "/since/many/n000", tree.Always()))
	from.put("/since/files/short", noise(9, 100_000), file.Attributes{}) // it is a long one now
	from.put("/since/files/none", []byte("some"), file.Attributes{})
	from.must(from.files.Remove(from.ctx, "/since/files/both"))
	log := from.stream("/since/log", records.CreateOptions{})
	p, err := log.Join(from.ctx, "shop")
	from.must(err)
	_, err = p.Append(from.ctx, p.Next(), []byte("later"))
	from.must(err)
	from.must(from.records.Remove(from.ctx, "/since/silent"))
	from.records1("/since/silent") // another one
	path, err := from.tree.Create(from.ctx, "/since/queue/job-", nil, tree.Sequential)
	from.must(err)
	from.must(from.tree.Remove(from.ctx, path, tree.Always()))
	from.must(from.tree.Remove(from.ctx, "/since/ephemeral", tree.Always()))
	run := from.backedUp(dir, Options{})
	if n := run.Manifest.Tree; n.Nodes != 2 || n.Files != 2 || n.FileBytes != 100_004 || n.Records != 15 || run.Manifest.WholePartitions() > 0 {
		t.Errorf("in the second run: %+v", n)
	}
	want := from.digest("/since")
	from.backedUp(dir, Options{})
	_, err = to.restored(dir, RestoreOptions{Prefix: "/since/queue/"})
	to.must(err)
	if path, err := to.tree.Create(to.ctx, "/since/queue/job-", nil, tree.Sequential); err != nil || path != "/since/queue/job-0000000004" {
		t.Errorf("the next number of what is below a prefix: %s, %v", path, err)
	} else {
		to.must(to.tree.Remove(to.ctx, path, tree.Always()))
	}
	_, err = to.restored(dir, RestoreOptions{Prefix: "/since"})
	to.must(err)
	same(t, to.digest("/since"), want)
	if path, err := to.tree.Create(to.ctx, "/since/queue/job-", nil, tree.Sequential); err != nil || path != "/since/queue/job-0000000005" {
		t.Errorf("the next number: %s, %v", path, err)
	}
}

// TestPathsExisting: what is there with other values stays or is replaced, as is wished; records go on where a restore ended.
func TestPathsExisting(t *testing.T) {
	from, to := connect(t, clusters()[0]), connect(t, clusters()[1])
	long, other := noise(4, 200_000), noise(5, 200_000)
	from.node("/there/node", "value")
	from.put("/there/long", long, file.Attributes{ContentType: "a/b"})
	from.put("/there/same", long, file.Attributes{})
	from.put("/there/typed", long, file.Attributes{ContentType: "c/d"})
	from.put("/there/short", []byte("short"), file.Attributes{})
	from.put("/there/dir/long", long, file.Attributes{})
	for _, path := range []string{"/there/part", "/there/more", "/there/others"} {
		_, err := from.stream(path, records.CreateOptions{}).Append(from.ctx, []byte("1"), []byte("2"), []byte("3"))
		from.must(err)
	}
	dir := filepath.Join(t.TempDir(), "backups")
	from.backedUp(dir, Options{})
	to.node("/there/node", "mine")
	to.put("/there/long", other, file.Attributes{ContentType: "a/b"})
	to.put("/there/same", long, file.Attributes{})
	to.put("/there/typed", long, file.Attributes{ContentType: "e/f"})
	to.put("/there/short", nil, file.Attributes{})
	to.put("/there/dir", []byte("a file"), file.Attributes{})
	for path, n := range map[string]int{"/there/part": 2, "/there/more": 4} {
		for i := range n {
			_, err := to.stream(path, records.CreateOptions{}).Append(to.ctx, fmt.Append(nil, i+1))
			to.must(err)
		}
	}
	_, err := to.stream("/there/others", records.CreateOptions{}).Append(to.ctx, []byte("x"))
	to.must(err)
	done, err := to.restored(dir, RestoreOptions{Prefix: "/there/"})
	if !errors.Is(err, ErrExist) || done.Files != (Tally{0, 1, 4}) || done.Paths != (Tally{0, 0, 2}) || done.Streams != (Tally{1, 0, 2}) || done.Records != 1 {
		t.Errorf("what was there: %+v, %v", done, err)
	}
	if done, err = to.restored(dir, RestoreOptions{Prefix: "/there/", Existing: Keep}); err != nil || done.Files.Kept != 4 || done.Streams != (Tally{0, 1, 2}) {
		t.Errorf("kept: %+v, %v", done, err)
	}
	for _, dry := range []bool{true, false} {
		done, err = to.restored(dir, RestoreOptions{Prefix: "/there/", Existing: Replace, DryRun: dry})
		if err != nil || done.Files != (Tally{3, 1, 1}) || done.Paths != (Tally{1, 0, 1}) || len(done.Notes) != 2 {
			t.Errorf("replaced: dry %v: %+v, %v", dry, done, err)
		}
	}
	got, want := to.digest("/there"), from.digest("/there")
	for _, path := range []string{"/there/dir", "/there/dir/long", "/there/more", "/there/others", "/there/part"} { // another producer
		delete(got, path)
		delete(want, path)
	}
	same(t, got, want)
}

// TestPathsMeanwhile backs up while files are replaced, removed and made again all the time, and records are appended: each file
// in the backup is one that there was, as a whole.
func TestPathsMeanwhile(t *testing.T) {
	from, to := connect(t, clusters()[0]), connect(t, clusters()[1])
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	const files = 6
	began := make(chan struct{}, files)
	for i := range files {
		working.Go(func() {
			path := fmt.Sprintf("/busy/d%d/f%d", i%2, i)
			for n := 0; ctx.Err() == nil; n++ {
				from.put(path, bytes.Repeat(fmt.Appendf(nil, "%d.%08d ", i, n), 20_000), file.Attributes{ContentType: fmt.Sprint(n)})
				if n == 1 {
					began <- struct{}{}
				}
				if n%5 == 4 {
					from.must(from.files.Remove(from.ctx, path))
				}
			}
		})
	}
	log := from.stream("/busylog", records.CreateOptions{ChunkBytes: 1 << 20})
	working.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_, err := log.Append(from.ctx, fmt.Append(nil, n))
			from.must(err)
		}
	})
	for range files {
		<-began
	}
	dir := filepath.Join(t.TempDir(), "backups")
	for range 3 {
		from.backedUp(dir, Options{})
	}
	stop()
	working.Wait()
	done, err := to.restored(dir, RestoreOptions{Prefix: "/busy"})
	to.must(err)
	if done.Streams.Written != 1 {
		t.Errorf("restored %+v", done)
	}
	for i := range files {
		path := fmt.Sprintf("/busy/d%d/f%d", i%2, i)
		var b bytes.Buffer
		info, err := to.files.Get(to.ctx, path, &b)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		to.must(err)
		if got := b.String(); got != strings.Repeat(fmt.Sprintf("%d.%08s ", i, info.Attributes.ContentType), 20_000) {
			t.Errorf("%s: of %s, %d bytes, %.30q", path, info.Attributes.ContentType, len(got), got)
		}
	}
	n := int64(0)
	for e, err := range to.stream("/busylog", records.CreateOptions{}).Read(to.ctx, records.Start, false) {
		to.must(err)
		if e.Place != n || string(e.Data) != fmt.Sprint(n) {
			t.Fatalf("%d: %v %q", n, e.Place, e.Data)
		}
		n++
	}
	if n == 0 {
		t.Error("no records")
	}
}

// TestParents: a node with a value is restored also where it was made, empty, for what is in it: by this restore, of which nothing
// is there yet, or by one before. An empty one of somebody else's stays.
func TestParents(t *testing.T) {
	to := connect(t, clusters()[1])
	n := &nodeRestorer{restorer: &restorer{o: &RestoreOptions{}}, c: to.backup, ctx: t.Context(), done: &Restored{}, made: make(map[string]struct{})}
	item := func(path string) *change {
		_, name := splitNode(nodeName(path))
		return &change{wire.TreeItem{Kind: wire.TreeCreate, Name: name, Value: []byte("v")}, path}
	}
	to.must(n.mkdir("/parents/ours"))
	to.node("/parents/before/child", "")
	to.node("/parents/theirs", "")
	for path, want := range map[string]keyState{"/parents/ours": keyWritten, "/parents/before": keyWritten, "/parents/theirs": keyOther, "/parents/new": keyWritten} {
		if got, err := n.one("/parents", item(path)); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", path, got, err, want)
		}
	}
	if got, err := n.one("/parents", item("/parents/ours")); err != nil || got != keySame {
		t.Errorf("again: %v, %v", got, err)
	}
}

// TestRestoreGap restores a record file of which records are lost: those behind have lower places, and so have readers. It is told.
func TestRestoreGap(t *testing.T) {
	to := connect(t, clusters()[1])
	done, err := to.restored(smallPaths(t, nil), RestoreOptions{})
	to.must(err)
	if len(done.Notes) != 1 || !strings.Contains(done.Notes[0], "from place 2 on have lower places, by up to 1") || done.Records != 2 {
		t.Errorf("restored %+v", done)
	}
	if got := to.recordsOf("/log"); !strings.Contains(got, `records from 2`) || !strings.Contains(got, ` 2:01000000000000000000000000000000:1:0:"x" 3:`) || !strings.Contains(got, "reader rtrue 3") {
		t.Errorf("records: %s", got)
	}
	var b bytes.Buffer
	if _, err := to.files.Get(to.ctx, "/long", &b); err != nil || b.String() != "abcdef" {
		t.Errorf("the file: %q, %v", b.String(), err)
	}
	again, err := to.restored(smallPaths(t, nil), RestoreOptions{})
	if err != nil || again.Streams.Same != 1 || again.Files.Same != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// TestBelowValue restores files and records below a node that has a value, which reads as a file as long as it has no children; and
// nothing below what is a file in the other cluster.
func TestBelowValue(t *testing.T) {
	from, to := connect(t, clusters()[0]), connect(t, clusters()[1])
	for _, dir := range []string{"/below/value", "/below/file"} {
		from.node(dir, "x")
		from.node(dir+"/node", "")
		from.put(dir+"/long", noise(7, 100_000), file.Attributes{})
		from.put(dir+"/short", []byte("short"), file.Attributes{})
		from.stream(dir+"/log", records.CreateOptions{})
	}
	dir := filepath.Join(t.TempDir(), "backups")
	from.backedUp(dir, Options{})
	to.node("/below/value", "x")
	to.put("/below/file", []byte("x"), file.Attributes{})
	done, err := to.restored(dir, RestoreOptions{Prefix: "/below/"})
	if !errors.Is(err, ErrExist) || done.Files != (Tally{2, 0, 2}) || done.Paths != (Tally{1, 1, 2}) || done.Streams != (Tally{1, 0, 1}) {
		t.Errorf("restored %+v, %v", done, err)
	}
	same(t, to.digest("/below/value"), from.digest("/below/value"))
	if got := to.digest("/below/file"); len(got) > 0 {
		t.Errorf("below a file: %v", got)
	}
}
