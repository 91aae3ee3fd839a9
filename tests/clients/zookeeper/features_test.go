package zookeeper

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// result is what came of one feature of a client.
type result struct {
	client  string // without its version
	feature string
	outcome string // ok, refused or FAILS
	why     string
}

// outcomeOf says it of an error.
func outcomeOf(err error) (outcome, why string) {
	switch {
	case err == nil:
		return "ok", ""
	case errors.Is(err, errRefused):
		return "refused", err.Error()
	}
	return "FAILS", err.Error()
}

// client is a client library, or a program.
type zkClient struct {
	name string
	// run tries all features; missing says which program is not there.
	run func(t *testing.T, addr string) (version string, results []result)
	// missing says why it can't run here.
	missing func() error
}

var zkClients = []zkClient{kazooClient, goClient, cliClient, cClient}

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
	var head, table []string
	complete := len(all) == 2
	for _, c := range zkClients {
		if err := c.missing(); err != nil {
			t.Logf("%s is not tested: %v", c.name, err)
			complete = false
			continue
		}
		columns := make([][]result, len(all))
		var version string
		for i, target := range all {
			version, columns[i] = c.run(t, target.addr)
			for _, r := range columns[i] {
				if r.outcome != "ok" {
					t.Logf("%s, %s, %s: %s: %s", target.title, c.name, r.feature, r.outcome, r.why)
				}
			}
		}
		head = append(head, version)
		table = append(table, compare(t, c.name, columns)...)
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
// viewring does, or refuses by name.
func compare(t *testing.T, name string, columns [][]result) (rows []string) {
	t.Helper()
	for i, ours := range columns[0] {
		theirs := "–"
		if len(columns) > 1 {
			if i >= len(columns[1]) || columns[1][i].feature != ours.feature {
				t.Fatalf("%s: ZooKeeper's results are of other features", name)
			}
			if theirs = columns[1][i].outcome; theirs != "ok" {
				t.Errorf("%s: %s: the test is at fault, ZooKeeper itself: %s", name, ours.feature, columns[1][i].why)
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
