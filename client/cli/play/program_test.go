package play

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWords: what a line says to the engine.
func TestWords(t *testing.T) {
	known := func(name string) bool { return name == "a" || name == "m" || name == "m.p99" }
	for _, tt := range []struct{ text, want, uses string }{
		{"", "", ""},
		{"  # a comment", "", ""},
		{"echo x # a comment", "echo x", ""},
		{"echo $a ${a} $1", "echo ${a} ${a} ${1}", "a a 1"},
		{"echo '$a # it''s'", "echo '$a # it''s'", ""},
		{`echo "$a b # it's"`, "echo ''${a}' b # it''s'", "a"},
		{`echo x"$a"y'z'`, "echo x''${a}y'z'", "a"},
		{`echo 'a'"b" '' ""`, "echo 'ab' '' ''", ""},
		{"echo $m.p99 $m.p50 $a.csv $x.y", "echo ${m.p99} ${m}.p50 ${a}.csv ${x.y}", "m.p99 m a x.y"},
		{"stdout ^a$ $", "stdout ^a'$' '$'", ""},
		{`plot t x y title="a b"`, "plot t x y title='a b'", ""},
		{"! kill $a", "! kill ${a}", "a"},
	} {
		l, err := words(tt.text, known)
		if err != nil || l.text != tt.want || strings.Join(l.uses, " ") != tt.uses {
			t.Errorf("%q: %q, uses %q, %v; want %q, %q", tt.text, l.text, l.uses, err, tt.want, tt.uses)
		}
	}
	for _, text := range []string{"echo 'a", `echo "a`, "echo ${a", "echo ${}", `echo "${a'}"`} {
		if l, err := words(text, known); err == nil {
			t.Errorf("%q is read as %q", text, l.text)
		}
	}
}

// playText plays a script that needs no cluster.
func playText(ctx context.Context, t *testing.T, text string, opts Options) (string, error) {
	t.Helper()
	var out bytes.Buffer
	opts.Out = &out
	opts.Binary = "/bin/echo" // stands for viewring
	_, err := Play(ctx, "x.txt", strings.NewReader(text), opts)
	return out.String(), err
}

// TestLanguage: loops, variables and external commands, as they are played.
func TestLanguage(t *testing.T) {
	const script = `
let sizes 5 7
let sum 0
for n in $sizes 1..3 2..1
  for s in a b
    let sum $sum + $n
  end
end
echo $sum
stdout '^42$'
let half $sum / 4
echo $half-$1
stdout '^10.5-given$'
let rest 7 % 4
let big 1048576 * 1024
echo $rest $big
stdout '^3 1073741824$'
sh 'echo "$sum of $1"; cat'
stdout '^42 of $'
sh printf '%s|' 'a b' "c $sum"
stdout '^a b.c 42.$'
let where sh viewring here
echo $where
stdout '^here$'
sh 'viewring there'
stdout '^there$'
! sh 'exit 3'
? sh 'exit 4'
sh 'sleep 1000 &'
[GOOS:linux] stop
[!GOOS:linux] stop
sh 'exit 5'
`
	out, err := playText(t.Context(), t, script, Options{Env: []string{"1=given"}})
	if err != nil || !strings.Contains(out, "\n> s=b\n") || !strings.Contains(out, "\n  42\n") {
		t.Errorf("%v\n%s", err, out)
	}
	for text, wrong := range map[string]string{
		"for n in 3 4\nsh test $n -lt 4\nend\n":   "x.txt:2: sh test 4 -lt 4: it ended with exit status 1 (with n=4)",
		"let w sh 'echo why; exit 1'":             "x.txt:1: let w sh 'echo why; exit 1': it ended with exit status 1",
		"let n sh 'echo x'\nlet m $n + 1":         `"x" is not a number`,
		"let n sh 'echo x'\ncluster servers $n\n": "usage: cluster",
		"let v sh 'echo t'\nrow $v 1":             "there is no table t",
	} {
		if out, err := playText(t.Context(), t, text, Options{}); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v, want %q\n%s", text, err, wrong, out)
		}
	}
}

