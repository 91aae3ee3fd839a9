package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// runnable are all commands that run, by the names of their sections.
func runnable(root *cobra.Command) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if c.Runnable() {
				all[section(c)] = c
			}
			walk(c)
		}
	}
	walk(root)
	return all
}

// values are three of a flag's type, as they are written and as flags print them.
func values(f *pflag.Flag) (written, printed [3]string) {
	switch f.Value.Type() {
	case "bool":
		written = [3]string{"true", "true", "true"}
	case "duration":
		written = [3]string{"11s", "12s", "13s"}
	case "intSlice":
		return [3]string{"11", "12", "13"}, [3]string{"[11]", "[12]", "[13]"}
	case "int", "int64", "uint64", "uint", "float64", "shares":
		written = [3]string{"11", "12", "13"}
	case "stringArray", "stringSlice":
		return [3]string{"aa", "bb", "cc"}, [3]string{"[aa]", "[bb]", "[cc]"}
	default:
		written = [3]string{"aa", "bb", "cc"}
	}
	return written, written
}

// TestEveryFlag: every flag of every command can be typed, be a variable or stand in the file, below
// its command or below all; what comes first of these counts, and all of them count as given.
func TestEveryFlag(t *testing.T) {
	root := (&app{}).root()
	tried := 0
	for path, cmd := range runnable(root) {
		if err := cmd.ParseFlags(nil); err != nil { // so that it has those of all commands
			t.Fatal(err)
		}
		var printed [3]map[string]string // by flag: in the file, as variables, typed
		for i := range printed {
			printed[i] = map[string]string{}
		}
		empty, env, args := map[string]string{}, map[string]string{}, []string{}
		text, all := path+":\n", "all:\n"
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !isSetting(f) || f.Name == configFlag {
				return
			}
			as, print := values(f)
			for i := range printed {
				printed[i][f.Name] = print[i]
			}
			text += fmt.Sprintf("  %s: %q\n", f.Name, as[0])
			empty[envName(f.Name)], env[envName(f.Name)] = "", as[1]
			args = append(args, "--"+f.Name+"="+as[2])
			if root.PersistentFlags().Lookup(f.Name) != nil {
				all += fmt.Sprintf("  %s: %q\n", f.Name, "no value of it")
			}
		})
		tried += len(args)
		file := filepath.Join(t.TempDir(), "viewring.yaml")
		if err := os.WriteFile(file, []byte(text+all), 0o600); err != nil {
			t.Fatal(err)
		}
		empty[envName(configFlag)], env[envName(configFlag)] = file, file
		for i, tt := range []struct {
			env  map[string]string
			args []string
		}{{empty, nil}, {env, nil}, {env, args}} {
			a := &app{env: Env{Getenv: func(name string) string { return tt.env[name] }}}
			cmd := runnable(a.root())[path]
			if err := errors.Join(cmd.ParseFlags(tt.args), a.giveFlags(cmd)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			for name, want := range printed[i] {
				if f := cmd.Flags().Lookup(name); f.Value.String() != want || !f.Changed {
					t.Errorf("%s --%s with %v and %q: %s, %v, want %s", path, name, tt.env, tt.args, f.Value, f.Changed, want)
				}
			}
		}
	}
	if tried < 700 {
		t.Errorf("only %d flags were tried", tried)
	}
}

