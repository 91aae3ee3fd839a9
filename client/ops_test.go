package client

import (
	"errors"
	"testing"

	"viewring/internal/wire"
	"viewring/tests/fake"
)

func openSeeded(t *testing.T, addrs ...string) *Client {
	t.Helper()
	c, err := Open(t.Context(), Options{Servers: addrs, ViewCache: NoViewCache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		status wire.DoStatus
		want   error
	}{{wire.DoOK, nil}, {wire.DoNotFound, ErrNotFound}, {wire.DoCondFailed, ErrCondition}, {wire.DoNotInteger, ErrNotInteger}}
	for _, tt := range tests {
		if err := statusError("op", wire.DoReply{Status: tt.status}); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("statusError(%d) = %v, want %v", tt.status, err, tt.want)
		}
	}
}

func TestSizes(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	c := openSeeded(t, f.Addr)
	if _, err := c.Set(t.Context(), "k", make([]byte, wire.ValueBytesMax+1), Always()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("value: %v", err)
	}
	if _, err := c.Get(t.Context(), string(make([]byte, wire.KeyBytesMax+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("name: %v", err)
	}
	if _, err := c.Get(t.Context(), ""); !errors.Is(err, ErrRefused) {
		t.Errorf("empty name: %v", err)
	}
	if n := len(f.Requests()); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// What the operation itself came to is an answer, whatever was not answered before.
func TestAnsweredAfterATryThatMayBeDone(t *testing.T) {
	for _, tt := range []struct {
		reply  string
		status wire.DoStatus
		want   error
	}{
		{"TOOLARGE value", 0, ErrTooLarge},
		{"", wire.DoNotFound, ErrNotFound},
		{"", wire.DoCondFailed, ErrCondition},
		{"", wire.DoNotInteger, ErrNotInteger},
		{"", wire.DoFenced, ErrFenced},
	} {
		f := fake.Start(t)
		f.View = fake.View(1, f.Addr)
		f.Answer = func(n int, _ wire.DoRequest, w *wire.Writer) {
			switch {
			case n == 0:
				w.WriteError("UNKNOWNOUTCOME")
			case tt.reply != "":
				w.WriteError(tt.reply)
			default:
				fake.OK(w, wire.DoReply{Status: tt.status})
			}
		}
		if err := openSeeded(t, f.Addr).Delete(t.Context(), "k", Always()); !errors.Is(err, tt.want) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s%d: %v, want %v", tt.reply, tt.status, err, tt.want)
		}
	}
}
