package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"viewring/internal/chart"
)

// ErrEmpty: a folder has no results.
var ErrEmpty = errors.New("no tables and no plots")

// fileMax bounds a table or a plot: a page of more is of no use to anybody.
const fileMax = 8 << 20

// sentenceEnd matches what is between two sentences.
var sentenceEnd = regexp.MustCompile(`\.\s+`)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"time": func(t time.Time) string { return t.Format("2 January 2006, 15:04 MST") },
	"took": func(seconds float64) time.Duration {
		return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond)
	},
	"gib": func(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) },
}).Parse(pageText))

// Report is what a page shows.
type Report struct {
	Title    string
	Sections []Section
}

// Section is one folder: the tables and plots of one run.
type Section struct {
	ID     string // of the section in the page
	Title  string
	About  []string // paragraphs
	Run    *chart.Run
	Tables []Table
	Plots  []Plot // those that are of none of the tables
}

// Table is a table with its plots.
type Table struct {
	Name, Title string
	Columns     []Cell
	Rows        [][]Cell
	Data        template.URL // the CSV
	Plots       []Plot
}

// Cell is a cell of a table.
type Cell struct {
	Text    string
	Numeric bool
}

// Plot is a drawing: inline where it is made of plain shapes alone, otherwise as an image, in
// which a browser runs nothing.
type Plot struct {
	Name, Title string
	Inline      template.HTML
	Image       template.URL
}

// Read reads the results of a folder: its own, and those of the folders in it.
func Read(dir string) (*Report, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := &Report{}
	folders := []string{full}
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, filepath.Join(full, e.Name()))
		}
	}
	for _, folder := range folders {
		s, err := readSection(folder)
		if err != nil {
			return nil, err
		}
		if s != nil {
			s.ID = fmt.Sprintf("run-%d", len(r.Sections)+1)
			r.Sections = append(r.Sections, *s)
		}
	}
	switch len(r.Sections) {
	case 0:
		return nil, fmt.Errorf("report: %s has %w, nor have the folders in it", dir, ErrEmpty)
	case 1:
		r.Title = r.Sections[0].Title
	default:
		r.Title = "Experiments"
	}
	return r, nil
}

// Count returns how many tables and plots there are.
func (r *Report) Count() (tables, plots int) {
	for _, s := range r.Sections {
		tables += len(s.Tables)
		plots += len(s.Plots)
		for _, t := range s.Tables {
			plots += len(t.Plots)
		}
	}
	return tables, plots
}

// Write writes the page.
func (r *Report) Write(w io.Writer) error {
	var b bytes.Buffer
	if err := page.Execute(&b, r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// readSection reads one folder; nil if it has no results.
func readSection(dir string) (*Section, error) {
	run, err := chart.ReadRun(dir)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	s := &Section{Title: filepath.Base(dir), Run: run}
	if run != nil {
		s.describe()
	}
	tables, err := named(dir, ".csv")
	if err != nil {
		return nil, err
	}
	plots, err := named(dir, ".svg")
	if err != nil {
		return nil, err
	}
	if len(tables)+len(plots) == 0 && (run == nil || run.Failed == "") {
		return nil, nil
	}
	for _, name := range s.inOrder(tables, func(r *chart.Run) []chart.Made { return r.Tables }) {
		t, err := readTable(dir, name)
		if err != nil {
			return nil, err
		}
		if t.Title == "" {
			t.Title = name.Title
		}
		s.Tables = append(s.Tables, *t)
	}
	for _, name := range s.inOrder(plots, func(r *chart.Run) []chart.Made { return r.Plots }) {
		p, err := readPlot(dir, name)
		if err != nil {
			return nil, err
		}
		s.place(*p)
	}
	return s, nil
}

// place puts a plot with its table: the one of the longest name that the plot's begins with.
func (s *Section) place(p Plot) {
	var best *Table
	for i := range s.Tables {
		t := &s.Tables[i]
		if (p.Name == t.Name || strings.HasPrefix(p.Name, t.Name+"-")) && (best == nil || len(t.Name) > len(best.Name)) {
			best = t
		}
	}
	if best == nil {
		s.Plots = append(s.Plots, p)
		return
	}
	best.Plots = append(best.Plots, p)
}

// describe takes a section's words from the note of its run.
func (s *Section) describe() {
	s.Title = strings.TrimSuffix(s.Run.Script, ".txt")
	for part := range strings.SplitSeq(s.Run.About, "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			s.About = append(s.About, part)
		}
	}
	if len(s.About) > 0 { // it begins with what it is about, in one sentence
		head, rest := s.About[0], ""
		if end := sentenceEnd.FindStringIndex(head); end != nil {
			head, rest = head[:end[0]], head[end[1]:]
		}
		s.Title, s.About[0] = s.Title+": "+strings.TrimSuffix(head, "."), rest
		if rest == "" {
			s.About = s.About[1:]
		}
	}
}

// inOrder sorts what a folder has: as the run made it, and by name what it says nothing of.
func (s *Section) inOrder(names []string, made func(*chart.Run) []chart.Made) (all []chart.Made) {
	if s.Run != nil {
		for _, m := range made(s.Run) {
			if slices.Contains(names, m.Name) {
				all = append(all, m)
			}
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(m chart.Made) bool { return m.Name == n }) {
			all = append(all, chart.Made{Name: n})
		}
	}
	return all
}

// named lists the files with an ending, by what stands before it.
func named(dir, ending string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ending); ok && chart.ValidName(name) == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return names, nil
}

func readFile(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("report: read %s: %w", path, err)
	case len(b) > fileMax:
		return nil, fmt.Errorf("report: %s is larger than %d MiB", path, fileMax>>20)
	}
	return b, nil
}

func readTable(dir string, made chart.Made) (*Table, error) {
	b, err := readFile(dir, made.Name+".csv")
	if err != nil {
		return nil, err
	}
	t, err := chart.ReadCSV(made.Name, bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", dir, err)
	}
	shown := &Table{Name: t.Name, Title: made.Title, Data: dataURL("text/csv;charset=utf-8", b)}
	numeric := make([]bool, len(t.Columns))
	for i := range numeric {
		numeric[i] = t.Numeric(i)
		shown.Columns = append(shown.Columns, Cell{t.Columns[i], numeric[i]})
	}
	for _, row := range t.Rows {
		cells := make([]Cell, len(row))
		for i, text := range row {
			cells[i] = Cell{text, numeric[i]}
		}
		shown.Rows = append(shown.Rows, cells)
	}
	return shown, nil
}

func readPlot(dir string, made chart.Made) (*Plot, error) {
	b, err := readFile(dir, made.Name+".svg")
	if err != nil {
		return nil, err
	}
	p := &Plot{Name: made.Name, Title: made.Title}
	if p.Title == "" {
		p.Title = made.Name
	}
	if inline, ok := plain(b, p.Title); ok {
		p.Inline = inline
	} else {
		p.Image = dataURL("image/svg+xml", b)
	}
	return p, nil
}

func dataURL(kind string, b []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}
