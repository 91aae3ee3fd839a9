package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"viewring/client"
	"viewring/client/backup"
	"viewring/client/file"
	"viewring/client/record"
	"viewring/client/tree"
	"viewring/tests/harness"
)

const (
	pathWriters = 3
	pathNodes   = 5
)

// paths is a cluster as programs see it.
type paths struct {
	t       *testing.T
	tree    *tree.Tree
	files   *file.FS
	records *record.Store
	backup  *backup.Cluster
}

func openPaths(t *testing.T, o client.Options) *paths {
	t.Helper()
	o.Persist = true
	p := &paths{t: t}
	var errs [4]error
	p.tree, errs[0] = tree.Open(t.Context(), o)
	p.files, errs[1] = file.Open(t.Context(), o)
	p.records, errs[2] = record.Open(t.Context(), o)
	p.backup, errs[3] = backup.Open(t.Context(), o)
	p.must(errors.Join(errs[:]...))
	t.Cleanup(func() {
		_ = errors.Join(p.tree.Close(), p.files.Close(), p.records.Close(), p.backup.Close())
	})
	return p
}

func (p *paths) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// unlessUnknown fails the test of an error, unless a killed server took the answer along: what was to be done may have been.
func (p *paths) unlessUnknown(err error) {
	if err != nil && !errors.Is(err, client.ErrUnknownOutcome) {
		p.t.Error(err)
	}
}

// bytesOf are those of a file of a writer in a turn: a long one, a short one or an empty one.
func bytesOf(writer, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d.%d ", writer, n), []int{300_000, 100, 0}[n%3])
}

// work sets all nodes of a directory to the same number as one, replaces a file, and appends a record, again and again.
func (p *paths) work(ctx context.Context, writer int, begun chan<- struct{}) {
	dir := fmt.Sprintf("/busy/w%d", writer)
	f, err := p.records.Open(p.t.Context(), dir+"/log")
	var producer *record.Producer
	if err == nil {
		producer, err = f.Join(p.t.Context(), fmt.Sprint("producer ", writer))
	}
	if err != nil {
		p.t.Error(err)
		return
	}
	for n := 1; ctx.Err() == nil; n++ {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnPatience)
		var changes []tree.Change
		for i := range pathNodes {
			changes = append(changes, tree.SetChild(fmt.Sprint("n", i), fmt.Append(nil, n), tree.Always()))
		}
		_, err := p.tree.Multi(try, dir, changes...)
		p.unlessUnknown(err)
		_, err = p.files.Put(try, dir+"/file", bytes.NewReader(bytesOf(writer, n)), file.PutOptions{
			Seal: func(file.Info) (file.Attributes, error) { return file.Attributes{ContentType: fmt.Sprint(n)}, nil }})
		p.unlessUnknown(err)
		if _, err = producer.Append(try, producer.Next(), fmt.Append(nil, producer.Next())); err != nil {
			p.t.Error(err)
		}
		cancel()
		if n == 2 {
			begun <- struct{}{}
		}
	}
}

