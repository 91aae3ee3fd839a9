package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var samplesTo = flag.String("samples", "", "keep the plots that the tests draw in a folder, to look at them")

func table(t *testing.T, columns string, rows ...string) *Table {
	t.Helper()
	made := &Table{Name: "sample", Title: "A sample, of nothing", Columns: strings.Fields(columns)}
	for _, row := range rows {
		if err := made.Add(strings.Split(row, " ")...); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// TestTable: what is written as CSV is read again as it was, and Markdown keeps its columns
// whatever the cells hold.
func TestTable(t *testing.T) {
	made := table(t, "n what", "1 a|b", "20 <b>*x*</b>", " ")
	made.Rows[2] = []string{"", "two\nlines, \"quoted\""}
	var text, markdown bytes.Buffer
	if err := errors.Join(made.WriteCSV(&text), made.WriteMarkdown(&markdown)); err != nil {
		t.Fatal(err)
	}
	read, err := ReadCSV("sample", &text)
	if err != nil {
		t.Fatal(err)
	}
	read.Title = made.Title
	if !reflect.DeepEqual(read, made) {
		t.Errorf("read %+v, written %+v", read, made)
	}
	const want = `A sample, of nothing

|   n | what                             |
| --: | -------------------------------- |
|   1 | a\|b                             |
|  20 | &lt;b>\*x\*&lt;/b>               |
|     | two<br>lines, "quoted"           |
`
	if got := markdown.String(); squeezed(got) != squeezed(want) {
		t.Errorf("Markdown:\n%s\nwant:\n%s", got, want)
	}
}

// squeezed leaves out how wide columns are.
func squeezed(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	return s
}

func TestTableErrors(t *testing.T) {
	for text, wrong := range map[string]string{
		"":             "the CSV is empty",
		"a,b\n1\n":     "wrong number of fields",
		"a,a\n1,2\n":   `"a"`,
		"a,\n1,2\n":    `""`,
		"a\n\"open\n1": "CSV",
	} {
		if _, err := ReadCSV("x", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v, want %q", text, err, wrong)
		}
	}
	if _, err := ReadCSV("../x", strings.NewReader("a\n1\n")); err == nil {
		t.Error("a table may be named as a path")
	}
	if err := table(t, "a b").Add("1"); err == nil || !strings.Contains(err.Error(), "1 values for 2 columns (a, b)") {
		t.Errorf("a short row: %v", err)
	}
}

// TestPlotErrors: each says which column, which row, and what is there.
func TestPlotErrors(t *testing.T) {
	good := table(t, "x y z", "1 2 s", "2 3 s")
	for wrong, p := range map[string]Plot{
		`no column "w": it has x, y, z`:       {Table: *good, X: "x", Y: []string{"w"}},
		`no column "v"`:                       {Table: *good, X: "v", Y: []string{"y"}},
		`no column "m"`:                       {Table: *good, X: "x", Y: []string{"y"}, Marks: "m"},
		`row 1: z is "s", not a number`:       {Table: *good, X: "x", Y: []string{"z"}},
		`no kind "pie"`:                       {Table: *good, X: "x", Y: []string{"y"}, Kind: "pie"},
		"0 columns to draw":                   {Table: *good, X: "x"},
		"7 columns to draw":                   {Table: *good, X: "x", Y: strings.Split("yyyyyyy", "")},
		"has no rows":                         {Table: *table(t, "x y"), X: "x", Y: []string{"y"}},
		"has no value of y":                   {Table: *table(t, "x y", "1 "), X: "x", Y: []string{"y"}},
		`"a/b" is not made of`:                {Table: *good, Name: "a/b", X: "x", Y: []string{"y"}},
		"row 2: y is 0, which a logarithmic":  {Table: *table(t, "x y", "1 1", "1 0"), X: "x", Y: []string{"y"}, LogY: true},
		"row 1: x is -1, which a logarithmic": {Table: *table(t, "x y", "-1 1"), X: "x", Y: []string{"y"}, LogX: true},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%v, want %q", err, wrong)
		}
	}
}

// samples are plots of all kinds, and of all that is easily drawn wrong.
func samples(t *testing.T) map[string]Plot {
	return map[string]Plot{
		"line":       {Table: *table(t, "servers moved least", "3 1000 1000", "4 768.5 768", "5 620 614"), X: "servers", Y: []string{"moved", "least"}, YLabel: "copies"},
		"one point":  {Table: *table(t, "x y", "1 5"), X: "x", Y: []string{"y"}},
		"one value":  {Table: *table(t, "x y", "1 0", "2 0"), X: "x", Y: []string{"y"}},
		"negative":   {Table: *table(t, "x y", "1 -5", "2 3"), X: "x", Y: []string{"y"}},
		"gap":        {Table: *table(t, "x y z", "1 1 2", "2  2", "3 3 ", " 4 5"), X: "x", Y: []string{"y", "z"}, Kind: Scatter},
		"bars":       {Table: *table(t, "what before after", "here 3 4", "there_and_everywhere_else_as_well 1 2"), X: "what", Y: []string{"before", "after"}, Kind: Bar},
		"log":        {Table: *table(t, "points ratio", "1 2000000", "8 1.5", "1024 1"), X: "points", Y: []string{"ratio"}, LogX: true, LogY: true},
		"narrow log": {Table: *table(t, "points ratio", "1 4", "8 5"), X: "points", Y: []string{"ratio"}, LogY: true},
		"marks":      {Table: *table(t, "s ops what", "0 5000 ", "1 4000 join", "2 5500 s3&<killed>"), X: "s", Y: []string{"ops"}, Marks: "what"},
		"names":      {Table: *table(t, "who ms", "a 1", "b 2"), X: "who", Y: []string{"ms"}, LogX: false},
	}
}

// TestPlot: both files are sound, name what they show, and are the same bytes each time.
func TestPlot(t *testing.T) {
	for name, p := range samples(t) {
		dir := t.TempDir()
		if err := p.Write(dir); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		svg, err := os.ReadFile(filepath.Join(dir, "sample.svg"))
		if err != nil {
			t.Fatal(err)
		}
		pixels, err := os.ReadFile(filepath.Join(dir, "sample.png"))
		if err != nil {
			t.Fatal(err)
		}
		if words := shown(t, svg); !strings.Contains(words, "A sample, of nothing") || !strings.Contains(words, p.X) || strings.Contains(words, "NaN") {
			t.Errorf("%s: the drawing says %q", name, words)
		}
		if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
			t.Errorf("%s: a place in the drawing is no number", name)
		}
		if _, err := png.Decode(bytes.NewReader(pixels)); err != nil {
			t.Errorf("%s: PNG: %v", name, err)
		}
		if *samplesTo != "" {
			if err := os.WriteFile(filepath.Join(*samplesTo, strings.ReplaceAll(name, " ", "-")+".png"), pixels, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if name != "marks" {
			continue // once is enough
		}
		againSVG, againPNG, err := p.Draw()
		if err != nil || !bytes.Equal(svg, againSVG) || !bytes.Equal(pixels, againPNG) {
			t.Errorf("%s: drawn again it differs: %v", name, err)
		}
	}
}

// shown is the text of a drawing, which must be well-formed.
func shown(t *testing.T, svg []byte) string {
	t.Helper()
	var words []string
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(words, " ")
		}
		if err != nil {
			t.Fatalf("SVG: %v", err)
		}
		if text, ok := token.(xml.CharData); ok {
			words = append(words, strings.Fields(string(text))...)
		}
	}
}

