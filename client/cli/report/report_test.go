package report

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"viewring/internal/chart"
)

// results leaves a folder as an experiment does.
func results(t *testing.T, dir string, run *chart.Run) {
	t.Helper()
	table := chart.Table{Name: "moved", Columns: []string{"servers", "what"}, Rows: [][]string{{"3", "<script>alert(1)</script>"}, {"4", "b"}}}
	plot := chart.Plot{Table: table, X: "servers", Y: []string{"servers"}, Title: "Servers & servers"}
	if err := errors.Join(os.MkdirAll(dir, 0o755), table.Write(dir), plot.Write(dir)); err != nil {
		t.Fatal(err)
	}
	if run != nil {
		if err := run.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func written(t *testing.T, dir string) string {
	t.Helper()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage: the page has everything, and needs nothing from elsewhere.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	run := chart.Run{
		Script: "moved.txt", About: "What moves at a join. It is\nlittle.\n\nA second paragraph.", Set: []string{"N=5"}, Began: time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC),
		Seconds: 61.2, Version: "v1.2.3", Machine: chart.Machine{OS: "linux", Arch: "amd64", Go: "go1.26", CPUs: 2, Processor: "Abacus", Memory: 1 << 30},
		Tables: []chart.Made{{Name: "moved", Title: "Moved copies"}},
	}
	results(t, filepath.Join(dir, "moved"), &run)
	failed := run
	failed.Script, failed.Failed, failed.About = "crash.txt", "line 7: the & end", "What a crash does.\nNothing. Nothing at all."
	results(t, filepath.Join(dir, "zz"), &failed)
	page := written(t, dir)
	for _, wanted := range []string{
		"<h1>Experiments</h1>", ">moved: What moves at a join<", ">crash: What a crash does<", "<p>Nothing. Nothing at all.</p>", "It is\nlittle.", "A second paragraph.", "Moved copies", "<svg viewBox=", `aria-label="moved"`,
		"30 November 2026, 07:00 UTC, in 1m1.2s", "v1.2.3", "Abacus", "1.0 GiB", "--set N=5", "line 7: the &amp; end", `download="moved.csv" href="data:text/csv`, "prefers-color-scheme: dark", "width=device-width",
	} {
		if !strings.Contains(page, wanted) {
			t.Errorf("the page lacks %q", wanted)
		}
	}
	for _, unwanted := range []string{"<script", "http:", "https:", "src=\"/", "@import", "ZgotmplZ"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page has %q", unwanted)
		}
	}
}

// TestOneFolder: a folder of tables and plots that no script has made has a page as well.
func TestOneFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	results(t, dir, nil)
	if page := written(t, dir); !strings.Contains(page, "<h1>mine</h1>") || strings.Contains(page, "<nav") || strings.Contains(page, "<dl>") {
		t.Errorf("the page of one folder: %.3000s", page)
	}
}

// TestErrors: each says which file is wrong.
func TestErrors(t *testing.T) {
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	for name, wrong := range map[string]string{"a.csv": "a", chart.RunFile: "format 0", "b.svg": ""} {
		dir := t.TempDir()
		text := map[string]string{"a.csv": "x,y\n1\n", chart.RunFile: "{}", "b.svg": strings.Repeat(" ", fileMax+1)}[name]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForeignDrawing: what is not made of plain shapes is shown as an image, in which nothing runs.
func TestForeignDrawing(t *testing.T) {
	const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">`
	for svg, inline := range map[string]bool{
		open + `<path d="M0,0" style="fill:#FFFFFF"/><text x="1">a &lt;b&gt;</text></svg>`: true,
		open + `<script>alert(1)</script></svg>`:                                           false,
		open + `<path d="M0,0" onclick="alert(1)"/></svg>`:                                 false,
		open + `<path style="fill:url(http://example.com/x)"/></svg>`:                      false,
		open + `<path d="M0,0&quot; onclick=&quot;x"/></svg>`:                              false,
		open + `<svg></svg></svg>`:                                                         false,
		open + `<path`:                                                                     false,
		"":                                                                                 false,
		"text":                                                                             false,
	} {
		got, ok := plain([]byte(svg), "t")
		if ok != inline || strings.Contains(string(got), "<b>") {
			t.Errorf("%s: inline %v, %s", svg, ok, got)
		}
	}
}
