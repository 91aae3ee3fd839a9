package process

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a process's output, for which tests wait.
type lines struct {
	mu      sync.Mutex
	b       strings.Builder
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wait waits until the output contains text.
func (l *lines) wait(t *testing.T, text string, done <-chan struct{}) {
	t.Helper()
	patience := time.After(time.Minute)
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
			t.Fatalf("ended without saying %q:\n%s", text, l.text())
		case <-patience:
			t.Fatalf("never said %q:\n%s", text, l.text())
		}
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-patience:
			t.Fatalf("not so within a minute: %s", what)
		}
	}
}
