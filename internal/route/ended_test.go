package route

import (
	"context"
	"errors"
	"testing"
	"time"
)

// lateTimer is a context whose deadline is over, and whose timer has not fired yet: a
// connection with the same deadline can notice first.
type lateTimer struct{ context.Context }

func (lateTimer) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestEndedBeforeItsTimer(t *testing.T) {
	late := lateTimer{t.Context()}
	for kind, want := range map[error]error{
		ErrUnreachable: context.DeadlineExceeded, ErrUnknownOutcome: context.DeadlineExceeded, ErrRefused: nil, ErrNotFound: nil,
	} {
		if got := endedUnanswered(late, kind); !errors.Is(got, want) {
			t.Errorf("%v: ended by %v, want %v", kind, got, want)
		}
	}
	if got := endedUnanswered(t.Context(), ErrUnreachable); got != nil {
		t.Errorf("a context that goes on: %v", got)
	}
}
