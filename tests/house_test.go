// Package tests holds what no single package can test: the rules of the house,
// and below it the simulation and clusters of real processes.
package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is a Go file of the repository.
type source struct {
	path  string // from the root, with slashes
	fset  *token.FileSet
	file  *ast.File
	lines int
}

func (s source) dir() string       { return path.Dir(s.path) }
func (s source) isTest() bool      { return strings.HasSuffix(s.path, "_test.go") }
func (s source) at(n ast.Node) int { return s.fset.Position(n.Pos()).Line }
func (s source) in(dir string) bool {
	return s.dir() == dir || strings.HasPrefix(s.dir(), dir+"/")
}

func parse(name string, text []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, fmt.Errorf("parse %s: %w", name, err)
	}
	return source{path: name, fset: fset, file: file, lines: strings.Count(string(text), "\n")}, nil
}

// load parses the module at root, without what is generated.
func load(root string) ([]source, error) {
	var sources []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() {
			_, modErr := os.Stat(filepath.Join(name, "go.mod"))
			if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || modErr == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), text)
		if err == nil && !ast.IsGenerated(s.file) {
			sources = append(sources, s)
		}
		return err
	})
	return sources, err
}

// rule finds what is against it.
type rule struct {
	name  string
	check func(sources []source) []string
}

// each makes a rule that looks at one file at a time.
func each(name string, check func(s source) []string) rule {
	return rule{name, func(sources []source) (found []string) {
		for _, s := range sources {
			for _, f := range check(s) {
				found = append(found, s.path+": "+f)
			}
		}
		return found
	}}
}

var rules = []rule{
	each("imports", checkImports),
	each("public API", checkPublicAPI),
	each("purity", checkPurity),
	each("file length", checkFileLength),
	each("function length", checkFunctionLength),
	each("no sleep in tests", checkNoSleep),
	each("one table of commands", checkCommandLists),
	each("former words", checkFormerWords),
	{"package docs", checkPackageDocs},
	{"top level", checkTopLevel},
}

func TestHouse(t *testing.T) {
	sources, err := load("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("only %d files found", len(sources))
	}
	for _, r := range rules {
		for _, found := range r.check(sources) {
			t.Errorf("%s: %s", r.name, found)
		}
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := os.ReadFile("../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) && !slices.Contains(strings.Fields(string(ignore)), "/"+e.Name()) {
			t.Errorf("top level: %s has no place there", e.Name())
		}
	}
}

const module = "viewring/"

