package quiet

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func logger() (*slog.Logger, *Handler, *bytes.Buffer) {
	var b bytes.Buffer
	h := New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return slog.New(h), h, &b
}

// A message that comes again and again is written a few times in ten seconds, and what was left out is
// counted; others are not held up by it.
func TestRate(t *testing.T) {
	l, h, b := logger()
	now := time.Unix(1, 0)
	h.said.now = func() time.Time { return now }
	for range 1000 {
		l.Warn("the disk is full", "server", 1)
		l.With("part", 2).WithGroup("g").Warn("the disk is full")
	}
	if n := strings.Count(b.String(), "the disk is full"); n != burst {
		t.Errorf("%d lines of 2000", n)
	}
	l.Warn("something else")
	l.Error("the disk is full")
	if got := b.String(); !strings.Contains(got, "something else") || !strings.Contains(got, "level=ERROR") {
		t.Errorf("others are held up: %s", got)
	}
	now = now.Add(period)
	l.Warn("the disk is full")
	if !strings.Contains(b.String(), fmt.Sprint("left_out=", 2000-burst)) {
		t.Errorf("nothing says how many were left out: %s", b.String())
	}
}

// Messages that are all different count as one beyond a number of them.
func TestDifferentMessages(t *testing.T) {
	l, _, b := logger()
	for i := range 3 * messagesMax {
		l.Error(fmt.Sprint("error ", i))
	}
	if n := strings.Count(b.String(), "\n"); n > messagesMax+burst {
		t.Errorf("%d lines", n)
	}
}

// What clients sent is cut.
func TestCut(t *testing.T) {
	l, _, b := logger()
	long := strings.Repeat("n", 70_000)
	l.With("name", long).Warn("refused "+long, "path", long, "err", errors.New(long))
	if n := b.Len(); n > 5000 || strings.Count(b.String(), "(70000 bytes)") != 3 {
		t.Errorf("%d bytes: %s", n, b.String())
	}
}
