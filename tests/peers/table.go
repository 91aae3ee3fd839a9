package main

import (
	"fmt"
	"slices"
	"strings"
)

// table gathers figures by row and system, one per run.
type table struct {
	disk  disk
	rows  []string // in the order of their first figure
	cells map[[2]string][]float64
}

func newTable(d disk) *table { return &table{disk: d, cells: make(map[[2]string][]float64)} }

func (t *table) add(system, row string, figure float64) {
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	at := [2]string{row, system}
	t.cells[at] = append(t.cells[at], figure)
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

// String is a Markdown table of the medians, with all runs behind viewring's and
// with viewring's figure as a multiple of the others'.
func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians; in parentheses all runs. The disk writes %.0f MB/s in a stream and %.0f MB/s\nwhere each 64 KiB is synced.\n\n", t.disk.stream, t.disk.synced)
	b.WriteString("| | viewring | Redis 7, appendfsync always, WAIT 2 | etcd | viewring / Redis | viewring / etcd |\n|---|---|---|---|---|---|\n")
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |", row)
		ours := t.cells[[2]string{row, "viewring"}]
		for _, system := range []string{"viewring", "redis", "etcd"} {
			b.WriteString(" " + t.cell(row, system) + " |")
		}
		for _, system := range []string{"redis", "etcd"} {
			theirs := t.cells[[2]string{row, system}]
			if len(ours) == 0 || len(theirs) == 0 || median(theirs) == 0 {
				b.WriteString(" – |")
				continue
			}
			fmt.Fprintf(&b, " %.2f |", median(ours)/median(theirs))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (t *table) cell(row, system string) string {
	figures := t.cells[[2]string{row, system}]
	if len(figures) == 0 {
		return "–"
	}
	var all []string
	for _, f := range figures {
		all = append(all, short(f))
	}
	return fmt.Sprintf("**%s** (%s)", short(median(figures)), strings.Join(all, ", "))
}

func short(f float64) string {
	if f < 100 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
