package tests

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"
)

// page is a Markdown file of the repository.
type page struct {
	prose  string // without code
	fenced []string
	spans  []string // of code in the prose
	lines  int
	slugs  map[string]bool // anchors of its headings
}

// isForUsers reports whether a page is written for those who use viewring, not for
// those who change it.
func isForUsers(name string) bool { return path.Base(name) == "README.md" }

// site is all pages, by path, and the tree that their links point into.
type site struct {
	tree  fs.FS
	pages map[string]page
}

func loadSite(tree fs.FS) (site, error) {
	s := site{tree: tree, pages: map[string]page{}}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || len(d.Name()) > 1 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		s.pages[name] = parsePage(string(text))
		return err
	})
	return s, err
}

var (
	codeSpan = regexp.MustCompile("`[^`]*`")
	heading  = regexp.MustCompile(`^#+ +(.*)$`)
	linkTo   = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
)

func parsePage(text string) page {
	p := page{lines: strings.Count(text, "\n"), slugs: map[string]bool{}}
	var prose []string
	isCode := false
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			isCode = !isCode
		case isCode:
			p.fenced = append(p.fenced, line)
		default:
			prose = append(prose, line)
			if m := heading.FindStringSubmatch(line); m != nil {
				p.addSlug(linkTo.ReplaceAllString(m[1], "$1"))
			}
		}
	}
	text = strings.Join(prose, "\n")
	p.prose, p.spans = codeSpan.ReplaceAllString(text, ""), codeSpan.FindAllString(text, -1)
	return p
}

// addSlug makes a heading's anchor as GitHub does.
func (p *page) addSlug(heading string) {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
	for n, one := 1, slug; p.slugs[slug]; n++ {
		slug = fmt.Sprintf("%s-%d", one, n)
	}
	p.slugs[slug] = true
}

// links are a page's targets: the path from the root, and the anchor or "".
func (s site) links(name string) (links [][2]string) {
	for _, m := range linkTo.FindAllStringSubmatch(s.pages[name].prose, -1) {
		file, anchor, _ := strings.Cut(m[2], "#")
		target := name
		if file != "" {
			target = path.Join(path.Dir(name), file)
		}
		links = append(links, [2]string{target, anchor})
	}
	return links
}

var pageRules = []struct {
	name  string
	check func(s site) []string
}{
	{"relative links", checkRelative},
	{"dead links", checkLinks},
	{"pages that nothing links to", checkReached},
	{"paths in code", checkPaths},
	{"wide code", checkCodeWidth},
	{"words of the house", checkWords},
	{"former words", checkFormerWordsInPages},
	{"length of README", checkReadmeLength},
}

func TestHousePages(t *testing.T) {
	s, err := loadSite(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.pages) < 15 {
		t.Fatalf("only %d pages found", len(s.pages))
	}
	for _, r := range pageRules {
		for _, found := range r.check(s) {
			t.Errorf("%s: %s", r.name, found)
		}
	}
}

func checkRelative(s site) (found []string) {
	for name, p := range s.pages {
		for _, m := range linkTo.FindAllStringSubmatch(p.prose, -1) {
			if strings.HasPrefix(m[2], "/") || strings.Contains(m[2], ":") {
				found = append(found, name+": "+m[2])
			}
		}
	}
	return found
}

func checkLinks(s site) (found []string) {
	for name := range s.pages {
		for _, l := range s.links(name) {
			if _, err := fs.Stat(s.tree, l[0]); err != nil {
				found = append(found, fmt.Sprintf("%s: there is no %s", name, l[0]))
			} else if l[1] != "" && !s.pages[l[0]].slugs[l[1]] {
				found = append(found, fmt.Sprintf("%s: %s has no #%s", name, l[0], l[1]))
			}
		}
	}
	return found
}

// checkReached wants every page to be found by following links from README.md.
func checkReached(s site) (found []string) {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if _, ok := s.pages[name]; !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, l := range s.links(name) {
			visit(l[0])
		}
	}
	visit("README.md")
	for name := range s.pages {
		if !seen[name] {
			found = append(found, name)
		}
	}
	return found
}

// ourPath is what looks like a path from the root.
var ourPath = regexp.MustCompile(`(?:^|[\s` + "`" + `])((?:` + strings.Join(foldersOf(topLevel), "|") + `)/[\w./-]*\w)`)

