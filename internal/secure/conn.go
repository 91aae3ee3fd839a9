package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"viewring/internal/port"
	"viewring/internal/wire"
)

// Listen listens as port.Listen does; connections are encrypted if c says so.
func (c Config) Listen(ctx context.Context, addr string, logger *slog.Logger) (net.Listener, error) {
	l, err := port.Listen(ctx, addr, logger)
	if err != nil {
		return nil, err
	}
	return c.Listener(l), nil
}

// Listener encrypts the connections of a listener, if c says so, each as c says when it comes.
// They shake hands when they are first read from or written to.
func (c Config) Listener(l net.Listener) net.Listener {
	if !c.Encrypted() {
		return l
	}
	return &listener{l, c}
}

type listener struct {
	net.Listener
	config Config
}

// Accept is that of net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(nc, l.config.listenTLS()), nil
}

// Dialer makes connections ready to be used: encrypted and admitted, each as c says when it
// is made. A nil dial is net.Dialer's.
func (c Config) Dialer(dial wire.DialFunc) wire.DialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	if c.keeper == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		s := c.now()
		return dialGreeted(ctx, dial, network, addr, s.dial, s.passwords)
	}
}

// Dialer makes connections by dial, encrypts them where config is not nil, and
// says the password where there is one. A nil dial is net.Dialer's. A password
// that is wrong is a *wire.ServerError.
func Dialer(dial wire.DialFunc, config *tls.Config, password string) wire.DialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	if config == nil && password == "" {
		return dial
	}
	var passwords []string
	if password != "" {
		passwords = []string{password}
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialGreeted(ctx, dial, network, addr, config, passwords)
	}
}

func dialGreeted(ctx context.Context, dial wire.DialFunc, network, addr string, config *tls.Config, passwords []string) (net.Conn, error) {
	nc, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ready, err := greet(ctx, nc, addr, config, passwords)
	if err != nil {
		_ = nc.Close() // never used
		return nil, err
	}
	return ready, nil
}

// greetMax bounds a greeting whose context has no end.
const greetMax = 10 * time.Second

func greet(ctx context.Context, nc net.Conn, addr string, config *tls.Config, passwords []string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, greetMax)
	defer cancel()
	if config != nil {
		if config.ServerName == "" {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, fmt.Errorf("TLS: %w", err)
			}
			config = config.Clone()
			config.ServerName = host
		}
		conn := tls.Client(nc, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS with %s: %w", addr, explain(err))
		}
		nc = conn
	}
	if len(passwords) == 0 {
		return nc, nil
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	err := authenticate(nc, passwords)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("password for %s: %w", addr, err)
	}
	return nc, nil
}

// errOneEncrypted is wrapped where one side speaks TLS, and the other most likely does not.
var errOneEncrypted = errors.New("TLS on one side only")

// explain says what a broken handshake mostly means.
func explain(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return fmt.Errorf("the other side does not speak TLS: %w", errOneEncrypted)
	}
	return err
}

// errNoPassword counts as a wrong password: no further try helps.
var errNoPassword = &wire.ServerError{Code: wire.CodeWrongPass,
	Message: "the other side has no password: start it with the same --password-file, or this process without one"}

// authenticate says the first password. Where it is refused it says the next: the other
// side may not have read its new one yet.
func authenticate(nc net.Conn, passwords []string) (err error) {
	for _, p := range passwords {
		if err = logIn(nc, p); !wire.IsCode(err, wire.CodeWrongPass) {
			break
		}
	}
	return err
}

// logIn reads no byte beyond the answer: the connection goes on without it.
func logIn(nc net.Conn, password string) error {
	if _, err := nc.Write(wire.AppendCommand(nil, []byte("AUTH"), []byte(password))); err != nil {
		return err
	}
	var line []byte
	var b [1]byte
	for len(line) < 512 {
		if _, err := nc.Read(b[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.Join(err, errOneEncrypted)
			}
			if _, encrypted := nc.(*tls.Conn); encrypted {
				return fmt.Errorf("no answer: %w", err)
			}
			return fmt.Errorf("no answer (does the other side want TLS?): %w", err)
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	switch {
	case string(line) == "-"+noPassword+"\r":
		return errNoPassword
	case len(line) > 1 && line[0] == '-':
		return wire.ParseServerError(string(line[1 : len(line)-1]))
	case string(line) != "+OK\r":
		return fmt.Errorf("%w: %q instead of OK", wire.ErrProtocol, line)
	}
	return nil
}
