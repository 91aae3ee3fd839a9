package main

import (
	"bytes"
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
)

// figures are what was counted in a tree.
type figures struct {
	module     string
	packages   map[string]map[string]bool // by folder: what it imports of its own module
	lines      int                        // that are not blank
	comments   int                        // of them, those that are comments alone
	functions  []int                      // their lengths in lines, from func to the last brace
	files      []int                      // theirs, blank lines included
	exported   int
	documented int
}

// Bounds of this house, see house_test.go.
const (
	functionMax = 70
	fileMax     = 600
)

// count looks at all Go files below a folder.
func count(dir string) (*figures, error) {
	f := &figures{packages: make(map[string]map[string]bool), module: moduleOf(dir)}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			skipped := base == "vendor" || base == "testdata" || base != "." && strings.HasPrefix(base, ".")
			if name != dir && (skipped || isFile(filepath.Join(name, "go.mod"))) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(dir, filepath.Dir(name))
		if err != nil {
			return err
		}
		return f.add(filepath.ToSlash(folder), name, src)
	})
	return f, err
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// moduleOf returns the path of the module whose root a folder is, or "".
func moduleOf(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if m, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.Trim(m, `"`)
		}
	}
	return ""
}

// add counts a file.
func (f *figures) add(folder, name string, src []byte) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(file) {
		return nil
	}
	if f.packages[folder] == nil {
		f.packages[folder] = make(map[string]bool)
	}
	for _, spec := range file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has seen to it
		if f.module != "" && (p == f.module || strings.HasPrefix(p, f.module+"/")) {
			f.packages[folder][p] = true
		}
	}
	f.countLines(fset, file, src)
	for _, decl := range file.Decls {
		f.addDecl(fset, decl, file.Name.Name == "main")
	}
	return nil
}

func (f *figures) countLines(fset *token.FileSet, file *ast.File, src []byte) {
	lines := bytes.Split(bytes.TrimSuffix(src, []byte("\n")), []byte("\n"))
	f.files = append(f.files, len(lines))
	within := make(map[int]bool)
	for _, group := range file.Comments {
		for _, c := range group.List {
			for n := fset.Position(c.Pos()).Line; n <= fset.Position(c.End()).Line; n++ {
				within[n] = true
			}
		}
	}
	for i, line := range lines {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		f.lines++
		opens := bytes.HasPrefix(line, []byte("//")) || bytes.HasPrefix(line, []byte("/*"))
		if within[i+1] && (opens || !bytes.Contains(line, []byte("//"))) {
			f.comments++
		}
	}
}

// addDecl counts a declaration: a function's length, and whether what is exported has a
// comment. Names of a program's main package are nobody's to use.
func (f *figures) addDecl(fset *token.FileSet, decl ast.Decl, program bool) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Body != nil {
			f.functions = append(f.functions, fset.Position(d.End()).Line-fset.Position(d.Pos()).Line+1)
		}
		if !program && d.Name.IsExported() && (d.Recv == nil || isExported(d.Recv.List[0].Type)) {
			f.export(d.Doc != nil)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if program {
				return
			}
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					f.export(d.Doc != nil || s.Doc != nil || s.Comment != nil)
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, func(n *ast.Ident) bool { return n.IsExported() }) {
					f.export(d.Doc != nil || s.Doc != nil || s.Comment != nil)
				}
			}
		}
	}
}

// isExported reports whether a receiver's type is.
func isExported(t ast.Expr) bool {
	switch t := t.(type) {
	case *ast.StarExpr:
		return isExported(t.X)
	case *ast.IndexExpr:
		return isExported(t.X)
	case *ast.IndexListExpr:
		return isExported(t.X)
	case *ast.Ident:
		return t.IsExported()
	}
	return false
}

func (f *figures) export(documented bool) {
	f.exported++
	if documented {
		f.documented++
	}
}

const header = `| tree | packages | lines | functions | median, 95 of 100, longest | over 70 | files over 600, longest | comments | exported, with a comment | own imports a package, most |
|---|---|---|---|---|---|---|---|---|---|`

// row is what was counted, as a row below header.
func (f *figures) row(name string) string {
	slices.Sort(f.functions)
	slices.Sort(f.files)
	imports, most, where := 0, 0, ""
	for folder, own := range f.packages {
		imports += len(own)
		if len(own) > most || len(own) == most && folder < where {
			most, where = len(own), folder
		}
	}
	over := func(sorted []int, most int) int {
		at, _ := slices.BinarySearch(sorted, most+1)
		return len(sorted) - at
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d, %d, %d | %d | %d, %d | %d %% | %d, %d %% | %.1f, %d (%s) |",
		name, len(f.packages), f.lines, len(f.functions),
		at(f.functions, 50), at(f.functions, 95), at(f.functions, 100), over(f.functions, functionMax),
		over(f.files, fileMax), at(f.files, 100), percent(f.comments, f.lines), f.exported, percent(f.documented, f.exported),
		float64(imports)/float64(max(1, len(f.packages))), most, path.Base(where))
}

// at is the figure below which so many of a hundred lie.
func at(sorted []int, hundredth int) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*hundredth/100]
}

func percent(part, whole int) int { return 100 * part / max(1, whole) }
