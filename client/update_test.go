package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/tests/fake"
)

// atomics has a server answer atomic requests, and every get with version 1.1.
func atomics(t *testing.T, answer func(n int, q wire.AtomicRequest) (p wire.DoReply, errText string)) *Client {
	t.Helper()
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	f.Answer = func(_ int, q wire.DoRequest, w *wire.Writer) {
		if string(q.Key) == "{x}absent" {
			fake.OK(w, wire.DoReply{Status: wire.DoNotFound})
			return
		}
		fake.OK(w, wire.DoReply{Status: wire.DoOK, Term: 1, Seq: 1, Value: []byte("v")})
	}
	n := 0
	f.Plain = func(args []string) string {
		if args[0] != wire.CmdAtomic {
			return "-ERR unknown command\r\n"
		}
		q, err := wire.DecodeAtomicRequest([]byte(args[1]))
		if err != nil {
			t.Error(err)
		}
		p, errText := answer(n, q)
		if n++; errText != "" {
			return "-" + errText + "\r\n"
		}
		b := wire.AppendDoReply(nil, &p)
		return fmt.Sprintf("$%d\r\n%s\r\n", len(b), b)
	}
	return openSeeded(t, f.Addr)
}

// TestUpdateRequest: what was read is checked, what was written is sent, and is read before it is.
func TestUpdateRequest(t *testing.T) {
	c := atomics(t, func(_ int, q wire.AtomicRequest) (wire.DoReply, string) {
		if len(q.Checks) != 2 || string(q.Checks[0].Key) != "{x}a" || q.Checks[0].Seq != 1 || q.Checks[1].Seq != 0 {
			t.Errorf("checks %+v", q.Checks)
		}
		if len(q.Writes) != 3 || string(q.Writes[0].Value) != "2" || !q.Writes[1].Delete || q.Writes[2].TTL != 60_000 {
			t.Errorf("writes %+v", q.Writes)
		}
		if q.Number == 0 || q.FenceLock != "l" || q.FenceToken != 7 {
			t.Errorf("%+v", q)
		}
		return wire.DoReply{Status: wire.DoOK, Term: 3, Seq: 4}, ""
	})
	ctx := WithFence(t.Context(), Fence{"l", 7})
	version, err := c.Update(ctx, func(tx *Tx) error {
		if v, err := tx.Get("{x}a"); err != nil || string(v.Bytes) != "v" {
			t.Errorf("%+v, %v", v, err)
		}
		if v, err := tx.Get("{x}absent"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v, %v", v, err)
		}
		tx.Set("{x}a", []byte("1"))
		tx.Set("{x}a", []byte("2"))
		tx.Delete("{x}b")
		tx.SetFor("{x}c", []byte("3"), time.Minute)
		if v, err := tx.Get("{x}a"); err != nil || string(v.Bytes) != "2" {
			t.Errorf("as written: %+v, %v", v, err)
		}
		if v, err := tx.Get("{x}b"); !errors.Is(err, ErrNotFound) {
			t.Errorf("as deleted: %+v, %v", v, err)
		}
		return nil
	})
	if err != nil || version != (Version{3, 4}) {
		t.Errorf("%v, %v", version, err)
	}
}

// TestUpdateOnce: a try that may be done is repeated under the same id; what others changed is decided anew, under another.
func TestUpdateOnce(t *testing.T) {
	var ids []uint64
	c := atomics(t, func(n int, q wire.AtomicRequest) (wire.DoReply, string) {
		ids = append(ids, q.Number)
		switch n {
		case 0:
			return wire.DoReply{}, "UNKNOWNOUTCOME"
		case 1:
			return wire.DoReply{Status: wire.DoCondFailed, Term: 9, Seq: 9}, ""
		}
		return wire.DoReply{Status: wire.DoOK, Term: 3, Seq: 4}, ""
	})
	calls := 0
	_, err := c.Update(t.Context(), func(tx *Tx) error {
		calls++
		_, err := tx.Get("{x}a")
		tx.Set("{x}b", nil)
		return err
	})
	if err != nil || calls != 2 || len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("%v, called %d times, ids %v", err, calls, ids)
	}
}

