package tests

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The replication protocol's rules, holes and invariants are cited all over the tree:
// "rule 4", "hole 27" or H27, I3. Each is defined once, in a page of server/replica. The
// name of an invariant.Check is one of them, or a word that a page beside the check defines.

// protocolDir holds the pages that define what has a number, and everybody may cite.
const protocolDir = "server/replica"

// definition is the head of what defines an id: a heading "### Rule 4. …", or a table row
// whose first cell is the id, or a check's name, in bold.
var definition = regexp.MustCompile(`(?m)^(?:#+ Rule (\d+)\.|\| \*\*([\w-]+)\*\* \|)`)

// citation finds ids in prose. What is counted goes on over "and", "or", "to" and commas.
// The standard that an RFC, say, calls its rule 4 is not meant: its name stands before.
var citation = regexp.MustCompile(`(?:(?:\bRFC \d+,?\s+)?\b([Rr]ule|[Hh]ole)s?\s+(\d+(?:(?:,\s+|\s+and\s+|\s+or\s+|\s+to\s+|–)\d+)*)|\b([HI]\d+)\b)`)

var (
	digits      = regexp.MustCompile(`\d+`)
	holeTest    = regexp.MustCompile(`^TestH(\d\d)`)
	numbered    = regexp.MustCompile(`^(?:[HI]|rule )\d+$`)
	pageName    = regexp.MustCompile(`(?:[\w.-]+/)*\b[A-Z][A-Z_]*\.md\b`)
	goNames     = regexp.MustCompile("((?:`\\w+`(?:,\\s+|\\s+and\\s+)?)+)\\s+in\\s+(\\w+\\.go)")
	pageSection = regexp.MustCompile(`((?:[\w.-]+/)*\b[A-Z][A-Z_]*\.md),\s+"([^"\n]+)"`)
)

// cite is a place that names something which must be defined.
type cite struct {
	id   string
	path string
	line int
	code bool // of Go: it shows that the definition is in use
}

func (c cite) at() string { return fmt.Sprintf("%s:%d", c.path, c.line) }

// dir is the directory whose pages must define the id.
func (c cite) dir() string {
	if isNumbered(c.id) {
		return protocolDir
	}
	return path.Dir(c.path)
}

func isNumbered(id string) bool { return numbered.MatchString(id) }

// tree is what citations are looked for in, by path from the root.
type tree struct {
	sources []source
	pages   map[string]string // Markdown
}

// proseCites finds the citations in a text that begins at a line.
func proseCites(name string, first int, text string, code bool) (cites []cite) {
	for _, m := range citation.FindAllStringSubmatchIndex(text, -1) {
		if strings.HasPrefix(text[m[0]:], "RFC ") {
			continue
		}
		line := first + strings.Count(text[:m[0]], "\n")
		if m[6] >= 0 {
			cites = append(cites, cite{id: text[m[6]:m[7]], path: name, line: line, code: code})
			continue
		}
		for _, n := range digits.FindAllString(text[m[4]:m[5]], -1) {
			id := "H" + n
			if strings.EqualFold(text[m[2]:m[3]], "rule") {
				id = "rule " + n
			}
			cites = append(cites, cite{id: id, path: name, line: line, code: code})
		}
	}
	return cites
}

// comments returns a file's groups of comments as prose, by the line they begin at.
func comments(s source) map[int]string {
	found := map[int]string{}
	for _, group := range s.file.Comments {
		var text []string
		for _, c := range group.List {
			for line := range strings.SplitSeq(c.Text, "\n") {
				text = append(text, strings.TrimPrefix(strings.TrimPrefix(line, "//"), "/*"))
			}
		}
		found[s.at(group)] = strings.Join(text, "\n")
	}
	return found
}

// codeCites finds what a Go file cites: in comments, as the name of a check, as the hole
// that a planted bug opens, and in the name of a test.
func codeCites(s source) (cites []cite) {
	for first, text := range comments(s) {
		cites = append(cites, proseCites(s.path, first, text, s.dir() != "tests")...) // here they are examples
	}
	add := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return // a name that is passed on
		}
		name, _ := strconv.Unquote(lit.Value)
		cites = append(cites, cite{id: name, path: s.path, line: s.at(lit), code: true})
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if m := holeTest.FindStringSubmatch(n.Name.Name); m != nil && n.Recv == nil {
				hole, _ := strconv.Atoi(m[1])
				cites = append(cites, cite{id: "H" + strconv.Itoa(hole), path: s.path, line: s.at(n), code: true})
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, _ := sel.X.(*ast.Ident)
			switch {
			case sel.Sel.Name == "Check" && pkg != nil && pkg.Name == "invariant" && len(n.Args) > 1:
				add(n.Args[1])
			case sel.Sel.Name == "violated" && len(n.Args) > 0:
				add(n.Args[0])
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "hole" {
				add(n.Value)
			}
		}
		return true
	})
	return cites
}

