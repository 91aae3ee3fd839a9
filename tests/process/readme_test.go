package process

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// Every command in the README's console blocks says what the README says it
// does; "…" there stands for anything.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := harness.Up(t)
	commands := 0
	for block := range strings.SplitSeq(string(text), "```console\n") {
		block, _, ok := strings.Cut(block, "```")
		if !ok || !strings.HasPrefix(block, "$ ") {
			continue
		}
		for _, step := range strings.Split(strings.TrimPrefix(block, "$ "), "\n$ ") {
			command, want, _ := strings.Cut(strings.TrimSuffix(step, "\n"), "\n")
			commands++
			r := s.Finish(exec.Command("sh", "-c", "exec 2>&1; "+command), "")
			if got := strings.TrimSpace(r.Stdout); !like(got, want) {
				t.Errorf("$ %s\n%s\nwant\n%s", command, got, want)
			}
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands were found", commands)
	}
}

// like compares output with a pattern, blanks aside.
func like(got, want string) bool {
	want = strings.Join(strings.Fields(want), " ")
	pattern := regexp.MustCompile(" ?… ?").ReplaceAllString(regexp.QuoteMeta(want), "(?s:.*)")
	return regexp.MustCompile("^" + pattern + "$").MatchString(strings.Join(strings.Fields(got), " "))
}
