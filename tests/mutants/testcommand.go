package mutants

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// testCommand is which tests to run, and how.
type testCommand struct {
	env []string // NAME=VALUE
	dir string   // of the package, from the module's root, with slashes
	run string   // pattern
}

// parseTest reads NAME=VALUE ... ./PACKAGE -run PATTERN.
func parseTest(s string) (c testCommand, err error) {
	fields := strings.Fields(s)
	n := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, "./") })
	if n < 0 || len(fields) != n+3 || fields[n+1] != "-run" {
		return c, fmt.Errorf("test %q is not NAME=VALUE ... ./PACKAGE -run PATTERN", s)
	}
	for _, e := range fields[:n] {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return c, fmt.Errorf("test %q: %q is not NAME=VALUE", s, e)
		}
	}
	c = testCommand{env: fields[:n], dir: strings.TrimPrefix(fields[n], "./"), run: strings.Trim(fields[n+2], "'")}
	if !filepath.IsLocal(c.dir) || strings.Contains(c.dir, "...") {
		return c, fmt.Errorf("test %q: %s is not one package of the module", s, fields[n])
	}
	_, err = topLevel(c.run)
	return c, err
}

// String is for a shell.
func (c testCommand) String() string {
	return strings.Join(append(slices.Clone(c.env), "go", "test", "./"+c.dir, "-run", "'"+c.run+"'"), " ")
}

// topLevel is the part of a pattern that chooses among a package's tests; what
// follows a slash is about tests within these.
func topLevel(pattern string) (*regexp.Regexp, error) {
	depth, alternatives := 0, false
	for i, r := range pattern {
		switch {
		case r == '(' || r == '[':
			depth++
		case r == ')' || r == ']':
			depth--
		case r == '|' && depth == 0:
			alternatives = true
		case r == '/' && depth == 0 && alternatives:
			return nil, fmt.Errorf("pattern %q has | and /: write two lines", pattern)
		case r == '/' && depth == 0:
			return regexp.Compile(pattern[:i])
		}
	}
	return regexp.Compile(pattern)
}

// check reports a package or a test that is not there.
func (c testCommand) check(root string) error {
	names, err := testNames(filepath.Join(root, filepath.FromSlash(c.dir)))
	if err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	top, err := topLevel(c.run)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, top.MatchString) {
		return fmt.Errorf("%v: no test has this name; there are %s", c, strings.Join(names, ", "))
	}
	return nil
}

// testNames returns the tests of the package in a folder, of those files that this
// system builds.
func testNames(dir string) (names []string, err error) {
	p, err := build.Default.ImportDir(dir, 0)
	var noGo *build.NoGoError // a package may be of tests alone
	if err != nil && !errors.As(err, &noGo) {
		return nil, err
	}
	for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names, nil
}
