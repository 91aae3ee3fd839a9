package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
	"place":       func(ctx context.Context, l *Leader) error { _, err := l.Place(ctx, PlaceWeight, "s1", "2"); return err },
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
					// Some are asked again until the time is over. A try that is cut off then may be
					// done, so once in a while such a call is unknown.
					var err error
					for range 20 {
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						err = call(ctx, l)
						cancel()
						if err != nil && errors.Is(err, ErrOutcomeUnknown) == lost {
							return
						}
					}
					t.Errorf("%v, unknown %v, want %v", err, !lost, lost)
				})
			}
		}
	}
}

// What a view leader says at a second try of what the first may have done is no proof:
// it may have forgotten the first, or not have seen it yet.
func TestLeaderRefusedAtTheSecondTry(t *testing.T) {
	for _, tt := range []struct{ call, reply string }{
		{"lock free", CodeNotHeld}, {"member", CodeRefused}, {"accept loss", CodeRefused}, {"group set", CodeRefused},
		{"lock get", CodeLocked}, {"lock get", CodeDeadlock},
	} {
		for _, lost := range []bool{false, true} {
			var asked atomic.Int32
			f := newFakeLeader(t, func(args []string, w *Writer) bool {
				if args[0] != CmdGroup && asked.Add(1) == 1 && lost {
					return false
				}
				w.WriteError(tt.reply)
				return true
			})
			l := NewLeader([]string{f.addr()}, nil)
			if err := leaderCalls[tt.call](t.Context(), l); !IsCode(err, tt.reply) || errors.Is(err, ErrOutcomeUnknown) != lost {
				t.Errorf("%s: %v, lost %v", tt.call, err, lost)
			}
			l.Close()
		}
	}
}

// Who is turned away while it makes a connection, or before it has asked anything, is
// told why, and at once.
func TestTurnedAwayWhileConnecting(t *testing.T) {
	busy := ParseServerError("BUSY too many connections")
	l := NewLeader([]string{"a:1"}, func(context.Context, string, string) (net.Conn, error) { return nil, busy })
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), leaderPatience)
	defer cancel()
	if _, err := l.Status(ctx); !IsCode(err, CodeBusy) || errors.Is(err, ErrLeaderUnreachable) {
		t.Errorf("Status: %v", err)
	}
	here, there := net.Pipe()
	c := NewConn(here, "a:1", DefaultLimits)
	defer c.Close()
	if _, err := there.Write([]byte("-" + TooManyClients + "\r\n")); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if _, err := c.Do(t.Context(), []byte("PING")); Tried(err) != outcome.AtLimit || !errors.Is(err, ErrNotSent) {
		t.Errorf("Do: %v", err)
	}
}
