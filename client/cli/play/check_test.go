package play

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestCheck: a script that is wrong somewhere is not begun, and each wrong line is told.
func TestCheck(t *testing.T) {
	opts := Options{Commands: []string{"setr", "locks"}, Env: []string{"N=4"}, Check: func(args []string) error {
		if len(args) > 3 {
			return fmt.Errorf("unexpected argument %q", args[3])
		}
		return nil
	}}
	const begin = "cluster servers 3\n"
	for _, tt := range []struct{ script, wrong string }{
		{"# nothing\n\n", ""},
		{"cluster servers $N --fast\nkill s4\n", ""},
		{begin + "join 2\nkill s5 s1 leader\nrestart all\nwait s5 up\n", ""},
		{begin + "workload start 50\nworkload 10\nworkload stop\nexpect failed 0\nexpect lost 0\nexpect copies 3\nexpect delta s2 10\n", ""},
		{begin + "traffic start 100 plain\noutage s1\ntraffic round\ntraffic stop\nexpect stall 5\n", ""},
		{begin + "load start $N\nload 50%\nload finish\nsummary\n", ""},
		{begin + "! setr a b c d\nexits 2 setr a b c d\nexits 1 setr a b\n? locks x y z z\n[GOOS:linux] ! setr a b c d\n", ""},
		{begin + "env M=3\nexpect copies $M\nstdout 'a.*b'\nwait\n", ""},

		{"kill s1\n", "no cluster yet"},
		{"cluster 3\n", "usage"},
		{"cluster servers 99\n", "at most 32"},
		{begin + begin, "a cluster already"},
		{begin + "frobnicate\n", "frobnicate"},
		{begin + "kill s4\n", `no server is named "s4"`},
		{begin + "kill\n", "usage"},
		{begin + "leave s1 s2\n", "usage"},
		{begin + "join 0\n", `"0" is not a number`},
		{begin + "fill many\n", `"many" is not a number`},
		{begin + "wait s1 donw\n", `"donw"`},
		{begin + "wait blanced\n", "usage"},
		{begin + "workload stop\n", "does not run"},
		{begin + "workload start\nworkload start\n", "runs already"},
		{begin + "traffic start\ntraffic start\n", "runs already"},
		{begin + "traffic start\ntraffic stop now\n", "usage"},
		{begin + "load 50%\n", "does not run"},
		{begin + "outage s1\n", "start it first"},
		{begin + "expect happiness 1\n", `"happiness" can't be expected`},
		{begin + "expect copies none\n", `"none" is not a number`},
		{begin + "expect stall 5\n", "there was none"},
		{begin + "summary\n", "a summary needs"},
		{begin + "setr a b c d\n", `unexpected argument "c"`},
		{begin + "exits 1 setr a b c d\n", "unexpected argument"},
		{begin + "exits one setr a b\n", "not an exit code"},
		{begin + "stdout '('\n", "missing closing )"},
		{begin + "for i in 1..2\nkill s$i\nend\nlet n 3\nlet n $n - 1\nkill s$n\n", ""},
		{"for n in 1 2\nfor m in a 3..4\ncluster servers $n\ndestroy forget\nend\nend\n", ""},
		{"let x sh 'echo 3'\nlet y $x + 1\ncluster servers $y\nkill s$y\nfor i in 1..$y\njoin $i\nend\nexpect copies $y\nexits $y getr a b c d\n", ""},
		{begin + "traffic start\noutage s1\nsetr down $outage.down\n", ""},
		{"table t a b title=\"a table\"\nrow t 1 '2 3'\nplot t a b title='x y' kind=bar log=y\n", ""},
		{"sh 'anything | goes'\nsh viewring version\n! sh false x\necho \"it's $OUT.txt\" '$nothing' a$\n", ""},

		{"for i in 1 2\necho\n", "x.txt:1: the loop has no end"},
		{"echo\nend\n", "x.txt:2: there is no loop"},
		{"for i 1 2\nend\n", "usage: for NAME in VALUE…"},
		{"for 1 in 1 2\nend\n", "is no name"},
		{"for i in 1..99999999\nend\n", "more than"},
		{"for i in 1..9999\nfor j in 1..9999\nend\nend\n", "steps"},
		{"? for i in 1\nend\n", "begin a line"},
		{"end of it\n", "usage: end"},
		{begin + "for i in 3 4\nkill s$i\nend\n", `x.txt:3: kill s4: no server is named "s4" here: they are s1 to s3 (with i=4)`},
		{"echo $nothing\n", "there is no variable nothing"},
		{"echo ${nothing.p99}\n", "there is no variable nothing.p99"},
		{"echo ${nothing\n", "not closed"},
		{"let x\n", "usage: let"},
		{"let 1x 2\n", "is no name"},
		{"let x a + 1\n", `"a" is not a number`},
		{"let x 1 / 0\n", "no result"},
		{"let x 1 + 2 + 3\n", "one operator"},
		{"let x sh no-such-program a\n", "no program"},
		{"sh\n", "usage: sh"},
		{"row t 1\n", "no table t"},
		{"table t a b\nrow t 1\n", "1 values, table t has 2 columns: a b"},
		{"table t a b\ntable t a b\n", "already"},
		{"table t a a\n", "each is there once"},
		{"table ../t a\n", "name"},
		{"table t a b\nplot t a c\n", `no column "c"`},
		{"table t a b\nplot t a b kind=pie\n", "kind"},
		{"table t a b\nplot t a b colour=red\n", "colour"},
		{"sleep 10ms &\nsleep 1s\nexec true\nwait\n", ""},
		{"sleep a while\n", "usage: sleep"},
		{"sleep soon\n", "no duration"},
		{begin + "destroy everything\n", "usage: destroy"},
		{begin + "setr 'a\n", "a quote is not closed"},
	} {
		err := Check(t.Context(), "x.txt", []byte(tt.script), opts)
		if tt.wrong == "" && err != nil || tt.wrong != "" && (!errors.Is(err, ErrScript) || !strings.Contains(err.Error(), tt.wrong)) {
			t.Errorf("%q: %v, want %q", tt.script, err, tt.wrong)
		}
	}
	err := Check(t.Context(), "x.txt", []byte(begin+"frob\n\nkill s9"), opts)
	if err == nil || !strings.Contains(err.Error(), "x.txt:2: frob") || !strings.Contains(err.Error(), "x.txt:4: kill s9") {
		t.Errorf("two wrong lines: %v", err)
	}
	err = Check(t.Context(), "x.txt", []byte("let a $b\nlet c $a + 1\nfor i in 1..3\nkill s1 $c\nend\nfor\n"), opts)
	if err == nil || strings.Count(err.Error(), "x.txt:") != 3 {
		t.Errorf("three wrong lines, each told once, and none for another's sake: %v", err)
	}
}

// TestVocabulary: every verb of this package is checked and played, and its example can be.
func TestVocabulary(t *testing.T) {
	for name, v := range allVerbs() {
		if v.check == nil || v.do == nil || v.summary == "" || Help(name, 80) == "" {
			t.Errorf("%s lacks something: %+v", name, v)
		}
		if !strings.Contains("\n"+v.example, "\n"+name) && !strings.Contains(v.example, "\n  "+name) {
			t.Errorf("the example of %s has none: %q", name, v.example)
		}
		if err := Check(t.Context(), name, []byte(v.example), Options{Commands: []string{"setr", "getr"}}); err != nil {
			t.Errorf("the example of %s: %v", name, err)
		}
	}
}

// TestPage: the page about scripts names every verb.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := os.ReadFile("../../../scripts/README.md") // verbs that experiments are about
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if !strings.Contains(string(page)+string(more), "`"+name+"`") {
			t.Errorf("client/cli/play/README.md says nothing of %s", name)
		}
	}
}
