package secure

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Files name what Load reads; "" is none.
type Files struct {
	Cert, Key string // of this process, for both of its roles: PEM
	CA        string // who signs the certificates of the others: PEM
	Password  string // the first line is the password
}

// Config is what a process shows to others and asks of them. The zero Config is
// neither encrypted nor asks for a password.
type Config struct {
	listen   *tls.Config
	dial     *tls.Config
	password string
}

// Load reads files. Certificate, key and CA belong together.
func Load(f Files) (Config, error) {
	var c Config
	if f.Cert != "" || f.Key != "" || f.CA != "" {
		if f.Cert == "" || f.Key == "" || f.CA == "" {
			return c, errors.New("TLS wants a certificate, its key and a CA: give all three or none")
		}
		cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return c, fmt.Errorf("TLS certificate: %w", err)
		}
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return c, fmt.Errorf("TLS CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return c, fmt.Errorf("TLS CA: no certificate in %s", f.CA)
		}
		certs := []tls.Certificate{cert}
		c.listen = &tls.Config{Certificates: certs, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
		c.dial = &tls.Config{Certificates: certs, RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if f.Password != "" {
		var err error
		if c.password, err = ReadSecret(f.Password); err != nil {
			return c, fmt.Errorf("password: %w", err)
		}
	}
	return c, nil
}

const passwordBytesMax = 1024

// ReadSecret reads what the first line of a file is.
func ReadSecret(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 || len(line) > passwordBytesMax {
		return "", fmt.Errorf("the first line of %s must have 1 to %d bytes", name, passwordBytesMax)
	}
	return string(line), nil
}

// ForUsers is c for a service of people's programs, which can say a password and mostly have no
// certificate: where there is a password none is asked for. One that is shown must still be right.
func (c Config) ForUsers() Config {
	if c.listen != nil && c.password != "" {
		c.listen = c.listen.Clone()
		c.listen.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return c
}

// Encrypted reports whether connections are encrypted.
func (c Config) Encrypted() bool { return c.dial != nil }

// WantsPassword reports whether connections must begin with a password.
func (c Config) WantsPassword() bool { return c.password != "" }

// Password is what connections must begin with; "" is nothing. Never print it.
func (c Config) Password() string { return c.password }

// String shows no secrets.
func (c Config) String() string {
	return fmt.Sprintf("encrypted: %v, password: %v", c.Encrypted(), c.WantsPassword())
}

// GoString shows no secrets either.
func (c Config) GoString() string { return c.String() }

// Texts of Redis.
const (
	// NoAuth answers commands before the password was said.
	NoAuth = "NOAUTH Authentication required."
	// HelloNoAuth answers HELLO before the password was said.
	HelloNoAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"

	wrongPass  = "WRONGPASS invalid username-password pair or user is disabled."
	noPassword = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	badSyntax  = "ERR syntax error"
)

// Auth judges the arguments of AUTH: a password, or a user and a password; the
// only user is "default". It returns the text of the error, "" when they are right.
func (c Config) Auth(args [][]byte) string {
	switch {
	case len(args) != 1 && len(args) != 2:
		return badSyntax
	case c.password == "" && len(args) == 1:
		return noPassword
	case len(args) == 2 && string(args[0]) != "default":
		return wrongPass
	case c.password != "" && !same(c.password, args[len(args)-1]):
		return wrongPass
	}
	return ""
}

// same compares in a time that does not depend on what was given.
func same(want string, given []byte) bool {
	w, g := sha256.Sum256([]byte(want)), sha256.Sum256(given)
	return subtle.ConstantTimeCompare(w[:], g[:]) == 1
}
