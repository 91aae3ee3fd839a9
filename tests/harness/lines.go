package harness

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that should come soon.
const patience = 2 * time.Minute

// Lines is a process's output, for which tests wait.
type Lines struct {
	mu      sync.Mutex
	b       strings.Builder
	changed chan struct{}
}

// NewLines returns an output that nothing was written to.
func NewLines() *Lines { return &Lines{changed: make(chan struct{})} }

// Write adds to the output.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

// Text returns all output so far.
func (l *Lines) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Wait waits until the output contains text; done says that no more will come.
func (l *Lines) Wait(t *testing.T, text string, done <-chan struct{}) {
	t.Helper()
	over := time.After(patience)
	for {
		l.mu.Lock()
		has, changed := strings.Contains(l.b.String(), text), l.changed
		l.mu.Unlock()
		if has {
			return
		}
		select {
		case <-changed:
		case <-done:
			t.Fatalf("ended without saying %q:\n%s", text, l.Text())
		case <-over:
			t.Fatalf("never said %q:\n%s", text, l.Text())
		}
	}
}

// Eventually waits until ok holds.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not so within %v: %s", patience, what)
		}
	}
}

// Beside returns a group for goroutines that end with the test's Context. The test is not over
// before they are, whatever ended it: what fails in them afterwards would hide that.
func Beside(t *testing.T) *sync.WaitGroup {
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	return &running
}

// Must returns a value, or ends the goroutine with the error that came instead; the test fails,
// unless it is over anyway. It is for goroutines of Beside, where t.Fatal may not be called.
func Must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		if t.Context().Err() == nil {
			t.Error(err)
		}
		runtime.Goexit()
	}
	return v
}
