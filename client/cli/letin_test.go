package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
)

// TestNotLetIn: who is not let in is told so, and what to do, with an exit code of its own; a write
// of which nobody knows what came is still that.
func TestNotLetIn(t *testing.T) {
	cert := &x509.Certificate{}
	for _, err := range []error{
		wire.ParseServerError("NOAUTH Authentication required."),
		wire.ParseServerError("WRONGPASS invalid username-password pair or user is disabled."),
		wire.ParseServerError("ERR AUTH <password> called without any password configured for the default user."),
		x509.HostnameError{Certificate: cert, Host: "10.0.0.1"}, x509.UnknownAuthorityError{Cert: cert},
		x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}, x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other"}}, Host: "name"},
		errors.New("TLS with x:1: remote error: tls: bad certificate"), errors.New("the other side does not speak TLS"),
	} {
		failed := &route.Error{Op: "find the cluster", Kind: client.ErrUnreachable, Last: fmt.Errorf("connect: %w", err)}
		if code := (&app{running: true}).exitCode(t.Context(), failed); code != exitNotLetIn || notLetIn(failed) == "" {
			t.Errorf("%v: exit %d, %q", err, code, notLetIn(failed))
		}
		failed.Kind = client.ErrUnknownOutcome
		if code := (&app{running: true}).exitCode(t.Context(), failed); code != exitUnknown {
			t.Errorf("unknown, %v: exit %d", err, code)
		}
	}
	nobodys := wire.ParseServerError("WRONGPASS " + noPasswordThere + ": start it with the same --password-file")
	if why := notLetIn(nobodys); !strings.Contains(why, "the cluster has no password") {
		t.Errorf("%v: %q", nobodys, why)
	}
	for _, err := range []error{nil, client.ErrUnreachable, wire.ParseServerError("ERR no such thing")} {
		if why := notLetIn(err); why != "" {
			t.Errorf("%v: %q", err, why)
		}
	}
}
