package process

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/secure"
	"viewring/tests/harness"
)

// secureCluster is a view leader and three servers, started with the same files.
type secureCluster struct {
	*harness.Shell
	secrets   *harness.Secrets
	processes []*harness.Daemon
}

func newSecureCluster(t *testing.T) *secureCluster {
	t.Helper()
	c := &secureCluster{Shell: harness.NewShell(t, harness.FreeAddr(t)), secrets: harness.NewSecrets(t)}
	c.start(t, "view leader is up", "viewleader", "--listen", c.Leader, "--data", "leader")
	for i := range 3 {
		c.start(t, "joined the cluster", "server", "--listen", harness.FreeAddr(t), "--data", fmt.Sprint("s", i+1))
	}
	return c
}

func (c *secureCluster) start(t *testing.T, up string, args ...string) *harness.Daemon {
	t.Helper()
	d := c.Start(append(args, c.secrets.Flags()...)...)
	d.Stderr.Wait(t, up, d.Done)
	c.processes = append(c.processes, d)
	return d
}

// load reads and writes with plain connections of its own until stop, and tells what became of it.
// Each request has a client of its own: passwords and certificates count when a connection is made.
func (c *secureCluster) load(t *testing.T, config secure.Config) (done *atomic.Int64, failed *atomic.Pointer[error], stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, failed = new(atomic.Int64), new(atomic.Pointer[error])
	running := harness.Beside(t)
	for i := range 2 {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := c.visit(ctx, config, fmt.Sprintf("key-%d-%d", i, n%50)); err != nil && ctx.Err() == nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	return done, failed, func() {
		cancel()
		running.Wait()
	}
}

func (c *secureCluster) visit(ctx context.Context, config secure.Config, key string) error {
	cl, err := client.Open(ctx, client.Options{Leaders: []string{c.Leader}, Dialer: config.Dialer(nil), ViewCache: client.NoViewCache})
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := cl.Set(ctx, key, []byte("x"), client.Always()); err != nil {
		return err
	}
	_, err = cl.Get(ctx, key)
	return err
}

// Passwords and certificates, with the authority that signs them, are replaced under load, in steps
// of which each reaches the processes in any order: nothing fails, and in the end the old ones open
// nothing.
func TestRollSecrets(t *testing.T) {
	t.Parallel()
	c := newSecureCluster(t)
	config, err := secure.Load(secure.Files{Cert: c.secrets.Cert, Key: c.secrets.Key, CA: c.secrets.CA, Password: c.secrets.Password})
	if err != nil {
		t.Fatal(err)
	}
	lines := harness.NewLines()
	ctx, cancel := context.WithCancel(t.Context())
	beside := harness.Beside(t)
	hup := make(chan func(), 1)
	beside.Go(func() { config.Run(ctx, hup, logTo(lines)) })
	defer cancel()
	done, failed, stop := c.load(t, config)
	again := 0
	rolled := func(what string) {
		t.Helper()
		again++
		hup <- func() {}
		for _, d := range c.processes { // one after the other, while requests go on
			if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		const said = "certificates and password were read again"
		harness.Eventually(t, "all have read "+what, func() bool {
			all := strings.Count(lines.Text(), said) >= again
			for _, d := range c.processes {
				all = all && strings.Count(d.Stderr.Text(), said) >= again
			}
			return all || failed.Load() != nil
		})
		least := done.Load() + 20
		harness.Eventually(t, "requests go on after "+what, func() bool { return done.Load() > least || failed.Load() != nil })
		if err := failed.Load(); err != nil {
			t.Fatalf("%s: %v", what, *err)
		}
	}
	after := harness.NewAuthority(t)
	hosts := []string{"localhost", "127.0.0.1"}
	c.secrets.SetPasswords(t, "another", "open sesame")
	rolled("two passwords")
	c.secrets.SetPasswords(t, "another")
	rolled("the new password alone")
	c.secrets.AlsoTrust(t, after)
	rolled("both authorities")
	c.secrets.Renew(t, after, 60*24*time.Hour, hosts...)
	rolled("new certificates")
	c.secrets.Trust(t, after)
	rolled("the new authority alone")
	stop()
	if n := done.Load(); n < 100 {
		t.Errorf("only %d requests", n)
	}
	t.Logf("%d requests, none failed", done.Load())
}

// SIGHUP ends nobody, and has the files read at once.
func TestHangUp(t *testing.T) {
	t.Parallel()
	c := newSecureCluster(t)
	for name, args := range map[string][]string{"gateway": {"gateway"}, "zookeeper front": {"zk"}, "http front": {"http"}} {
		c.start(t, name+" is up", append(args, "--listen", harness.FreeAddr(t))...)
	}
	for _, d := range c.processes {
		for range 2 {
			if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		d.Stderr.Wait(t, "certificates and password are as they were", d.Done)
	}
	c.OK(append([]string{"setr", "greeting", "hello"}, c.secrets.Flags()...)...)
	plain := harness.NewShell(t, harness.FreeAddr(t))
	d := plain.Start("viewleader", "--listen", plain.Leader, "--data", "leader")
	d.Stderr.Wait(t, "view leader is up", d.Done)
	if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.Stderr.Wait(t, "nothing to read again", d.Done)
}

// The side that refuses a login says so.
func TestRefusedLogins(t *testing.T) {
	t.Parallel()
	c := newSecureCluster(t)
	wrong, other := harness.NewSecrets(t), harness.NewSecrets(t)
	wrong.SetPasswords(t, "guess")
	for range 5 {
		c.Run("", "getr", "x", "--timeout", "2s", "--tls-cert", c.secrets.Cert, "--tls-key", c.secrets.Key, "--tls-ca", c.secrets.CA, "--password-file", wrong.Password)
	}
	leader := c.processes[0]
	leader.Stderr.Wait(t, "a login was refused", leader.Done)
	leader.Stderr.Wait(t, "a wrong password", leader.Done)
	if n := strings.Count(leader.Stderr.Text(), "a login was refused"); n > 2 || strings.Contains(leader.Stderr.Text(), "guess") {
		t.Errorf("%d lines: %s", n, leader.Stderr.Text())
	}
	gateway := harness.FreeAddr(t)
	d := c.start(t, "gateway is up", "gateway", "--listen", gateway)
	nc := c.secrets.TLS(t)
	nc.Certificates = other.TLS(t).Certificates
	refusedTLS(t, gateway, nc)
	d.Stderr.Wait(t, "a login was refused", d.Done)
}

// A certificate that is about to expire is told by the status of servers and of view leaders.
func TestExpiryShows(t *testing.T) {
	t.Parallel()
	c := newSecureCluster(t)
	by := harness.NewAuthority(t)
	c.secrets.AlsoTrust(t, by)
	c.secrets.Renew(t, by, 12*24*time.Hour+time.Hour, "localhost", "127.0.0.1")
	for _, d := range c.processes {
		d.Stderr.Wait(t, "the certificate of this process expires soon", d.Done)
	}
	for _, command := range []string{"query_servers", "viewleaders"} {
		harness.Eventually(t, command+" tells", func() bool {
			return strings.Contains(c.OK(append([]string{command}, c.secrets.Flags()...)...), "its certificate expires in 12 days")
		})
	}
	if text := c.OK(append([]string{"query_servers", "--json"}, c.secrets.Flags()...)...); !strings.Contains(text, `"certificate_expires":"20`) {
		t.Errorf("query_servers --json: %s", text)
	}
}

// refusedTLS connects as nobody may.
func refusedTLS(t *testing.T, addr string, config *tls.Config) {
	t.Helper()
	nc := tls.Client(dialPlain(t, addr), config)
	_, _ = nc.Write([]byte("PING\r\n")) // the reading tells
	if b, err := io.ReadAll(nc); err == nil {
		t.Errorf("a certificate of another authority is let in: %q", b)
	}
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