// TestSettings: what is wrong is refused with the place where it stands, and what is right counts.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "viewring.yaml")
	at := func(line int) string { return fmt.Sprintf("%s:%d: ", file, line) }
	for _, tt := range []struct {
		about, text string
		env         map[string]string
		args        []string
		want        string // on standard error
	}{
		{"a wrong flag", "server:\n  lisen: :1\n", nil, nil, at(2) + `server has no flag "lisen"; did you mean listen?`},
		{"a wrong flag of another command", "viewleader:\n  nosuch: 1\n", nil, nil, at(2) + `viewleader has no flag "nosuch"`},
		{"a wrong section", "sever:\n  listen: :1\n", nil, nil, at(1) + `no command is called "sever"; did you mean server?`},
		{"a flag as a section", "\ntimeout: 3s\n", nil, nil, at(2) + "timeout is a flag: it goes below all, or below a command"},
		{"a section as a flag", "viewleader: a:1\n", nil, nil, at(1) + "viewleader is a section"},
		{"a value of another type", "server:\n  data: x\n  drain-timeout: soon\n", nil, nil, file + `:3: invalid argument "soon" for "--drain-timeout"`},
		{"a value that does not do", "server:\n  data: x\n  drain-timeout: -1s\n", nil, nil, "--drain-timeout must be above 0, not -1s (--drain-timeout is from " + file + ":3)"},
		{"a value of all that does not do", "all:\n  log-level: loud\n", nil, nil, "(--log-level is from " + file + ":2)"},
		{"a file that is not there", "all:\n  password-file: /nowhere/password\n", nil, nil, "no such file or directory (--password-file is from " + file + ":2)"},
		{"no value", "server:\n  zone:\n", nil, nil, at(2) + "zone has no value"},
		{"a list for one", "server:\n  zone: [a, b]\n", nil, nil, file + ":2: zone is one value, not a list"},
		{"a mapping for one", "server:\n  zone: {a: b}\n", nil, nil, at(2) + "zone has no value"},
		{"a flag twice", "server:\n  zone: a\n  zone: b\n", nil, nil, at(3) + "zone a second time: it is in line 2 already"},
		{"a flag twice, by another name", "server:\n  drain-timeout: 1s\n  drain_timeout: 2s\n", nil, nil, at(3) + "drain-timeout a second time"},
		{"a section twice", "server:\n  zone: a\nserver:\n  zone: b\n", nil, nil, at(3) + "server a second time"},
		{"a password", "all:\n  password: hunter2\n", nil, nil, at(2) + "a password is never in here"},
		{"a file in a file", "all:\n  config: x\n", nil, nil, at(2) + `all has no flag "config"`},
		{"a flag that is not for people", "server:\n  exit-with-parent: true\n", nil, nil, at(2) + `server has no flag "exit-with-parent"`},
		{"broken YAML", "server: [\n", nil, nil, file + ": yaml: line 1"},
		{"two documents", "all: {}\n---\nall: {}\n", nil, nil, file + ": want one document"},
		{"a list of sections", "- server\n", nil, nil, at(1) + "want sections"},
		{"a wrong variable", "", map[string]string{"VIEWRING_DRAIN_TIMEOUT": "soon"}, nil, `$VIEWRING_DRAIN_TIMEOUT: invalid argument "soon" for "--drain-timeout": want a time such as 90s, 30m or 24h`},
		{"a variable that does not do", "", map[string]string{"VIEWRING_MEMORY": "5"}, nil, "--memory must be at least 134217728 (--memory is from $VIEWRING_MEMORY)"},
		{"a flag beside a wrong variable", "", map[string]string{"VIEWRING_DRAIN_TIMEOUT": "soon"}, []string{"--drain-timeout=1s"}, "started"},
		{"a command of another section", "viewleader:\n  data: x\n  listen: nonsense\n", nil, nil, "started"},
		{"nothing but comments", "# later\n", nil, nil, "started"},
		{"an empty section", "server:\n  # zone: a\n", nil, nil, "started"},
		{"words that YAML takes for others", "server:\n  zone: no\n  data: 010\n", nil, nil, "started: zone no, data 010, leaders [localhost:28500]"},
		{"underscores", "server:\n  scrub_every: 1h\n", nil, nil, "started"},
		{"lists", "server:\n  viewleader: [a:1, b:2]\n  s3-domain: [x, y]\n", nil, nil, "leaders [a:1 b:2], domains [x y]"},
		{"all, and the command before it", "all:\n  viewleader: a:1\nserver:\n  viewleader: b:1\n", nil, nil, "leaders [b:1]"},
		{"a flag of several commands", "all:\n  s3-domain: [x, y]\n", nil, nil, "domains [x y]"},
		{"a flag of one command below all", "all:\n  drain-timeout: 1s\n", nil, nil, at(2) + `all has no flag "drain-timeout"`},
		{"a list in a variable", "", map[string]string{"VIEWRING_S3_DOMAIN": "x\ny"}, nil, "domains [x y]"},
		{"anchors", "all: {viewleader: &v a:1}\nserver: {viewleader: *v}\n", nil, nil, "leaders [a:1]"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"server", "--config", file, "--data", filepath.Join(t.TempDir(), "data"), "--listen", ":0"}, tt.args...)
		if strings.Contains(tt.text, "data:") {
			args = append([]string{"server", "--config", file, "--listen", "127.0.0.1:9999"}, tt.args...)
			t.Chdir(t.TempDir())
		}
		if _, _, stderr := run(t, tt.env, "", args...); !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: %q, want %q", tt.about, stderr, tt.want)
		}
	}
	if code, _, stderr := run(t, map[string]string{"VIEWRING_CONFIG": file + "x"}, "", "getr", "k"); code != exitUsage || !strings.Contains(stderr, "no such file") {
		t.Errorf("without the file: exit %d, %q", code, stderr)
	}
	for _, args := range [][]string{{"help"}, {"help", "server"}, {"server", "--help"}, {"completion", "bash"}} {
		if code, _, stderr := run(t, map[string]string{"VIEWRING_CONFIG": file + "x", "VIEWRING_TIMEOUT": "x"}, "", args...); code != exitOK {
			t.Errorf("%q with wrong variables: exit %d, %q", args, code, stderr)
		}
	}
}

