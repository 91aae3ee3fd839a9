package play

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rsc.io/script"

	"viewring/internal/chart"
)

// timelineColumns are those of the table of a timeline. Its times are seconds since it began, and of
// requests milliseconds.
var timelineColumns = []string{"seconds", "ops", "p50", "p99", "max", "failed", "event"}

// timeline measures one span after the other in the background, each a row of a table.
type timeline struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	began   time.Time

	mu    sync.Mutex // guards what follows
	table *chart.Table
	event string // since the last row
	err   error
}

// startTimeline begins.
func startTimeline(ctx context.Context, m *meter, table *chart.Table, dir string, every time.Duration) *timeline {
	ctx, stop := context.WithCancel(ctx)
	t := &timeline{stop: stop, began: time.Now(), table: table}
	t.running.Go(func() {
		over := time.NewTimer(every)
		defer over.Stop()
		for {
			r := m.read()
			over.Reset(every) // each is a whole one, also after a late one
			select {
			case <-over.C:
				t.add(m.end(r), dir)
			case <-ctx.Done():
				m.end(r) // not a whole one
				return
			}
		}
	})
	return t
}

// add adds a row.
func (t *timeline) add(f measurement, dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	row := []string{strconv.FormatFloat(time.Since(t.began).Seconds(), 'f', 2, 64), rounded(f.ops)}
	for _, took := range []float64{f.p50, f.p99, f.max} {
		if f.isEmpty {
			row = append(row, "")
		} else {
			row = append(row, rounded(took))
		}
	}
	err := t.table.Add(append(row, strconv.Itoa(f.failed), t.event)...)
	t.event = ""
	t.err = errors.Join(t.err, err, t.table.Write(dir))
}

// mark has the next row tell of an event.
func (t *timeline) mark(event string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.event != "" {
		event = t.event + ", " + event
	}
	t.event = event
}

// end ends it, and returns what went wrong.
func (t *timeline) end() error {
	t.stop()
	t.running.Wait()
	return t.err
}

func (c *checker) timelineVerb(args []string) error {
	c.writes = true
	if len(args) == 0 {
		return script.ErrUsage
	}
	return toggle(&c.timeline, "timeline", "stop", args, func(args []string) error {
		if len(args) != 2 {
			return script.ErrUsage
		}
		if !c.traffic && !c.workload {
			return errors.New("nothing is going on that could be measured: begin with 'traffic start' or 'workload start'")
		}
		_, err := span(args[1])
		return errors.Join(c.table(slices.Concat(args[:1], timelineColumns)), err)
	}, func(args []string) error {
		return usageIf(len(args) < 2 || args[0] != "mark")
	})
}

func (p *Player) timelineVerb(ctx context.Context, args []string) (string, error) {
	switch {
	case len(args) == 3 && args[0] == "start" && p.timeline == nil:
		every, err := span(args[2])
		if err != nil {
			return "", err
		}
		if out, err := p.tableVerb(ctx, slices.Concat(args[1:2], timelineColumns)); err != nil {
			return out, err
		}
		p.timeline = startTimeline(context.WithoutCancel(ctx), p.meter, p.tables[args[1]], p.out, every) // beyond this verb
		return "", nil
	case p.timeline == nil:
		return "", errors.New("there is no timeline: begin with 'timeline start TABLE SPAN'")
	case len(args) > 1 && args[0] == "mark":
		p.timeline.mark(strings.Join(args[1:], " "))
		return "", nil
	case len(args) == 1 && args[0] == "stop":
		t := p.timeline
		p.timeline = nil
		return "", t.end()
	}
	return "", script.ErrUsage
}
