package secure

import (
	"net"
	"net/http"
	"strings"
)

// HTTPAuth judges the password of a request: that of any user (Basic, RFC 7617), or a token
// (Bearer, RFC 6750). It returns "" when it is right or none is wanted, and otherwise why not, as
// LoginText has it; said is whether the request had any password.
func (c Config) HTTPAuth(r *http.Request) (why string, said bool) {
	if !c.WantsPassword() {
		return "", false
	}
	_, given, ok := r.BasicAuth()
	if !ok {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		given, ok = strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
	}
	if !ok {
		return "no password", false
	}
	return LoginText(c.Auth([][]byte{[]byte(given)})), true
}

// Challenge asks a browser for the password, in the header of an answer that refuses one.
func Challenge(h http.Header) {
	h.Set("WWW-Authenticate", `Basic realm="viewring", charset="UTF-8"`)
}

// IsThisMachine reports whether the host that a request says it is for is an address, or a name
// that only this machine has. A page of others can have a name of its own resolve to this
// machine, but then requests say that name.
func IsThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil
}
