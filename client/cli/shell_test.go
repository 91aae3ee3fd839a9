package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestShellWords(t *testing.T) {
	getenv := func(name string) string { return map[string]string{"NAME": "two words", "P": "*"}[name] }
	for _, tt := range []struct {
		line string
		want []string
		more bool
		err  string
	}{
		{line: "setr a b", want: []string{"setr", "a", "b"}},
		{line: "  setr\t'a b'  \"c d\" e\\ f # a comment", want: []string{"setr", "a b", "c d", "e f"}},
		{line: `setr k 'it'\''s' "$NAME" x$NAME`, want: []string{"setr", "k", "it's", "two words", "xtwo words"}},
		{line: `setr k '$NAME' "\$NAME" \$NAME`, want: []string{"setr", "k", "$NAME", "$NAME", "$NAME"}},
		{line: `setr {tag}x {a,b} $P * "" a#b --x=y`, want: []string{"setr", "{tag}x", "{a,b}", "*", "*", "", "a#b", "--x=y"}},
		{line: "# nothing", want: nil},
		{line: "", want: nil},
		{line: "setr k 'one\ntwo'", want: []string{"setr", "k", "one\ntwo"}},
		{line: "setr k \\\nv", want: []string{"setr", "k", "v"}},
		{line: "setr k 'one", more: true},
		{line: `setr k "one`, more: true},
		{line: `setr k \`, more: true},
		{line: `setr k \\`, want: []string{"setr", "k", `\`}},
		{line: "setr k $NOTSET", err: "NOTSET"},
		{line: "setr k $(date)", err: "command substitution"},
		{line: `setr k "a\nb\\" ${NAME}`, want: []string{"setr", "k", `a\nb\`, "two words"}},
		{line: "setr k ${NAME:-x}", err: "alone"},
		{line: "setr k $1", err: "alone"},
		{line: "setr k v | cat", err: "not a valid word"},
		{line: "setr k v; setr k w", err: "not a valid word"},
	} {
		words, more, err := shellWords(tt.line, getenv)
		if !slices.Equal(words, tt.want) && tt.err == "" || more != tt.more || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, more %v, %v", tt.line, words, more, err)
		}
	}
	for _, word := range []string{"plain", "two words", "it's", "$x", "*", "a\nb", "{tag}", "#", `\`, "", "\x01"} {
		if got, more, err := shellWords(shellQuoted(word), getenv); err != nil || more || len(got) != 1 || got[0] != word {
			t.Errorf("%q is typed as %s, which is %q, %v", word, shellQuoted(word), got, err)
		}
	}
}

func TestShellLastWord(t *testing.T) {
	for line, want := range map[string]string{"": "", "get": "get", "getr ": "", "getr 'a b": "'a b", `getr a\ b`: `a\ b`, `getr "a'b`: `"a'b`, "getr 'x' y": "y"} {
		if got := line[lastWord(line):]; got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := begunWord(`'a b`, os.Getenv); got != "a b" {
		t.Error(got)
	}
}

// TestShellCompletes: commands, flags, files and quotes, without a cluster.
func TestShellCompletes(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile(filepath.Join(dir, "two words.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := &shell{a: &app{env: Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}}}
	for _, tt := range []struct{ line, want, tail string }{
		{"undr", "undrain ", ""}, {"viewring undr", "undrain ", ""}, {"exi", "exit ", ""}, {"meta crea", "create ", ""}, {"setr --if-abs", "--if-absent ", ""},
		{"run two", "'two words.txt' ", ""}, {"run 'two w", "'two words.txt' ", ""}, {"undr x", "undrain ", " x"},
	} {
		cursor := len([]rune(tt.line)) - len(tt.tail)
		head, words, tail := s.complete(tt.line, cursor)
		if len(words) != 1 || words[0] != tt.want || tail != tt.tail || head+tt.want == "" {
			t.Errorf("%q: %q %q %q", tt.line, head, words, tail)
		}
	}
	if out.Len() > 0 {
		t.Errorf("printed: %s", out.String())
	}
}
