package main

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"
)

// moverTable are the figures of all runs.
type moverTable struct {
	about string
	rows  []string // in the order of their first figure
	runs  map[string][]float64
}

// moverGoals are what some measures should be: at most, or at the least.
var moverGoals = map[string]struct {
	goal  float64
	least bool
}{
	"join: moved / least":                             {goal: 1.10},
	"leave: moved / least":                            {goal: 1.10},
	"crash: moved / least":                            {goal: 1.10},
	"join: requests failed":                           {},
	"leave: requests failed":                          {},
	"crash: requests failed":                          {},
	"answers older than acknowledged":                 {},
	"keys lost":                                       {},
	"keys with too few, too many or different copies": {},
	"alone: rate / min(disk, loopback)":               {goal: 0.5, least: true},
	"join: throughput while / before":                 {goal: 0.9, least: true},
	"leave: throughput while / before":                {goal: 0.9, least: true},
	"crash: throughput while / before":                {goal: 0.9, least: true},
	"join: throughput copying / paused":               {goal: 0.9, least: true},
	"leave: throughput copying / paused":              {goal: 0.9, least: true},
	"crash: throughput copying / paused":              {goal: 0.9, least: true},
	"join: p99 copying / paused":                      {goal: 2},
	"leave: p99 copying / paused":                     {goal: 2},
	"crash: p99 copying / paused":                     {goal: 2},
	"crash: p99 while / before":                       {goal: 2},
	"join: p99 while / before":                        {goal: 2},
	"leave: p99 while / before":                       {goal: 2},
	"join: longest stop of a key, ms":                 {goal: 50},
	"leave: longest stop of a key, ms":                {goal: 50},
	"alone: longest stop of a key, ms":                {goal: 50},
	"return: copied / held":                           {goal: 0.03},
}

func (t *moverTable) add(row string, figure float64) {
	if t.runs == nil {
		t.runs = make(map[string][]float64)
	}
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	t.runs[row] = append(t.runs[row], figure)
	fmt.Printf("%-50s %10.3f\n", row, figure)
}

func (t *moverTable) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| measure | goal | median | met | runs |\n|---|---|---|---|---|\n", t.about)
	for _, row := range t.rows {
		goal, met := "", ""
		if g, ok := moverGoals[row]; ok {
			m := median(t.runs[row])
			goal, met = fmt.Sprintf("≤ %g", g.goal), "yes"
			if g.least {
				goal = fmt.Sprintf("≥ %g", g.goal)
			}
			if g.least && m < g.goal || !g.least && m > g.goal {
				met = "no"
			}
		}
		var all []string
		for _, f := range t.runs[row] {
			all = append(all, fmt.Sprintf("%.3g", f))
		}
		fmt.Fprintf(&b, "| %s | %s | %.3g | %s | %s |\n", row, goal, median(t.runs[row]), met, strings.Join(all, ", "))
	}
	return b.String()
}

func (t *moverTable) csv() string {
	var b strings.Builder
	b.WriteString("measure,run,value\n")
	for _, row := range t.rows {
		for n, f := range t.runs[row] {
			fmt.Fprintf(&b, "%q,%d,%g\n", row, n+1, f)
		}
	}
	return b.String()
}

func processors() string { return fmt.Sprint(runtime.NumCPU(), " processors") }

// loopbackSpeed measures how fast one connection copies to this machine itself, MiB/s.
func loopbackSpeed() (float64, error) {
	const piece, pieces = 512 << 10, 1024
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	copied := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, piece))
		}
		copied <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	block, began := make([]byte, piece), time.Now()
	for range pieces {
		if _, err := c.Write(block); err != nil {
			return 0, err
		}
	}
	if err := c.Close(); err != nil {
		return 0, err
	}
	if err := <-copied; err != nil {
		return 0, err
	}
	return piece * pieces / (1 << 20) / time.Since(began).Seconds(), nil
}