// consistent says what is wrong with what a writer had at some moments.
func (p *paths) consistent(writer int) {
	p.t.Helper()
	dir := fmt.Sprintf("/busy/w%d", writer)
	first, err := p.tree.Get(p.t.Context(), dir+"/n0")
	p.must(err)
	for i := range pathNodes {
		n, err := p.tree.Get(p.t.Context(), fmt.Sprint(dir, "/n", i))
		p.must(err)
		if string(n.Value) != string(first.Value) {
			p.t.Errorf("%s: the nodes are of different instants, %q and %q", dir, first.Value, n.Value)
		}
	}
	var b bytes.Buffer
	info, err := p.files.Get(p.t.Context(), dir+"/file", &b)
	if err == nil {
		var n int
		_, err = fmt.Sscan(info.Attributes.ContentType, &n)
		if !bytes.Equal(b.Bytes(), bytesOf(writer, n)) {
			p.t.Errorf("%s: %d bytes, %.20q, are not those of turn %d", dir, b.Len(), b.Bytes(), n)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		p.must(err)
	}
	p.contiguous(dir + "/log")
}

// contiguous sees that records have their places as values.
func (p *paths) contiguous(path string) {
	p.t.Helper()
	f, err := p.records.Open(p.t.Context(), path)
	p.must(err)
	next := int64(0)
	for e, err := range f.Read(p.t.Context(), record.Start, false) {
		p.must(err)
		if e.Place != next || string(e.Data) != fmt.Sprint(next) || e.Sequence != next {
			p.t.Fatalf("%s: at %d, of sequence %d: %q, want %d", path, e.Place, e.Sequence, e.Data, next)
		}
		next++
	}
}

// digests are of all that there is at paths.
func (p *paths) digests() map[string]string {
	p.t.Helper()
	all := make(map[string]string)
	for n, err := range p.tree.Walk(p.t.Context(), "/") {
		p.must(err)
		if strings.HasPrefix(n.Path, "/.records") {
			continue
		}
		info, err := p.files.Stat(p.t.Context(), n.Path)
		p.must(err)
		sum := sha256.New()
		_, _ = fmt.Fprintf(sum, "%v %v %v ", info.Dir, info.Records, info.Attributes)
		switch {
		case info.Records:
			p.digestRecords(n.Path, sum)
		case info.Dir:
			node, err := p.tree.Get(p.t.Context(), n.Path)
			p.must(err)
			_, _ = sum.Write(node.Value)
		default:
			_, err := p.files.Get(p.t.Context(), n.Path, sum)
			p.must(err)
		}
		all[n.Path] = fmt.Sprintf("%x", sum.Sum(nil))
	}
	return all
}

func (p *paths) digestRecords(path string, to io.Writer) {
	p.t.Helper()
	f, err := p.records.Open(p.t.Context(), path)
	p.must(err)
	for e, err := range f.Read(p.t.Context(), record.Start, false) {
		p.must(err)
		_, _ = fmt.Fprintf(to, "%d %d %x %d %q ", e.Place, e.Lost, e.Producer, e.Sequence, e.Data)
	}
	readers, err := f.Readers(p.t.Context())
	p.must(err)
	for _, r := range readers {
		_, _ = fmt.Fprint(to, r.Name, r.Group, r.Next)
	}
}

// prepare makes what writers use, a reader, and a file that nobody changes.
func (p *paths) prepare() {
	p.t.Helper()
	for w := range pathWriters {
		dir := fmt.Sprintf("/busy/w%d", w)
		p.must(p.files.MkdirAll(p.t.Context(), dir))
		for i := range pathNodes {
			_, err := p.tree.Create(p.t.Context(), fmt.Sprint(dir, "/n", i), []byte("0"))
			p.must(err)
		}
		p.must(p.records.Create(p.t.Context(), dir+"/log", record.CreateOptions{ChunkBytes: record.ChunkBytesMin}))
	}
	_, err := p.files.Put(p.t.Context(), "/large/file", io.LimitReader(endless{}, 20<<20), file.PutOptions{Parents: true})
	p.must(err)
	p.must(p.records.Create(p.t.Context(), "/read", record.CreateOptions{}))
	f, err := p.records.Open(p.t.Context(), "/read")
	p.must(err)
	_, err = f.Append(p.t.Context(), []byte("0"), []byte("1"), []byte("2"))
	p.must(err)
	r, err := f.ReadAs(p.t.Context(), "auditor", record.ReadOptions{})
	p.must(err)
	for e, err := range r.Read(p.t.Context(), false) {
		p.must(err)
		p.must(r.Commit(p.t.Context(), e))
		break
	}
}

// endless has bytes that differ from chunk to chunk.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i*i>>7 + i)
	}
	return len(b), nil
}

// TestBackupPaths copies paths, files and records while they change and servers are killed, and restores them into another cluster: a
// run in the middle is consistent, and the last one is what there was.
func TestBackupPaths(t *testing.T) {
	harness.Slow(t)
	c := harness.NewCluster(t, harness.Config{Servers: 4, LeaderFlags: []string{"--partitions", "16"}})
	c.WaitBalanced()
	from := openPaths(t, c.Options())
	from.prepare()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running, begun := harness.Beside(t), make(chan struct{}, pathWriters)
	for w := range pathWriters {
		running.Go(func() { from.work(ctx, w, begun) })
	}
	for range pathWriters {
		<-begun
	}
	dir := filepath.Join(t.TempDir(), "backups")
	const rounds = 4
	for round := range rounds {
		n := c.Acting(fmt.Sprint("victim", round), 1)[0]
		killing := harness.Beside(t)
		killing.Go(n.Kill)
		_, err := backup.ToFolder(t.Context(), from.backup, dir, backup.Options{})
		from.must(err)
		killing.Wait()
		c.WaitDown(n)
		n.Start()
		c.WaitBalanced()
	}
	stop()
	running.Wait()
	run, err := backup.ToFolder(t.Context(), from.backup, dir, backup.Options{})
	from.must(err)
	want := from.digests()

	other := harness.NewCluster(t, harness.Config{Servers: 3, LeaderFlags: []string{"--partitions", "64"}})
	other.WaitBalanced()
	to := openPaths(t, other.Options())
	f, err := backup.OpenFolder(dir)
	to.must(err)
	for number := uint64(2); number <= run.Number; number += rounds - 1 {
		done, err := f.Restore(t.Context(), to.backup, backup.RestoreOptions{Run: number, Existing: backup.Replace})
		to.must(err)
		if done.Streams.Kept+done.Paths.Kept+done.Files.Kept > 0 || len(done.LeftOut)+len(done.Notes) > 0 {
			t.Errorf("run %d: %+v", number, done)
		}
		for w := range pathWriters {
			to.consistent(w)
		}
	}
	got := to.digests()
	for path, sum := range want {
		if got[path] != sum {
			t.Errorf("%s differs", path)
		}
		delete(got, path)
	}
	if len(got) > 0 {
		t.Errorf("these are there too: %v", got)
	}
}
