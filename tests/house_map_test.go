package tests

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"viewring/server/replica"
)

// packageRow is a line of the package map in internal/DESIGN.md: package, job, imports.
var (
	packageRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| ((?:`[^`]+` ?)*)\\|$")
	quoted     = regexp.MustCompile("`([^`]+)`")
)

// checkMap compares the package map of a page with what packages may import.
func checkMap(page string, allowed map[string][]string) (found []string) {
	told := map[string][]string{}
	for _, row := range packageRow.FindAllStringSubmatch(page, -1) {
		told[row[1]] = []string{}
		for _, m := range quoted.FindAllStringSubmatch(row[2], -1) {
			told[row[1]] = append(told[row[1]], m[1])
		}
		if _, ok := allowed[row[1]]; !ok {
			found = append(found, fmt.Sprintf("the map has a package %s, the house has none", row[1]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		imports, ok := told[name]
		if !ok {
			found = append(found, fmt.Sprintf("package %s is not in the map", name))
		} else if !slices.Equal(imports, slices.Sorted(slices.Values(allowed[name]))) {
			found = append(found, fmt.Sprintf("the map has %s import %q, it may import %q", name, imports, allowed[name]))
		}
	}
	return found
}

func TestHouseMap(t *testing.T) {
	page, err := os.ReadFile("../internal/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range checkMap(string(page), mayImport) {
		t.Errorf("internal/DESIGN.md: %s", found)
	}
	allowed := map[string][]string{"a": nil, "b": {"c", "a"}}
	for page, good := range map[string]bool{
		"| `a` | x | |\n| `b` | y | `a` `c` |\n":                true,
		"| `a` | x | |\n":                                       false,
		"| `a` | x | |\n| `b` | y | `a` |\n":                    false,
		"| `a` | x | |\n| `b` | y | `a` `c` |\n| `c` | z | |\n": false,
	} {
		if found := checkMap(page, allowed); (len(found) == 0) != good {
			t.Errorf("%q: found %q", page, found)
		}
	}
}

// TestHouseMessages: the protocol's table of messages has a row for each, in their order.
func TestHouseMessages(t *testing.T) {
	page, err := os.ReadFile("../server/replica/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	var sent, told []string
	for m := replica.MsgPing; m.String() != replica.MsgType(0).String(); m++ {
		sent = append(sent, m.String())
	}
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z]\w+) \| [^|]* → [^|]* \|`).FindAllStringSubmatch(string(page), -1) {
		told = append(told, row[1])
	}
	if !slices.Equal(sent, told) {
		t.Errorf("the table has %q, messages are %q", told, sent)
	}
}
