package mutants

import (
	"strings"
	"testing"
	"time"
)

const header = "breaks: it\ntest: ./sum -run ^TestOf$\n\n"

// TestParse wants the reason of what is refused.
func TestParse(t *testing.T) {
	diff := "+++ b/x.go\n@@\n-a\n+b\n"
	tests := []struct{ text, err string }{
		{header + diff, ""},
		{"breaks: it\ntest: A=1 B= ./a/b -run ^(A|B)$/c\ntimeout: 7s\nsurvives: why\n\n" + diff, ""},
		{"breaks: it\n" + diff, "no empty line"},
		{"breaks: it\n\n" + diff, "name a test"},
		{"test: ./sum -run X\n\n" + diff, "say what it breaks"},
		{"breaks: it\n" + header + diff, `"breaks" is empty, or given twice`},
		{"survives:\n" + header + diff, `"survives:" is none`},
		{"survives: \n" + header + diff, `"survives:" is none`},
		{"tests: x\n" + header + diff, `"tests" is none`},
		{"timeout: 7\n" + header + diff, "missing unit"},
		{"timeout: 0s\n" + header + diff, "a timeout of 0s"},
		{"test: ./sum\n" + header + diff, "is not NAME=VALUE"},
		{"test: sum -run X\n" + header + diff, "is not NAME=VALUE"},
		{"test: ./sum -run X -v\n" + header + diff, "is not NAME=VALUE"},
		{"test: seeds ./sum -run X\n" + header + diff, `"seeds" is not NAME=VALUE`},
		{"test: ./sum/... -run X\n" + header + diff, "not one package"},
		{"test: ./../sum -run X\n" + header + diff, "not one package"},
		{"test: ./sum -run A/b|C\n" + header + diff, ""},
		{"test: ./sum -run A|B/c\n" + header + diff, "write two lines"},
		{"test: ./sum -run (A\n" + header + diff, "missing closing"},
		{header + "@@\n-a\n+b\n", `no line "+++ b/FILE"`},
		{header + "+++ b/x.go\n-a\n+b\n", "before the first @@"},
		{header + "+++ b/x.go\n", `x.go has no "@@"`},
		{header + diff + "+++ b/y.go\n+++ b/z.go\n@@\n-a\n+b\n", `y.go has no "@@"`},
		{header + "+++ b/x.go\n@@\na\n", "begins with none of"},
		{header + diff + "+++ b/x.go\n@@\n-c\n+d\n", "in two parts"},
		{header + diff + "+++ b/y_test.go\n@@\n-a\n+b\n", "or a test"},
		{"also: ./sum\n" + header + diff, "is not NAME=VALUE"},
		{header + "+++ b/x_test.go\n@@\n-a\n+b\n", "or a test"},
		{header + "+++ b/x.md\n@@\n-a\n+b\n", "no Go source"},
		{header + "+++ b/../x.go\n@@\n-a\n+b\n", "no Go source"},
	}
	for _, tt := range tests {
		m, err := parseMutant("name", tt.text)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q\nis refused with %v, want %s", tt.text, err, tt.err)
			}
		case err != nil:
			t.Errorf("%q\nis refused: %v", tt.text, err)
		case len(m.changes) != 1 || m.changes[0].file != "x.go" || len(m.changes[0].hunks) != 1 || m.breaks != "it":
			t.Errorf("%q\nis %+v", tt.text, m)
		}
	}
	if _, err := parseMutant("Its name", header+diff); err == nil {
		t.Error("a name with blanks passes")
	}
	m, err := parseMutant("name", tests[1].text)
	if err != nil || m.timeout != 7*time.Second || m.survives != "why" || m.tests[0].String() != "A=1 B= go test ./a/b -run '^(A|B)$/c'" {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = parseMutant("name", "also: ./a -run A\nalso: ./b -run B\n"+header+
		"diff --git a/x.go b/x.go\n--- a/x.go\n"+diff+"diff --git a/y.go b/y.go\nindex 1\n--- a/y.go\n+++ b/y.go\n@@\n-c\n+d\n")
	if err != nil || len(m.changes) != 2 || m.changes[1].file != "y.go" || len(m.changes[0].hunks[0].old) != 1 || len(m.also) != 2 || m.also[1].dir != "b" {
		t.Errorf("of two files: %+v, %v", m, err)
	}
}

