package chart

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table is what an experiment has measured: a row a measurement.
type Table struct {
	Name    string // of its files, and for plots: letters, digits, - and _
	Title   string // for people; may be empty
	Columns []string
	Rows    [][]string // as long as Columns each; an empty cell is one that was not measured
}

// name is what files are named by.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// ValidName says whether a table or a plot may have this name: files are named by it.
func ValidName(s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("the name %q is not made of up to 64 letters, digits, - and _", s)
	}
	return nil
}

// Check says what is wrong with a table's shape.
func (t *Table) Check() error {
	if err := ValidName(t.Name); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("table %s has no columns", t.Name)
	}
	for i, c := range t.Columns {
		if c == "" || slices.Contains(t.Columns[:i], c) {
			return fmt.Errorf("table %s: column %d is named %q: names are not empty, and each is there once", t.Name, i+1, c)
		}
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return fmt.Errorf("table %s: row %d has %d values for %d columns", t.Name, i+1, len(row), len(t.Columns))
		}
	}
	return nil
}

// Add adds a row.
func (t *Table) Add(row ...string) error {
	if len(row) != len(t.Columns) {
		return fmt.Errorf("table %s: %d values for %d columns (%s)", t.Name, len(row), len(t.Columns), strings.Join(t.Columns, ", "))
	}
	t.Rows = append(t.Rows, slices.Clone(row))
	return nil
}

// WriteCSV writes the columns' names and the rows.
func (t *Table) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := errors.Join(c.Write(t.Columns), c.WriteAll(t.Rows)); err != nil {
		return fmt.Errorf("table %s: write CSV: %w", t.Name, err)
	}
	return nil
}

// ReadCSV reads what WriteCSV has written. A table's title is not in it.
func ReadCSV(name string, r io.Reader) (*Table, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("table %s: read CSV: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("table %s: the CSV is empty: it begins with the names of the columns", name)
	}
	t := &Table{Name: name, Columns: rows[0], Rows: rows[1:]}
	return t, t.Check()
}

// Number reads a cell that a plot can show. Thousands may be set apart by commas.
func Number(cell string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(cell, ",", ""), 64)
	return f, err == nil && f-f == 0 // neither infinite nor NaN
}

// Numeric says whether a column has nothing but numbers.
func (t *Table) Numeric(column int) bool {
	found := false
	for _, row := range t.Rows {
		if row[column] == "" {
			continue
		}
		if _, ok := Number(row[column]); !ok {
			return false
		}
		found = true
	}
	return found
}

// escapes are what would end a cell or a line of a Markdown table.
var escapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "\r\n", "<br>", "\n", "<br>", "\r", "<br>", "<", "&lt;", "&", "&amp;", "*", `\*`, "`", "\\`", "[", `\[`)

// WriteMarkdown writes the table as one of Markdown, numbers to the right.
func (t *Table) WriteMarkdown(w io.Writer) error {
	width := make([]int, len(t.Columns))
	lines := [][]string{t.Columns}
	lines = append(lines, t.Rows...)
	cells := make([][]string, len(lines))
	for i, line := range lines {
		for c, cell := range line {
			cell = escapes.Replace(cell)
			cells[i] = append(cells[i], cell)
			width[c] = max(width[c], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "%s\n\n", strings.NewReplacer("\r", " ", "\n", " ").Replace(t.Title))
	}
	for i, line := range cells {
		for c, cell := range line {
			pad := strings.Repeat(" ", width[c]-utf8.RuneCountInString(cell))
			if t.Numeric(c) {
				cell, pad = pad, cell
			}
			b.WriteString("| " + cell + pad + " ")
		}
		b.WriteString("|\n")
		if i > 0 {
			continue
		}
		for c := range cells[0] {
			rule, end := strings.Repeat("-", width[c]), " "
			if t.Numeric(c) {
				rule, end = rule[1:], ": "
			}
			b.WriteString("| " + rule + end)
		}
		b.WriteString("|\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("table %s: write Markdown: %w", t.Name, err)
	}
	return nil
}
