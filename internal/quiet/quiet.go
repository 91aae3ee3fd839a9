// Package quiet keeps logs readable and small, whatever goes wrong: each message is written at a
// bounded rate, and what clients sent is cut.
package quiet

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Of each message, at its level, burst lines are written in every period, and how many were left
// out is said with the first of the next.
const (
	burst  = 20
	period = 10 * time.Second

	messagesMax = 1024 // that are told apart; of more all count as one
	messageMax  = 2000 // bytes of a message
	valueMax    = 500  // of what is said with it
)

// Handler is a slog.Handler that passes on what is not too much. Debug messages always pass.
type Handler struct {
	slog.Handler
	said *said // shared with the handlers that were made of this one
}

// said is what was written lately.
type said struct {
	mu  sync.Mutex
	of  map[message]*tally // guarded by mu
	now func() time.Time
}

type message struct {
	level slog.Level
	text  string
}

type tally struct {
	began         time.Time
	written, left int
}

// New passes on to h.
func New(h slog.Handler) *Handler {
	return &Handler{Handler: h, said: &said{of: make(map[message]*tally), now: time.Now}}
}

// Handle is that of slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	ok, left := true, 0
	if r.Level > slog.LevelDebug {
		ok, left = h.said.may(message{r.Level, Cut(r.Message, messageMax)})
	}
	if !ok {
		return nil
	}
	short := slog.NewRecord(r.Time, r.Level, Cut(r.Message, messageMax), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(cutAttr(a))
		return true
	})
	if left > 0 {
		short.AddAttrs(slog.Int("left_out", left))
	}
	return h.Handler.Handle(ctx, short)
}

// WithAttrs is that of slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	cut := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		cut[i] = cutAttr(a)
	}
	return &Handler{Handler: h.Handler.WithAttrs(cut), said: h.said}
}

// WithGroup is that of slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{Handler: h.Handler.WithGroup(name), said: h.said}
}

// may reports whether a message is written, and how many like it were left out before.
func (s *said) may(m message) (ok bool, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.of[m]
	if t == nil && len(s.of) >= messagesMax {
		m = message{} // the rest
		t = s.of[m]
	}
	if t == nil {
		t = &tally{}
		s.of[m] = t
	}
	if now := s.now(); now.Sub(t.began) >= period {
		left = t.left
		*t = tally{began: now}
	}
	if t.written >= burst {
		t.left++
		return false, 0
	}
	t.written++
	return true, left
}

func cutAttr(a slog.Attr) slog.Attr {
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		if len(v.String()) > valueMax {
			a.Value = slog.StringValue(Cut(v.String(), valueMax))
		}
	case slog.KindAny:
		if err, ok := v.Any().(error); ok && len(err.Error()) > valueMax {
			a.Value = slog.StringValue(Cut(err.Error(), valueMax))
		}
	}
	return a
}

// Cut is the beginning of a text that is longer than most bytes, with how long it is.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(s[:most], "?"), len(s))
}