const before = `package x

func f() {
	a()
	b()

	a()
	c()
}
`

func TestApply(t *testing.T) {
	tests := []struct{ hunks, want, err string }{
		{"@@ -5 +5 @@ func f() {\n-\tb()\n+\td()\n", strings.Replace(before, "b()", "d()", 1), ""},
		{"@@\n \ta()\n-\tc()\n", strings.Replace(before, "\tc()\n", "", 1), ""},
		{"@@\n-\tb()\n+\td()\n\n \ta()\n@@\n \tc()\n+\te()\n", strings.NewReplacer("b()", "d()", "\tc()\n", "\tc()\n\te()\n").Replace(before), ""},
		{"@@\n-\ta()\n", "", "more than once, at 4 and 7:\n\ta()"},
		{"@@\n-a()\n", "", "are not there:\na()"},
		{"@@\n-\tb(\n+\td(\n", "", "are not there"},
		{"@@\n+\td()\n", "", "needs a line of context"},
		{"@@\n \tb()\n", "", "stays as it is"},
		{"@@\n-\tb()\n+\tb(\n", "", "does not parse"},
		{"@@\n-\tb()\n+\tb();\n", "", "not formatted"},
		{"@@\n-\tc()\n+\td()\n@@\n-\tb()\n+\te()\n", "", "hunk 2 begins before"},
	}
	for _, tt := range tests {
		m, err := parseMutant("name", header+"+++ b/x.go\n"+tt.hunks)
		if err != nil {
			t.Fatal(err)
		}
		got, line, err := m.changes[0].apply([]byte(before))
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q is refused with %v, want %s", tt.hunks, err, tt.err)
			}
		case err != nil || string(got) != tt.want:
			t.Errorf("%q makes %v\n%s", tt.hunks, err, got)
		case line != 5 && line != 8:
			t.Errorf("%q is at line %d", tt.hunks, line)
		}
	}
}

func TestTestsThere(t *testing.T) {
	for _, tt := range []struct{ dir, run, err string }{
		{"sum", "^TestOf$", ""},
		{"sum", "Zero|Nothing", ""},
		{"program", "TestProgram/any", ""},
		{"sum", "^Of$", "no test has this name; there are TestOf, TestZero"},
		{"sum", "TestOff/TestOf", "no test has this name"},
		{"program", "TestMain", "no test has this name"},
		{"nowhere", "TestOf", "cannot find package"},
	} {
		err := testCommand{dir: tt.dir, run: tt.run}.check("testdata/module")
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s %s: %v, want %q", tt.dir, tt.run, err, tt.err)
		}
	}
}

func TestSample(t *testing.T) {
	var all []*mutant
	for _, name := range strings.Fields("a b c d e f g h i j") {
		all = append(all, &mutant{name: name})
	}
	all[3].survives = "because"
	drawn := func(chosen string, seed uint64) (names string) {
		s, err := parseSample(chosen)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range s.draw(all, seed) {
			names += m.name
		}
		return names
	}
	if drawn("all", 1) != "abcdefghij" || drawn("0", 1) != "" {
		t.Errorf("all are %s, none are %s", drawn("all", 1), drawn("0", 1))
	}
	if a, b := drawn("4", 1), drawn("4", 2); len(a) != 4 || a == b || a != drawn("4", 1) {
		t.Errorf("4 of seeds 1 and 2: %s, %s", a, b)
	}
	if d := drawn("5m", 1); len(d) != 9 || strings.Contains(d, "d") || drawn("99", 1) != d {
		t.Errorf("as many as there is time for: %s", d)
	}
	for _, wrong := range []string{"most", "-1", "0s", ""} {
		if _, err := parseSample(wrong); err == nil {
			t.Errorf("VIEWRING_MUTANTS=%s passes", wrong)
		}
	}
}
