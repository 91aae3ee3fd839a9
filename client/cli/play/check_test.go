package play

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rsc.io/script"
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
		{begin + "setr 'a\n", "unterminated"},
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
}

// TestAllChecked: every verb of this package looks at its arguments before the script is played.
func TestAllChecked(t *testing.T) {
	checks, engines := (&checker{}).checks(), script.DefaultCmds()
	for name := range (&Player{}).verbs() {
		if engines[name] == nil && checks[name] == nil {
			t.Errorf("nobody checks the arguments of %s", name)
		}
	}
}
