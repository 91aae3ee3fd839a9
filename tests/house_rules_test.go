package tests

import (
	"strings"
	"testing"
)

// Every rule must be able to fail, and must let the nearest good thing pass.
func TestHouseRulesCanFail(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\t_ = 0\n", n) }
	tests := []struct {
		rule, path, bad, good string
	}{
		{"imports", "ring/x.go", `import _ "viewring/internal/wire"`, `import _ "viewring/internal/codec"`},
		{"imports", "internal/codec/x.go", `import _ "viewring/ring"`, `import _ "strings"`},
		{"imports", "client/cli/x.go", `import _ "viewring/server"`, `import _ "viewring/client/cli/children"`},
		{"imports", "client/x.go", `import _ "viewring/ring"`, `import _ "viewring/internal/route"`},
		{"imports", "main.go", `import _ "viewring/ring"`, `import _ "viewring/client/cli"`},
		{"public API", "client/x.go", wireImport + `func Ask(v wire.Value) {}`, wireImport + `func ask(v wire.Value) {}`},
		{"public API", "client/x.go", wireImport + `type T struct{ V *wire.Value }`, wireImport + `type T struct{ v *wire.Value }`},
		{"public API", "client/x.go", wireImport + `func (t *T) Ask() (wire.Value, error) {}`, wireImport + `func (t *t) Ask() (wire.Value, error) {}`},
		{"public API", "client/admin/x.go", wireImport + `func Ask(v wire.Value) {}`, wireImport + `func ask(v wire.Value) {}`},
		{"public API", "client/x.go", `import w "viewring/internal/wire"; var V w.Value`, wireImport + `var v wire.Value`},
		{"purity", "ring/x.go", `import _ "os"`, `import _ "time"`},
		{"purity", "ring/x.go", `import _ "net/netip"`, `import _ "bytes"`},
		{"purity", "server/replica/x.go", `import "time"; var t = time.Now()`, `import "time"; const t = time.Second`},
		{"purity", "server/replica/x.go", `import t "time"; func f() { t.Sleep(1) }`, `import t "time"; func f(d t.Duration) {}`},
		{"purity", "viewleader/roster/x.go", `import "math/rand/v2"; var n = rand.IntN(3)`, `import "math/rand/v2"; var r = rand.New(rand.NewPCG(1, 2))`},
		{"purity", "viewleader/roster/x.go", `func f() { go f() }`, `func f() { f() }`},
		{"purity", "rebalance/plan.go", `func f() { go f() }`, `func f() { defer f() }`},
		{"file length", "ring/x.go", strings.Repeat("\n", 601), strings.Repeat("\n", 598)},
		{"file length", "ring/x_test.go", strings.Repeat("\n", 601), strings.Repeat("\n", 598)},
		{"function length", "ring/x.go", "func f() {\n" + lines(69) + "}", "func f() {\n" + lines(68) + "}"},
		{"function length", "ring/x.go", "var f = func() {\n" + lines(69) + "}", "var f = func() {\n" + lines(68) + "}"},
		{"no sleep in tests", "ring/x_test.go", `import "time"; func f() { time.Sleep(1) }`, `import "time"; func f() { <-time.After(1) }`},
		{"one table of commands", "server/x.go", `var once = map[string]bool{"SET": true, "append": true}`, `var hosted = map[string]bool{"set": true, "append": true}`},
		{"one table of commands", "server/gateway/x.go", `var l = []string{"dbsize", "flushall"}`, `var l = []string{"dbsize", "flush"}`},
		{"one table of commands", "server/gateway/x.go", `func f(n string) int { switch n { case "MGET": return 1; case "DEL", "x": return 2 }; return 0 }`, `func f(n string) int { switch n { case "MGET": return 1; case "y", "x": return 2 }; return 0 }`},
		{"one table of commands", "server/x.go", `func f(n string) bool { return n == "x" || n == "del" || "unlink" == n }`, `func f(n string) bool { return n == "x" || n == "del" || "y" == n }`},
		{"one table of commands", "client/x.go", `var l = []string{"get", "set"}`, `var l = []string{"get"}`},
		{"former words", "ring/x.go", "func unmendable() {}", "func amended() {}"},
		{"former words", "ring/x.go", "type T struct{ Reborn int }", "type T struct{ Born int }"},
		{"former words", "ring/x.go", "func f(hushes int) {}", "func f(n int) { hushes() }"},
		{"former words", "ring/x.go", "func f() { for knot := range f() { askers := knot } }", "func f() { for not := range f() { not.Knot = 1 } }"},
		{"former words", "viewleader/standing.go", "", "var outstanding int"},
		{"top level", "util/x.go", "", ""},
		{"package docs", "ring/x.go", "", ""},
	}
	for _, tt := range tests {
		bad, good := "package x\n"+tt.bad, "// Package x is for something.\npackage x\n"+tt.good
		goodPath := tt.path
		if tt.rule == "top level" || tt.path == "viewleader/standing.go" {
			goodPath = "scripts/x.go"
		}
		if found := apply(t, tt.rule, tt.path, bad); len(found) == 0 {
			t.Errorf("%s passes %s:\n%.200s", tt.rule, tt.path, bad)
		}
		if found := apply(t, tt.rule, goodPath, good); len(found) > 0 {
			t.Errorf("%s finds %q in %s:\n%.200s", tt.rule, found, goodPath, good)
		}
	}
	if found := apply(t, "imports", "cache/x.go", "package x"); len(found) == 0 {
		t.Error("a package that the house does not know passes")
	}
	for _, r := range rules {
		tried := false
		for _, tt := range tests {
			tried = tried || tt.rule == r.name
		}
		if !tried {
			t.Errorf("nothing shows that %q can fail", r.name)
		}
	}
}

const wireImport = `import "viewring/internal/wire"; `

func apply(t *testing.T, name, path, text string) []string {
	t.Helper()
	s, err := parse(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.name == name {
			return r.check([]source{s})
		}
	}
	t.Fatalf("no rule is named %q", name)
	return nil
}
