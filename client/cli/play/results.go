package play

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rsc.io/script"

	"viewring/internal/chart"
)

// resultsFolder is where scripts leave their results, unless they are told where.
const resultsFolder = "results"

// foldersMax bounds the search for a folder that is not there yet.
const foldersMax = 10_000

// makeOut makes the folder for what the script leaves: the one that was named, or one of its own.
func (p *Player) makeOut(name string) error {
	if p.opts.OutDir != "" {
		return p.useOut(p.opts.OutDir, os.MkdirAll)
	}
	if err := os.MkdirAll(resultsFolder, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	base := filepath.Join(resultsFolder, strings.TrimSuffix(name, filepath.Ext(name)))
	for n := 1; n < foldersMax; n++ {
		dir := base
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", base, n)
		}
		err := p.useOut(dir, os.Mkdir)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("results: there are %s to %s-%d already: name a folder by --out", base, base, foldersMax-1)
}

func (p *Player) useOut(dir string, create func(string, fs.FileMode) error) error {
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = create(abs, 0o755)
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	p.out, p.outShown = abs, dir
	return nil
}

func (c *checker) table(args []string) error {
	c.writes = true
	t := tableOf(args)
	switch {
	case t == nil:
		return script.ErrUsage
	case isUnknown(t.Name):
		return nil
	case c.tables[t.Name] != nil:
		return fmt.Errorf("there is a table %s already", t.Name)
	}
	if err := t.Check(); err != nil {
		return err
	}
	c.tables[t.Name] = t.Columns
	return nil
}

// tableOf reads what 'table' is given; nil: it is too little.
func tableOf(args []string) *chart.Table {
	args = slices.Clone(args)
	t := &chart.Table{}
	args = slices.DeleteFunc(args, func(arg string) bool {
		title, ok := strings.CutPrefix(arg, "title=")
		if ok {
			t.Title = title
		}
		return ok
	})
	if len(args) < 2 {
		return nil
	}
	t.Name, t.Columns = args[0], args[1:]
	t.Title = cmp.Or(t.Title, t.Name)
	return t
}

// columns are those of a table that the script has declared.
func (c *checker) columns(name string) ([]string, error) {
	if columns, ok := c.tables[name]; ok {
		return columns, nil
	}
	if len(c.tables) == 0 {
		return nil, fmt.Errorf("there is no table %s: begin with 'table %s COLUMN…'", name, name)
	}
	return nil, fmt.Errorf("there is no table %s, but %s", name, strings.Join(slices.Sorted(maps.Keys(c.tables)), ", "))
}

func (c *checker) row(args []string) error {
	if len(args) == 0 {
		return script.ErrUsage
	}
	if isUnknown(args[0]) {
		return nil
	}
	columns, err := c.columns(args[0])
	if err != nil {
		return err
	}
	if n := len(args) - 1; n != len(columns) {
		return fmt.Errorf("%d values, table %s has %d columns: %s", n, args[0], len(columns), strings.Join(columns, " "))
	}
	return nil
}

func (c *checker) plot(args []string) error {
	c.writes = true
	plot, err := plotOf(args)
	if err != nil || isUnknown(strings.Join(args, " ")) {
		return err
	}
	if plot.Table.Columns, err = c.columns(plot.Table.Name); err != nil {
		return err
	}
	return plot.CheckColumns()
}

// plotOf reads what 'plot' is given; of the table it knows the name alone.
func plotOf(args []string) (*chart.Plot, error) {
	plot := &chart.Plot{}
	var axes string
	options := map[string]*string{
		"kind": &plot.Kind, "title": &plot.Title, "xlabel": &plot.XLabel, "ylabel": &plot.YLabel, "marks": &plot.Marks, "name": &plot.Name, "log": &axes,
	}
	var columns []string
	for _, arg := range args {
		key, value, isOption := strings.Cut(arg, "=")
		to := options[key]
		switch {
		case !isOption:
			columns = append(columns, arg)
		case to == nil:
			return nil, fmt.Errorf("a plot has no %q, but %s", key, strings.Join(slices.Sorted(maps.Keys(options)), ", "))
		default:
			*to = value
		}
	}
	if len(columns) < 3 {
		return nil, script.ErrUsage
	}
	switch axes {
	case "", "x", "y", "xy":
		plot.LogX, plot.LogY = strings.Contains(axes, "x"), strings.Contains(axes, "y")
	default:
		return nil, fmt.Errorf("log=%s is none of x, y and xy", axes)
	}
	plot.Table.Name, plot.X, plot.Y = columns[0], columns[1], columns[2:]
	return plot, nil
}

func (p *Player) tableVerb(_ context.Context, args []string) (string, error) {
	t := tableOf(args)
	if p.tables[t.Name] != nil {
		return "", fmt.Errorf("there is a table %s already", t.Name)
	}
	if err := t.Write(p.out); err != nil {
		return "", err
	}
	p.tables[t.Name] = t
	p.note.Tables = append(p.note.Tables, chart.Made{Name: t.Name, Title: t.Title})
	return "", nil
}

func (p *Player) row(_ context.Context, args []string) (string, error) {
	t := p.tables[args[0]]
	if t == nil {
		return "", fmt.Errorf("there is no table %s", args[0])
	}
	if err := t.Add(args[1:]...); err != nil {
		return "", err
	}
	return "", t.Write(p.out)
}

func (p *Player) plot(_ context.Context, args []string) (string, error) {
	plot, err := plotOf(args)
	if err != nil {
		return "", err
	}
	t := p.tables[plot.Table.Name]
	if t == nil {
		return "", fmt.Errorf("there is no table %s", plot.Table.Name)
	}
	plot.Table = *t
	if err := plot.Check(); err != nil {
		return "", err
	}
	if err := plot.Write(p.out); err != nil {
		return "", err
	}
	made := chart.Made{Name: cmp.Or(plot.Name, t.Name), Title: cmp.Or(plot.Title, t.Title)}
	p.note.Plots = append(slices.DeleteFunc(p.note.Plots, func(m chart.Made) bool { return m.Name == made.Name }), made)
	p.say("%s.svg and .png are in %s", made.Name, p.outShown)
	return "", nil
}

// leave notes beside the results how they were made, and says where they are.
func (p *Player) leave(name string, failed error) error {
	if p.out == "" {
		return nil
	}
	p.note.Script, p.note.Set, p.note.Version, p.note.Machine = name, p.opts.Env, p.opts.Version, chart.ThisMachine()
	p.note.Seconds = time.Since(p.note.Began).Seconds()
	if failed != nil {
		p.note.Failed = failed.Error()
	}
	err := p.note.Write(p.out)
	fmt.Fprintf(p.opts.Out, "results are in %s\n", p.outShown)
	return err
}

// About is the description of a script: the comment that it begins with, and in short its first line.
func About(text string) (short, whole string) {
	var lines []string
	for line := range strings.Lines(text) {
		line, isComment := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !isComment {
			break
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	if len(lines) == 0 {
		return "", ""
	}
	return lines[0], strings.TrimSpace(strings.Join(lines, "\n"))
}

func resultVerbs() []verb {
	return []verb{
		{
			name: "table", args: "NAME COLUMN… [title=TEXT]", summary: "begin a table, NAME.csv and NAME.md in the folder of results",
			detail:  "The folder is the one that --out names, or a new one in ./results; $OUT is where it is. The files are written with each row: a script that breaks keeps what it has.",
			example: "table sums a b sum\nfor a in 1..3\n  let sum $a + 10\n  row sums $a 10 $sum\nend", check: (*checker).table, do: (*Player).tableVerb,
		},
		{
			name: "row", args: "NAME VALUE…", summary: "add a row to a table, a value for each column",
			example: "table sums a b sum\nrow sums 1 2 3", check: (*checker).row, do: (*Player).row,
		},
		{
			name: "plot", args: "NAME X Y… [kind=line|scatter|bar] [title=TEXT] [xlabel=TEXT] [ylabel=TEXT] [log=x|y|xy] [marks=COLUMN] [name=FILE]", summary: "plot columns of a table over another, NAME.svg and NAME.png beside it",
			detail:  "The texts in a column of marks are written where they were. With name= the files are called so, for a second plot of a table.",
			example: "table squares n square\nfor n in 1..5\n  let square $n * $n\n  row squares $n $square\nend\nplot squares n square title=\"n times n\"", check: (*checker).plot, do: (*Player).plot,
		},
	}
}
