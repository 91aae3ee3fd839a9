package faults

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"viewring/client/record"
	"viewring/tests/harness"
)

const (
	readersRecords = 12_000
	readersMembers = 3
	readersKills   = 3
)

// readersRun is the play of TestReaders.
type readersRun struct {
	t     *testing.T
	shell *harness.Shell

	out    map[string][]*harness.Daemon // all processes that have read, by what they read as
	how    map[string][]string          // they are started
	killed int
}

// TestReaders has a group and a named reader read what is appended, processes that are killed and come back, while a server is
// killed: each has every record at least once, a reader never skips one, and a chunk is read in its order.
func TestReaders(t *testing.T) {
	harness.Slow(t)
	c := harness.NewCluster(t, harness.Config{Servers: 4, LeaderFlags: []string{"--partitions", "16", "--down-after", "5s"}})
	c.WaitBalanced()
	store, err := record.Open(t.Context(), c.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(t.Context(), "/r", record.CreateOptions{ChunkBytes: record.ChunkBytesMin}); err != nil {
		t.Fatal(err)
	}
	f, err := store.Open(t.Context(), "/r")
	if err != nil {
		t.Fatal(err)
	}
	r := &readersRun{t: t, shell: harness.NewShell(t, strings.Join(c.Options().Leaders, ",")), out: map[string][]*harness.Daemon{}, how: map[string][]string{}}
	for i := range readersMembers {
		r.start(fmt.Sprint("member ", i), "--group", "g")
	}
	r.start("reader", "--as", "r")
	var producing sync.WaitGroup
	producing.Go(func() {
		for i := 0; i < readersRecords; i += 20 {
			var batch [][]byte
			for n := range 20 {
				batch = append(batch, fmt.Appendf(nil, "record %06d %s", i+n, strings.Repeat("x", 400)))
			}
			if _, err := f.Append(t.Context(), batch...); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range readersKills {
		harness.Eventually(t, "enough is read to kill somebody", func() bool { return r.read("reader") >= (i+1)*readersRecords/(readersKills+2) })
		r.kill("reader")
		r.kill(fmt.Sprint("member ", i%readersMembers))
		if i == 1 {
			c.Servers[1].Kill()
		}
	}
	producing.Wait()
	harness.Eventually(t, "the reader has read all", func() bool { return r.read("reader") >= readersRecords })
	harness.Eventually(t, "the group has read all", func() bool { return len(r.group()) >= readersRecords })
	r.check()
}

// start starts a process that reads.
func (r *readersRun) start(what string, how ...string) {
	d := r.shell.Start(append([]string{"record", "tail", "-f", "/r"}, how...)...)
	r.how[what] = how
	r.out[what] = append(r.out[what], d)
}

// kill kills the last process that reads as something, and starts the next.
func (r *readersRun) kill(what string) {
	all := r.out[what]
	d := all[len(all)-1]
	_ = d.Cmd.Process.Signal(syscall.SIGKILL) // unless it has ended
	<-d.Done
	if !d.Cmd.ProcessState.Exited() {
		r.killed++
	}
	r.start(what, r.how[what]...)
}

// tend starts again what has ended by itself, as it may where servers can't be reached for long, or its session is lost.
func (r *readersRun) tend() {
	for what, all := range r.out {
		if ended(all[len(all)-1]) {
			r.start(what, r.how[what]...)
		}
	}
}

// numbers are the records that a process has printed, whole.
func (r *readersRun) numbers(d *harness.Daemon) (out []int) {
	text := d.Stdout.Text()
	for line := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		var n int
		if _, err := fmt.Sscanf(line, "record %06d ", &n); err != nil {
			r.t.Fatalf("%.60q: %v", line, err)
		}
		out = append(out, n)
	}
	return out
}

// read is how many records a reader has printed.
func (r *readersRun) read(what string) int {
	r.tend()
	seen := map[int]bool{}
	for _, d := range r.out[what] {
		for _, n := range r.numbers(d) {
			seen[n] = true
		}
	}
	return len(seen)
}

// group is how often each record was printed by members.
func (r *readersRun) group() map[int]int {
	r.tend()
	seen := map[int]int{}
	for what, all := range r.out {
		for _, d := range all {
			if what == "reader" {
				continue
			}
			for _, n := range r.numbers(d) {
				seen[n]++
			}
		}
	}
	return seen
}

func (r *readersRun) check() {
	next := 0
	for i, d := range r.out["reader"] {
		for at, n := range r.numbers(d) {
			if n > next || at > 0 && n != next {
				r.t.Fatalf("process %d of the reader prints %d, and %d is next", i, n, next)
			}
			next = n + 1
		}
	}
	seen, twice := r.group(), 0
	for n := range readersRecords {
		if seen[n] == 0 {
			r.t.Errorf("no member has printed %d", n)
		}
		if seen[n] > 1 {
			twice++
		}
	}
	for what, all := range r.out {
		for _, d := range all {
			numbers := r.numbers(d)
			for i := 1; i < len(numbers) && what != "reader"; i++ {
				if numbers[i] == numbers[i-1] { // another chunk may come before, or be skipped to; no record comes twice in a row
					r.t.Errorf("%s prints %d after %d", what, numbers[i], numbers[i-1])
				}
			}
		}
	}
	if r.killed < readersKills {
		r.t.Errorf("%d processes were killed", r.killed)
	}
	r.t.Log(r.killed, "processes were killed;", twice, "records were printed twice by the group")
}
