package mutants

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	suffix         = ".mutant"
	timeoutDefault = 2 * time.Minute
)

// mutant is a fault, as its file describes it.
type mutant struct {
	name     string
	breaks   string
	survives string        // why it is harmless; "" when it is not
	tests    []testCommand // one of them catches it
	also     []testCommand // each of these does, too
	timeout  time.Duration // of each test command
	changes  []change
}

// change is what it does to a file.
type change struct {
	file  string // from the module's root, with slashes
	hunks []hunk
}

// hunk replaces lines that stand together.
type hunk struct{ old, new []string }

// load reads all mutants below a folder, by name.
func load(dir string) ([]*mutant, error) {
	var all []*mutant
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, ok := strings.CutSuffix(d.Name(), suffix)
		if !ok {
			return fmt.Errorf("%s is no %s", file, suffix)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		m, err := parseMutant(name, string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, m)
		return nil
	})
	slices.SortFunc(all, func(a, b *mutant) int { return strings.Compare(a.name, b.name) })
	return all, err
}

var plainName = regexp.MustCompile(`^[a-z0-9-]+$`)

func parseMutant(name, text string) (*mutant, error) {
	if !plainName.MatchString(name) {
		return nil, errors.New("its name is none of small letters, digits and hyphens")
	}
	header, diff, ok := strings.Cut(text, "\n\n")
	if !ok {
		return nil, errors.New("no empty line between header and diff")
	}
	m := &mutant{name: name, timeout: timeoutDefault}
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if err := m.set(key, strings.TrimSpace(value)); err != nil {
			return nil, err
		}
	}
	if m.breaks == "" || len(m.tests) == 0 {
		return nil, errors.New("the header must say what it breaks, and name a test")
	}
	if err := m.parseDiff(diff); err != nil {
		return nil, err
	}
	return m, nil
}

// set takes a line of the header.
func (m *mutant) set(key, value string) (err error) {
	once := func(s *string) {
		if *s != "" || value == "" {
			err = fmt.Errorf("%q is empty, or given twice", key)
		}
		*s = value
	}
	switch key {
	case "breaks":
		once(&m.breaks)
	case "survives":
		once(&m.survives)
	case "timeout":
		if m.timeout, err = time.ParseDuration(value); err == nil && m.timeout <= 0 {
			err = fmt.Errorf("a timeout of %v", m.timeout)
		}
	case "test":
		var c testCommand
		c, err = parseTest(value)
		m.tests = append(m.tests, c)
	case "also":
		var c testCommand
		c, err = parseTest(value)
		m.also = append(m.also, c)
	default:
		err = fmt.Errorf("header %q is none of breaks, test, also, timeout and survives", key)
	}
	return err
}

// parseDiff reads a unified diff.
func (m *mutant) parseDiff(diff string) error {
	var c *change     // none before its first line
	aboutFile := true // git says something of the next one
	for line := range strings.Lines(strings.TrimRight(diff, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if file, ok := strings.CutPrefix(line, "+++ b/"); ok {
			m.changes = append(m.changes, change{file: strings.TrimSpace(file)})
			c, aboutFile = &m.changes[len(m.changes)-1], false
			continue
		}
		if aboutFile = aboutFile || strings.HasPrefix(line, "diff --git "); aboutFile {
			continue
		}
		if strings.HasPrefix(line, "@@") {
			c.hunks = append(c.hunks, hunk{})
			continue
		}
		if len(c.hunks) == 0 {
			return fmt.Errorf("%q stands before the first @@", line)
		}
		h := &c.hunks[len(c.hunks)-1]
		switch sign, rest := (line + " ")[0], line[min(1, len(line)):]; sign {
		case ' ': // or an empty line, of which an editor took the blank
			h.old, h.new = append(h.old, rest), append(h.new, rest)
		case '-':
			h.old = append(h.old, rest)
		case '+':
			h.new = append(h.new, rest)
		default:
			return fmt.Errorf("%q begins with none of blank, - and +", line)
		}
	}
	if c == nil {
		return errors.New(`the diff has no line "+++ b/FILE"`)
	}
	return m.checkFiles()
}

func (m *mutant) checkFiles() error {
	seen := make(map[string]bool)
	for _, c := range m.changes {
		switch {
		case len(c.hunks) == 0:
			return fmt.Errorf(`the diff of %s has no "@@"`, c.file)
		case path.Ext(c.file) != ".go" || strings.HasSuffix(c.file, "_test.go") || !filepath.IsLocal(c.file):
			return fmt.Errorf("it changes %q, which is no Go source of the module, or a test", c.file)
		case seen[c.file]:
			return fmt.Errorf("the diff of %s is in two parts", c.file)
		}
		seen[c.file] = true
	}
	return nil
}

// apply returns the texts, by file, with the fault in them, of the module at root, and
// where it begins, file:line.
func (m *mutant) apply(root string) (mutated map[string][]byte, place string, err error) {
	mutated = make(map[string][]byte)
	for _, c := range m.changes {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(c.file)))
		if err != nil {
			return nil, "", err
		}
		after, line, err := c.apply(text)
		if err != nil {
			return nil, "", err
		}
		mutated[c.file] = after
		if place == "" {
			place = fmt.Sprintf("%s:%d", c.file, line)
		}
	}
	return mutated, place, nil
}

// apply returns the file's text after the change, and the line where that begins.
func (c *change) apply(text []byte) (mutated []byte, line int, err error) {
	lines := strings.Split(string(text), "\n")
	var out []string
	next := 0 // first line that is not in out
	for i, h := range c.hunks {
		at, err := find(lines, h.old)
		if err != nil {
			return nil, 0, fmt.Errorf("%s, hunk %d: %w", c.file, i+1, err)
		}
		if at < next {
			return nil, 0, fmt.Errorf("%s: hunk %d begins before the end of the one before", c.file, i+1)
		}
		if i == 0 {
			line = at + 1 + common(h.old, h.new)
		}
		out = append(append(out, lines[next:at]...), h.new...)
		next = at + len(h.old)
	}
	mutated = []byte(strings.Join(append(out, lines[next:]...), "\n"))
	if bytes.Equal(mutated, text) {
		return nil, 0, fmt.Errorf("%s stays as it is", c.file)
	}
	switch formatted, err := format.Source(mutated); {
	case err != nil:
		return nil, 0, fmt.Errorf("%s does not parse any more: %w", c.file, err)
	case !bytes.Equal(formatted, mutated):
		return nil, 0, fmt.Errorf("%s is not formatted any more", c.file)
	}
	return mutated, line, nil
}

// find returns the one place of a run of lines.
func find(lines, run []string) (at int, err error) {
	if len(run) == 0 {
		return 0, errors.New("nothing says where: an addition needs a line of context")
	}
	at = -1
	for i := range len(lines) - len(run) + 1 {
		if !slices.Equal(lines[i:i+len(run)], run) {
			continue
		}
		if at >= 0 {
			return 0, fmt.Errorf("the lines before the change stand there more than once, at %d and %d:\n%s", at+1, i+1, strings.Join(run, "\n"))
		}
		at = i
	}
	if at < 0 {
		return 0, fmt.Errorf("the lines before the change are not there:\n%s", strings.Join(run, "\n"))
	}
	return at, nil
}

// common is how many lines are the same at the beginning of both.
func common(a, b []string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
