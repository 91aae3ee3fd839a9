package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"viewring/client"
)

// take takes the next events of a watch.
func take(t *testing.T, w *client.Watch, n int) (events []client.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for range n {
		e, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("after %d events: %v", len(events), err)
		}
		events = append(events, e)
	}
	return events
}

func watch(t *testing.T, c *client.Client, key string, o client.WatchOptions) *client.Watch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	w, err := c.Watch(ctx, key, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// TestWatchManyKeys: who watches a prefix is told of each key, of each in its order, with the
// versions that its writer was told, and a Token goes on from any place.
func TestWatchManyKeys(t *testing.T) {
	t.Parallel()
	ctx, c := connect()
	defer c.Close()
	const keys, rounds = 40, 5
	w := watch(t, c, "many:", client.WatchOptions{Prefix: true})
	want := make(map[string][]client.Version)
	for range rounds {
		for k := range keys {
			name := fmt.Sprintf("many:%d", k)
			v, err := c.Set(ctx, name, []byte("v"), client.Always())
			if err != nil {
				t.Fatal(err)
			}
			want[name] = append(want[name], v)
		}
	}
	half := take(t, w, keys*rounds/2)
	token := w.Token()
	rest := take(t, w, keys*rounds-len(half))
	again := take(t, watch(t, c, "many:", client.WatchOptions{Prefix: true, From: token}), len(rest))
	for what, events := range map[string][]client.Event{"one watch": slices.Concat(half, rest), "two": slices.Concat(half, again)} {
		got := make(map[string][]client.Version)
		for _, e := range events {
			got[e.Key] = append(got[e.Key], e.Version)
			if e.Change != client.Set || e.Value != nil {
				t.Errorf("%+v", e)
			}
		}
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				t.Errorf("%s: %s was told %v, not %v", what, name, got[name], want[name])
			}
		}
	}
}

// TestWatchExpiry: who watches is told that a key expired, and until when a value is.
func TestWatchExpiry(t *testing.T) {
	t.Parallel()
	ctx, c := connect()
	defer c.Close()
	w := watch(t, c, "mayfly", client.WatchOptions{Values: true})
	before := time.Now()
	if _, err := c.SetFor(ctx, "mayfly", []byte{}, 50*time.Millisecond, client.Always()); err != nil {
		t.Fatal(err)
	}
	events := take(t, w, 2)
	if e := events[0]; e.Change != client.Set || e.Value == nil || e.Expires.Before(before) {
		t.Errorf("%+v", e)
	}
	if e := events[1]; e.Change != client.Expired || e.Key != "mayfly" {
		t.Errorf("%+v", e)
	}
}

// TestWatchSlowly: who does not read for a while is told all the same, or that it is not known.
func TestWatchSlowly(t *testing.T) {
	t.Parallel()
	ctx, c := connect()
	defer c.Close()
	w := watch(t, c, "slow", client.WatchOptions{Values: true})
	value := make([]byte, 1<<20)
	var last client.Version
	for range 40 { // far more than anybody keeps
		v, err := c.Set(ctx, "slow", value, client.Always())
		if err != nil {
			t.Fatal(err)
		}
		last = v
	}
	var at client.Version
	for n := 0; at != last; n++ {
		e := take(t, w, 1)[0]
		if e.Version.Term < at.Term || e.Version.Seq <= at.Seq || e.Value != nil && len(e.Value) != len(value) {
			t.Fatalf("%v of %v with %d bytes after %v", e.Change, e.Version, len(e.Value), at)
		}
		at = e.Version
		if n > 40 {
			t.Fatal("more events than writes")
		}
	}
}

func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	ctx, c := connect()
	defer c.Close()
	for _, tc := range []struct {
		key string
		o   client.WatchOptions
		is  error
	}{
		{"a", client.WatchOptions{From: "nonsense"}, nil},
		{"a", client.WatchOptions{From: "1.2.3"}, nil},
		{"a", client.WatchOptions{From: "1.2", Prefix: true}, nil},
		{"a", client.WatchOptions{From: "AQ", Prefix: true}, nil},
		{"a", client.WatchOptions{From: "AQUBAQ", Prefix: true}, nil},
		{string(make([]byte, 65<<10)), client.WatchOptions{}, client.ErrTooLarge},
		{string(make([]byte, 9<<10)), client.WatchOptions{Prefix: true}, client.ErrTooLarge},
	} {
		if _, err := c.Watch(ctx, tc.key, tc.o); err == nil || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%.20q %+v: %v", tc.key, tc.o, err)
		}
	}
	// A version that was never is not passed over.
	w := watch(t, c, "a", client.WatchOptions{From: "77777.3"})
	if token := w.Token(); token != "77777.3" {
		t.Errorf("before it was told to begin anew it is at %s", token)
	}
	if e := take(t, w, 1)[0]; e.Change != client.Anew {
		t.Errorf("%+v", e)
	}
	w.Close()
	if _, err := w.Next(ctx); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Next of a closed watch: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for range watch(t, c, "a", client.WatchOptions{}).Events(ended) {
		t.Error("an event after the end of the context")
	}
}

// TestAwait: each kind of next state is waited for, and a state that is there already is not.
func TestAwait(t *testing.T) {
	ctx, c := connect()
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	type result struct {
		value client.Value
		err   error
	}
	await := func(after client.Version) <-chan result {
		got := make(chan result, 1)
		go func() {
			v, err := c.Await(ctx, "awaited", after)
			got <- result{v, err}
		}()
		return got
	}
	created := await(client.Version{})
	version, err := c.Set(ctx, "awaited", []byte("1"), client.Always())
	if err != nil {
		t.Fatal(err)
	}
	if r := <-created; r.err != nil || r.value.Version != version {
		t.Errorf("created: %+v", r)
	}
	if r := <-await(client.Version{Term: 1, Seq: 1}); r.err != nil || r.value.Version != version {
		t.Errorf("there already: %+v", r)
	}
	deleted := await(version)
	if err := c.Delete(ctx, "awaited", client.Always()); err != nil {
		t.Fatal(err)
	}
	if r := <-deleted; !errors.Is(r.err, client.ErrNotFound) {
		t.Errorf("deleted: %+v", r)
	}
	ended, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Await(ended, "awaited", client.Version{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("in vain: %v", err)
	}
}
