package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/tests/fake"
)

// operation is any one of a Client.
type operation struct {
	name string
	do   func(ctx context.Context, c *Client) error
}

var reads = []operation{
	{"Get", func(ctx context.Context, c *Client) error { _, err := c.Get(ctx, "k"); return err }},
	{"GetMany", func(ctx context.Context, c *Client) error { return c.GetMany(ctx, []string{"k"})[0].Err }},
}

var writes = []operation{
	{"Set", func(ctx context.Context, c *Client) error { _, err := c.Set(ctx, "k", nil, Always()); return err }},
	{"SetFor", func(ctx context.Context, c *Client) error {
		_, err := c.SetFor(ctx, "k", nil, time.Hour, Always())
		return err
	}},
	{"SetMany", func(ctx context.Context, c *Client) error { return c.SetMany(ctx, []Put{{Key: "k"}})[0].Err }},
	{"DeleteMany", func(ctx context.Context, c *Client) error { return c.DeleteMany(ctx, []string{"k"})[0] }},
	{"Delete", func(ctx context.Context, c *Client) error { return c.Delete(ctx, "k", Always()) }},
	{"Append", func(ctx context.Context, c *Client) error { _, err := c.Append(ctx, "k", nil); return err }},
	{"Incr", func(ctx context.Context, c *Client) error { _, err := c.Incr(ctx, "k", 1); return err }},
	{"Expire", func(ctx context.Context, c *Client) error { return c.Expire(ctx, "k", time.Hour) }},
	{"Persist", func(ctx context.Context, c *Client) error { _, err := c.Persist(ctx, "k"); return err }},
}

var atLeader = []operation{
	{"LockGet", func(ctx context.Context, c *Client) error {
		_, err := c.LockGet(ctx, "l", "a", LockOptions{})
		return err
	}},
	{"LockRelease", func(ctx context.Context, c *Client) error { return c.LockRelease(ctx, "l", "a") }},
	{"OpenSession", func(ctx context.Context, c *Client) error {
		_, err := c.OpenSession(ctx, SessionOptions{})
		return err
	}},
}

// over returns contexts that have ended, each with its error.
func over(t *testing.T) map[error]context.Context {
	t.Helper()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	t.Cleanup(cancel)
	return map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late}
}

// TestContextOverBefore: an operation on a context that has ended already says so, and
// has surely done nothing.
func TestContextOverBefore(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	f.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) { fake.OK(w, wire.DoReply{Status: wire.DoOK}) }
	keys, locks := openSeeded(t, f.Addr), leaderClient(t, startLeader(t), &network{})
	if _, err := keys.Set(t.Context(), "k", nil, Always()); err != nil { // the connections are open
		t.Fatal(err)
	}
	if _, err := locks.LockGet(t.Context(), "open", "a", LockOptions{}); err != nil {
		t.Fatal(err)
	}
	for want, ctx := range over(t) {
		check := func(op operation, c *Client) {
			if err := op.do(ctx, c); !errors.Is(err, want) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%s: %v, want %v", op.name, err, want)
			}
		}
		for _, op := range append(reads, writes...) {
			check(op, keys)
		}
		for _, op := range atLeader {
			check(op, locks)
		}
		if _, err := Open(ctx, Options{Servers: []string{f.Addr}, ViewCache: NoViewCache}); !errors.Is(err, want) {
			t.Errorf("Open: %v, want %v", err, want)
		}
	}
	if n := len(f.Requests()); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestContextOverMeanwhile: where nobody answers until the context ends, a write says both
// that it is unknown what came of it and how the context ended.
func TestContextOverMeanwhile(t *testing.T) {
	check := func(op operation, want error) {
		t.Run(op.name, func(t *testing.T) {
			f := fake.Start(t)
			f.View = fake.View(1, f.Addr)
			ctx, cancel := context.WithCancel(t.Context())
			f.Answer = func(int, wire.DoRequest, *wire.Writer) { f.Mute = true; cancel() }
			c := openSeeded(t, f.Addr)
			err := op.do(ctx, c)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, want) || want == ErrUnreachable && errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%v, want %v and that the context was cancelled", err, want)
			}
		})
	}
	for _, op := range reads {
		check(op, ErrUnreachable)
	}
	for _, op := range writes {
		check(op, ErrUnknownOutcome)
	}
}

// TestContextGoesOn: what takes too long for the library's own bounds did not end by the
// caller's context, and does not say so.
func TestContextGoesOn(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // whose connections nobody takes up
	const brief = 100 * time.Millisecond
	c := &Client{route.New(route.Options{Leaders: []string{silent.Addr().String()}, ConnectTimeout: brief})}
	defer c.Close()
	for _, op := range atLeader[1:] {
		if err := op.do(t.Context(), c); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", op.name, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), brief/2)
		if err := op.do(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s under a deadline of its own: %v", op.name, err)
		}
		cancel()
	}
	_, err = Open(t.Context(), Options{Leaders: []string{silent.Addr().String()}, ViewCache: NoViewCache, ConnectTimeout: brief})
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: %v", err)
	}
}
