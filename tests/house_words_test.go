package tests

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// formerWords are words that the tree once had of its own, each with the term of the
// glossary (internal/WORDS.md) that stands for it now, or "" where it meant several
// things, each of which has a name by what it does.
var formerWords = map[string]string{
	"asker":    "leader queue",
	"bond":     "recovery fence",
	"cutter":   "",
	"hush":     "quiesce",
	"knot":     "deadlock",
	"mend":     "repair",
	"reborn":   "reset",
	"settle":   "",
	"shelf":    "generation",
	"standing": "group status",
}

// withoutFormerWords are the folders and files that have none of them: names in Go files,
// and the prose of pages.
var withoutFormerWords = []string{
	"README.md",
	"client",
	"internal",
	"main.go",
	"rebalance",
	"ring",
	"scripts",
	"server",
	"tests",
	"viewleader",
}

func isWithoutFormerWords(name string) bool {
	return slices.ContainsFunc(withoutFormerWords, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
}

// formerWord returns the former word that a word of a text or of a name is a form of, or "".
func formerWord(word string) string {
	word = strings.ToLower(word)
	for _, w := range slices.Sorted(maps.Keys(formerWords)) {
		stem := strings.TrimSuffix(w, "e")
		for _, begin := range []string{"", "un", "re"} {
			rest, ok := strings.CutPrefix(word, begin+stem)
			if ok && (rest == strings.TrimPrefix(w, stem) || slices.Contains([]string{"s", "es", "ed", "ing", "able", "er", "ers"}, rest)) {
				return w
			}
		}
	}
	return ""
}

// nameWords splits a name in camel case.
func nameWords(name string) []string {
	var words []string
	begin := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) ||
			runes[i] == '_' {
			words = append(words, strings.Trim(string(runes[begin:i]), "_"))
			begin = i
		}
	}
	return words
}

func saidNow(word string) string {
	if term := formerWords[word]; term != "" {
		return fmt.Sprintf("the term is %q", term)
	}
	return "say what it does"
}

// checkFormerWords looks at the names that a file declares, and at its own.
func checkFormerWords(s source) (found []string) {
	if !isWithoutFormerWords(s.path) {
		return nil
	}
	look := func(name string, line int) {
		for _, w := range nameWords(name) {
			if f := formerWord(w); f != "" {
				found = append(found, fmt.Sprintf("line %d: %s: %s", line, name, saidNow(f)))
			}
		}
	}
	look(strings.TrimSuffix(path.Base(s.path), ".go"), 1)
	idents := func(names ...*ast.Ident) {
		for _, id := range names {
			look(id.Name, s.at(id))
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			idents(n.Name)
		case *ast.TypeSpec:
			idents(n.Name)
		case *ast.ValueSpec:
			idents(n.Names...)
		case *ast.Field:
			idents(n.Names...)
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					idents(id)
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					idents(id)
				}
			}
		}
		return true
	})
	return found
}

// checkFormerWordsInPages looks at prose.
func checkFormerWordsInPages(s site) (found []string) {
	for name, p := range s.pages {
		if !isWithoutFormerWords(name) {
			continue
		}
		for _, w := range strings.FieldsFunc(p.prose, func(r rune) bool { return !unicode.IsLetter(r) }) {
			if f := formerWord(w); f != "" {
				found = append(found, fmt.Sprintf("%s: %s: %s", name, w, saidNow(f)))
			}
		}
	}
	return found
}

// glossaryRow is a line of the glossary: term, meaning, from.
var glossaryRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \|([^|]*)\|$`)

// checkGlossary wants each term once, in order, with a meaning, and a term for each word
// that has given way to one.
func checkGlossary(page string) (found []string) {
	var terms []string
	for _, row := range glossaryRow.FindAllStringSubmatch(page, -1) {
		if row[1] != "term" {
			terms = append(terms, strings.TrimSpace(row[1]))
		}
	}
	for i, term := range terms {
		if i > 0 && strings.ToLower(terms[i-1]) >= strings.ToLower(term) {
			found = append(found, fmt.Sprintf("%q stands after %q: want each term once, in order", term, terms[i-1]))
		}
	}
	for _, w := range slices.Sorted(maps.Keys(formerWords)) {
		if term := formerWords[w]; term != "" && !slices.Contains(terms, term) {
			found = append(found, fmt.Sprintf("%s has given way to %q, which is no term", w, term))
		}
	}
	return found
}

func TestHouseGlossary(t *testing.T) {
	text, err := os.ReadFile("../internal/WORDS.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, found := range checkGlossary(page) {
		t.Errorf("internal/WORDS.md: %s", found)
	}
	for name, bad := range map[string]string{
		"a term twice":         strings.Replace(page, "\n| backup |", "\n| acting set | x | |\n| backup |", 1),
		"a term out of order":  page + "| arrow | x | |\n",
		"a term that has gone": strings.Replace(page, "| repair |", "| respite |", 1),
	} {
		if len(checkGlossary(bad)) == 0 {
			t.Errorf("a glossary with %s passes", name)
		}
	}
}

// Forms of a former word are found in names and prose, and words that only begin alike
// are not.
func TestHouseFormerWords(t *testing.T) {
	for word, want := range map[string]string{
		"mend": "mend", "Mended": "mend", "unmendable": "mend", "settling": "settle", "Unsettled": "settle", "hushes": "hush",
		"amend": "", "recommend": "", "bonded": "bond", "knotty": "", "outstanding": "", "settlement": "",
	} {
		if got := formerWord(word); got != want {
			t.Errorf("%s is a form of %q, want %q", word, got, want)
		}
	}
	if got := nameWords("leaderHTTPKnotOf_two"); !slices.Equal(got, []string{"leader", "HTTP", "Knot", "Of", "two"}) {
		t.Errorf("split into %q", got)
	}
	for _, p := range withoutFormerWords {
		if _, err := os.Stat(path.Join("..", p)); err != nil {
			t.Error(err)
		}
	}
}
