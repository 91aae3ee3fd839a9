package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Secrets are the files of a cluster that is encrypted and asks for a password.
type Secrets struct {
	Cert, Key, CA, Password string
}

// NewSecrets makes a CA and a certificate for this machine, by it.
func NewSecrets(t *testing.T) *Secrets {
	t.Helper()
	dir := t.TempDir()
	s := &Secrets{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
		CA: filepath.Join(dir, "ca.pem"), Password: filepath.Join(dir, "password"),
	}
	by := NewAuthority(t)
	s.Trust(t, by)
	s.Renew(t, by, 90*24*time.Hour, "localhost", "127.0.0.1")
	s.SetPasswords(t, Word)
	return s
}

// Authority is a CA.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// NewAuthority makes a CA.
func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	a := &Authority{key: newKey(t), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(t, a.cert, a.cert, a.key, a.key)})
	return a
}

// Trust puts CAs into the file of those that are believed.
func (s *Secrets) Trust(t *testing.T, all ...*Authority) {
	t.Helper()
	var text []byte
	for _, a := range all {
		text = append(text, a.pem...)
	}
	replace(t, s.CA, text)
}

// AlsoTrust adds a CA to those that are believed.
func (s *Secrets) AlsoTrust(t *testing.T, a *Authority) {
	t.Helper()
	before, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, s.CA, append(before, a.pem...))
}

// Renew puts a new certificate, for hosts, and its key into the files.
func (s *Secrets) Renew(t *testing.T, by *Authority, lasts time.Duration, hosts ...string) {
	t.Helper()
	key := newKey(t)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(lasts),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, host)
		}
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, s.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(t, leaf, by.cert, key, by.key)}))
	replace(t, s.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// SetPasswords puts the password, and another that is accepted, into the file.
func (s *Secrets) SetPasswords(t *testing.T, passwords ...string) {
	t.Helper()
	replace(t, s.Password, []byte(strings.Join(passwords, "\n")+"\n"))
}

// Word is the password of Secrets.
const Word = "open sesame"

// TLS is how a client that has the files connects.
func (s *Secrets) TLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "localhost"}
}

// Env hands the files to commands by their environment.
func (s *Secrets) Env() []string {
	return []string{"VIEWRING_TLS_CERT=" + s.Cert, "VIEWRING_TLS_KEY=" + s.Key, "VIEWRING_TLS_CA=" + s.CA, "VIEWRING_PASSWORD_FILE=" + s.Password}
}

// Flags hand the files to a command.
func (s *Secrets) Flags() []string {
	return []string{"--tls-cert", s.Cert, "--tls-key", s.Key, "--tls-ca", s.CA, "--password-file", s.Password}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, by, key.Public(), byKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// replace puts a file in the place of another as a whole.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
