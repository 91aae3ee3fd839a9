package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// Other work on the machine changes what clients get from minute to minute. So with -turns servers copy
// and are paused in turns, and each turn of copying is compared with those of pausing beside it.
const (
	turnTakes  = 2 * time.Second
	turnBegins = 300 * time.Millisecond // left out: what is under way goes on
)

// turn is a span of time in which servers copied, or were paused.
type turn struct {
	copying  bool
	from, to time.Time
}

// takeTurns pauses and resumes all servers until it is stopped, which lets them copy.
func (m *moving) takeTurns(ctx context.Context) (stop func() ([]turn, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var turns []turn
	ended := make(chan error, 1)
	go func() {
		var err error
		for copying := true; err == nil && ctx.Err() == nil; copying = !copying {
			began := time.Now().Add(turnBegins)
			pauseUntil(ctx, began.Add(turnTakes))
			if ctx.Err() == nil {
				turns = append(turns, turn{copying, began, time.Now()})
			}
			err = m.each(ctx, !copying)
		}
		if ctx.Err() != nil {
			err = nil
		}
		ended <- errors.Join(err, m.each(context.WithoutCancel(ctx), true))
	}()
	return func() ([]turn, error) {
		cancel()
		err := <-ended
		return turns, err
	}
}

// each lets all servers copy, or pauses them.
func (m *moving) each(ctx context.Context, copying bool) error {
	ctx, cancel := context.WithTimeout(ctx, moverAway)
	defer cancel()
	for _, me := range m.ops.View().Members {
		if !me.Up {
			continue
		}
		s, err := admin.DialServer(ctx, me.Addr, nil)
		if err == nil {
			if copying {
				_, err = s.ResumeRebalancing(ctx)
			} else {
				_, err = s.PauseRebalancing(ctx)
			}
			_ = s.Close() // it has nothing to lose
		}
		if now := m.ops.View().Member(me.ID); err != nil && now != nil && now.Up && now.Status == ring.In { // else it may leave just now
			return fmt.Errorf("turn: %w", err)
		}
	}
	return nil
}

// compare returns the median of what copying leaves of throughput, and of how many times p99 is that
// of the pauses beside it; ok is false where there was no pause.
func (l *moverLoad) compare(turns []turn) (throughput, p99 float64, ok bool) {
	var kept, late []float64
	for i, t := range turns {
		if !t.copying {
			continue
		}
		var perSecond, slow, beside float64
		for _, j := range []int{i - 1, i + 1} {
			if j >= 0 && j < len(turns) {
				w := l.window(turns[j].from, turns[j].to)
				perSecond, slow, beside = perSecond+w.perSecond, slow+float64(w.p99), beside+1
			}
		}
		if w := l.window(t.from, t.to); perSecond > 0 {
			kept, late = append(kept, w.perSecond*beside/perSecond), append(late, float64(w.p99)*beside/slow)
		}
	}
	if len(kept) == 0 {
		return 0, 0, false
	}
	slices.Sort(kept)
	slices.Sort(late)
	fmt.Printf("of each turn: throughput %.2f, p99 %.2f\n", kept, late)
	return kept[len(kept)/2], late[len(late)/2], true
}
