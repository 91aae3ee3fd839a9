package tests

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// limit finds what a page says of a constant: "4 MiB (`windowBytesMax`)", "64 terms (`historyMax`)".
var limit = regexp.MustCompile("([\\d,.]*\\d)(?: (KiB|MiB|ms|s|min|h)\\b)?(?: [a-z]+)? \\(`(\\w+)`")

// units are what a number with that unit stands for: bytes, or nanoseconds.
var units = map[string]float64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "ms": 1e6, "s": 1e9, "min": 60e9, "h": 3600e9}

// durations are the names of package time that constants are made of.
var durations = strings.NewReplacer("time.Millisecond", "1e6", "time.Second", "1e9", "time.Minute", "60e9", "time.Hour", "3600e9")

// constants evaluates those constants of a directory that need no other ones.
func constants(sources []source, dir string) map[string]float64 {
	values := map[string]float64{}
	for _, s := range sources {
		if s.dir() != dir || s.isTest() {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i := range v.Values {
					got, err := types.Eval(s.fset, nil, token.NoPos, durations.Replace(types.ExprString(v.Values[i])))
					if err == nil && got.Value != nil && (got.Value.Kind() == constant.Int || got.Value.Kind() == constant.Float) {
						values[v.Names[i].Name], _ = constant.Float64Val(got.Value)
					}
				}
			}
		}
	}
	return values
}

// checkLimits compares what a page says of constants of its package with what they are.
func checkLimits(name, text string, sources []source) (compared int, found []string) {
	values := constants(sources, path.Dir(name))
	for _, m := range limit.FindAllStringSubmatchIndex(text, -1) {
		unit := ""
		if m[4] >= 0 {
			unit = text[m[4]:m[5]]
		}
		said, err := strconv.ParseFloat(strings.ReplaceAll(text[m[2]:m[3]], ",", ""), 64)
		is, ok := values[text[m[6]:m[7]]]
		compared++
		if err != nil || !ok || is != said*units[unit] {
			found = append(found, fmt.Sprintf("%s:%d: %s, which is %v, not %v (bytes, ns)", name, 1+strings.Count(text[:m[0]], "\n"), text[m[6]:m[7]], is, said*units[unit]))
		}
	}
	return compared, found
}

func TestHouseLimits(t *testing.T) {
	all, err := loadTree("..")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, text := range all.pages {
		if path.Dir(name) != protocolDir {
			continue // elsewhere it may be a function's or a variable's name that follows a number
		}
		n, found := checkLimits(name, text, all.sources)
		compared += n
		for _, f := range found {
			t.Error(f)
		}
	}
	if compared < 25 {
		t.Errorf("only %d limits found", compared)
	}
	s, err := parse("ring/x.go", []byte("package x\nimport \"time\"\nconst (a = 3 << 10; b = 2 * time.Minute; c = 1024)"))
	if err != nil {
		t.Fatal(err)
	}
	for text, bad := range map[string]bool{
		"3 KiB (`a`), 2 min (`b`), 1,024 keys (`c`)": false,
		"| 120 s (`b`, x.go) |":                      false,
		"4 KiB (`a`)":                                true,
		"2 s (`b`)":                                  true,
		"1,025 (`c`)":                                true,
		"7 (`d`)":                                    true,
	} {
		if n, found := checkLimits("ring/DESIGN.md", text, []source{s}); n == 0 || len(found) > 0 != bad {
			t.Errorf("%q: compared %d, found %q", text, n, found)
		}
	}
}
