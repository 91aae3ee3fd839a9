package play

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"rsc.io/script"
)

// meter counts the requests of the traffic and the workload while it is read.
type meter struct {
	mu       sync.Mutex
	reading  map[*reading]bool
	underWay map[*request]bool
}

// request is one that is under way.
type request struct{ began time.Time }

// reading is what was counted over a span.
type reading struct {
	began  time.Time
	took   []time.Duration // of requests that were answered in it
	failed int
}

// measurement is what a reading comes to. Times are milliseconds.
type measurement struct {
	ops, p50, p99, max float64
	count, failed      int
	isEmpty            bool // no request ended or was under way: there are no times
}

func newMeter() *meter {
	return &meter{reading: make(map[*reading]bool), underWay: make(map[*request]bool)}
}

// begin notes that a request begins, and returns what its end is to be told.
func (m *meter) begin() (end func(err error)) {
	r := &request{time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.underWay[r] = true
	return func(err error) {
		took := time.Since(r.began)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.underWay, r)
		for reading := range m.reading {
			if err != nil {
				reading.failed++
			} else {
				reading.took = append(reading.took, took)
			}
		}
	}
}

// read begins a reading.
func (m *meter) read() *reading {
	r := &reading{began: time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading[r] = true
	return r
}

// end ends a reading. The longest request may be one that has no answer yet: what stands still
// would not show otherwise.
func (m *meter) end(r *reading) measurement {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.reading, r)
	now := time.Now()
	slices.Sort(r.took)
	f := measurement{count: len(r.took), failed: r.failed, p50: percentile(r.took, 50), p99: percentile(r.took, 99), max: percentile(r.took, 100)}
	f.ops = float64(len(r.took)) / now.Sub(r.began).Seconds()
	for under := range m.underWay {
		f.max = max(f.max, milliseconds(now.Sub(under.began)))
	}
	f.isEmpty = f.count+f.failed+len(m.underWay) == 0
	if f.count == 0 { // none was answered: all took as long as that at least
		f.p50, f.p99 = f.max, f.max
	}
	return f
}

// percentile is that of sorted times, in milliseconds.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return milliseconds(sorted[max(0, (len(sorted)*p+99)/100-1)])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rounded is a figure with three digits that count, but all before the point.
func rounded(f float64) string {
	digits := 0
	if f > 0 {
		digits = max(0, 2-int(math.Floor(math.Log10(f))))
	}
	return strconv.FormatFloat(f, 'f', digits, 64)
}

// measured reads 'SPAN [as NAME]'.
func measured(args []string) (long time.Duration, into string, err error) {
	into = "measure"
	switch {
	case len(args) == 3 && args[1] == "as":
		into = args[2]
		if !isUnknown(into) && !name.MatchString(into) {
			return 0, "", badName(into)
		}
	case len(args) != 1:
		return 0, "", script.ErrUsage
	}
	long, err = span(args[0])
	return long, into, err
}

// fields are what a measurement sets, each with its value.
func (f measurement) fields(into string) map[string]string {
	return map[string]string{
		into + ".ops": rounded(f.ops), into + ".p50": rounded(f.p50), into + ".p99": rounded(f.p99), into + ".max": rounded(f.max),
		into + ".count": strconv.Itoa(f.count), into + ".failed": strconv.Itoa(f.failed),
	}
}

func (c *checker) measure(args []string) error {
	_, into, err := measured(args)
	switch {
	case err != nil:
		return err
	case !c.traffic && !c.workload:
		return errors.New("nothing is going on that could be measured: begin with 'traffic start' or 'workload start'")
	}
	for name := range (measurement{}).fields(into) {
		if err := c.find([]string{name}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Player) measure(ctx context.Context, args []string) (string, error) {
	long, into, err := measured(args)
	if err != nil {
		return "", err
	}
	if p.traffic == nil && p.workload == nil {
		return "", errors.New("neither traffic nor a workload runs")
	}
	over := time.NewTimer(long)
	defer over.Stop()
	r := p.meter.read()
	select {
	case <-over.C:
	case <-ctx.Done():
	}
	f := p.meter.end(r)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case f.isEmpty:
		return "", fmt.Errorf("no request was made in %v: measure for longer, or have more of them made", long)
	}
	p.say("%s operations/s, p50 %s ms, p99 %s ms, longest %s ms, %d failed", rounded(f.ops), rounded(f.p50), rounded(f.p99), rounded(f.max), f.failed)
	for name, value := range f.fields(into) {
		if err := p.set(name, value); err != nil {
			return "", fmt.Errorf("measure: %w", err)
		}
	}
	return "", nil
}
