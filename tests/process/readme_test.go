package process

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"viewring/tests/harness"
)

const root = "../.."

// block is a fenced block of a page.
type block struct {
	language string
	lines    []string
}

// readme is a page for users, a README.md.
type readme struct {
	path   string // from the root
	text   string
	blocks []block
}

// readmes returns all pages for users, in order of path.
func readmes(t *testing.T) (pages []readme) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return fs.SkipDir
		}
		if d.Name() != "README.md" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		pages = append(pages, readme{name, string(text), blocks(string(text))})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func blocks(text string) (found []block) {
	open := false
	for line := range strings.SplitSeq(text, "\n") {
		language, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !open:
			found = append(found, block{language: language})
			open = true
		case isFence:
			open = false
		case open:
			last := &found[len(found)-1]
			last.lines = append(last.lines, line)
		}
	}
	return found
}

// Every command in the console blocks of the pages says what its page says it does;
// "…" there stands for anything. One cluster serves all pages; each has a folder of its
// own. A Go block that begins with "// NAME" is that file, and a script one that begins with "# NAME:".
func TestReadme(t *testing.T) {
	t.Parallel()
	s, _ := harness.Up(t)
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(module, filepath.Join(s.Dir, "viewring")); err != nil {
		t.Fatal(err)
	}
	commands := map[string]int{}
	pages := readmes(t)
	if !harness.IsSlow() {
		pages = slices.DeleteFunc(pages, func(p readme) bool { return p.path != "README.md" })
	}
	for i, page := range pages {
		shell := *s
		shell.Dir = filepath.Join(s.Dir, string(rune('a'+i)))
		if err := os.Mkdir(shell.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, b := range page.blocks {
			commands[page.path] += runBlock(t, &shell, page.path, b)
		}
	}
	for path, least := range map[string]int{
		"README.md": 4, "client/README.md": 3, "client/cli/README.md": 20, "server/README.md": 3, "viewleader/README.md": 1, "scripts/README.md": 5,
	} {
		if _, played := commands[path]; (played || harness.IsSlow()) && commands[path] < least {
			t.Errorf("only %d commands of %s were run", commands[path], path)
		}
	}
}

// runBlock runs the commands of a console block and returns how many there are, or
// writes the file that a Go block is.
func runBlock(t *testing.T, s *harness.Shell, page string, b block) (commands int) {
	t.Helper()
	text := strings.Join(b.lines, "\n")
	if b.language == "go" {
		if name, ok := strings.CutPrefix(b.lines[0], "// "); ok {
			if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return 0
	}
	if b.language == "script" { // # NAME: what it shows
		name, _, _ := strings.Cut(strings.TrimPrefix(b.lines[0], "# "), ":")
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return 0
	}
	if b.language != "console" {
		return 0
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(text, "$ "), "\n$ ") {
		command, want, _ := strings.Cut(step, "\n")
		commands++
		r := s.Finish(exec.Command("sh", "-c", "exec 2>&1; "+command), "")
		want = strings.ReplaceAll(want, "1024 partitions", fmt.Sprint(harness.Partitions(), " partitions"))
		if got := strings.TrimSpace(r.Stdout); !like(got, want) {
			t.Errorf("%s:\n$ %s\n%s\nwant\n%s", page, command, got, want)
		}
	}
	return commands
}

// like compares output with a pattern, blanks aside.
func like(got, want string) bool {
	want = strings.Join(strings.Fields(want), " ")
	pattern := regexp.MustCompile(" ?… ?").ReplaceAllString(regexp.QuoteMeta(want), "(?s:.*)")
	return regexp.MustCompile("^" + pattern + "$").MatchString(strings.Join(strings.Fields(got), " "))
}

// What the pages show of Go beside the programs that TestReadme runs is lines of those.
func TestReadmeGo(t *testing.T) {
	t.Parallel()
	program, shown := map[string]bool{}, map[string]string{}
	for _, page := range readmes(t) {
		for _, b := range page.blocks {
			if b.language != "go" {
				continue
			}
			isProgram := strings.HasPrefix(b.lines[0], "// ")
			for _, line := range b.lines {
				if line = strings.TrimSpace(line); isProgram {
					program[line] = true
				} else {
					shown[line] = page.path
				}
			}
		}
	}
	for line, path := range shown {
		if !program[line] {
			t.Errorf("%s: no program has the line %s", path, line)
		}
	}
	if len(program) == 0 {
		t.Error("no program was found")
	}
}

// What the pages show without running it, in sh blocks and in the text, are commands and
// flags that there are.
func TestReadmeCommandsExist(t *testing.T) {
	t.Parallel()
	h := helps{harness.NewShell(t, ""), map[string]string{}}
	all := ""
	for _, command := range append(h.commands(t), "bulk load", "bulk verify", "viewleaders add", "viewleaders remove",
		"meta create", "meta set", "meta list", "meta remove", "file put", "file cat", "file sync", "file verify", "file stat", "record create", "record append", "record tail", "record readers") {
		all += h.of(command)
	}
	flag := regexp.MustCompile("`(--[a-z0-9-]+)")
	shown := 0
	for _, page := range readmes(t) {
		for _, m := range flag.FindAllStringSubmatch(page.text, -1) {
			if !hasFlag(all, m[1]) {
				t.Errorf("%s: no command has a flag %s", page.path, m[1])
			}
		}
		for _, line := range page.shown() {
			if args := commandLine(line); args != nil {
				h.check(t, page.path+": "+line, args)
				shown++
			}
		}
	}
	if shown < 20 {
		t.Errorf("only %d commands were found", shown)
	}
}

// shown is the lines of the sh blocks; one that ends in a backslash goes on.
func (r readme) shown() (lines []string) {
	for _, b := range r.blocks {
		if b.language == "sh" {
			lines = append(lines, strings.Split(strings.ReplaceAll(strings.Join(b.lines, "\n"), "\\\n", " "), "\n")...)
		}
	}
	return lines
}

// commandLine returns what a line tells viewring to do, or nil.
func commandLine(line string) []string {
	line, _, _ = strings.Cut(line, " #")
	line, ok := strings.CutPrefix(strings.Replace(line, "go run . ", "viewring ", 1), "viewring ")
	if !ok {
		return nil
	}
	args := strings.Fields(line)
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return args
}

// helps is what commands say of themselves.
type helps struct {
	shell *harness.Shell
	told  map[string]string // by command
}

func (h helps) of(command string) string {
	if _, ok := h.told[command]; !ok {
		h.told[command] = h.shell.Run("", append(strings.Fields(command), "--help")...).Stdout
	}
	return h.told[command]
}

// commands are those that viewring lists.
func (h helps) commands(t *testing.T) (names []string) {
	t.Helper()
	text, _, _ := strings.Cut(h.shell.OK("help"), "\nFlags:")
	_, text, _ = strings.Cut(text, "\nRun a cluster:")
	for _, m := range regexp.MustCompile(`(?m)^  (\S+) `).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	if len(names) < 25 {
		t.Fatalf("only %d commands in\n%s", len(names), text)
	}
	return names
}

func hasFlag(help, flag string) bool { return strings.Contains(help, " "+flag+" ") }

// check wants a command line's command and flags to be there.
func (h helps) check(t *testing.T, at string, args []string) {
	t.Helper()
	command := args[0]
	if len(args) > 1 && slices.Contains([]string{"bulk", "viewleaders"}, args[0]) {
		command += " " + args[1]
	}
	help := h.of(command)
	if !strings.Contains(help, "\n  viewring "+command+" ") {
		t.Errorf("%s: there is no command %q", at, command)
	}
	for _, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(flag, "--") && !hasFlag(help, flag) {
			t.Errorf("%s: %s has no flag %s", at, command, flag)
		}
	}
}

// The page of the command line begins with a list of all commands.
func TestReadmeListsCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "client/cli/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := strings.Cut(string(text), "\n## ")
	for _, name := range (helps{shell: harness.NewShell(t, "")}).commands(t) {
		if !strings.Contains(list, "`"+name+"`") {
			t.Errorf("%s is not listed", name)
		}
	}
}
