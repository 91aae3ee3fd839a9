package mutants

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/tests/harness"
)

// sampleDefault is what the gate has time for.
const sampleDefault = "2m"

// lastWords is what the play leaves of go test's own timeout: go test would end it
// without its children.
const lastWords = 20 * time.Second

// sample is how much of the catalogue is played.
type sample struct {
	all  bool
	most int
	span time.Duration // begin none later
}

func parseSample(s string) (sample, error) {
	if s == "all" {
		return sample{all: true}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return sample{most: int(n)}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return sample{}, fmt.Errorf("VIEWRING_MUTANTS is %q, neither a number of mutants, nor a time, nor all", s)
	}
	return sample{span: d}, nil
}

// draw returns the mutants to play, in the seed's order.
func (s sample) draw(mutants []*mutant, seed uint64) []*mutant {
	if s.all {
		return mutants
	}
	drawn := slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return m.survives != "" })
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	if s.span == 0 {
		return drawn[:min(s.most, len(drawn))]
	}
	return drawn
}

// seedOfToday is one for each commit, or for each day where git knows of none.
func seedOfToday() uint64 {
	out, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		return uint64(time.Now().Unix() / (24 * 60 * 60))
	}
	h := fnv.New32a()
	h.Write(out)
	return uint64(h.Sum32())
}

// TestPlay plays mutants: see the package's documentation.
func TestPlay(t *testing.T) {
	chosen := os.Getenv("VIEWRING_MUTANTS")
	if chosen == "" {
		harness.Slow(t)
		chosen = sampleDefault
	}
	s, err := parseSample(chosen)
	if err != nil {
		t.Fatal(err)
	}
	all, err := load("catalogue")
	if err != nil {
		t.Fatal(err)
	}
	seed := harness.EnvUint(t, "VIEWRING_MUTANTS_SEED", seedOfToday())
	drawn := s.draw(all, seed)
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-lastWords))
		defer cancel()
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	p := playerFor(t, root)
	began := time.Now()
	played := table{file: os.Getenv("VIEWRING_MUTANTS_TABLE")}
	for i, m := range drawn {
		if s.span > 0 && i > 0 && time.Since(began) > s.span {
			break
		}
		t.Run(m.name, func(t *testing.T) {
			v := p.play(ctx, m)
			if err := m.wrong(v); err != nil {
				t.Errorf("%v", err)
			}
			if err := played.add(m, v); err != nil {
				t.Error(err)
			}
		})
		if ctx.Err() != nil {
			t.Fatalf("stopped at %s: %v", m.name, context.Cause(ctx))
		}
	}
	if !s.all {
		chosen = strconv.Itoa(len(played.rows)) // a time is for as many only on this machine
	}
	t.Logf("%d of %d mutants in %.0f s; VIEWRING_MUTANTS=%s VIEWRING_MUTANTS_SEED=%d plays them again\n%s",
		len(played.rows), len(all), time.Since(began).Seconds(), chosen, seed, played.String())
}

// playerFor returns a player whose folder goes with the test.
func playerFor(t *testing.T, root string) *player {
	t.Helper()
	dir, err := os.MkdirTemp("", "mutants-") // t.TempDir has long names, and tests make sockets below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p, err := newPlayer(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// table is what was played, in Markdown.
type table struct {
	file string // written with each row, or ""
	rows []string
}

func (tb *table) add(m *mutant, v verdict) error {
	caught := fmt.Sprintf("%s: %.110s", v.caught, v.said)
	switch {
	case v.err != nil:
		caught = "no verdict"
	case v.caught == "" && m.survives != "":
		caught = "survives: " + m.survives
	case v.caught == "":
		caught = "**survived**"
	}
	row := fmt.Sprintf("| %s | %s | %s | %s | %.1f |", m.name, v.place, escape(m.breaks), escape(caught), v.took.Seconds())
	tb.rows = append(tb.rows, row)
	if tb.file == "" {
		return nil
	}
	return os.WriteFile(tb.file, []byte(tb.String()), 0o600)
}

func escape(s string) string { return strings.ReplaceAll(s, "|", "/") }

func (tb *table) String() string {
	return "| mutant | place | what it breaks | caught by | seconds |\n|---|---|---|---|---|\n" + strings.Join(tb.rows, "\n") + "\n"
}
