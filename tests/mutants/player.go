package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// buildMax is how long the build of a test may take, beside its own timeout. It is
	// for a machine that has never built any of it.
	buildMax = 5 * time.Minute
	// pipeMax is how long a process that was left behind may hold an output open.
	pipeMax   = 5 * time.Second
	tailLines = 15
)

// player plays the mutants of a module, one at a time.
type player struct {
	root    string           // of the module
	dir     string           // for what it writes
	goflags string           // the caller's
	clean   map[string]error // by test command: nil when its tests pass without a mutant
}

// newPlayer returns a player of the module at root; dir is its own, for the caller to
// remove.
func newPlayer(root, dir string) (*player, error) {
	cmd := exec.Command("go", "env", "GOFLAGS") // those that are kept in a file too
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	return &player{root: root, dir: dir, goflags: strings.TrimSpace(string(out)), clean: make(map[string]error)}, nil
}

// verdict is what came of a mutant.
type verdict struct {
	place  string // file:line
	caught string // by which test; "" when it survived
	said   string // by that test
	took   time.Duration
	err    error // what is wrong with the mutant or its tests, or ended the play
}

// wrong is what a mutant's author has to know: nil when it did as expected.
func (m *mutant) wrong(v verdict) error {
	switch {
	case v.err != nil:
		return v.err
	case v.caught == "" && m.survives == "":
		return fmt.Errorf("%s: survived, no test saw it: %s", v.place, m.breaks)
	case v.caught != "" && m.survives != "":
		return fmt.Errorf("%s: %s caught it, and it should survive: %s", v.place, v.caught, m.survives)
	}
	return nil
}

// play runs a mutant's tests on it until one catches it.
func (p *player) play(ctx context.Context, m *mutant) (v verdict) {
	began := time.Now()
	mutated, place, err := m.apply(p.root)
	if err != nil {
		return verdict{err: err}
	}
	v.place = place
	overlay, err := p.write(m, mutated)
	for _, c := range m.changes {
		if err == nil {
			err = p.compile(ctx, path.Dir(c.file), overlay)
		}
	}
	if err != nil {
		v.err = err
		return v
	}
	for _, c := range m.tests {
		var r result
		r, v.err = p.catches(ctx, c, m.timeout, overlay)
		v.took = time.Since(began)
		if r.failed != "" {
			v.caught, v.said = path.Base(c.dir)+": "+r.failed, r.said
		}
		if v.err != nil {
			return v
		}
		if v.caught != "" {
			break
		}
	}
	for _, c := range m.also {
		r, err := p.catches(ctx, c, m.timeout, overlay)
		v.took = time.Since(began)
		if err == nil && r.failed == "" {
			err = fmt.Errorf("%s: %v does not see it: %s", v.place, c, m.breaks)
		}
		if err != nil {
			v.err = err
			return v
		}
	}
	return v
}

// catches runs tests on a mutant; none may fail in the result if it would without.
func (p *player) catches(ctx context.Context, c testCommand, timeout time.Duration, overlay string) (result, error) {
	r, err := p.test(ctx, c, timeout, overlay)
	if err == nil && r.failed != "" {
		err = p.passes(ctx, c, timeout)
	}
	return r, err
}

