package screen

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"viewring/tests/harness"
)

// falls is a source that panics once its first reading is on the screen.
type falls struct {
	nobody
	said *harness.Lines
	read bool
}

func (f *falls) Read(context.Context) (*Reading, error) {
	if !f.read || !strings.Contains(f.said.Text(), "safe: all") {
		f.read = true
		return reading(3), nil
	}
	panic("a reading panics")
}

// TestPanic: one that nobody expects is told, and leaves the terminal as it was.
func TestPanic(t *testing.T) {
	control, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	said := harness.NewLines()
	go func() { _, _ = io.Copy(said, control) }() // ends with the process, as the terminal does: its reader may still read
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Options{Input: tty, Output: tty, Source: &falls{said: said}, Interval: 100 * time.Millisecond}) // the trace goes to stderr
	if err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("it ended with %v", err)
	}
	after, err := term.GetState(int(tty.Fd()))
	if err != nil || *after != *before {
		t.Errorf("%v: the terminal is %v, and was %v", err, after, before)
	}
	harness.Eventually(t, "the terminal's own screen comes back", func() bool {
		return strings.Contains(said.Text(), "\x1b[?1049l") && strings.Contains(said.Text(), "\x1b[?25h")
	})
}
