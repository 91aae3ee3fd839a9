package config

import (
	"strings"
	"testing"
)

var known = Commands{All: {"timeout", "json"}, "server": {"timeout", "json", "listen", "s3-domain"}, "meta create": {"sequence"}}

// FuzzParse: whatever a file says, it is taken as it is written or refused with the file's name.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "---\n", "--- \n...\n", "all:\n  timeout: 3s\n", "server: {listen: [a, b]}", "a: &a [*a]", "server: &s\n  listen: *s\n", "? [a]\n: b\n",
		"server:\n  <<: {listen: x}\n", "\t", "all: !!binary x\n", "%YAML 3.0\n---\n", "meta_create:\n  sequence: true\n", "*x: y", "server:\n  ? listen\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("viewring.yaml", []byte(text), known)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "viewring.yaml:") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for section, flags := range known {
			for _, flag := range flags {
				if v, ok := file.Find(section, flag); ok && (!v.IsList && len(v.Texts) != 1 || !strings.HasPrefix(v.Origin, "viewring.yaml:")) {
					t.Errorf("%q: %s of %s is %+v", text, flag, section, v)
				}
			}
		}
	})
}

func TestNear(t *testing.T) {
	names := []string{"listen", "advertise", "data", "drain-timeout", "max-connections"}
	for name, want := range map[string]string{
		"lisen": "listen", "listne": "listen", "advertize": "advertise", "drain-time-out": "drain-timeout", "max-connection": "max-connections",
		"dta": "data", "x": "", "port": "", "dat": "data", "slow": "", "nothing-like-it": "",
	} {
		if got := Near(name, names); got != want {
			t.Errorf("Near(%q) = %q, want %q", name, got, want)
		}
	}
	if got := meant("timeout", names); got != "; did you mean drain-timeout?" {
		t.Errorf("meant: %q", got)
	}
	if distance("abc", "abc") != 0 || distance("", "abc") != 3 {
		t.Error("distance")
	}
}
