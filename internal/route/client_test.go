package route

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"viewring/internal/port"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/tests/fake"
)

// library does with a Client what the library does.
type library struct{ *Client }

func openSeeded(t *testing.T, addrs ...string) library {
	t.Helper()
	c, err := Open(t.Context(), Options{Servers: addrs, ViewCache: NoViewCache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return library{c}
}

func (l library) Get(ctx context.Context, key string) (wire.DoReply, error) {
	return l.Do(ctx, "get", &wire.DoRequest{Op: wire.DoGet, Key: []byte(key)})
}

func (l library) Set(ctx context.Context, key string, value []byte) (wire.DoReply, error) {
	return l.Do(ctx, "set", &wire.DoRequest{Op: wire.DoSet, Key: []byte(key), Value: value})
}

func (l library) Append(ctx context.Context, key string, value []byte) (wire.DoReply, error) {
	return l.Do(ctx, "append", &wire.DoRequest{Op: wire.DoAppend, Key: []byte(key), Value: value})
}

// A mutation is tried again with the same request id until it is answered.
func TestRetriesKeepTheRequestID(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	refusals := []string{"UNAVAILABLE not yet", "NOTENOUGHCOPIES 1 of 2", "BUSY", "UNKNOWNOUTCOME", "MOVED 0 127.0.0.1:1"}
	f.Answer = func(n int, _ wire.DoRequest, w *wire.Writer) {
		if n < len(refusals) {
			w.WriteError(refusals[n])
			return
		}
		fake.OK(w, wire.DoReply{Status: wire.DoOK, Term: 1, Seq: 9})
	}
	c := openSeeded(t, f.Addr)
	reply, err := c.Set(t.Context(), "k", []byte("v"))
	if err != nil || reply.Term != 1 || reply.Seq != 9 {
		t.Fatalf("Set = %+v, %v", reply, err)
	}
	asks := f.Requests()
	if len(asks) != len(refusals)+1 {
		t.Fatalf("%d tries, want %d", len(asks), len(refusals)+1)
	}
	for _, q := range asks {
		if q.Number != 1 || q.Client != asks[0].Client || q.Born != asks[0].Born || q.Client == ([16]byte{}) {
			t.Errorf("request id %v %d %d, want that of the first try", q.Client, q.Number, q.Born)
		}
	}
	if s := c.Stats(); s.Requests != 1 || s.Retries != uint64(len(refusals)) || s.Failures != 0 {
		t.Errorf("stats = %+v", s)
	}
	if _, err := c.Set(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	if q := f.Requests()[len(asks)]; q.Number != 2 || q.Mark != 1 {
		t.Errorf("second request: number %d, mark %d; want 2, 1", q.Number, q.Mark)
	}
}

// MOVED makes the client ask the server for its newer view, and follow it.
func TestFollowsMoved(t *testing.T) {
	old, new := fake.Start(t), fake.Start(t)
	old.View = fake.View(1, old.Addr, new.Addr)
	old.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
		moved := fake.View(2, old.Addr, new.Addr)
		moved.Partitions[0].Acting = []ring.ServerID{2, 1}
		old.View, new.View = moved, moved
		w.WriteError(wire.MovedText(0, new.Addr))
	}
	new.View = old.View
	new.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
		fake.OK(w, wire.DoReply{Status: wire.DoOK, Value: []byte("there")})
	}
	c := openSeeded(t, old.Addr)
	v, err := c.Get(t.Context(), "k")
	if err != nil || string(v.Value) != "there" {
		t.Fatalf("Get = %q, %v", v.Value, err)
	}
	if a, b := len(old.Requests()), len(new.Requests()); a != 1 || b != 1 {
		t.Errorf("%d and %d tries, want 1 and 1", a, b)
	}
}

// The end of the context says what is known: nothing done, or unknown.
func TestErrorsAtTheEnd(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reply string
		want  error
	}{
		{"UNAVAILABLE no", ErrUnavailable},
		{"NOTENOUGHCOPIES 1", ErrTooFewCopies},
		{"BUSY", ErrBusy},
		{"UNKNOWNOUTCOME", ErrUnknownOutcome},
		{"CORRUPT bytes", ErrCorrupt},
		{"TOOLARGE value", ErrTooLarge},
		{"ERR what", ErrRefused},
		{"", ErrUnknownOutcome}, // no answer at all
	}
	for _, tt := range tests {
		t.Run(tt.reply, func(t *testing.T) {
			f := fake.Start(t)
			f.View = fake.View(1, f.Addr)
			f.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
				if tt.reply != "" {
					w.WriteError(tt.reply)
				}
			}
			c := openSeeded(t, f.Addr)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			var err error
			if tt.want == ErrUnknownOutcome {
				_, err = c.Set(ctx, "k", nil)
			} else { // a write that waits for its answer when the time is up would be unknown too
				_, err = c.Get(ctx, "k")
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// A view that moves the partition away from a server that is down cuts the try short.
func TestReroutesWhileWaiting(t *testing.T) {
	silent, other := fake.Start(t), fake.Start(t)
	asked := make(chan struct{})
	silent.Answer = func(int, wire.DoRequest, *wire.Writer) { close(asked) }
	other.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) { fake.OK(w, wire.DoReply{Status: wire.DoOK}) }
	silent.View = fake.View(1, silent.Addr, other.Addr)
	other.View = silent.View
	c := openSeeded(t, silent.Addr)
	result := make(chan error, 1)
	go func() {
		_, err := c.Set(t.Context(), "k", nil)
		result <- err
	}()
	<-asked
	next := fake.View(2, silent.Addr, other.Addr)
	next.Members[0].Up = false
	next.Partitions[0].Acting = []ring.ServerID{2}
	if err := c.views.adopt(next); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	a, b := silent.Requests(), other.Requests()
	if len(a) != 1 || len(b) != 1 || a[0].Number != b[0].Number {
		t.Errorf("requests %v and %v, want one each with the same number", a, b)
	}
}

// Without a view leader the cached view leads to the servers.
func TestCachedView(t *testing.T) {
	t.Parallel()
	f := fake.Start(t)
	f.View = fake.View(3, f.Addr)
	f.Answer = func(_ int, _ wire.DoRequest, w *wire.Writer) {
		fake.OK(w, wire.DoReply{Status: wire.DoOK, Value: []byte("v")})
	}
	dead := freeAddr(t)
	path := filepath.Join(t.TempDir(), "sub", "view")
	if err := saveView(path, fake.View(1, f.Addr)); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Options{Leaders: []string{dead}, ViewCache: path})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.View().Epoch != 3 {
		t.Errorf("epoch %d, want the server's 3", c.View().Epoch)
	}
	if _, err := (library{c}).Get(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

// A server of another cluster at a cached address is refused.
func TestCachedViewOfAnotherCluster(t *testing.T) {
	t.Parallel()
	f := fake.Start(t)
	f.View = fake.View(3, f.Addr)
	f.View.Cluster[0] = 8
	path := filepath.Join(t.TempDir(), "view")
	if err := saveView(path, fake.View(1, f.Addr)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Leaders: []string{freeAddr(t)}, ViewCache: path, ConnectTimeout: 500 * time.Millisecond})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("Open = %v, want unreachable", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	_, err := Open(t.Context(), Options{Leaders: []string{addr}, ViewCache: NoViewCache, ConnectTimeout: 300 * time.Millisecond})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("Open = %v, want unreachable", err)
	}
}

// Many goroutines share the connections; each gets its own answer.
func TestManyGoroutines(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	f.Answer = func(_ int, q wire.DoRequest, w *wire.Writer) {
		fake.OK(w, wire.DoReply{Status: wire.DoOK, Value: append([]byte("value of "), q.Key...)})
	}
	c := openSeeded(t, f.Addr)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("%d/%d", g, i)
				v, err := c.Get(t.Context(), key)
				if err != nil || string(v.Value) != "value of "+key {
					t.Errorf("Get(%q) = %q, %v", key, v.Value, err)
				}
			}
		})
	}
	all.Wait()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
