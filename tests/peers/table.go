package main

import (
	"fmt"
	"slices"
	"strings"
)

// table gathers figures by row and system, one per run.
type table struct {
	about   string   // what is said above it
	systems []string // by name; the first is compared with the others
	titles  []string // theirs
	rows    []string // in the order of their first figure
	cells   map[[2]string][]float64
}

func newTable(about string, systems, titles []string) *table {
	return &table{about: about, systems: systems, titles: titles, cells: make(map[[2]string][]float64)}
}

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

// String is a Markdown table of the medians, with all runs behind them and with the
// first system's figure as a multiple of the others'.
func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians; in parentheses all runs. %s\n\n| |", t.about)
	for _, title := range t.titles {
		fmt.Fprintf(&b, " %s |", title)
	}
	for _, name := range t.systems[1:] {
		fmt.Fprintf(&b, " %s / %s |", t.systems[0], name)
	}
	b.WriteString("\n|" + strings.Repeat("---|", 2*len(t.systems)) + "\n")
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, system := range t.systems {
			b.WriteString(" " + t.cell(row, system) + " |")
		}
		ours := t.cells[[2]string{row, t.systems[0]}]
		for _, system := range t.systems[1:] {
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