// write makes an overlay (go help build) that has the mutated texts in place of files.
func (p *player) write(m *mutant, mutated map[string][]byte) (overlay string, err error) {
	dir := filepath.Join(p.dir, m.name)
	replace := make(map[string]string)
	for file, text := range mutated {
		local := filepath.FromSlash(file)
		replacement := filepath.Join(dir, local)
		if err := os.MkdirAll(filepath.Dir(replacement), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(replacement, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(p.root, local)] = replacement
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// compile reports a package that does not compile with a mutant. Tests that build a
// program would fail because of it.
func (p *player) compile(ctx context.Context, dir, overlay string) error {
	cmd, done := p.command(ctx, overlay, nil, dir, buildMax, "build", "-o", os.DevNull, ".")
	defer done()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("it does not compile: %w\n%s", err, out)
	}
	return nil
}

// passes reports tests that do not pass without a mutant: what they say about one
// counts for nothing.
func (p *player) passes(ctx context.Context, c testCommand, timeout time.Duration) error {
	key := c.String()
	err, known := p.clean[key]
	if !known {
		var r result
		r, err = p.test(ctx, c, timeout, "")
		if err == nil && r.failed != "" {
			err = fmt.Errorf("%v: %s fails without the mutant too:\n%s", c, r.failed, r.tail)
		}
		if ctx.Err() == nil {
			p.clean[key] = err
		}
	}
	return err
}

// result is what came of a test command.
type result struct {
	failed string // the first test that did; "" when all passed
	said   string // what seems to be why
	tail   string // the end of the output
}

// test runs tests; overlay is "" without a mutant. An error says that there is no
// result: the tests do not compile, or none ran.
func (p *player) test(ctx context.Context, c testCommand, timeout time.Duration, overlay string) (result, error) {
	cmd, done := p.command(ctx, overlay, c.env, c.dir, buildMax+timeout,
		"test", "-json", "-vet=off", "-count=1", "-timeout="+timeout.String(), "-run="+c.run, ".")
	defer done()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	failure := cmd.Run()
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	log := readLog(out.Bytes())
	var exit *exec.ExitError
	switch {
	case log.noBuild:
		return result{}, fmt.Errorf("%v: does not compile:\n%s%s", c, log.tail(), errs.String())
	case failure == nil && log.passed == 0:
		return result{}, fmt.Errorf("%v: no test ran:\n%s", c, log.tail())
	case failure == nil:
		return result{}, nil
	case log.failed != "":
		return result{log.failed, log.said(), log.tail()}, nil
	case len(log.running) > 0:
		return result{log.running[len(log.running)-1] + " (ended the process)", log.said(), log.tail()}, nil
	case errors.As(failure, &exit):
		return result{}, fmt.Errorf("%v: failed, and no test did:\n%s%s", c, log.tail(), errs.String())
	}
	return result{}, fmt.Errorf("%v: %w", c, failure)
}

// command returns a call of go in a package's folder, in a process group and
// with temporary files of its own: done ends what a test that panicked left of them. The overlay
// comes in the environment, so that builds which tests make have it too.
func (p *player) command(ctx context.Context, overlay string, env []string, dir string, limit time.Duration, args ...string) (*exec.Cmd, func()) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(p.root, filepath.FromSlash(dir))
	temp := filepath.Join(p.dir, "temp")
	_ = os.MkdirAll(temp, 0o700) // go says so when it is not there
	flags := p.goflags
	if overlay != "" {
		flags += " '-overlay=" + overlay + "'"
	}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "VIEWRING_") || strings.HasPrefix(e, "PWD=")
	})
	cmd.Env = append(cmd.Env, "PWD="+cmd.Dir, "GOFLAGS="+strings.TrimSpace(flags), "TMPDIR="+temp)
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, pipeMax
	return cmd, func() {
		cancel()
		if cmd.Process != nil {
			_ = kill() // nobody is left, as a rule
		}
		_ = os.RemoveAll(temp) // what is left goes with p.dir
	}
}

// testLog is what go test -json told.
type testLog struct {
	noBuild bool
	passed  int
	failed  string   // the first test that did
	running []string // tests without an end
	lines   []string // of the output
}

func readLog(b []byte) (l testLog) {
	for line := range bytes.Lines(b) {
		var e struct{ Action, Test, Output, FailedBuild string }
		if err := json.Unmarshal(line, &e); err != nil {
			l.lines = append(l.lines, string(line)) // of the go command itself
			continue
		}
		l.noBuild = l.noBuild || e.Action == "build-fail" || e.FailedBuild != ""
		if e.Output != "" {
			l.lines = append(l.lines, e.Output)
		}
		if e.Test == "" {
			continue
		}
		switch e.Action {
		case "run":
			l.running = append(l.running, e.Test)
		case "pass", "fail", "skip":
			l.running = slices.DeleteFunc(l.running, func(t string) bool { return t == e.Test })
		}
		switch {
		case e.Action == "pass":
			l.passed++
		case e.Action == "fail" && l.failed == "":
			l.failed = e.Test
		}
	}
	return l
}

var message = regexp.MustCompile(`^ *[\w-]+\.go:\d+: (.*)`)

// said is the first message of a panic, else of a test, which nothing tells from what
// it only logs.
func (l testLog) said() (said string) {
	for _, line := range l.lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return strings.TrimSpace(line)
		}
		if found := message.FindStringSubmatch(line); found != nil && said == "" {
			said = found[1]
		}
	}
	return said
}

func (l testLog) tail() string {
	return strings.Join(l.lines[max(0, len(l.lines)-tailLines):], "")
}
