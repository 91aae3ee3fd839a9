package zookeeper

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// result is what came of one feature of a client.
type result struct {
	feature string
	outcome string // ok, refused, differs or FAILS
	why     string
}

// outcomeOf says it of an error.
func outcomeOf(err error) (outcome, why string) {
	switch {
	case err == nil:
		return "ok", ""
	case errors.Is(err, errRefused):
		return "refused", err.Error()
	case errors.Is(err, errDiffers):
		return "differs", err.Error()
	}
	return "FAILS", err.Error()
}

// zkClient is a client library, or a program.
type zkClient struct {
	name string
	// run tries all features.
	run func(t *testing.T, addr string) (version string, results []result)
	// missing says why it can't run here.
	missing func() error
}

// run is what came of a client with a target.
type run struct {
	version string
	results []result
}

func (c *zkClient) on(t *testing.T, to target) (r run) {
	began := time.Now()
	r.version, r.results = c.run(t, to.addr)
	t.Logf("%d features in %v", len(r.results), time.Since(began).Round(100*time.Millisecond))
	for _, f := range r.results {
		if f.outcome != "ok" {
			t.Logf("%s: %s: %s", f.feature, f.outcome, f.why)
		}
	}
	return r
}

var zkClients = []zkClient{kazooClient, goClient, curatorClient, cliClient, cClient}

// page has the table of results; UPDATE=1 writes it.
const page = "README.md"

// TestFeatures: each client does with viewring what it does with ZooKeeper, or is told
// that it can't: the table in README.md says which.
func TestFeatures(t *testing.T) {
	all := targets(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	complete := len(all) == 2
	runs := make([][]run, len(zkClients))
	t.Run("clients", func(t *testing.T) { // ends when all of them have
		for i, c := range zkClients {
			runs[i] = make([]run, len(all))
			for j, target := range all {
				t.Run(c.name+", "+target.title, func(t *testing.T) {
					if err := c.missing(); err != nil {
						complete = false
						t.Skipf("not tested: %v", err)
					}
					t.Parallel()
					runs[i][j] = c.on(t, target)
				})
			}
		}
	})
	var head, table []string
	for i, c := range zkClients {
		if len(runs[i][0].results) > 0 {
			head = append(head, runs[i][0].version)
			table = append(table, compare(t, c.name, runs[i])...)
		}
	}
	t.Logf("%s\n| client | feature | viewring | ZooKeeper |\n|---|---|---|---|\n%s", strings.Join(head, ", "), strings.Join(table, "\n"))
	if os.Getenv("VIEWRING_UPDATE") != "" && complete && !t.Failed() {
		if err := os.WriteFile(page, []byte(replaceTable(string(text), table)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, row := range table {
		if !complete { // the column of ZooKeeper, which is not here
			row = row[:strings.LastIndex(strings.TrimSuffix(row, " |"), "|")]
		}
		if !strings.Contains(string(text), row) {
			t.Errorf("%s has no row %s (VIEWRING_UPDATE=1 writes it where all clients are)", page, row)
		}
	}
}

// compare makes a client's rows of what came of it with each target. What ZooKeeper does,
// viewring does, refuses by name, or does otherwise in a way that the page names.
func compare(t *testing.T, name string, runs []run) (rows []string) {
	t.Helper()
	for i, ours := range runs[0].results {
		theirs := "–"
		if len(runs) > 1 {
			itself := runs[1].results
			if i >= len(itself) || itself[i].feature != ours.feature {
				t.Fatalf("%s: ZooKeeper's results are of other features", name)
			}
			if theirs = itself[i].outcome; theirs != "ok" {
				t.Errorf("%s: %s: the test is at fault, ZooKeeper itself: %s", name, ours.feature, itself[i].why)
			}
		}
		if ours.outcome == "FAILS" {
			t.Errorf("%s: %s: %s", name, ours.feature, ours.why)
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s |", name, ours.feature, ours.outcome, theirs))
	}
	return rows
}

// replaceTable puts rows in the place of those of a page.
func replaceTable(text string, rows []string) string {
	const head = "|---|---|---|---|\n"
	before, rest, found := strings.Cut(text, head)
	if !found {
		return text + "\n| client | feature | viewring | ZooKeeper |\n" + head + strings.Join(rows, "\n") + "\n"
	}
	for strings.HasPrefix(rest, "|") {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return before + head + strings.Join(rows, "\n") + "\n" + rest
}