// definitions maps the pages of each directory to what they define, ids to places.
func definitions(pages map[string]string) (defined map[string]map[string]string, wrong []string) {
	defined = map[string]map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		dir := path.Dir(name)
		if defined[dir] == nil {
			defined[dir] = map[string]string{}
		}
		for _, m := range definition.FindAllStringSubmatchIndex(pages[name], -1) {
			group := func(i int) string {
				if m[2*i] < 0 {
					return ""
				}
				return pages[name][m[2*i]:m[2*i+1]]
			}
			id, at := group(2), fmt.Sprintf("%s:%d", name, 1+strings.Count(pages[name][:m[0]], "\n"))
			if n := group(1); n != "" {
				id = "rule " + n
			}
			if dir != protocolDir && isNumbered(id) {
				wrong = append(wrong, fmt.Sprintf("%s: %s is for %s to define", at, id, protocolDir))
			} else if other := defined[dir][id]; other != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s is defined at %s already", at, id, other))
			}
			defined[dir][id] = at
		}
	}
	return defined, wrong
}

// checkCitations finds citations of what nobody defines, and definitions that no code and
// no test cites.
func checkCitations(t tree) (found []string) {
	defined, found := definitions(t.pages)
	var cites []cite
	for _, s := range t.sources {
		cites = append(cites, codeCites(s)...)
	}
	for name, text := range t.pages {
		cites = append(cites, proseCites(name, 1, text, false)...)
	}
	used := map[string]bool{} // places of definitions
	for _, c := range cites {
		at, ok := defined[c.dir()][c.id]
		if !ok {
			found = append(found, fmt.Sprintf("%s: %q is defined in no page of %s", c.at(), c.id, c.dir()))
		}
		used[at] = used[at] || c.code
	}
	for _, ids := range defined {
		for id, at := range ids {
			if !used[at] {
				found = append(found, fmt.Sprintf("%s: no code and no test cites %s", at, id))
			}
		}
	}
	slices.Sort(found)
	return found
}

// checkPages finds citations of pages, and of sections of pages, that are not in the tree.
// A page is named from the directory of who cites it, from one above, or from the root.
func checkPages(t tree) (found []string) {
	judge := func(name string, first int, text string) {
		resolve := func(cited string) (page string, ok bool) {
			if page, ok = t.pages[cited]; ok && cited == "README.md" {
				return page, true // of the whole, wherever it is named
			}
			for dir := path.Dir(name); ; dir = path.Dir(dir) {
				if page, ok = t.pages[path.Join(dir, cited)]; ok || dir == "." || !strings.Contains(cited, "/") {
					return page, ok
				}
			}
		}
		at := func(offset int) string { return fmt.Sprintf("%s:%d", name, first+strings.Count(text[:offset], "\n")) }
		for _, m := range pageName.FindAllStringIndex(text, -1) {
			if _, ok := resolve(text[m[0]:m[1]]); !ok {
				found = append(found, fmt.Sprintf("%s: there is no page %s", at(m[0]), text[m[0]:m[1]]))
			}
		}
		for _, m := range pageSection.FindAllStringSubmatchIndex(text, -1) {
			page, _ := resolve(text[m[2]:m[3]])
			if heading := text[m[4]:m[5]]; !regexp.MustCompile(`(?m)^#+ ` + regexp.QuoteMeta(heading) + `$`).MatchString(page) {
				found = append(found, fmt.Sprintf("%s: %s has no section %q", at(m[0]), text[m[2]:m[3]], heading))
			}
		}
	}
	for _, s := range t.sources {
		for first, text := range comments(s) {
			judge(s.path, first, text)
		}
	}
	for name, text := range t.pages {
		judge(name, 1, text)
	}
	slices.Sort(found)
	return found
}

// checkNames finds functions that a page says are in a file beside it, and are not.
func checkNames(t tree) (found []string) {
	declared := map[string][]string{}
	for _, s := range t.sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				declared[s.path] = append(declared[s.path], f.Name.Name)
			}
		}
	}
	for name, text := range t.pages {
		for _, m := range goNames.FindAllStringSubmatchIndex(text, -1) {
			file := path.Join(path.Dir(name), text[m[4]:m[5]])
			for _, f := range quoted.FindAllStringSubmatch(text[m[2]:m[3]], -1) {
				if !slices.Contains(declared[file], f[1]) {
					found = append(found, fmt.Sprintf("%s:%d: there is no %s in %s", name, 1+strings.Count(text[:m[0]], "\n"), f[1], file))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// loadTree parses the module at root with its pages.
func loadTree(root string) (t tree, err error) {
	if t.sources, err = load(root); err != nil {
		return t, err
	}
	t.pages = map[string]string{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		t.pages[filepath.ToSlash(rel)] = string(text)
		return err
	})
	return t, err
}

func TestHouseCitations(t *testing.T) {
	all, err := loadTree("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all.pages) < 8 {
		t.Fatalf("only %d pages found", len(all.pages))
	}
	for _, found := range slices.Concat(checkCitations(all), checkPages(all), checkNames(all)) {
		t.Error(found)
	}
}