// TestVariablesClash: no variable that stands for a flag is used for anything else.
func TestVariablesClash(t *testing.T) {
	known := variablesOf((&app{}).root())
	for _, name := range notFlags {
		if known[name] {
			t.Errorf("%s stands for a flag, and is something else", name)
		}
	}
	ours := map[string]bool{}
	for _, name := range passedOn {
		ours[envName(name)] = true
	}
	var own []string
	word := regexp.MustCompile(`VIEWRING_[A-Z0-9_]*[A-Z0-9]`)
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "cli" || d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || d.Name() == "settings_test.go" || d.Name() == "deploy_test.go" { // these mean the flags
			return nil
		}
		text, err := os.ReadFile(path)
		for _, name := range word.FindAllString(string(text), -1) {
			if own = append(own, name); known[name] && !ours[name] {
				t.Errorf("%s: %s stands for a flag", path, name)
			}
		}
		return err
	})
	if err != nil || !slices.Contains(own, "VIEWRING_SLOW") {
		t.Errorf("%v, %q", err, own)
	}
	var warned []string
	slices.Sort(own)
	own = slices.Compact(own)
	for _, name := range append(own, "VIEWRING_LISTN=x", "VIEWRING_PASSWORD=secret", "VIEWRING_TLS=x", "VIEWRING_PORT=tcp://10.0.0.1:1", "VIEWRING_TOKEN=1") {
		a := &app{env: Env{Stderr: &lines{&warned}, Getenv: func(string) string { return "" }, Environ: []string{name}}}
		cmd := runnable(a.root())["server"]
		if err := errors.Join(cmd.ParseFlags(nil), a.giveFlags(cmd)); err != nil {
			t.Error(err)
		}
	}
	if text := strings.Join(warned, ""); len(warned) != 2 || !strings.Contains(text, `"is_meant":"VIEWRING_LISTEN"`) ||
		!strings.Contains(text, `"is_meant":"VIEWRING_PASSWORD_FILE"`) || strings.Contains(text, "secret") {
		t.Errorf("warned of %q", warned)
	}
}

// lines keeps what is written.
type lines struct{ all *[]string }

func (l *lines) Write(b []byte) (int, error) {
	*l.all = append(*l.all, string(b))
	return len(b), nil
}
