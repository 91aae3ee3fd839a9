package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"viewring/internal/route"
	"viewring/internal/secure"
)

// Options say where the cluster is. Leaders or Servers must name somebody.
type Options struct {
	Leaders []string // the view leader's addresses, HOST:PORT
	Servers []string // servers to ask when no view leader answers
	Dialer  DialFunc // default: net.Dialer; see SecureDialer
	Logger  *slog.Logger
	// ViewCache is the file that keeps where the servers are, for when the view leader
	// is gone. "" is one below the user's cache folder, NoViewCache is none.
	ViewCache string
	// ConnectTimeout bounds how long Open tries to find anybody. Default 3 s.
	ConnectTimeout time.Duration
	// Persist makes operations wait, until their contexts end, for servers to
	// return to keys that nobody serves, or that have too few copies for a
	// write and get no more. Without it they fail at once, with ErrUnavailable
	// or ErrTooFewCopies.
	Persist bool
}

// NoViewCache as Options.ViewCache keeps where the servers are in memory only.
const NoViewCache = route.NoViewCache

// ViewCacheIn is the file for Options.ViewCache of clients of these view leaders below
// a cache folder that is not the user's.
func ViewCacheIn(dir string, leaders []string) string { return route.ViewCacheIn(dir, leaders) }

// DialFunc opens a connection; (*net.Dialer).DialContext is the default.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// SecureDialer returns an Options.Dialer that makes connections by dial (nil:
// net.Dialer), encrypts them where config is not nil, and begins them with a password
// unless that is "".
func SecureDialer(dial DialFunc, config *tls.Config, password string) DialFunc {
	return secure.Dialer(dial, config, password)
}

// SecureFiles are the files of SecureFilesDialer; "" is none. Certificate, key and CA belong
// together.
type SecureFiles struct {
	Cert, Key string // of this program: PEM
	CA        string // who signs the certificates of the cluster: PEM, one or several
	Password  string // the first line is said; where it is refused, the second
}

// SecureFilesDialer is SecureDialer for a program that runs for long: what the files say is read
// again when they change, until ctx ends, and counts for connections that are made from then on.
// Files that can't be read later change nothing, which logger is told. A nil logger is told nothing.
func SecureFilesDialer(ctx context.Context, dial DialFunc, files SecureFiles, logger *slog.Logger) (DialFunc, error) {
	config, err := secure.Load(secure.Files(files))
	if err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	go config.Run(ctx, nil, logger)
	return config.Dialer(dial), nil
}

// Client reads and writes the keys of one cluster, and takes its locks. Any number of
// goroutines may use it.
type Client struct{ router *route.Client }

// Open finds the cluster and returns a Client for it. Close it after use. It fails with
// ErrUnreachable when nobody was found, and with ErrRefused when the password is wrong.
func Open(ctx context.Context, opts Options) (*Client, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	return &Client{router}, nil
}

// Close ends the Client. Operations under way fail with ErrClosed, or with
// ErrUnknownOutcome too where they may have taken effect.
func (c *Client) Close() error { return c.router.Close() }

// Stats counts what a Client did since it was opened.
type Stats struct {
	Requests uint64        // operations on keys that have ended
	Retries  uint64        // tries beyond the first
	Failures uint64        // operations that ended without an answer
	Longest  time.Duration // of any operation that has ended
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats { return Stats(c.router.Stats()) }
