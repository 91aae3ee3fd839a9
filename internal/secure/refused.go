package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"viewring/internal/quiet"
	"viewring/internal/wire"
)

// Refusals count logins that were refused, and have the log tell of them, seldom. Any
// goroutine may call its methods. The zero value is ready.
type Refusals struct {
	count atomic.Uint64
	told  quiet.Seldom
}

// Count returns how many there were.
func (r *Refusals) Count() uint64 { return r.count.Load() }

// Note counts one, of a client at an address.
func (r *Refusals) Note(logger *slog.Logger, from, why string) {
	r.count.Add(1)
	if ok, others := r.told.May(); ok {
		logger.Warn("a login was refused", "from", from, "why", why, "others_since", others)
	}
}

// LoginText is why a password was refused, for the log of the side that refused it, given
// what Auth returned.
func LoginText(text string) string {
	switch text {
	case wrongPass:
		return "a wrong password, or another user than default"
	case noPassword:
		return "it says a password, and this process has none (--password-file)"
	}
	return text
}

// HandshakeRefused reports whether a handshake failed because one side does not believe the
// other, rather than that a connection broke or something else was spoken.
func HandshakeRefused(err error) bool {
	var record tls.RecordHeaderError
	var network net.Error
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &record) && !errors.Is(err, os.ErrDeadlineExceeded) &&
		!errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !(errors.As(err, &network) && network.Timeout())
}

// Trouble is why a connection can't be made that no further try will make, as long as nobody
// does something about it.
type Trouble uint8

// The troubles.
const (
	NoTrouble    Trouble = iota
	NotBelieved          // this side does not believe the other's certificate: its address, its CA, its time
	Refused              // the other side does not believe this one's
	WrongPass            // the other side has another password, or none
	OneEncrypted         // one side speaks TLS, and the other does not
)

// TroubleOf looks at the error of a Dialer.
func TroubleOf(err error) Trouble {
	var unbelieved *tls.CertificateVerificationError
	var remote *net.OpError
	switch {
	case err == nil:
		return NoTrouble
	case errors.As(err, &unbelieved):
		return NotBelieved
	case errors.As(err, &remote) && remote.Op == "remote error": // as crypto/tls names alerts
		return Refused
	case wire.IsLockedOut(err):
		return WrongPass
	case errors.Is(err, errOneEncrypted):
		return OneEncrypted
	}
	return NoTrouble
}
