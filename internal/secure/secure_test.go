package secure_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/secure"
	"viewring/tests/harness"
)

// output is a log that tests wait for.
func output() (*harness.Lines, *slog.Logger) {
	lines := harness.NewLines()
	return lines, slog.New(slog.NewTextHandler(lines, nil))
}

var never chan struct{} // of Lines.Wait: more may come

// runs has a config looked after until the test ends.
func runs(t *testing.T, c secure.Config, logger *slog.Logger) chan<- func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	again := make(chan func(), 1)
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx, again, logger) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return again
}

func load(t *testing.T, s *harness.Secrets) secure.Config {
	t.Helper()
	c, err := secure.Load(secure.Files{Cert: s.Cert, Key: s.Key, CA: s.CA, Password: s.Password})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func accepts(c secure.Config, password string) bool { return c.Auth([][]byte{[]byte(password)}) == "" }

// The first line is said, both are accepted, and nothing else is.
func TestTwoPasswords(t *testing.T) {
	s := harness.NewSecrets(t)
	s.SetPasswords(t, "new", "old")
	c := load(t, s)
	if c.Password() != "new" || !accepts(c, "new") || !accepts(c, "old") || accepts(c, "") || accepts(c, "other") {
		t.Errorf("says %q; accepts new: %v, old: %v, nothing: %v", c.Password(), accepts(c, "new"), accepts(c, "old"), accepts(c, ""))
	}
	for text, want := range map[string]string{"": "first line", "\nx\n": "first line", "a\n\nb": "3 lines", "a\nb\nc\n": "3 lines", "a\n" + strings.Repeat("b", 1025): "second line"} {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secure.Load(secure.Files{Password: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// Whoever has read the new password reaches who has not, and the other way round.
func TestPasswordsMeet(t *testing.T) {
	old, both, fresh := harness.NewSecrets(t), harness.NewSecrets(t), harness.NewSecrets(t)
	old.SetPasswords(t, "old")
	both.SetPasswords(t, "new", "old")
	fresh.SetPasswords(t, "new")
	config := func(s *harness.Secrets) secure.Config {
		c, err := secure.Load(secure.Files{Password: s.Password})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct {
		what     string
		from, to *harness.Secrets
		want     bool
	}{{"both to old", both, old, true}, {"old to both", old, both, true}, {"both to new", both, fresh, true}, {"new to both", fresh, both, true},
		{"old to new", old, fresh, false}, {"new to old", fresh, old, false}} {
		nc, err := config(c.from).Dialer(nil)(t.Context(), "tcp", judge(t, config(c.to)))
		if (err == nil) != c.want {
			t.Errorf("%s: %v", c.what, err)
		}
		if err == nil {
			nc.Close()
		}
	}
}

// judge listens, and answers each AUTH as a server does.
func judge(t *testing.T, c secure.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go answer(nc, c)
		}
	}()
	return l.Addr().String()
}

func answer(nc net.Conn, c secure.Config) {
	defer nc.Close()
	b := make([]byte, 512)
	for {
		n, err := nc.Read(b)
		if err != nil {
			return
		}
		text := "+OK"
		words := bytes.Split(b[:n], []byte("\r\n"))
		if refusal := c.Auth([][]byte{words[len(words)-2]}); refusal != "" {
			text = "-" + refusal
		}
		if _, err := nc.Write([]byte(text + "\r\n")); err != nil {
			return
		}
	}
}

// A process that says a password to one that has none is told what to do.
func TestNoPasswordThere(t *testing.T) {
	c, err := secure.Load(secure.Files{Password: harness.NewSecrets(t).Password})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Dialer(nil)(t.Context(), "tcp", judge(t, secure.Config{}))
	if err == nil || !strings.Contains(err.Error(), "the other side has no password") || secure.TroubleOf(err) != secure.WrongPass {
		t.Errorf("%v, trouble %v", err, secure.TroubleOf(err))
	}
}

// A file that has changed is read again without being asked, and what makes no sense changes
// nothing.
func TestReadAgain(t *testing.T) {
	t.Parallel()
	s := harness.NewSecrets(t)
	c := load(t, s)
	lines, logger := output()
	again := runs(t, c, logger)
	s.SetPasswords(t, "changed")
	harness.Eventually(t, "the new password is accepted", func() bool { return accepts(c, "changed") })
	if accepts(c, "open sesame") || c.Password() != "changed" {
		t.Error("the former password is accepted, too")
	}
	if err := os.WriteFile(s.Cert, []byte("half of one"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines.Wait(t, "the former ones stay in use", never)
	if !c.Encrypted() || !accepts(c, "changed") {
		t.Error("what makes no sense was taken")
	}
	before := c.Expires()
	by := harness.NewAuthority(t)
	s.Trust(t, by)
	s.Renew(t, by, 40*24*time.Hour, "localhost")
	again <- func() {}
	harness.Eventually(t, "the new certificate counts", func() bool { return !c.Expires().Equal(before) })
	again <- func() {}
	lines.Wait(t, "are as they were", never)
	if strings.Contains(lines.Text(), "=changed") || strings.Contains(lines.Text(), "sesame") {
		t.Errorf("the log tells passwords: %s", lines.Text())
	}
}

// A connection that is made after a change shows the new certificate, on both sides, though
// listener and dialer were made before.
func TestNewCertificate(t *testing.T) {
	s := harness.NewSecrets(t)
	c := load(t, s)
	lines, logger := output()
	again := runs(t, c, logger)
	l, err := c.Listen(t.Context(), harness.FreeAddr(t), logger)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs := make(chan time.Time)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if shaken := nc.(*tls.Conn); shaken.Handshake() == nil {
				theirs <- shaken.ConnectionState().PeerCertificates[0].NotAfter
				go answer(nc, c)
			}
		}
	}()
	dial := c.Dialer(nil)
	ends := func() (mine, other time.Time) {
		t.Helper()
		var nc net.Conn
		var err error
		var dialing sync.WaitGroup
		dialing.Go(func() { nc, err = dial(t.Context(), "tcp", l.Addr().String()) })
		mine = <-theirs
		if dialing.Wait(); err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return mine, nc.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter
	}
	before, _ := ends()
	by := harness.NewAuthority(t)
	s.Trust(t, by)
	s.Renew(t, by, 40*24*time.Hour, "127.0.0.1")
	again <- func() {}
	lines.Wait(t, "were read again", never)
	if a, b := ends(); a.Equal(before) || b.Equal(before) {
		t.Errorf("the certificates end at %v and %v, as before", a, b)
	}
}

// Long before its end a certificate is not spoken of, and then it is.
func TestExpiry(t *testing.T) {
	for lasts, want := range map[time.Duration]string{
		31 * 24 * time.Hour: "", 29 * 24 * time.Hour: "level=WARN msg=\"the certificate of this process expires soon",
		23 * time.Hour: "level=ERROR msg=\"the certificate of this process expires soon", -time.Hour: "level=ERROR msg=\"the certificate of this process has expired",
	} {
		s := harness.NewSecrets(t)
		by := harness.NewAuthority(t)
		s.Trust(t, by)
		s.Renew(t, by, lasts, "localhost")
		c := load(t, s)
		lines, logger := output()
		runs(t, c, logger) <- func() {}
		lines.Wait(t, "are as they were", never)
		if got := lines.Text(); want == "" && strings.Contains(got, "level=WARN") || !strings.Contains(got, want) {
			t.Errorf("a certificate for %v: %s, want %q", lasts, got, want)
		}
	}
}

// A CA that ends before the certificates that it has signed counts.
func TestExpiryOfCA(t *testing.T) {
	s := harness.NewSecrets(t)
	by := harness.NewAuthority(t)
	s.Trust(t, by)
	s.Renew(t, by, 10*365*24*time.Hour, "localhost")
	if left := time.Until(load(t, s).Expires()); left > 366*24*time.Hour {
		t.Errorf("good for %v, but its CA is good for a year", left)
	}
}

// Refused logins are logged at a bounded rate, and all are counted.
func TestRefusals(t *testing.T) {
	lines, logger := output()
	var r secure.Refusals
	for range 1000 {
		r.Note(logger, "192.0.2.1:1234", "a wrong password")
	}
	if n := strings.Count(lines.Text(), "a login was refused"); n != 1 || r.Count() != 1000 {
		t.Errorf("%d lines for %d refusals", n, r.Count())
	}
}