func foldersOf(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.Contains(name, ".") })
}

// checkPaths wants the scripts and folders that pages for users name to be there.
func checkPaths(s site) (found []string) {
	for name, p := range s.pages {
		if !isForUsers(name) {
			continue
		}
		for _, code := range slices.Concat(p.fenced, p.spans) {
			for _, m := range ourPath.FindAllStringSubmatch(code, -1) {
				if _, err := fs.Stat(s.tree, m[1]); err != nil {
					found = append(found, fmt.Sprintf("%s: there is no %s", name, m[1]))
				}
			}
		}
	}
	return found
}

const codeColumnsMax = 80

func checkCodeWidth(s site) (found []string) {
	for name, p := range s.pages {
		for _, line := range p.fenced {
			if n := utf8.RuneCountInString(line); n > codeColumnsMax && isForUsers(name) {
				found = append(found, fmt.Sprintf("%s: %d columns: %s", name, n, line))
			}
		}
	}
	return found
}

// houseWords are names in the source that users need not learn.
var houseWords = []string{"asker", "bond", "hush", "knot", "returner", "stray"}

func checkWords(s site) (found []string) {
	for name, p := range s.pages {
		words := strings.FieldsFunc(strings.ToLower(p.prose), func(r rune) bool { return !unicode.IsLetter(r) })
		for _, w := range words {
			if isForUsers(name) && slices.Contains(houseWords, strings.TrimSuffix(w, "s")) {
				found = append(found, name+": "+w)
			}
		}
	}
	return found
}

const readmeLinesMax = 170

func checkReadmeLength(s site) []string {
	if n := s.pages["README.md"].lines; n > readmeLinesMax {
		return []string{fmt.Sprintf("%d lines, at most %d: move some to the page of what they are about", n, readmeLinesMax)}
	}
	return nil
}

// Every rule of the pages can fail, and lets the nearest good thing pass.
func TestHousePagesRulesCanFail(t *testing.T) {
	long := strings.Repeat("x", codeColumnsMax)
	tests := []struct{ rule, bad, good string }{
		{"relative links", "[a](/a/README.md)", "[a](a/README.md)"},
		{"relative links", "[a](https://example.com)", "`[a](https://example.com)`"},
		{"dead links", "[a](a/GONE.md)", "[a](a/README.md)"},
		{"dead links", "[a\nb](b)", "[a\nb](a)"},
		{"dead links", "[a](a/README.md#gone)", "[a](a/README.md#a-b--c)"},
		{"dead links", "[a](#gone)\n# here", "[a](#here)\n# here"},
		{"dead links", "[a](#here)\n```\n# here\n```", "[a](#here-1)\n# `here`!\n# [Here](a)"},
		{"pages that nothing links to", "", "[a](a/README.md)"},
		{"paths in code", "`scripts/gone.sh FOLDER`", "`viewring/scripts/gone` `scripts/here.sh`"},
		{"paths in code", "```\nscripts/gone\n```", "scripts/gone"},
		{"wide code", "```\n" + long + "x\n```", "```\n" + long + "\n```\n" + long + "x"},
		{"words of the house", "Knots", "knotty"},
		{"former words", "It is mended.", "It is amended: `mend`."},
		{"length of README", strings.Repeat("\n", readmeLinesMax+1), strings.Repeat("\n", readmeLinesMax)},
	}
	check := func(rule, readme string) (found []string) {
		s, err := loadSite(fstest.MapFS{
			"README.md":       {Data: []byte(readme)},
			"a/README.md":     {Data: []byte("# A `b` & c\n")},
			"scripts/here.sh": {},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range pageRules {
			if r.name == rule {
				return r.check(s)
			}
		}
		t.Fatalf("no rule is named %q", rule)
		return nil
	}
	tried := map[string]bool{}
	for _, tt := range tests {
		tried[tt.rule] = true
		if len(check(tt.rule, tt.bad)) == 0 {
			t.Errorf("%s lets pass %.200q", tt.rule, tt.bad)
		}
		if found := check(tt.rule, tt.good); len(found) > 0 {
			t.Errorf("%s finds %q in %.200q", tt.rule, found, tt.good)
		}
	}
	for _, r := range pageRules {
		if !tried[r.name] {
			t.Errorf("nothing shows that %q can fail", r.name)
		}
	}
}
