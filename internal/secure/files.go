package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// keeper has the secrets of a process, which all copies of a Config share.
type keeper struct {
	files Files
	now   atomic.Pointer[secrets]
}

// secrets are what the files said when they were last read without an error.
type secrets struct {
	text      texts
	listen    *tls.Config // for others of the cluster; nil: not encrypted
	users     *tls.Config // for people's programs
	dial      *tls.Config
	passwords []string // the first is said to others, all are accepted; none: no password
	expires   time.Time
}

// texts are what the files contain.
type texts struct{ cert, key, ca, password string }

// read reads the files that there are.
func (f Files) read() (t texts, err error) {
	for _, file := range []struct {
		what, name string
		to         *string
	}{{"TLS certificate", f.Cert, &t.cert}, {"TLS key", f.Key, &t.key}, {"TLS CA", f.CA, &t.ca}, {"password", f.Password, &t.password}} {
		if file.name == "" {
			continue
		}
		text, err := os.ReadFile(file.name)
		if err != nil {
			return t, fmt.Errorf("%s: %w", file.what, err)
		}
		*file.to = string(text)
	}
	return t, nil
}

// take makes a text that makes sense the one that holds from now on.
func (k *keeper) take(t texts) error {
	s := &secrets{text: t}
	if k.files.Cert != "" {
		if err := s.encrypt(k.files, t); err != nil {
			return err
		}
	}
	if k.files.Password != "" {
		var err error
		if s.passwords, err = passwordsOf(k.files.Password, []byte(t.password)); err != nil {
			return fmt.Errorf("password: %w", err)
		}
	}
	k.now.Store(s)
	return nil
}

// encrypt makes the configurations of TLS.
func (s *secrets) encrypt(f Files, t texts) error {
	cert, err := tls.X509KeyPair([]byte(t.cert), []byte(t.key))
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(t.ca)) {
		return fmt.Errorf("TLS CA: no certificate in %s", f.CA)
	}
	certs := []tls.Certificate{cert}
	s.listen = &tls.Config{Certificates: certs, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	s.users = s.listen.Clone()
	s.users.ClientAuth = tls.VerifyClientCertIfGiven
	s.dial = &tls.Config{Certificates: certs, RootCAs: pool, MinVersion: tls.VersionTLS12}
	s.expires = expiry(&cert, pool)
	return nil
}

// expiry is when others stop to believe a certificate: by the chain to a CA that lasts longest.
func expiry(cert *tls.Certificate, roots *x509.CertPool) time.Time {
	between := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // one that can't be read vouches for nobody
			between.AddCert(c)
		}
	}
	at := cert.Leaf.NotBefore // when it was good, most likely with who signed it
	if now := time.Now(); now.After(at) && now.Before(cert.Leaf.NotAfter) {
		at = now
	}
	chains, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return cert.Leaf.NotAfter // another CA signed it than that of the others
	}
	var last time.Time
	for _, chain := range chains {
		end := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

const (
	passwordBytesMax = 1024
	passwordsMax     = 2 // valid at a time
)

// ReadSecret reads what the first line of a file is.
func ReadSecret(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return secretLine(name, "first", line)
}

func secretLine(name, which string, line []byte) (string, error) {
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 || len(line) > passwordBytesMax {
		return "", fmt.Errorf("the %s line of %s must have 1 to %d bytes", which, name, passwordBytesMax)
	}
	return string(line), nil
}

// passwordsOf reads a file of passwords: the first line is the password, a second one is
// accepted beside it, while one follows the other. Empty lines at the end count for nothing.
func passwordsOf(name string, text []byte) ([]string, error) {
	lines := bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n"))
	if len(lines) > passwordsMax {
		return nil, fmt.Errorf("%s has %d lines: want the password, and in a second line at most one more that is accepted", name, len(lines))
	}
	var all []string
	for i, line := range lines {
		p, err := secretLine(name, []string{"first", "second"}[i], line)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
