package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"viewring/internal/quiet"
)

// ErrForeign is wrapped by the errors of ReadCommand where the peer speaks another
// protocol than RESP: HTTP, which any web page can make a browser send to any port
// of its machine (cross-protocol scripting), or bytes that begin no command.
//
// What is HTTP is judged by lines, for a line is what an inline command is too:
//
//   - one of at least two words of which the last is HTTP/ and a version: every
//     request line since HTTP/1.0, whatever its method, and the preface of HTTP/2.
//     "GET key" is a command, "GET / HTTP/1.1" is not; who types "SET key HTTP/1.1"
//     into telnet must quote the value;
//   - one that begins with "POST" or "Host:", in any case, as in Redis
//     (securityWarningCommand), also where it comes later. So does an array with such a
//     command's name. The arguments of arrays may be anything.
//
// A line is judged when all of it has come, before it or anything after it is run, in
// however many pieces it comes. The request of HTTP/0.9, "GET /", has nothing that
// tells it from a command: it reads the key "/", and carries no more.
var ErrForeign = errors.New("not RESP")

var (
	errHTTP   = fmt.Errorf("%w: %w but HTTP", ErrProtocol, ErrForeign)
	errTLS    = fmt.Errorf("%w: %w but TLS, which this process does not use", ErrProtocol, ErrForeign)
	errBinary = fmt.Errorf("%w: %w: no command begins with such a byte", ErrProtocol, ErrForeign)
)

// tlsHandshake is the first byte of a TLS connection (RFC 8446, 5.1).
const tlsHandshake = 0x16

// foreignByte judges the first byte of what is no array: text, or a blank before it.
func foreignByte(c byte) error {
	switch {
	case c == tlsHandshake:
		return errTLS
	case c > '~' || c < ' ' && (c == 0 || !isBlank(c)):
		return errBinary
	}
	return nil
}

// isHTTP judges a line.
func isHTTP(line []byte) bool {
	line = trimBlanks(line)
	for len(line) > 0 && isBlank(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	if hasPrefixFold(line, "post") || hasPrefixFold(line, "host:") {
		return true
	}
	for i := len(line) - 1; i >= 0; i-- {
		if isBlank(line[i]) {
			return isHTTPVersion(line[i+1:])
		}
	}
	return false
}

// isHTTPVersion reports whether a word is the last one of a request line.
func isHTTPVersion(word []byte) bool {
	const name = "http/"
	return hasPrefixFold(word, name) && len(word) > len(name) && len(bytes.Trim(word[len(name):], "0123456789.")) == 0
}

// isHTTPName reports whether a command's name is a word of HTTP.
func isHTTPName(name []byte) bool {
	return len(name) == 4 && hasPrefixFold(name, "post") || len(name) == 5 && hasPrefixFold(name, "host:")
}

func hasPrefixFold(b []byte, lower string) bool {
	if len(b) < len(lower) {
		return false
	}
	for i := range len(lower) {
		if c := b[i]; c != lower[i] && (c < 'A' || c > 'Z' || c|0x20 != lower[i]) {
			return false
		}
	}
	return true
}

// unencrypted tells the error of a connection that should have begun with TLS.
func unencrypted(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil {
		return fmt.Errorf("%w over TLS: it begins with %q", ErrForeign, record.RecordHeader[:])
	}
	return err
}

// Strangers logs connections that were closed because of ErrForeign, seldom. Its methods may
// be called from any goroutine. The zero value is ready.
type Strangers struct{ told quiet.Seldom }

// Note looks at why ReadCommand has failed.
func (s *Strangers) Note(logger *slog.Logger, peer net.Addr, err error) {
	if !errors.Is(err, ErrForeign) {
		return
	}
	if ok, others := s.told.May(); ok {
		logger.Warn("a connection of another protocol was closed", "peer", peer, "err", err, "others_since", others)
	}
}
