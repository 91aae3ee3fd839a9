package process

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// Every connection of a cluster with TLS and a password is encrypted and asks for
// both; who has neither, or the wrong ones, gets nothing.
func TestSecure(t *testing.T) {
	t.Parallel()
	secrets := harness.NewSecrets(t)
	with := func(args ...string) []string { return append(args, secrets.Flags()...) }
	s, d := harness.Up(t, secrets.Flags()...)
	checkWelcome(t, d)
	s.OK(with("setr", "greeting", "hello")...)
	if got := s.OK(with("getr", "greeting")...); got != "hello" {
		t.Errorf("getr = %q", got)
	}
	s.OK(with("query_all_keys", "--server", "s1")...)
	s.OK(with("scrub")...)
	s.OK(with("backup", "saved")...)
	s.OK(with("restore", "saved")...)
	s.OK(with("export", "saved.jsonl")...)
	s.OK(with("bench", "--seconds", "0.2", "--keys", "100", "--connections", "4")...)

	s.Fails(3, "unreachable", "getr", "greeting", "--timeout", "5s")
	wrong := filepath.Join(s.Dir, "wrong")
	if err := os.WriteFile(wrong, []byte("guess"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := harness.NewSecrets(t)
	for what, flags := range map[string][]string{
		"another password than the cluster":          {"--tls-cert", secrets.Cert, "--tls-key", secrets.Key, "--tls-ca", secrets.CA, "--password-file", wrong},
		"--password-file":                            {"--tls-cert", secrets.Cert, "--tls-key", secrets.Key, "--tls-ca", secrets.CA},
		"does not have the authority":                {"--tls-cert", other.Cert, "--tls-key", other.Key, "--tls-ca", other.CA, "--password-file", secrets.Password},
		"does not take the certificate of this side": {"--tls-cert", other.Cert, "--tls-key", other.Key, "--tls-ca", secrets.CA, "--password-file", secrets.Password},
	} {
		r := s.Run("", append([]string{"getr", "greeting", "--timeout", "5s"}, flags...)...)
		if r.Code != 7 || !strings.Contains(r.Stderr, what) || strings.Contains(r.Stderr, "guess") || strings.Contains(r.Stderr, "sesame") {
			t.Errorf("%s: exit %d, %s", what, r.Code, r.Stderr)
		}
	}
	addr := harness.FreeAddr(t)
	g := s.Start(with("gateway", "--listen", addr)...)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	for what, addr := range map[string]string{"gateway": addr, "server": serverAddrs(t, s, secrets.Flags()...)[0]} {
		t.Run(what, func(t *testing.T) { testRedisTLS(t, s, secrets, addr) })
	}
}

// A group of view leaders talks in secret too, and goes on without its head.
func TestSecureGroup(t *testing.T) {
	t.Parallel()
	secrets := harness.NewSecrets(t)
	with := func(args ...string) []string { return append(args, secrets.Flags()...) }
	addrs := harness.FreeAddrs(t, 3)
	s := harness.NewShell(t, strings.Join(addrs, ","))
	leaders := make(map[string]*harness.Daemon)
	for i, addr := range addrs {
		leaders[addr] = s.Start(with("viewleader", "--listen", addr, "--peers", s.Leader, "--data", fmt.Sprint("leader", i))...)
	}
	listen := harness.FreeAddr(t)
	server := s.Start(with("server", "--listen", listen, "--data", "s1")...)
	server.Stderr.Wait(t, "joined the cluster", server.Done)
	s.OK(with("setr", "greeting", "hello")...)
	if got := strings.TrimSpace(s.OK(with("lock_get", "deploy", "alice")...)); got != "1" {
		t.Errorf("the first token is %q", got)
	}
	s.Fails(3, "", "locks", "--timeout", "3s")

	var group struct {
		Members []struct{ Address, Role string }
	}
	if err := json.Unmarshal([]byte(s.OK(with("viewleaders", "--json")...)), &group); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(group.Members, func(m struct{ Address, Role string }) bool { return m.Role == "head" })
	if i < 0 {
		t.Fatalf("no head: %+v", group)
	}
	head := leaders[group.Members[i].Address]
	if err := head.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-head.Done
	if got := strings.TrimSpace(s.OK(with("lock_get", "other", "bob")...)); got != "2" {
		t.Errorf("the second token is %q", got)
	}
	if got := s.OK(with("getr", "greeting")...); got != "hello" {
		t.Errorf("getr = %q", got)
	}
}

// testRedisTLS talks to a process as redis-cli does.
func testRedisTLS(t *testing.T, s *harness.Shell, secrets *harness.Secrets, addr string) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("there is no redis-cli")
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		all := append([]string{"-p", port, "--tls", "--cert", secrets.Cert, "--key", secrets.Key, "--cacert", secrets.CA, "-e"}, args...)
		r := s.Finish(exec.Command("redis-cli", all...), "")
		return strings.TrimSpace(r.Stdout + r.Stderr)
	}
	if got := run("PING"); !strings.Contains(got, "NOAUTH") {
		t.Errorf("PING without a password: %s", got)
	}
	if got := run("--no-auth-warning", "-a", "guess", "PING"); !strings.Contains(got, "WRONGPASS") || strings.Contains(got, "PONG") {
		t.Errorf("PING with a wrong password: %s", got)
	}
	for _, args := range [][]string{
		{"--no-auth-warning", "-a", "open sesame", "PING"}, {"--no-auth-warning", "--user", "default", "-a", "open sesame", "PING"},
		{"--no-auth-warning", "-3", "-a", "open sesame", "PING"},
	} {
		if got := run(args...); got != "PONG" {
			t.Errorf("%v: %s", args, got)
		}
	}
}

// Beyond this machine nothing is offered without TLS and a password, unless that
// is meant.
func TestRefusesToListenOpenly(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	secrets := harness.NewSecrets(t)
	for _, command := range []string{"server", "viewleader", "gateway", "zk", "http"} {
		args := []string{command, "--listen", "0.0.0.0:1"}
		s.Fails(4, "--tls-ca and --password-file, or say --insecure", args...)
		s.Fails(4, "--insecure", append(args, "--password-file", secrets.Password)...)
		s.Fails(4, "--insecure", append(args, "--tls-cert", secrets.Cert, "--tls-key", secrets.Key, "--tls-ca", secrets.CA)...)
	}
	s.Fails(4, "give all three or none", "getr", "x", "--tls-cert", secrets.Cert)
	s.Fails(4, "password", "getr", "x", "--password-file", filepath.Join(s.Dir, "none"))
}
