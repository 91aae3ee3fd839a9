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
	caKey, key := newKey(t), newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	writePEM(t, s.CA, "CERTIFICATE", sign(t, ca, ca, caKey, caKey))
	writePEM(t, s.Cert, "CERTIFICATE", sign(t, leaf, ca, key, caKey))
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, s.Key, "EC PRIVATE KEY", der)
	if err := os.WriteFile(s.Password, []byte(Word+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
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

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