// mayImport says which packages of ours a package may import; a name that ends
// in /... stands for what is below it. Tests may import anything.
var mayImport = map[string][]string{
	"internal/chart":          nil,
	"internal/codec":          nil,
	"internal/files":          nil,
	"internal/folder":         {"internal/disk"},
	"internal/front":          {"internal/files", "internal/secure", "internal/wait", "internal/wire"},
	"internal/invariant":      nil,
	"internal/metrics":        {"internal/front", "internal/port", "internal/tally"},
	"internal/tally":          nil,
	"internal/outcome":        nil,
	"internal/port":           nil,
	"internal/quiet":          nil,
	"internal/secure":         {"internal/port", "internal/quiet", "internal/wire"},
	"internal/session":        nil,
	"internal/unit":           nil,
	"internal/wait":           nil,
	"ring":                    {"internal/codec"},
	"internal/wire":           {"internal/codec", "internal/outcome", "internal/quiet", "internal/wait", "ring", "viewleader/vocab"},
	"internal/tree":           {"internal/wire"},
	"server/tree":             {"internal/codec", "internal/invariant", "internal/tree", "internal/wire", "ring", "server/replica"},
	"client/tree":             {"client", "internal/route", "internal/tree", "internal/wire"},
	"client/file":             {"client", "internal/codec", "internal/route", "internal/tree", "internal/wire"},
	"client/record":           {"client", "internal/route", "internal/tree", "internal/wire"},
	"rebalance":               {"internal/codec", "internal/invariant", "ring"},
	"server/replica":          {"internal/codec", "internal/invariant", "ring"},
	"viewleader/page":         {"client", "client/admin", "client/file", "client/meter", "internal/secure", "ring"},
	"viewleader/roster":       {"internal/codec", "internal/invariant", "ring", "viewleader/vocab"},
	"viewleader/vocab":        {"internal/codec", "ring"},
	"internal/disk":           nil,
	"internal/disk/crashdisk": {"internal/disk"},
	"internal/seglog":         {"internal/disk"},
	"internal/seglog/bench":   {"internal/seglog"},
	"server/store":            {"internal/codec", "internal/disk", "internal/folder", "internal/seglog", "ring", "server/replica"},
	"server":                  {"internal/disk", "internal/files", "internal/front", "internal/metrics", "internal/port", "internal/route", "internal/secure", "internal/tally", "internal/wait", "internal/wire", "ring", "server/budget", "server/frame", "server/lane", "server/link", "server/machine", "server/membership", "server/redis", "server/replica", "server/store", "server/tree", "server/upkeep", "viewleader/vocab"},
	"server/budget":           {"server/machine"},
	"server/frame":            {"internal/codec", "server/replica"},
	"server/lane":             {"internal/wait", "ring", "server/frame", "server/replica"},
	"server/link":             {"internal/wait", "internal/wire", "ring", "server/frame", "server/lane", "server/replica"},
	"server/machine":          nil,
	"server/membership":       {"internal/wait", "internal/wire", "ring", "server/replica", "server/store", "viewleader/vocab"},
	"server/upkeep":           {"internal/wait", "internal/wire", "rebalance", "ring", "server/frame", "server/replica", "server/store", "server/tree", "viewleader/vocab"},
	"server/redis":            {"internal/tally", "internal/wire"},
	"server/gateway":          {"internal/front", "internal/metrics", "internal/route", "internal/secure", "internal/tally", "internal/wire", "ring", "server/machine", "server/redis"},
	"server/zk":               {"internal/files", "internal/front", "internal/metrics", "internal/route", "internal/secure", "internal/session", "internal/tally", "internal/tree", "internal/wait", "internal/wire", "ring", "server/zk/jute"},
	"server/zk/jute":          nil,
	"server/s3":               {"client", "client/file", "client/s3keys", "internal/metrics", "internal/secure", "internal/tally", "internal/tree", "internal/wait"},
	"server/web":              {"client", "client/file", "internal/files", "internal/metrics", "internal/secure", "internal/tally", "internal/tree", "internal/wait", "server/web/dav"},
	"server/web/dav":          {"client", "client/file", "internal/tree"},
	"viewleader":              {"internal/codec", "internal/disk", "internal/files", "internal/folder", "internal/front", "internal/metrics", "internal/port", "internal/secure", "internal/seglog", "internal/session", "internal/tally", "internal/wait", "internal/wire", "ring", "viewleader/roster", "viewleader/vocab"},
	"internal/route":          {"internal/outcome", "internal/tree", "internal/wait", "internal/wire", "ring", "viewleader/vocab"},
	"client":                  {"internal/route", "internal/secure", "internal/session", "internal/wait", "internal/wire", "viewleader/vocab"}, // not ring: it knows keys, not where they are
	"client/admin":            {"client", "internal/route", "internal/wait", "internal/wire", "rebalance", "ring", "viewleader/vocab"},
	"client/backup":           {"client", "client/file", "client/record", "internal/codec", "internal/disk", "internal/route", "internal/tree", "internal/wire", "ring"},
	"client/...":              {"client", "client/...", "internal/chart", "internal/disk", "internal/port", "internal/quiet", "internal/secure", "internal/wire", "ring", "scripts"},
	"scripts":                 nil,
	".":                       {"client", "client/cli", "client/file", "client/s3keys", "internal/metrics", "internal/route", "internal/secure", "internal/unit", "server", "server/gateway", "server/machine", "server/redis", "server/s3", "server/web", "server/zk", "viewleader", "viewleader/page"},
}

func checkImports(s source) (found []string) {
	if s.isTest() || s.in("tests") {
		return nil
	}
	allowed, known := mayImport[s.dir()]
	if !known && s.in("client") {
		allowed, known = mayImport["client/..."]
	}
	if !known {
		return []string{"package " + s.dir() + " is not in the house's list"}
	}
	for _, spec := range s.file.Imports {
		ours, ok := strings.CutPrefix(importPath(spec), module)
		if ok && !slices.ContainsFunc(allowed, func(a string) bool {
			below, rest := strings.CutSuffix(a, "/...")
			return a == ours || rest && strings.HasPrefix(ours, below+"/")
		}) {
			found = append(found, s.dir()+" may not import "+ours)
		}
	}
	return found
}

func importPath(spec *ast.ImportSpec) string {
	p, _ := strconv.Unquote(spec.Path.Value) // the parser has seen to it
	return p
}

// importNames maps the names that a file uses for packages to their paths.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		p := importPath(spec)
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// uses calls fn with each package-qualified name below n.
func uses(n ast.Node, names map[string]string, fn func(sel *ast.SelectorExpr, pkg, name string)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
				fn(sel, names[x.Name], sel.Sel.Name)
			}
		}
		return true
	})
}

// checkPublicAPI keeps internal types out of what the client library exports: in
// client what programs use, in client/admin what operators do.
func checkPublicAPI(s source) (found []string) {
	if s.isTest() || s.dir() != "client" && s.dir() != "client/admin" {
		return nil
	}
	names := importNames(s.file)
	judge := func(what string, n ast.Node) {
		uses(n, names, func(sel *ast.SelectorExpr, pkg, name string) {
			if strings.HasPrefix(pkg, module+"internal/") {
				found = append(found, fmt.Sprintf("line %d: %s shows %s.%s", s.at(sel), what, pkg, name))
			}
		})
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				judge(d.Name.Name, d.Type)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				judgeSpec(spec, judge)
			}
		}
	}
	return found
}

