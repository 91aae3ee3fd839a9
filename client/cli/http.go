package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"viewring/internal/port"
)

// HTTPOptions are the flags of viewring http, and of the HTTP front of a server.
type HTTPOptions struct {
	Front
	Bounds  HTTPBounds
	AnyHost bool // whatever host requests say they are for
	S3      S3Options
}

// HTTPBounds are the flags that bound what clients of HTTP may take.
type HTTPBounds struct {
	Connections  int
	Bodies       int64 // bytes
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	ReadRate     int64 // bytes a second
}

// The defaults of HTTPBounds.
const (
	httpBodiesUsed  = 256 << 20
	httpReadTimeout = 30 * time.Second
	httpReadRate    = 64 << 10
)

func httpBoundsFlags(cmd *cobra.Command, b *HTTPBounds) {
	f := cmd.Flags()
	f.IntVar(&b.Connections, "max-connections", 10_000, "turn clients away beyond this `number` of connections")
	f.Int64Var(&b.Bodies, "max-bodies", httpBodiesUsed, "`bytes` of files that all requests have in memory; more requests wait. The process takes up to three times that")
	f.DurationVar(&b.ReadTimeout, "read-timeout", httpReadTimeout, "cut off a client that sends nothing of a file for this long")
	f.Int64Var(&b.ReadRate, "read-rate", httpReadRate, "while others wait for memory, cut off a client that sends fewer `bytes` a second of a file (-1: never)")
	f.DurationVar(&b.WriteTimeout, "write-timeout", 10*time.Second, "cut off a client that reads nothing for this long")
}

func (b *HTTPBounds) check() error {
	switch {
	case b.Connections < 1:
		return usagef("--max-connections must be above 0")
	case b.Bodies < 16<<20:
		return usagef("--max-bodies must be at least %d", 16<<20)
	case b.ReadTimeout < 100*time.Millisecond || b.WriteTimeout < 100*time.Millisecond:
		return usagef("--read-timeout and --write-timeout must be at least 100ms")
	case b.ReadRate < -1 || b.ReadRate == 0:
		return usagef("--read-rate must be above 0, or -1")
	}
	return nil
}

func (a *app) httpCmd() *cobra.Command {
	var o HTTPOptions
	var s3 s3Flags
	cmd := &cobra.Command{
		Use:   "http",
		Short: "serve files to curl, browsers, WebDAV and S3 at one address",
		Long: `Run an HTTP front until Ctrl-C: the files of 'viewring file' by GET, HEAD, PUT and
DELETE, with ranges and conditions; directories as pages for browsers, with upload,
and as JSON (?list); and all of it as a WebDAV share. Clients of S3, which sign their
requests with a key of 'viewring s3 key add', find directories as buckets and files as
objects: see server/s3/README.md.

With a password, clients say it as that of any user (Basic) or as a token (Bearer), and
need no TLS certificate of their own. Without one, only this machine is served.

A front keeps nothing: run as many as you like. 'viewring server --http HOST:PORT' runs
one inside a server. What is served how is in server/web/README.md.`,
		Example: "  viewring http\n  curl -T photo.jpg http://localhost:28420/photos/\n  curl http://localhost:28420/photos/?list\n  viewring http --listen 127.0.0.1:8080 --viewleader localhost:28500",
	}
	httpBoundsFlags(cmd, &o.Bounds)
	s3.add(cmd)
	return a.frontCmd(cmd, &o.Front, port.Local(port.HTTP), func(insecure bool) (err error) {
		if err = o.Bounds.check(); err != nil {
			return err
		}
		o.AnyHost = insecure
		o.S3, err = s3.options(a)
		return err
	}, func(ctx context.Context) error {
		return a.starters.HTTP(ctx, o)
	})
}