// TestUpdateFails: each way to fail writes nothing, but for the one that says it is unknown.
func TestUpdateFails(t *testing.T) {
	asked := 0
	failed := errors.New("of its own")
	reply, errText := wire.DoReply{Status: wire.DoCondFailed}, ""
	c := atomics(t, func(int, wire.AtomicRequest) (wire.DoReply, string) { asked++; return reply, errText })
	for what, tt := range map[string]struct {
		change func(tx *Tx) error
		want   error
	}{
		"its own error":           {func(tx *Tx) error { tx.Set("{x}a", nil); return failed }, failed},
		"two slots":               {func(tx *Tx) error { tx.Set("{x}a", nil); tx.Set("{y}a", nil); return nil }, ErrRefused},
		"two slots that are read": {func(tx *Tx) error { _, _ = tx.Get("{x}a"); _, err := tx.Get("{y}a"); return err }, ErrRefused},
		"no name":                 {func(tx *Tx) error { tx.Delete(""); return nil }, ErrRefused},
		"too large":               {func(tx *Tx) error { tx.Set("{x}a", make([]byte, wire.ValueBytesMax+1)); return nil }, ErrTooLarge},
	} {
		if version, err := c.Update(t.Context(), tt.change); !errors.Is(err, tt.want) || version != (Version{}) {
			t.Errorf("%s: %v, %v", what, version, err)
		}
	}
	if _, err := c.Update(t.Context(), func(tx *Tx) error { tx.SetFor("{x}a", nil, 0); return nil }); err == nil {
		t.Error("no time to live: taken")
	}
	if _, err := c.Update(t.Context(), func(tx *Tx) error { _, err := tx.Get("{x}a"); return err }); err != nil || asked > 0 {
		t.Errorf("one read: %v, asked %d times", err, asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Update(ctx, func(tx *Tx) error {
		if asked > 2 {
			cancel()
			return nil
		}
		tx.Set("{x}a", nil)
		return nil
	})
	if err != nil || asked != 3 {
		t.Errorf("nothing at last: %v, asked %d times", err, asked)
	}
	reply, errText = wire.DoReply{Status: wire.DoFenced, Number: 8}, ""
	if _, err := c.Update(WithFence(t.Context(), Fence{"l", 7}), func(tx *Tx) error { tx.Delete("{x}a"); return nil }); !errors.Is(err, ErrFenced) {
		t.Errorf("fenced: %v", err)
	}
}

// TestUpdateUntil: others that change the keys all the time are told when the context ends.
func TestUpdateUntil(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := atomics(t, func(n int, _ wire.AtomicRequest) (wire.DoReply, string) {
		if n == 3 {
			cancel()
		}
		return wire.DoReply{Status: wire.DoCondFailed}, ""
	})
	_, err := c.Update(ctx, func(tx *Tx) error { tx.Set("{x}a", nil); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestMany: each of a batch has its outcome in its place, and writes of one key keep their order.
func TestMany(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	f.Answer = func(_ int, q wire.DoRequest, w *wire.Writer) {
		if string(q.Key) == "refused" {
			w.WriteError("REFUSED so")
			return
		}
		fake.OK(w, wire.DoReply{Status: wire.DoOK, Term: 1, Seq: uint64(len(q.Value)), Value: q.Key})
	}
	c := openSeeded(t, f.Addr)
	var puts []Put
	for i := range 300 {
		puts = append(puts, Put{Key: fmt.Sprint(i % 3), Value: make([]byte, i+1)})
	}
	puts[7].Key = "refused"
	puts[8].TTL = time.Minute
	for i, r := range c.SetMany(t.Context(), puts) {
		if refused := errors.Is(r.Err, ErrRefused); refused != (i == 7) || !refused && (r.Err != nil || r.Version.Seq != uint64(i+1)) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	last := map[string]int{}
	for _, q := range f.Requests() {
		if key := string(q.Key); len(q.Value) <= last[key] {
			t.Errorf("%s: %d after %d", key, len(q.Value), last[key])
		}
		last[string(q.Key)] = len(q.Value)
		if (q.TTL != 0) != (len(q.Value) == 9) {
			t.Errorf("%+v", q)
		}
	}
	keys := []string{"a", "refused", "b"}
	for i, r := range c.GetMany(t.Context(), keys) {
		if refused := errors.Is(r.Err, ErrRefused); refused != (i == 1) || !refused && string(r.Value.Bytes) != keys[i] {
			t.Errorf("%d: %+v", i, r)
		}
	}
	errs := c.DeleteMany(t.Context(), keys)
	if !slices.Equal([]bool{errs[0] == nil, errors.Is(errs[1], ErrRefused), errs[2] == nil}, []bool{true, true, true}) {
		t.Error(errs)
	}
}

// TestTTL: what PTTL answers.
func TestTTL(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	replies := map[string]string{"a": ":1500\r\n", "stays": ":-1\r\n", "absent": ":-2\r\n", "odd": "+OK\r\n", "ever": ":9223372036854775807\r\n"}
	f.Plain = func(args []string) string { return replies[args[1]] }
	c := openSeeded(t, f.Addr)
	if left, expires, err := c.TTL(t.Context(), "a"); left != 1500*time.Millisecond || !expires || err != nil {
		t.Error(left, expires, err)
	}
	if left, expires, err := c.TTL(t.Context(), "ever"); left < 0 || !expires || err != nil {
		t.Error(left, expires, err)
	}
	if left, expires, err := c.TTL(t.Context(), "stays"); left != 0 || expires || err != nil {
		t.Error(left, expires, err)
	}
	if _, _, err := c.TTL(t.Context(), "absent"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, _, err := c.TTL(t.Context(), ""); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := c.TTL(ctx, "odd"); err == nil {
		t.Error("odd: no error")
	}
}
