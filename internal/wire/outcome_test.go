package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/outcome"
)

func TestTried(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want outcome.Try
	}{
		{nil, outcome.Answered},
		{io.ErrUnexpectedEOF, outcome.Silent},
		{context.DeadlineExceeded, outcome.Silent},
		{fmt.Errorf("ask: %w: %w", ErrNotSent, context.Canceled), outcome.NotSent},
		{fmt.Errorf("%w: %w", ErrNotSent, ParseServerError(TooManyClients)), outcome.AtLimit},
		{ParseServerError(TooManyClients), outcome.AtLimit},
		{ParseServerError(MovedText(1, "a:1")), outcome.Declined},
		{ParseServerError("BUSY"), outcome.Declined},
		{ParseServerError("READONLY full"), outcome.Declined},
		{ParseServerError("NOTHEAD"), outcome.Declined},
		{ParseServerError("UNKNOWNOUTCOME"), outcome.Unsure},
		{ParseServerError("TOOLARGE"), outcome.Answered},
		{ParseServerError("NOTHELD"), outcome.Answered},
		{ParseServerError("ANSWERED ERR value is not an integer"), outcome.Answered},
		{ParseServerError("ERR value is not an integer"), outcome.Refused},
		{ParseServerError("NOAUTH"), outcome.Refused},
		{ParseServerError("CORRUPT"), outcome.Refused},
		{ParseServerError("RECOVERING"), outcome.Refused},
		{ParseServerError("what is this"), outcome.Refused},
	} {
		if got := Tried(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestTrimAnswered(t *testing.T) {
	for in, want := range map[string]string{
		"-ANSWERED ERR no\r\n": "-ERR no\r\n", "-ERR no\r\n": "-ERR no\r\n", "+OK\r\n": "+OK\r\n", "-ANSWERED\r\n": "-ANSWERED\r\n",
	} {
		if got := string(TrimAnswered([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// leaderCalls are the calls to a view leader whose effect their callers would miss.
var leaderCalls = map[string]func(context.Context, *Leader) error{
	"member":      func(ctx context.Context, l *Leader) error { _, err := l.Member(ctx, "leave", "s1"); return err },
	"accept loss": func(ctx context.Context, l *Leader) error { _, err := l.AcceptLoss(ctx, nil); return err },
	"lock get":    func(ctx context.Context, l *Leader) error { _, err := l.LockGet(ctx, LockAsk{Lock: "l"}); return err },
	"lock free":   func(ctx context.Context, l *Leader) error { return l.LockFree(ctx, "l", "c", 0) },
	"session end": func(ctx context.Context, l *Leader) error { return l.SessionEnd(ctx, 1) },
	"group set":   func(ctx context.Context, l *Leader) error { return l.GroupSet(ctx, GroupAdd, "h:1") },
}

// A command to the view leader of which a try was not answered is unknown to the end,
// whatever a later try is refused with, and definite when no try may have been done.
func TestLeaderRefusedAfterATryThatMayBeDone(t *testing.T) {
	for name, call := range leaderCalls {
		for _, reply := range []string{"NOAUTH Authentication required.", "BUSY too many connections", "RECOVERING", "ERR what", "NOTHEAD"} {
			for _, lost := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, lost %v", name, reply, lost), func(t *testing.T) {
					t.Parallel()
					var asked atomic.Int32
					f := newFakeLeader(t, func(_ []string, w *Writer) bool {
						if asked.Add(1) == 1 && lost {
							return false // hangs up: it may be done
						}
						w.WriteError(reply)
						return true
					})
					l := NewLeader([]string{f.addr()}, nil)
					defer l.Close()
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					if err := call(ctx, l); err == nil || errors.Is(err, ErrOutcomeUnknown) != lost {
						t.Errorf("%v, unknown %v, want %v", err, !lost, lost)
					}
				})
			}
		}
	}
}

// A lock that is not held at the second try may have been released by the first, whose
// result may be forgotten.
func TestLeaderNotHeldAtTheSecondTry(t *testing.T) {
	for _, lost := range []bool{false, true} {
		var asked atomic.Int32
		f := newFakeLeader(t, func(_ []string, w *Writer) bool {
			if asked.Add(1) == 1 && lost {
				return false
			}
			w.WriteError(CodeNotHeld)
			return true
		})
		l := NewLeader([]string{f.addr()}, nil)
		if err := l.LockFree(t.Context(), "l", "c", 0); !IsCode(err, CodeNotHeld) || errors.Is(err, ErrOutcomeUnknown) != lost {
			t.Errorf("%v, lost %v", err, lost)
		}
		l.Close()
	}
}