// TestLegend: series are named where there are several, and drawn so that each differs.
func TestLegend(t *testing.T) {
	svg, _, err := (&Plot{Table: *table(t, "x one two", "1 1 2", "2 2 4"), X: "x", Y: []string{"one", "two"}}).Draw()
	if err != nil {
		t.Fatal(err)
	}
	words := shown(t, svg)
	for _, wanted := range []string{"one", "two"} {
		if strings.Count(" "+words+" ", " "+wanted+" ") != 1 {
			t.Errorf("%q is not said once in %q", wanted, words)
		}
	}
	for i, c := range colors {
		for j := range i {
			if c == colors[j] || reflect.DeepEqual(shapes[i], shapes[j]) || reflect.DeepEqual(dashes[i], dashes[j]) {
				t.Errorf("series %d and %d look alike", i, j)
			}
		}
	}
}

func TestDecimal(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 1234567: "1,234,567", -1234.5: "-1,234.5", 0.1 + 0.2: "0.3", 999: "999", 1e15: "1e+15", 1e-7: "1e-07", 100: "100"} {
		if got := decimal(f); got != want {
			t.Errorf("decimal(%v) = %q, want %q", f, got, want)
		}
	}
	for cell, want := range map[string]float64{"1,234.5": 1234.5, "-3": -3, "1e3": 1000} {
		if got, ok := Number(cell); !ok || got != want {
			t.Errorf("Number(%q) = %v, %v", cell, got, ok)
		}
	}
	for _, cell := range []string{"", "12ms", "NaN", "Inf", "-"} {
		if got, ok := Number(cell); ok {
			t.Errorf("Number(%q) = %v", cell, got)
		}
	}
	if ticks := (decades{}).Ticks(0.1, 1000); len(ticks) == 0 || math.Abs(ticks[0].Value-0.1) > 1e-9 {
		t.Errorf("ticks of 0.1 to 1,000: %v", ticks)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	if r, err := ReadRun(dir); r != nil || err != nil {
		t.Errorf("no note: %v, %v", r, err)
	}
	made := Run{Script: "x.txt", About: "Nothing.", Set: []string{"N=3"}, Began: time.Unix(1, 0).UTC(), Seconds: 2, Version: "v1", Machine: ThisMachine(), Tables: []Made{{"sample", "A"}}}
	if err := made.Write(dir); err != nil {
		t.Fatal(err)
	}
	made.Format = runFormat
	if r, err := ReadRun(dir); err != nil || !reflect.DeepEqual(*r, made) {
		t.Errorf("read %+v, %v, written %+v", r, err, made)
	}
	for text, wrong := range map[string]string{`{"format": 2}`: "format 2", `{`: RunFile} {
		if err := os.WriteFile(filepath.Join(dir, RunFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRun(dir); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want %q", text, err, wrong)
		}
	}
}