func judgeSpec(spec ast.Spec, judge func(what string, n ast.Node)) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		st, isStruct := spec.Type.(*ast.StructType)
		switch {
		case !spec.Name.IsExported():
		case !isStruct:
			judge(spec.Name.Name, spec.Type)
		default:
			for _, f := range st.Fields.List {
				if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
					judge(spec.Name.Name, f.Type)
				}
			}
		}
	case *ast.ValueSpec:
		if spec.Type != nil && slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
			judge(spec.Names[0].Name, spec.Type)
		}
	}
}

func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

// isPure reports whether a file must be free of clock, network, disk, goroutines
// and global randomness.
func isPure(s source) bool {
	switch s.dir() {
	case "internal/session", "internal/tree", "ring", "server/redis", "server/replica", "server/tree", "server/zk/jute", "viewleader/roster", "viewleader/vocab":
		return !s.isTest()
	}
	return s.path == "rebalance/plan.go" || s.path == "rebalance/estimate.go"
}

// Of these packages a pure file may use the names listed, or nothing; of time,
// everything but what reads or waits for a clock.
var (
	impureImports = []string{"os", "os/*", "net", "net/*", "io/ioutil", "syscall", "crypto/rand", "log", "runtime"}
	pureOfRand    = []string{"New", "NewPCG", "NewChaCha8", "Rand", "Source", "PCG"}
	impureOfTime  = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
)

func checkPurity(s source) (found []string) {
	if !isPure(s) {
		return nil
	}
	for _, spec := range s.file.Imports {
		p := importPath(spec)
		if slices.ContainsFunc(impureImports, func(pattern string) bool {
			below, all := strings.CutSuffix(pattern, "*")
			return p == pattern || all && strings.HasPrefix(p, below)
		}) {
			found = append(found, fmt.Sprintf("line %d: a pure package may not import %s", s.at(spec), p))
		}
	}
	uses(s.file, importNames(s.file), func(sel *ast.SelectorExpr, pkg, name string) {
		random := (pkg == "math/rand" || pkg == "math/rand/v2") && !slices.Contains(pureOfRand, name)
		if random || pkg == "time" && slices.Contains(impureOfTime, name) {
			found = append(found, fmt.Sprintf("line %d: %s.%s in a pure package", s.at(sel), pkg, name))
		}
	})
	ast.Inspect(s.file, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			found = append(found, fmt.Sprintf("line %d: a goroutine in a pure package", s.at(g)))
		}
		return true
	})
	return found
}

const (
	fileLinesMax     = 600
	functionLinesMax = 70
)

func checkFileLength(s source) []string {
	if s.lines > fileLinesMax {
		return []string{fmt.Sprintf("%d lines, at most %d", s.lines, fileLinesMax)}
	}
	return nil
}

func checkFunctionLength(s source) (found []string) {
	if s.isTest() {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		var name string
		switch n := n.(type) {
		case *ast.FuncDecl:
			name = n.Name.Name
		case *ast.FuncLit:
			name = "a function literal"
		default:
			return true
		}
		if lines := s.fset.Position(n.End()).Line - s.at(n) + 1; lines > functionLinesMax {
			found = append(found, fmt.Sprintf("line %d: %s has %d lines, at most %d", s.at(n), name, lines, functionLinesMax))
		}
		return true
	})
	return found
}

func checkNoSleep(s source) (found []string) {
	if !s.isTest() {
		return nil
	}
	uses(s.file, importNames(s.file), func(sel *ast.SelectorExpr, pkg, name string) {
		if pkg == "time" && name == "Sleep" {
			found = append(found, fmt.Sprintf("line %d: wait for a condition, not a while", s.at(sel)))
		}
	})
	return found
}

func checkPackageDocs(sources []source) (found []string) {
	documented := map[string]bool{}
	for _, s := range sources {
		documented[s.dir()] = documented[s.dir()] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			found = append(found, "package "+dir+" does not say what it is for")
		}
	}
	return found
}

// topLevel is all that may stand at the root, besides what .gitignore names.
var topLevel = []string{
	"viewleader", "server", "client", "ring", "rebalance", "scripts", "tests", "internal",
	"main.go", "go.mod", "go.sum", "README.md", "LICENSE", ".ci", ".git", ".gitignore",
}

func checkTopLevel(sources []source) (found []string) {
	for _, s := range sources {
		top, _, _ := strings.Cut(s.path, "/")
		if !slices.Contains(topLevel, top) {
			found = append(found, s.path+" has no place at the top level")
		}
	}
	return found
}
