package tests

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// libraries are the packages that others build on: client what programs use, client/admin
// what operators do.
var libraries = []string{"client", "client/admin"}

// checkExamples wants an example of whatever a library does with a context, which is all
// that asks a cluster: it is called in an example that runs, one with an output. It goes by
// names alone: one example does for the methods of that name of several types.
func checkExamples(sources []source) (found []string) {
	shown := map[string]bool{} // by package and name
	for _, s := range sources {
		if slices.Contains(libraries, s.dir()) && strings.HasSuffix(s.path, "example_test.go") {
			for name := range calledInExamples(s) {
				shown[s.dir()+"."+name] = true
			}
		}
	}
	for _, s := range sources {
		if !slices.Contains(libraries, s.dir()) || s.isTest() {
			continue
		}
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || fn.Recv != nil && !ast.IsExported(receiver(fn)) || !takesContext(fn) {
				continue
			}
			if !shown[s.dir()+"."+fn.Name.Name] {
				found = append(found, fmt.Sprintf("%s: line %d: no example of %s", s.path, s.at(fn), fn.Name.Name))
			}
		}
	}
	return found
}

func takesContext(fn *ast.FuncDecl) bool {
	for _, p := range fn.Type.Params.List {
		if sel, ok := p.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
			return true
		}
	}
	return false
}

// calledInExamples are the functions and methods that a file's examples call.
func calledInExamples(s source) map[string]bool {
	called := map[string]bool{}
	for _, d := range s.file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(fn.Name.Name, "Example") || !hasOutput(s, fn) {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
					called[sel.Sel.Name] = true
				}
			}
			return true
		})
	}
	return called
}

func hasOutput(s source, fn *ast.FuncDecl) bool {
	return slices.ContainsFunc(s.file.Comments, func(c *ast.CommentGroup) bool {
		return fn.Pos() < c.Pos() && c.End() < fn.End() && strings.HasPrefix(c.Text(), "Output:")
	})
}

func TestHouseExamples(t *testing.T) {
	sources, err := load("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range checkExamples(sources) {
		t.Error(found)
	}
	library, err := parse("client/x.go", []byte("package x\nfunc (c *Client) Ask(ctx context.Context) {}\nfunc (c *Client) Name() string {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		"func ExampleClient_Ask() {\n\tc.Ask(ctx)\n\t// Output: 1\n}\n": true,
		"func ExampleClient_Ask() {\n\tc.Ask(ctx)\n}\n// Output: 1":     false,
		"func ExampleClient_Ask() {\n\tc.Name()\n\t// Output: 1\n}\n":   false,
		"func ask() {\n\tc.Ask(ctx)\n\t// Output: 1\n}\n":               false,
	} {
		examples, err := parse("client/example_test.go", []byte("package x\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if found := checkExamples([]source{library, examples}); (len(found) == 0) != good {
			t.Errorf("%q: found %q", text, found)
		}
	}
}
