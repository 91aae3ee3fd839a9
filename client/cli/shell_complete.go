package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// complete says what the word before the cursor may become, for liner.
func (s *shell) complete(line string, cursor int) (head string, words []string, tail string) {
	runes := []rune(line)
	text, tail := string(runes[:cursor]), string(runes[cursor:])
	at := lastWord(text)
	before, more, err := shellWords(text[:at], s.a.env.Getenv)
	if err != nil || more {
		return text, nil, tail
	}
	begun := begunWord(text[at:], s.a.env.Getenv)
	for _, w := range s.offered(withoutName(before), begun) {
		words = append(words, shellQuoted(w))
	}
	if len(words) == 1 && !strings.HasSuffix(words[0], "/") && !strings.HasSuffix(words[0], "=") {
		words[0] += " "
	}
	return text[:at], words, tail
}

// offered asks the command line, in this process, as the completion of other shells does.
func (s *shell) offered(before []string, begun string) (all []string) {
	var out bytes.Buffer
	env := s.a.env
	env.Stdin, env.Stdout, env.Stderr = strings.NewReader(""), &out, io.Discard
	env.StdoutTerminal, env.StderrTerminal, env.Nested = false, false, true
	args := slices.Concat([]string{cobra.ShellCompNoDescRequestCmd}, s.flags, before, []string{begun})
	Main(context.Background(), args, env, s.a.starters) // what it can't complete it does not
	directive := cobra.ShellCompDirectiveNoFileComp
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if number, ok := strings.CutPrefix(line, ":"); ok {
			n, _ := strconv.Atoi(number) // cobra's own
			directive = cobra.ShellCompDirective(n)
			break
		}
		all = append(all, line)
	}
	if len(before) == 0 {
		for _, own := range []string{shellExit} {
			if strings.HasPrefix(own, begun) {
				all = append(all, own)
			}
		}
	}
	if len(before) > 0 && directive&cobra.ShellCompDirectiveNoFileComp == 0 && !strings.HasPrefix(begun, "-") {
		all = append(all, filesLike(begun)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// filesLike are the files whose paths begin so; folders end with a slash.
func filesLike(begun string) (paths []string) {
	dir, name := filepath.Split(begun)
	entries, err := os.ReadDir(filepath.Join(".", dir))
	if filepath.IsAbs(dir) {
		entries, err = os.ReadDir(dir)
	}
	if err != nil {
		return nil // there is nothing to offer
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name) || strings.HasPrefix(e.Name(), ".") && name == "" {
			continue
		}
		path := dir + e.Name()
		if e.IsDir() {
			path += "/"
		}
		paths = append(paths, path)
	}
	return paths
}