// TestInterrupted: when the script is ended, so is an external command, with what it started.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	script := "sh 'mkfifo " + pipe + "'\nsh 'sleep 1000 > " + pipe + " & echo > " + pipe + ".ready; wait'\nsh 'echo not reached'\n"
	ended := make(chan error, 1)
	var out string
	go func() {
		var err error
		out, err = playText(ctx, t, script, Options{})
		ended <- err
	}()
	for { // the end of the pipe at which the sleeping command writes
		if f, err := os.Open(pipe); err == nil {
			cancel()
			if n, err := f.Read(make([]byte, 1)); n != 0 { // returns when nobody has the other end
				t.Errorf("read %d bytes, %v", n, err)
			}
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "interrupted") || strings.Contains(out, "not reached\n  not") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestResults: tables are there as far as a script came, beside the note of how.
func TestResults(t *testing.T) {
	t.Chdir(t.TempDir())
	const script = "# What it shows.\n# And more.\n\n# Not this.\ntable squares n square title='Squares of numbers'\nfor n in 1..3\nlet square $n * $n\nrow squares $n $square\nend\nplot squares n square kind=bar\nsh 'test -e $OUT/squares.csv && test $n = 3'\nsh 'exit $n'\nrow squares 4 16\n"
	out, err := playText(t.Context(), t, script, Options{})
	if err == nil || !strings.Contains(err.Error(), "x.txt:12") || !strings.Contains(out, "results are in results/x\n") {
		t.Errorf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{
		"squares.csv": "n,square\n1,1\n2,4\n3,9\n", "squares.md": "|   3 |      9 |", "squares.svg": "<svg", "squares.png": "PNG", "run.json": `"about": "What it shows.\nAnd more."`,
	} {
		if b, err := os.ReadFile(filepath.Join("results/x", name)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, %.200q, want %q", name, err, b, want)
		}
	}
	if out, err := playText(t.Context(), t, "table t a\nrow t 1\n", Options{}); err != nil || !strings.Contains(out, "results are in results/x-2\n") {
		t.Errorf("again: %v\n%s", err, out)
	}
	if out, err := playText(t.Context(), t, "table t a\nrow t 1\n", Options{OutDir: "a/b"}); err != nil || !strings.Contains(out, "results are in a/b\n") {
		t.Errorf("elsewhere: %v\n%s", err, out)
	}
	if _, err := playText(t.Context(), t, "echo nothing\n", Options{}); err != nil {
		t.Error(err)
	}
	if found, err := filepath.Glob("*/*"); err != nil || len(found) != 3 {
		t.Errorf("there is %q, %v", found, err)
	}
}

// TestGiven: a default gives way to what is set, rows come from commands, groups have their figures,
// and a line goes on in the next.
func TestGiven(t *testing.T) {
	out := t.TempDir()
	const script = `table trials n took
default n 1
default rows 'n,took\n1,30\n1,10\n'
default n 5
rows trials sh "printf '$rows'"
rows trials sh 'echo $n,7; \
  echo 3,'
table sums n count took_median took_min took_max took_mean took_sum
group sums trials
`
	for set, want := range map[string]string{
		"":    "n,count,took_median,took_min,took_max,took_mean,took_sum\n1,3,10,7,30,15.667,47\n3,1,,,,,\n",
		"n=2": "n,count,took_median,took_min,took_max,took_mean,took_sum\n1,2,20,10,30,20,40\n2,1,7,7,7,7,7\n3,1,,,,,\n",
	} {
		opts := Options{OutDir: out}
		if set != "" {
			opts.Env = []string{set}
		}
		if said, err := playText(t.Context(), t, script, opts); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if got, err := os.ReadFile(filepath.Join(out, "sums.csv")); err != nil || string(got) != want {
			t.Errorf("with %q: %q, want %q, %v", set, got, want, err)
		}
	}
	const begin = "table a n x\ntable b n x_median\n"
	for script, wrong := range map[string]string{
		begin + "group b c\n":                            "no table c",
		begin + "group a b\n":                            "column x is neither count nor",
		begin + "table c m x_max\ngroup c a\n":           "come together by m",
		begin + "rows a\n":                               "usage",
		begin + "rows d sh echo\n":                       "no table d",
		begin + "rows a sh nosuchprogram x\n":            "no program",
		"default 1n x\n":                                 "is no name",
		begin + "rows a sh 'echo 1'\n":                   "1 values for 2 columns",
		begin + "rows a sh 'echo 1,\\\"'\n":              "not CSV",
		begin + "row a 1 x\ngroup b a\n":                 `"x" is not a number`,
		"table a n x\nrow a 1 2\ntable b n y\ngroup b a": "column y",
	} {
		if _, err := playText(t.Context(), t, script, Options{OutDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v, want %q", script, err, wrong)
		}
	}
}
