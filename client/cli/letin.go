package cli

import (
	"strings"

	"viewring/internal/wire"
)

// refusals are what sides that do not let each other in say, and what to do. Errors come here
// through layers that keep the text alone, so that is looked at.
var refusals = []struct{ said, why string }{
	{noPasswordThere, "the cluster has no password: leave --password-file out, or give it one"},
	{"called without any password", "the cluster has no password: leave --password-file out, or give it one"},
	{"x509: certificate is valid for ", wrongAddress},
	{"x509: certificate is not valid for any names", wrongAddress},
	{"doesn't contain any IP SANs", wrongAddress},
	{"x509: certificate signed by unknown authority", "--tls-ca does not have the authority that has signed its certificate"},
	{"x509: certificate has expired or is not yet valid", "its certificate has expired, or is not valid yet: compare the clocks, or make a new one ('viewring certs renew')"},
	{"tls: expired certificate", "the certificate of this side has expired: 'viewring certs renew' makes a new one"},
	{"remote error: tls: ", "it does not take the certificate of this side: see --tls-cert and --tls-key"},
	{"does not speak TLS", "leave the TLS flags out, or give it a certificate"},
}

// guesses are what may be behind a view leader that is not understood, and what to try.
var guesses = []struct{ said, why string }{
	{"read: unexpected EOF", "does it want TLS? --tls-cert, --tls-key and --tls-ca, of 'viewring certs'"},
	{"unknown command 'VL.", "that is no view leader, but a server perhaps: --viewleader has the address of a view leader"},
}

// guess says what may be behind an error of a view leader; "": nobody knows.
func guess(err error) string {
	for _, g := range guesses {
		if err != nil && strings.Contains(err.Error(), g.said) {
			return g.why
		}
	}
	return ""
}

// noPasswordThere is in the error of a process that has a password, where the other has none.
const noPasswordThere = "the other side has no password"

const wrongAddress = "its certificate is for other addresses than the one that it is reached at: it wants that among its names"

// notLetIn says what to do about a side that does not let the other in: the password, or the
// certificate of either. "" is for all other errors.
func notLetIn(err error) string {
	switch {
	case err == nil:
		return ""
	case wire.IsCode(err, wire.CodeNoAuth):
		return "'--password-file FILE' names the file with the cluster's password"
	case wire.IsCode(err, wire.CodeWrongPass) && !strings.Contains(err.Error(), noPasswordThere):
		return "--password-file has another password than the cluster"
	}
	text := err.Error()
	for _, r := range refusals {
		if strings.Contains(text, r.said) {
			return r.why
		}
	}
	return ""
}
