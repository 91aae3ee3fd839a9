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

// TestCerts: with what certs makes, and nothing else, a cluster speaks TLS and asks for a password:
// view leader, server, gateway, our client and redis-cli; a host added later and a renewed
// certificate are believed by the processes that run.
func TestCerts(t *testing.T) {
	t.Parallel()
	leader, server := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.NewShell(t, leader)
	if said := s.OK("certs", "make", "certs", "s1.example.com,127.0.0.1"); !strings.Contains(said, "export VIEWRING_TLS_CERT=certs/s1.example.com.pem") {
		t.Errorf("certs make said %s", said)
	}
	as := func(name string) *harness.Shell {
		return s.With("VIEWRING_TLS_CERT=certs/"+name+".pem", "VIEWRING_TLS_KEY=certs/"+name+".key", "VIEWRING_TLS_CA=certs/ca.pem", "VIEWRING_PASSWORD_FILE=certs/password")
	}
	host, client := as("s1.example.com"), as("client")
	d := host.Start("viewleader", "--listen", leader, "--data", "leader")
	d.Stderr.Wait(t, "view leader is up", d.Done)
	first := host.Start("server", "--listen", server, "--data", "s1")
	first.Stderr.Wait(t, "joined the cluster", first.Done)
	client.OK("setr", "greeting", "hello")
	checkRedisCLI(t, client, server, "client")

	s.OK("certs", "add", "certs", "s2")
	d = as("s2").Start("server", "--listen", harness.FreeAddr(t), "--data", "s2")
	d.Stderr.Wait(t, "joined the cluster", d.Done)
	s.OK("certs", "renew", "certs")
	first.Stderr.Wait(t, "certificates and password were read again", first.Done)
	if got := client.OK("getr", "greeting"); got != "hello" {
		t.Errorf("getr = %q after certs renew", got)
	}
	checkRedisCLI(t, client, server, "s2")

	s.Fails(4, "certs/ca.pem: it exists already: nothing was changed", "certs", "make", "certs", "localhost")
	s.Fails(2, "without ports", "certs", "make", "more", "localhost:28600")
	s.Fails(1, "'viewring certs make' makes an authority", "certs", "list", "nowhere")
	if r := client.With("VIEWRING_TLS_CERT=nowhere").Run("", "certs", "list", "certs"); r.Code != 0 {
		t.Errorf("certs wants the files that it makes: %s", r.Stderr)
	}
	s.OK("certs", "make", "other", "localhost")
	if r := client.With("VIEWRING_TLS_CA=other/ca.pem").Run("", "getr", "greeting", "--timeout", "5s"); r.Code != 7 {
		t.Errorf("with another authority: exit %d, %s", r.Code, r.Stderr)
	}
}

// checkRedisCLI reads a key with redis-cli, where there is one.
func checkRedisCLI(t *testing.T, s *harness.Shell, addr, name string) {
	t.Helper()
	program, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Log("there is no redis-cli")
		return
	}
	host, port, _ := net.SplitHostPort(addr)
	password, err := os.ReadFile(filepath.Join(s.Dir, "certs", "password"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", "-h", host, "-p", port, "--no-auth-warning", "-a", strings.TrimSpace(string(password)),
		"--tls", "--cert", "certs/"+name+".pem", "--key", "certs/"+name+".key", "--cacert", "certs/ca.pem", "GET", "greeting")
	if r := s.Finish(cmd, ""); r.Stdout != "hello\n" {
		t.Errorf("redis-cli as %s: %q, %s", name, r.Stdout, r.Stderr)
	}
}
