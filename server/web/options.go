package web

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"viewring/client/file"
	"viewring/internal/secure"
)

// Options of a Front. Listener and Open are required.
type Options struct {
	Listener net.Listener // closed by the front

	// Open finds the cluster's files; the front closes them. It is tried until it succeeds, and until then
	// requests are answered 503.
	Open func(ctx context.Context) (*file.FS, error)

	// S3 makes the handler of the S3 protocol, which is asked first whether a request is its own; nil: there is none.
	S3 func(files *file.FS, room Room) S3

	Secure secure.Config // the password that requests must have; the Listener encrypts
	Bounds Bounds
	Logger *slog.Logger // default: none

	// AnyHost has requests served whatever host they say they are for. Without it, and without a
	// password, only a host that is this machine will do: else any page that a browser on this machine shows could
	// have its own name resolve to this machine, and read and write all files.
	AnyHost bool
}

// Room waits until there is room for so many bytes of bodies in memory, Bounds.Bodies; done gives them back.
type Room func(ctx context.Context, bytes int64) (done func(), err error)

// S3 is a handler of the S3 protocol beside the files' own. It asks for credentials itself.
type S3 interface {
	http.Handler
	// Owns reports whether a request is one of the S3 protocol. It looks at the head only.
	Owns(r *http.Request) bool
}

// Bounds of what clients may take. Zero fields stand for the defaults.
type Bounds struct {
	Connections  int           // more are turned away; default 10,000
	Bodies       int64         // bytes of files in memory, of all requests; more wait; default 256 MiB
	ReadTimeout  time.Duration // for a client that sends nothing of a request's body; default 30 s
	WriteTimeout time.Duration // for a client that reads nothing of an answer; default 10 s
	ReadRate     int64         // bytes a second that a body must bring while others wait for the memory that it takes; default 64 KiB, negative: none
}

// Bounds that are not Options.
const (
	guestsMax   = 1000             // connections that have not sent a right password, or a head where none is wanted
	headMax     = 32 << 10         // bytes of a request's head
	headTimeout = 10 * time.Second // until a head is complete, and the TLS handshake
	idleTimeout = 2 * time.Minute  // between two requests of a connection
	admitMax    = 10 * time.Second // that a request waits for room for its body
	openPause   = time.Second      // between two tries to find the cluster
	retryAfter  = "5"              // seconds, told to who comes while the cluster is away
	formMax     = 1000             // files of one form
	rangesMax   = 100              // of one request: of more the header is ignored (RFC 9110, section 14.2)
	pageMax     = 10_000           // entries on a page for people
)

func (b *Bounds) fill() {
	b.Connections = cmp.Or(b.Connections, 10_000)
	b.Bodies = cmp.Or(b.Bodies, 256<<20)
	b.ReadTimeout = cmp.Or(b.ReadTimeout, 30*time.Second)
	b.ReadRate = cmp.Or(b.ReadRate, 64<<10)
	b.WriteTimeout = cmp.Or(b.WriteTimeout, 10*time.Second)
}

func (o *Options) fill() {
	o.Bounds.fill()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
