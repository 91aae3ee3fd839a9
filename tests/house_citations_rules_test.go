package tests

import (
	"slices"
	"strings"
	"testing"
)

// protocolPage defines what the trees of the next tests cite.
const protocolPage = `# Protocol

### Rule 1. A rule
### Rule 2. Another one

| | |
|---|---|
| **H1** | a hole |
| **I1** | an invariant |
`

// citesAll uses all of it, and so does nothing wrong.
const citesAll = `// Package replica follows rules 1 and 2. Hole 1 is closed (I1).
package replica

func f() {}
`

// Each of these must be found, at its line, and the nearest good thing must pass.
func TestHouseCitationsCanFail(t *testing.T) {
	tests := []struct{ name, path, bad, at, good string }{
		{"a comment", "ring/x.go", "\n// f closes H99.\nfunc f() {}", "ring/x.go:3", "\n// f closes H1.\nfunc f() {}"},
		{"a comment at the end of a line", "ring/x.go", "\nvar x = 1 // I2", "ring/x.go:3", "\nvar x = 1 // I1"},
		{"a comment over two lines", "ring/x.go", "\n// f does this (rule\n// 3).\nfunc f() {}", "ring/x.go:3", "\n// f does this (rule\n// 2).\nfunc f() {}"},
		{"the second of two", "ring/x.go", "\n/*\nRules 1 and 7\n*/\nfunc f() {}", "ring/x.go:4", "\n/*\nRules 1 and 2\n*/\nfunc f() {}"},
		{"a word", "ring/x.go", "\n// hole 12", "ring/x.go:3", "\n// hole 1, RFC 7230 rule 12, SHA256, v1.2, I18n and H2O"},
		{"a check", "server/replica/x.go", `; func f() { invariant.Check(true, "I7", "") }`, "server/replica/x.go:2", `; func f() { invariant.Check(true, "I1", "") }`},
		{"a check with a word for a name", "ring/x.go", `; func f() { invariant.Check(true, "word", "") }`, "ring/x.go:2", `; func f() { invariant.Check(true, name, "") }`},
		{"a simulated check", "tests/sim/x.go", `; func f(w *world) { w.violated("I7", "") }`, "tests/sim/x.go:2", `; func f(w *world) { w.violated("I1", "") }`},
		{"a planted bug", "tests/sim/x_test.go", `; var b = bug{hole: "rule 9"}`, "tests/sim/x_test.go:2", `; var b = bug{hole: "rule 1", name: "rule 9"}`},
		{"a test's name", "ring/x_test.go", `; func TestH04Confirm() {}`, "ring/x_test.go:2", `; func TestH01Confirm() {}; func TestHTTP2() {}`},
		{"a page", "ring/DESIGN.md", "# Ring\nsee H99\n", "ring/DESIGN.md:2", "# Ring\nsee H1\n"},
		{"a number that the protocol defines", "ring/DESIGN.md", "# Ring\n| **H1** | |\n", "ring/DESIGN.md:2", "# Ring\n| **word** | |\n"},
		{"defined twice", "server/replica/MORE.md", "| **H1** | |\n", "server/replica/MORE.md:1", "| H1 | |\n"},
		{"used nowhere", "server/replica/MORE.md", "\n## Rule 3. One more\n", "server/replica/MORE.md:2", "\nand rule 2\n"},
		{"a page that is not there", "ring/x.go", "\n// f: see server/DESIGN.md", "ring/x.go:3", "\n// f: see server/replica/DESIGN.md"},
		{"a page of another directory", "server/x.go", "\n// f: see DESIGN.md", "server/x.go:3", "\n// f: see replica/DESIGN.md"},
		{"a function", "server/replica/MORE.md", "see\n`f`, `F` and `g` in doc.go\n", "server/replica/MORE.md:2", "see\n`f` in\ndoc.go\n"},
		{"a section", "server/x.go", "\n// f: see replica/DESIGN.md, \"Rule\"", "server/x.go:3", "\n// f: see replica/DESIGN.md, \"Protocol\""},
	}
	look := func(path, text string) []string {
		good, err := parse("server/replica/doc.go", []byte(citesAll))
		if err != nil {
			t.Fatal(err)
		}
		all := tree{sources: []source{good}, pages: map[string]string{"server/replica/DESIGN.md": protocolPage}}
		if strings.HasSuffix(path, ".md") {
			all.pages[path] = text
			if strings.Contains(text, "**word**") {
				path, text = "ring/y.go", `; func f() { invariant.Check(true, "word", "") }`
			}
		}
		if !strings.HasSuffix(path, ".md") {
			s, err := parse(path, []byte("// Package x.\npackage x"+text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			all.sources = append(all.sources, s)
		}
		return slices.Concat(checkCitations(all), checkPages(all), checkNames(all))
	}
	for _, tt := range tests {
		if found := look(tt.path, tt.bad); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, tt.at+": ") }) {
			t.Errorf("%s: want a finding at %s, got %q", tt.name, tt.at, found)
		}
		if found := look(tt.path, tt.good); len(found) > 0 {
			t.Errorf("%s: good, and %q", tt.name, found)
		}
	}
}
