package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"viewring/client/file"
	"viewring/client/record"
	"viewring/tests/harness"
)

const (
	recordProducers = 8
	recordKills     = 3 // of each producer
)

// recordsEach is how many records each producer appends.
var recordsEach = 4000

// recordText is what a producer appends with a sequence.
func recordText(producer, sequence int) string {
	return fmt.Sprintf("producer %d record %06d %s", producer, sequence, strings.Repeat("x", (producer*7+sequence*13)%300))
}

// recordsRun is the play of TestRecords.
type recordsRun struct {
	t     *testing.T
	c     *harness.Cluster
	shell *harness.Shell
	file  *record.File

	mu     sync.Mutex
	read   [2][]string
	killed int // producers
}

// TestRecords has eight producers append to one file, processes that are killed and come back under their
// names, while servers are killed: each record is there once, in the order of its producer, and two
// readers that follow read the same. Damage to one disk is repaired, and when the file is
// removed nothing is left of it on any server.
func TestRecords(t *testing.T) {
	harness.Slow(t)
	recordsEach = int(harness.EnvUint(t, "VIEWRING_RECORDS_EACH", 4000))
	c := harness.NewCluster(t, harness.Config{Servers: 5, LeaderFlags: []string{"--partitions", "16"},
		ServerFlags: []string{"--file-grace", "2s", "--upload-grace", "6s", "--chunk-sweep", "2s"}})
	c.WaitBalanced()
	store, err := record.Open(t.Context(), c.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(t.Context(), "/r", record.CreateOptions{ChunkBytes: record.ChunkBytesMin}); err != nil {
		t.Fatal(err)
	}
	r := &recordsRun{t: t, c: c, shell: harness.NewShell(t, strings.Join(c.Options().Leaders, ","))}
	if r.file, err = store.Open(t.Context(), "/r"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	following := harness.Beside(t)
	for i := range r.read {
		following.Go(func() { r.follow(ctx, i) })
	}
	var killing sync.WaitGroup
	killing.Go(r.killServers)
	var producing sync.WaitGroup
	for p := range recordProducers {
		input := r.input(p)
		producing.Go(func() { r.produce(p, input) })
	}
	producing.Wait()
	killing.Wait()
	harness.Eventually(t, "the readers have read all", func() bool {
		return r.progress(0) >= recordProducers*recordsEach && r.progress(1) >= recordProducers*recordsEach
	})
	stop()
	following.Wait()
	r.check()
	r.damage()
	r.remove()
}

// follow reads as long as it takes.
func (r *recordsRun) follow(ctx context.Context, i int) {
	for e, err := range r.file.Read(ctx, record.Start, true) {
		if err != nil || e.Lost > 0 {
			r.t.Errorf("reader %d: %+v, %v", i, e, err)
			return
		}
		r.mu.Lock()
		r.read[i] = append(r.read[i], string(e.Data))
		r.mu.Unlock()
	}
}

// progress is how many records a reader has read.
func (r *recordsRun) progress(i int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.read[i])
}

// input is a file with all that a producer appends.
func (r *recordsRun) input(p int) string {
	var b bytes.Buffer
	for i := range recordsEach {
		fmt.Fprintln(&b, recordText(p, i))
	}
	path := filepath.Join(r.shell.Dir, fmt.Sprint("input", p))
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// produce runs the command that appends an input until it ends well. It is killed some times on the way.
func (r *recordsRun) produce(p int, input string) {
	for try := 0; ; try++ {
		d := r.shell.Start("record", "append", "--producer", fmt.Sprint("p", p), "--new", "--sequence", "0", "--batch", "20", "/r", input)
		if try < recordKills {
			most := (try*recordProducers + p + 1) * recordProducers * recordsEach / (recordKills*recordProducers + 1)
			harness.Eventually(r.t, "enough is read to kill a producer, or it has ended", func() bool { return r.progress(0) >= most || ended(d) })
			_ = d.Cmd.Process.Signal(syscall.SIGKILL) // unless it has ended
		}
		<-d.Done
		if d.Cmd.ProcessState.ExitCode() == 0 {
			return
		}
		if d.Cmd.ProcessState.Exited() {
			r.t.Errorf("producer %d: %s%s", p, d.Stdout.Text(), d.Stderr.Text())
			return
		}
		r.mu.Lock()
		r.killed++
		r.mu.Unlock()
	}
}

func ended(d *harness.Daemon) bool {
	select {
	case <-d.Done:
		return true
	default:
		return false
	}
}

// killServers kills one after the other, those that are primaries of what is written.
func (r *recordsRun) killServers() {
	for i, n := range r.c.Servers[:3] {
		harness.Eventually(r.t, "enough is read to kill a server", func() bool { return r.progress(1) >= (i+1)*recordProducers*recordsEach/5 })
		n.Kill()
		r.c.WaitDown(n)
		n.Start()
		r.c.WaitBalanced()
	}
}

// check wants each record once, in the order of its producer.
func (r *recordsRun) check() {
	if !slices.Equal(r.read[0], r.read[1]) {
		r.t.Errorf("the readers differ: %d and %d records", len(r.read[0]), len(r.read[1]))
	}
	next := [recordProducers]int{}
	for place, text := range r.read[0] {
		var p, i int
		if _, err := fmt.Sscanf(text, "producer %d record %d", &p, &i); err != nil || p >= recordProducers || i != next[p] || text != recordText(p, i) {
			r.t.Fatalf("at %d is %.40q, and %v are next", place, text, next)
		}
		next[p]++
	}
	if r.killed < recordProducers {
		r.t.Errorf("producers were killed %d times", r.killed)
	}
	for p, n := range next {
		if n != recordsEach {
			r.t.Errorf("producer %d: %d records", p, n)
		}
	}
}

// damage flips a byte in each batch that one server has of some records, while it is down: they are repaired.
func (r *recordsRun) damage() {
	n := r.c.Servers[4]
	n.Kill()
	r.c.WaitDown(n)
	flipped := 0
	for _, path := range n.Files(func(string) bool { return true }) {
		b, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		changed := false
		for _, i := range []int{100, 1500, 2900} {
			if at := bytes.Index(b, fmt.Appendf(nil, " record %06d ", i)); at >= 0 {
				b[at+3] ^= 1
				changed = true
				flipped++
			}
		}
		if changed {
			if err := os.WriteFile(path, b, 0o666); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if flipped == 0 {
		r.t.Errorf("%s has none of the records", n.Name)
	}
	n.Start()
	r.c.WaitBalanced()
	v, err := r.file.Verify(r.t.Context(), nil)
	if err != nil || v.Records != int64(recordProducers*recordsEach) || v.Lost != 0 {
		r.t.Errorf("after %d flipped bytes: %+v, %v", flipped, v, err)
	}
	r.t.Log(flipped, "bytes flipped,", r.c.Scrub(n))
}

// remove removes the file, and looks whether anything is left of it.
func (r *recordsRun) remove() {
	files, err := file.Open(r.t.Context(), r.c.Options())
	if err != nil {
		r.t.Fatal(err)
	}
	defer files.Close()
	if err := files.Remove(r.t.Context(), "/r"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	tidy := &filesRun{t: r.t, c: r.c}
	harness.Eventually(r.t, "no server knows of contents that nothing names", tidy.tidied)
	for _, n := range r.c.Servers {
		n.Kill()
	}
	for _, n := range r.c.Servers {
		checkEmpty(r.t, n)
	}
}
