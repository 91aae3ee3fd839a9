package tests

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// twins are the exported structs that stand in several packages, each with why. All others
// are defined once, in ring, viewleader/vocab or the package whose they are.
var twins = map[string]string{
	"Bounds":     "flags: the command line imports neither the server nor the gateway, main.go copies them",
	"Cursor":     "with the key as the log has it, and as the core does, which may not import the log",
	"Graces":     "flags, as Bounds",
	"Fence":      "the library's options, and the core's request, which is pure",
	"Options":    "the library's convert to those of internal/route, which it does not show: the compiler holds them equal",
	"Report":     "its view is bytes where it travels, which a server passes on as they are stored, and decoded where it counts",
	"Stats":      "as Options",
	"StoredName": "the library shows no internal types",
	"Version":    "the library's, and the core's, which the library may not import",
}

// checkTwins finds exported structs of one name with the same fields in several packages.
func checkTwins(sources []source) (found []string) {
	places := map[string]string{}
	for _, s := range sources {
		if s.isTest() || s.in("tests") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok || !spec.Name.IsExported() || twins[spec.Name.Name] != "" {
				return true
			}
			var fields []string
			for _, f := range st.Fields.List {
				for _, name := range f.Names {
					fields = append(fields, name.Name)
				}
			}
			key := spec.Name.Name + " " + strings.Join(fields, " ")
			if other := places[key]; len(fields) > 1 && other != "" {
				found = append(found, fmt.Sprintf("%s: line %d: %s is defined in %s already", s.path, s.at(spec), spec.Name, other))
			}
			places[key] = s.path
			return true
		})
	}
	return found
}

func TestHouseTwins(t *testing.T) {
	sources, err := load("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range checkTwins(sources) {
		t.Error(found)
	}
	for text, good := range map[string]bool{
		"type T struct{ A, B int }":               false,
		"type T struct{ A int; B uint64 }":        false,
		"type T struct{ A, B, C int }":            true,
		"type U struct{ A, B int }":               true,
		"type Version struct{ Term, Seq uint64 }": true,
	} {
		one, err := parse("ring/x.go", []byte("package x\ntype T struct{ A, B int }\ntype Version struct{ Term, Seq uint64 }\n"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := parse("client/x.go", []byte("package x\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if found := checkTwins([]source{one, other}); (len(found) == 0) != good {
			t.Errorf("%q: found %q", text, found)
		}
	}
}
