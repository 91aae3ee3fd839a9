package mutants

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/tests/harness"
)

// TestPlayer plays mutants of a tiny module, and is told of each what it is; of some
// kinds with VIEWRING_SLOW=1 only.
func TestPlayer(t *testing.T) {
	want := map[string]struct {
		caught, wrong string
		slow          bool
	}{
		"blind":           {caught: "sum: TestOf", wrong: "-run '^TestZero$' does not see it: it takes two from three"},
		"built":           {caught: "program: TestProgram", slow: true},
		"caught":          {caught: "sum: TestOf/two_and_three", wrong: "should survive: said wrongly"},
		"exits":           {caught: "sum: TestOf/two_and_three (ended the process)", slow: true},
		"hangs":           {caught: "sum: TestOf", slow: true},
		"harmless":        {slow: true},
		"nobuild":         {wrong: "it does not compile: exit status 1\n# example/sum"},
		"panics":          {caught: "sum: TestOf/two_and_three", slow: true},
		"program-nobuild": {wrong: "failed, and no test did:\nbuild: exit status 1\n# example", slow: true},
		"red":             {caught: "sum: TestRed", wrong: "TestRed fails without the mutant too", slow: true},
		"skipped":         {wrong: "no test ran", slow: true},
		"survives":        {wrong: "sum/sum.go:6: survived, no test saw it: the hint"},
		"test-nobuild":    {wrong: "-run '^TestOf$': does not compile:\n# example/sum", slow: true},
		"two-files":       {caught: "sum: TestOf/two_and_three", slow: true},
		"wanted":          {caught: "sum: TestWanted/two_and_three", slow: true},
	}
	t.Setenv("VIEWRING_WANTED", "yes") // must not reach the tests by itself
	p := tinyPlayer(t)
	all, err := load(filepath.Join("testdata", "mutants"))
	if err != nil || len(all) != len(want) {
		t.Fatalf("%d mutants, %v", len(all), err)
	}
	for _, m := range all {
		w := want[m.name]
		if w.slow && !harness.IsSlow() {
			continue
		}
		if w.wrong == "" {
			w.wrong = "as expected"
		}
		v := p.play(t.Context(), m)
		wrong := "as expected"
		if err := m.wrong(v); err != nil {
			wrong = err.Error()
		}
		if !strings.HasPrefix(v.caught, w.caught) || (w.caught == "") != (v.caught == "") || !strings.Contains(wrong, w.wrong) {
			t.Errorf("%s: caught by %q: %s", m.name, v.caught, wrong)
		}
	}
}

// tinyPlayer plays in testdata/module.
func tinyPlayer(t *testing.T) *player {
	t.Helper()
	t.Setenv("GOWORK", "off") // the module is in nobody's workspace
	root, err := filepath.Abs(filepath.Join("testdata", "module"))
	if err != nil {
		t.Fatal(err)
	}
	return playerFor(t, root)
}

// TestPlayerStops ends a play during a test that never ends: that is no catch, and
// a child of the test goes with it.
func TestPlayerStops(t *testing.T) {
	harness.Slow(t)
	p := tinyPlayer(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, opened := make(chan error, 1), make(chan *os.File, 1)
	go func() {
		_, err := p.test(ctx, testCommand{env: []string{"FIFO=" + fifo}, dir: "program", run: "^TestNeverEnds$"}, time.Hour, "")
		ended <- err
	}()
	go func() {
		f, _ := os.Open(fifo) // when the child has it
		opened <- f
	}()
	select {
	case f := <-opened:
		defer f.Close()
		cancel()
		if _, err := io.ReadAll(f); err != nil { // to its end: nobody has the other one any more
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the play ended with %v", err)
		}
	case err := <-ended:
		t.Fatalf("the test ended by itself: %v", err)
	}
}
