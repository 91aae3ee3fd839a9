package chart

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The kinds of plots.
const (
	Line    = "line"    // points, joined in the order of the rows
	Scatter = "scatter" // points alone
	Bar     = "bar"     // bars in the order of the rows
)

// Kinds lists the kinds of plots.
func Kinds() []string { return []string{Line, Scatter, Bar} }

// Plot says how a table is drawn: some of its columns against another one. An X that is not all
// numbers stands at equal distances in the order of the rows. A Y without a value is a gap.
type Plot struct {
	Table Table
	Name  string // of its files; the table's where it is empty
	X     string
	Y     []string
	Kind  string // of Kinds; Line where it is empty
	Marks string // a column whose texts are written at their X, such as "s3 is killed"; may be empty

	Title, XLabel, YLabel string // with units; empty: the table's title, and the columns' names
	LogX, LogY            bool   // logarithmic, for numbers above 0
}

// seriesMax is how many colors there are.
const seriesMax = 6

// Check says why the plot cannot be drawn.
func (p *Plot) Check() error {
	if err := p.CheckColumns(); err != nil {
		return err
	}
	if err := p.Table.Check(); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if len(p.Table.Rows) == 0 {
		return fmt.Errorf("plot: table %s has no rows", p.Table.Name)
	}
	for _, y := range p.Y {
		if err := p.checkNumbers(y, p.LogY); err != nil {
			return err
		}
	}
	if p.LogX {
		return p.checkNumbers(p.X, true)
	}
	return nil
}

// CheckColumns says what of the plot is wrong whatever rows the table will have.
func (p *Plot) CheckColumns() error {
	if err := ValidName(p.name()); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if p.Kind != "" && !slices.Contains(Kinds(), p.Kind) {
		return fmt.Errorf("plot: no kind %q: there are %s", p.Kind, strings.Join(Kinds(), ", "))
	}
	if len(p.Y) == 0 || len(p.Y) > seriesMax {
		return fmt.Errorf("plot: %d columns to draw against %s, not 1 to %d", len(p.Y), p.X, seriesMax)
	}
	named := append([]string{p.X}, p.Y...)
	if p.Marks != "" {
		named = append(named, p.Marks)
	}
	for _, c := range named {
		if !slices.Contains(p.Table.Columns, c) {
			return fmt.Errorf("plot: table %s has no column %q: it has %s", p.Table.Name, c, strings.Join(p.Table.Columns, ", "))
		}
	}
	return nil
}

func (p *Plot) checkNumbers(column string, positive bool) error {
	c, found := p.column(column), false
	for i, row := range p.Table.Rows {
		if row[c] == "" {
			continue
		}
		f, ok := Number(row[c])
		switch {
		case !ok:
			return fmt.Errorf("plot: table %s, row %d: %s is %q, not a number (units belong into the column's name)", p.Table.Name, i+1, column, row[c])
		case positive && f <= 0:
			return fmt.Errorf("plot: table %s, row %d: %s is %s, which a logarithmic axis has no place for", p.Table.Name, i+1, column, row[c])
		}
		found = true
	}
	if !found {
		return fmt.Errorf("plot: table %s has no value of %s", p.Table.Name, column)
	}
	return nil
}

func (p *Plot) column(name string) int { return slices.Index(p.Table.Columns, name) }

func (p *Plot) name() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Table.Name
}

// Write keeps the plot as SVG and as PNG in a folder that is there; both files have its name.
func (p *Plot) Write(dir string) error {
	svg, png, err := p.Draw()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, p.name())
	if err := errors.Join(os.WriteFile(base+".svg", svg, 0o644), os.WriteFile(base+".png", png, 0o644)); err != nil {
		return fmt.Errorf("plot %s: %w", p.name(), err)
	}
	return nil
}

// Write keeps the table as CSV and as Markdown in a folder that is there; both files have its name.
func (t *Table) Write(dir string) error {
	if err := t.Check(); err != nil {
		return err
	}
	var text, markdown bytes.Buffer
	if err := errors.Join(t.WriteCSV(&text), t.WriteMarkdown(&markdown)); err != nil {
		return err
	}
	base := filepath.Join(dir, t.Name)
	if err := errors.Join(os.WriteFile(base+".csv", text.Bytes(), 0o644), os.WriteFile(base+".md", markdown.Bytes(), 0o644)); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return nil
}
