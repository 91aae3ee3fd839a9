package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// TestConfiguredServices: a view leader and a server that a file and variables tell everything, and
// commands that find them by the same file.
func TestConfiguredServices(t *testing.T) {
	t.Parallel()
	leader, server := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.NewShell(t, "")
	file := filepath.Join(s.Dir, "viewring.yaml")
	text := `all:
  viewleader: [` + leader + `]
viewleader:
  listen: ` + leader + `
  data: leader
  out-after: 1m
server:
  listen: 127.0.0.1:1 # the variable counts
  zone: no
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := s.Start("viewleader", "--config", file)
	d.Stderr.Wait(t, "view leader is up", d.Done)
	s = s.With("VIEWRING_CONFIG=" + file)
	d = s.With("VIEWRING_LISTEN="+server, "VIEWRING_DATA=s1", "VIEWRING_LISTN=x").Start("server")
	d.Stderr.Wait(t, "joined the cluster", d.Done)
	if text := d.Stderr.Text(); !strings.Contains(text, `"variable":"VIEWRING_LISTN","is_meant":"VIEWRING_LISTEN"`) {
		t.Errorf("nothing is said of a variable that has no effect: %s", text)
	}
	if text := d.Stderr.Text(); !strings.Contains(text, `"listen: $VIEWRING_LISTEN"`) || !strings.Contains(text, `"zone: `+file+`:9"`) {
		t.Errorf("nothing is said of where flags are from: %s", text)
	}
	s.OK("setr", "greeting", "hello")
	if got := s.OK("query_servers"); !strings.Contains(got, server) || !strings.Contains(got, "no") {
		t.Errorf("query_servers: %s", got)
	}
	s.Fails(2, file+":10: server has no flag \"gatway\"; did you mean gateway?", "getr", "greeting", "--config", appended(t, file, "  gatway: x\n"))
}

// appended is a file with more text at its end.
func appended(t *testing.T, file, text string) string {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return file
}

// testInherited: a variable is for the command that it was said to, not for those that it starts.
func testInherited(t *testing.T, s *harness.Shell) {
	file := filepath.Join(s.Dir, "inherited.yaml")
	if err := os.WriteFile(file, []byte("all:\n  json: true\nserver:\n  zone: elsewhere\n  gateway: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := s.With("VIEWRING_TTL=1h", "VIEWRING_JSON=true", "VIEWRING_ZONE=elsewhere", "VIEWRING_LISTEN=127.0.0.1:1", "VIEWRING_PARTITIONS=3",
		"VIEWRING_SLOWER=than", "VIEWRING_TIMEOUT=50s", "VIEWRING_LOG_LEVEL=error")
	r := all.Run("", "lock_get", "inherited", "me", "--", "env")
	for _, name := range []string{"TTL", "JSON", "ZONE", "LISTEN", "PARTITIONS", "TIMEOUT", "LOG_LEVEL"} {
		if strings.Contains(r.Stdout, "VIEWRING_"+name+"=") {
			t.Errorf("the command under a lock has VIEWRING_%s", name)
		}
	}
	for _, name := range []string{"LOCK=inherited", "TOKEN=", "VIEWLEADER=" + s.Leader, "SLOWER=than"} {
		if !strings.Contains(r.Stdout, "VIEWRING_"+name) {
			t.Errorf("the command under a lock does not have VIEWRING_%s: %s%s", name, r.Stdout, r.Stderr)
		}
	}
	node := s.With("VIEWRING_EPHEMERAL=true", "VIEWRING_JSON=true")
	if r := node.Run("", "meta", "create", "/inherited", "--", "sh", "-c", "echo $VIEWRING_NODE $VIEWRING_JSON"); r.Code != 0 || r.Stdout != "/inherited\n" {
		t.Errorf("meta create with $VIEWRING_EPHEMERAL: exit %d, %q, %s", r.Code, r.Stdout, r.Stderr)
	}
	script := filepath.Join(s.Dir, "inherited.txt")
	lines := "cluster servers 1\nsetr k v\ngetr k\nstdout ^v$\nlock_get l me -- env\n! stdout VIEWRING_(JSON|TTL|ZONE|CONFIG)=\nquery_servers\n! stdout elsewhere\n"
	if err := os.WriteFile(script, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	all.With("VIEWRING_CONFIG="+file, "VIEWRING_TIMEOUT=").OK("run", script)
}
