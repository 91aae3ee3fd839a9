package sim

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// Result is what a run came to.
type Result struct {
	Seed       uint64
	Violation  string // empty: none
	Hash       uint64 // of everything that happened: equal for equal seeds
	Operations int
	Faults     int
	Virtual    time.Duration
	Counts     map[string]int

	opt        Options
	partitions int
	log        []line // with Options.Trace
}

// Run plays one seed.
func Run(seed uint64, opt Options) (res Result) {
	w := newWorld(seed, opt)
	defer w.tree.fell()
	defer func() {
		if r := recover(); r != nil {
			if v, ok := r.(invariant.Violation); ok {
				res = w.result(v.Error())
				return
			}
			res = w.result(fmt.Sprintf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	w.run()
	switch {
	case !w.converged:
		return w.result("not converged: " + w.unconverged())
	case w.queue.len() > 0 && w.watching.behind() != nil:
		return w.result(fmt.Sprintf("watch: partition %d: %v was not told all", w.watching.behind().wish.Partition, w.watching.behind()))
	case w.queue.len() > 0:
		return w.result("the last reads were not answered")
	}
	if v := w.lockHead.checkHistory(); v != "" {
		return w.result(v)
	}
	if v := w.watching.check(); v != "" {
		return w.result(v)
	}
	if v := w.checkTree(); v != "" {
		return w.result(v)
	}
	return w.result(w.checkHistory())
}

func (w *world) result(violation string) Result {
	if violation != "" {
		w.note(global, "VIOLATION: %s", violation)
	}
	return Result{Seed: w.seed, Violation: violation, Hash: w.trace, Operations: w.done, Faults: w.faults, Virtual: w.now,
		Counts: w.Counts, opt: w.opt, partitions: w.partitions, log: w.log}
}

const (
	anyPartition = -2
	reportLines  = 60
)

// Trace is the readable trace of one partition, or of all: the last lines of it,
// or the whole where most is 0.
func (r *Result) Trace(partition, most int) string {
	var lines []string
	for _, l := range r.log {
		if partition == anyPartition || l.partition == global || l.partition == partition {
			lines = append(lines, l.text)
		}
	}
	if most > 0 && len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return strings.Join(lines, "\n")
}

var partitionNamed = regexp.MustCompile(`partition (\d+)`)
var keyNamed = regexp.MustCompile(`key (\S+)`)

// concerned is the partition that a violation speaks of.
func (r *Result) concerned() int {
	if m := partitionNamed.FindStringSubmatch(r.Violation); m != nil {
		p, err := strconv.Atoi(m[1])
		if err == nil {
			return p
		}
	}
	if m := keyNamed.FindStringSubmatch(r.Violation); m != nil {
		return int(ring.PartitionOf(ring.SlotOf(strings.TrimRight(m[1], ":")), r.partitions))
	}
	return anyPartition
}

// Report is what there is to know of a violation: it plays the seed again to
// show what happened to the partition that it concerns.
func (r *Result) Report() string {
	opt := r.opt
	opt.Trace = true
	again := Run(r.Seed, opt)
	var b strings.Builder
	p := r.concerned()
	fmt.Fprintf(&b, "seed %d: %s\n", r.Seed, r.Violation)
	if p != anyPartition {
		fmt.Fprintf(&b, "what happened last to partition %d:\n", p)
	}
	b.WriteString(again.Trace(p, reportLines))
	if again.Violation != r.Violation {
		fmt.Fprintf(&b, "\nplayed again it was something else: %q", again.Violation)
	}
	if r.opt.Placed {
		fmt.Fprintf(&b, "\nreplay: VIEWRING_SIM_SEED_FIRST=%d VIEWRING_SIM_SEEDS=1 go test ./tests/sim -run TestPlaced$", r.Seed)
	}
	if r.opt.Planned {
		fmt.Fprintf(&b, "\nreplay: VIEWRING_SIM_SEED_FIRST=%d VIEWRING_SIM_SEEDS=1 go test ./tests/sim -run TestPlanned$", r.Seed)
		return b.String()
	}
	fmt.Fprintf(&b, "\nreplay: VIEWRING_SIM_SEED=%d VIEWRING_SIM_TRACE=1 go test ./tests/sim -run TestSeeds", r.Seed)
	return b.String()
}

// tally adds up results, and says now and then how far they are.
type tally struct {
	wanted     uint64
	seeds      int
	violations int
	operations int
	faults     int
	virtual    time.Duration
	hashes     uint64 // the sum of the runs': two builds that behave alike come to the same
	counts     map[string]int
	began      time.Time
	spent      time.Duration // of the processors' time, before
	said       time.Time
}

func newTally(wanted uint64) *tally {
	now := time.Now()
	return &tally{wanted: wanted, counts: make(map[string]int), began: now, said: now, spent: processorTime()}
}

// processorTime is what this process has used: the machine may have other work.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (t *tally) add(r Result) {
	t.seeds++
	t.operations += r.Operations
	t.faults += r.Faults
	t.virtual += r.Virtual
	t.hashes += r.Hash
	if r.Violation != "" {
		t.violations++
		first, _, _ := strings.Cut(r.Violation, "\n")
		fmt.Fprintf(os.Stderr, "sim: seed %d: %s\n", r.Seed, first) // the whole comes at the end
	}
	for k, v := range r.Counts {
		t.counts[k] += v
	}
	if now := time.Now(); now.Sub(t.said) > 5*time.Second {
		t.said = now
		fmt.Fprintf(os.Stderr, "sim: %d of %d seeds, %.0f a minute, %d violations\n", t.seeds, t.wanted,
			float64(t.seeds)/now.Sub(t.began).Minutes(), t.violations)
	}
}

func (t *tally) table() string {
	var b strings.Builder
	wall := time.Since(t.began)
	fmt.Fprintf(&b, "%d seeds, %d violations, %d operations, %d faults, %.1f simulated hours in %v (%.0f seeds a minute)\n", t.seeds, t.violations,
		t.operations, t.faults, t.virtual.Hours(), wall.Round(time.Millisecond), float64(t.seeds)/wall.Minutes())
	spent := processorTime() - t.spent
	fmt.Fprintf(&b, "%v of processor time a seed: %.0f seeds a minute and core\n", (spent / time.Duration(max(1, t.seeds))).Round(10*time.Microsecond),
		float64(t.seeds)/spent.Minutes())
	fmt.Fprintf(&b, "the runs' hashes add up to %016x\n", t.hashes)
	for _, k := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(&b, "%-40s %10d\n", k, t.counts[k])
	}
	return b.String()
}
