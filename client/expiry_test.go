package client

import (
	"errors"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/tests/fake"
)

func TestTimeToLive(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	end := time.UnixMilli(1_800_000_000_123)
	f.Answer = func(n int, q wire.DoRequest, w *wire.Writer) {
		switch q.Op {
		case wire.DoGet:
			fake.OK(w, wire.DoReply{Status: wire.DoOK, Value: []byte("v"), Expiry: end.UnixMilli()})
		case wire.DoExpire:
			if string(q.Key) == "absent" {
				fake.OK(w, wire.DoReply{Status: wire.DoNotFound})
				return
			}
			fake.OK(w, wire.DoReply{Status: wire.DoOK, Number: 1})
		default:
			fake.OK(w, wire.DoReply{Status: wire.DoOK, Term: 1, Seq: 2})
		}
	}
	c := openSeeded(t, f.Addr)
	ctx := t.Context()
	if _, err := c.SetFor(ctx, "k", []byte("v"), 1500*time.Microsecond, IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if err := c.Expire(ctx, "k", time.Minute); err != nil {
		t.Fatal(err)
	}
	if had, err := c.Persist(ctx, "k"); err != nil || !had {
		t.Fatal(had, err)
	}
	asks := f.Requests()
	if q := asks[0]; q.Op != wire.DoSet || q.TTL != 2 || q.Cond != wire.DoIfAbsent || q.Number == 0 {
		t.Errorf("%+v", q)
	}
	if q := asks[1]; q.Op != wire.DoExpire || q.TTL != 60_000 || q.Expiry != 0 {
		t.Errorf("%+v", q)
	}
	if q := asks[2]; q.Op != wire.DoExpire || q.TTL != 0 || q.Expiry != 0 {
		t.Errorf("%+v", q)
	}
	if v, err := c.Get(ctx, "k"); err != nil || !v.Expires.Equal(end) {
		t.Errorf("%+v, %v", v, err)
	}
	if err := c.Expire(ctx, "absent", time.Minute); !errors.Is(err, ErrNotFound) {
		t.Errorf("an absent key: %v", err)
	}
	for _, ttl := range []time.Duration{0, -time.Second, time.Microsecond} {
		if _, err := c.SetFor(ctx, "k", nil, ttl, Always()); err == nil {
			t.Errorf("a time to live of %v is taken", ttl)
		}
		if err := c.Expire(ctx, "k", ttl); err == nil {
			t.Errorf("a time to live of %v is taken", ttl)
		}
	}
}
