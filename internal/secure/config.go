package secure

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// Files name what Load reads; "" is none.
type Files struct {
	Cert, Key string // of this process, for both of its roles: PEM
	CA        string // who signs the certificates of the others: PEM, one or several
	Password  string // the first line is the password; a second one is accepted too
}

// Config is what a process shows to others and asks of them. The zero Config is
// neither encrypted nor asks for a password. Copies share what was read from the files:
// when Run reads them again, all go by it. Any goroutine may call its methods.
type Config struct {
	keeper   *keeper // nil: neither encrypted nor with a password
	forUsers bool
}

// Load reads files. Certificate, key and CA belong together.
func Load(f Files) (Config, error) {
	if f == (Files{}) {
		return Config{}, nil
	}
	if encrypts := f.Cert != "" || f.Key != "" || f.CA != ""; encrypts && (f.Cert == "" || f.Key == "" || f.CA == "") {
		return Config{}, errors.New("TLS wants a certificate, its key and a CA (--tls-cert, --tls-key, --tls-ca): give all three or none")
	}
	k := &keeper{files: f}
	text, err := f.read()
	if err != nil {
		return Config{}, err
	}
	if err := k.take(text); err != nil {
		return Config{}, err
	}
	return Config{keeper: k}, nil
}

// ForUsers is c for a service of people's programs, which can say a password and mostly have no
// certificate: where there is a password none is asked for. One that is shown must still be right.
func (c Config) ForUsers() Config {
	c.forUsers = true
	return c
}

// now are the secrets that hold now; they are not changed.
func (c Config) now() *secrets {
	if c.keeper == nil {
		return &secrets{}
	}
	return c.keeper.now.Load()
}

// listenTLS is how connections that come in are encrypted now; nil: they are not.
func (c Config) listenTLS() *tls.Config {
	if s := c.now(); !c.forUsers || len(s.passwords) == 0 {
		return s.listen
	} else {
		return s.users
	}
}

// Encrypted reports whether connections are encrypted. That stays as it is.
func (c Config) Encrypted() bool { return c.now().dial != nil }

// WantsPassword reports whether connections must begin with a password. That stays as it is.
func (c Config) WantsPassword() bool { return len(c.now().passwords) > 0 }

// Password is what connections begin with now; "" is nothing. Never print it.
func (c Config) Password() string {
	if p := c.now().passwords; len(p) > 0 {
		return p[0]
	}
	return ""
}

// Expires is when the certificate of this process expires, or that of who signed it,
// whichever is sooner; zero: there is none.
func (c Config) Expires() time.Time { return c.now().expires }

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
	passwords := c.now().passwords
	switch {
	case len(args) != 1 && len(args) != 2:
		return badSyntax
	case len(passwords) == 0 && len(args) == 1:
		return noPassword
	case len(args) == 2 && string(args[0]) != "default":
		return wrongPass
	case len(passwords) > 0 && !isOneOf(passwords, args[len(args)-1]):
		return wrongPass
	}
	return ""
}

// IsRefusal reports whether a text that Auth returned refuses a password, rather than a
// command that makes no sense.
func IsRefusal(text string) bool { return text == wrongPass || text == noPassword }

// isOneOf compares in a time that does not depend on what was given.
func isOneOf(passwords []string, given []byte) bool {
	g, found := sha256.Sum256(given), 0
	for _, p := range passwords {
		w := sha256.Sum256([]byte(p))
		found |= subtle.ConstantTimeCompare(w[:], g[:])
	}
	return found == 1
}
