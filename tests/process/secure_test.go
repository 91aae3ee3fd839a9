package process

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// Every connection of a cluster with TLS and a password is encrypted and asks for
// both; who has neither, or the wrong ones, gets nothing.
func TestSecure(t *testing.T) {
	secrets := harness.NewSecrets(t)
	with := func(args ...string) []string { return append(args, secrets.Flags()...) }
	s, _ := harness.Up(t, secrets.Flags()...)
	s.OK(with("setr", "greeting", "hello")...)
	if got := s.OK(with("getr", "greeting")...); got != "hello" {
		t.Errorf("getr = %q", got)
	}
	s.OK(with("query_all_keys", "--server", "s1")...)
	s.OK(with("scrub")...)
	s.OK(with("bench", "--seconds", "0.2", "--keys", "100", "--connections", "4")...)

	s.Fails(3, "unreachable", "getr", "greeting", "--timeout", "5s")
	wrong := filepath.Join(s.Dir, "wrong")
	if err := os.WriteFile(wrong, []byte("guess"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := harness.NewSecrets(t)
	for what, flags := range map[string][]string{
		"invalid username-password": {"--tls-cert", secrets.Cert, "--tls-key", secrets.Key, "--tls-ca", secrets.CA, "--password-file", wrong},
		"--password-file":           {"--tls-cert", secrets.Cert, "--tls-key", secrets.Key, "--tls-ca", secrets.CA},
		"authority":                 {"--tls-cert", other.Cert, "--tls-key", other.Key, "--tls-ca", other.CA, "--password-file", secrets.Password},
		"tls":                       {"--tls-cert", other.Cert, "--tls-key", other.Key, "--tls-ca", secrets.CA, "--password-file", secrets.Password},
	} {
		r := s.Run("", append([]string{"getr", "greeting", "--timeout", "5s"}, flags...)...)
		if r.Code == 0 || !strings.Contains(r.Stderr, what) || strings.Contains(r.Stderr, "guess") || strings.Contains(r.Stderr, "sesame") {
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
	s := harness.NewShell(t, harness.FreeAddr(t))
	secrets := harness.NewSecrets(t)
	for _, command := range []string{"server", "viewleader", "gateway"} {
		args := []string{command, "--listen", "0.0.0.0:1"}
		s.Fails(4, "--tls-ca and --password-file, or say --insecure", args...)
		s.Fails(4, "--insecure", append(args, "--password-file", secrets.Password)...)
		s.Fails(4, "--insecure", append(args, "--tls-cert", secrets.Cert, "--tls-key", secrets.Key, "--tls-ca", secrets.CA)...)
	}
	s.Fails(4, "give all three or none", "getr", "x", "--tls-cert", secrets.Cert)
	s.Fails(4, "password", "getr", "x", "--password-file", filepath.Join(s.Dir, "none"))
}
