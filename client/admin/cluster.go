package admin

import (
	"context"

	"viewring/client"
	"viewring/internal/route"
	"viewring/ring"
)

// Cluster is a cluster as operators see it. Any number of goroutines may use it.
type Cluster struct {
	router *route.Client
	dialer client.DialFunc
}

// Open finds the cluster. Close it after use. It fails as client.Open does.
func Open(ctx context.Context, opts client.Options) (*Cluster, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	return &Cluster{router: router, dialer: opts.Dialer}, nil
}

// Close ends the connections. What is under way fails.
func (c *Cluster) Close() error { return c.router.Close() }

// View returns the newest view known. It must not be modified.
func (c *Cluster) View() *ring.View { return c.router.View() }

// ViewChanged returns a channel that is closed when a newer view than v is known.
func (c *Cluster) ViewChanged(v *ring.View) <-chan struct{} { return c.router.ViewChanged(v) }

// WaitView waits until ok holds for the newest view known and returns that view. It
// fails with client.ErrUnreachable when ctx ends first.
func (c *Cluster) WaitView(ctx context.Context, ok func(*ring.View) bool) (*ring.View, error) {
	return c.router.WaitView(ctx, ok)
}
