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

// pages has a server answer page requests, and EXISTS for the keys that it has.
func pages(t *testing.T, answer func(n int, q wire.KeyPageRequest) (page wire.KeyPage, errText string), has ...string) (*Client, *fake.Server) {
	t.Helper()
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	n := 0
	f.Plain = func(args []string) string {
		switch args[0] {
		case existsCommand:
			if slices.Contains(has, args[1]) {
				return ":1\r\n"
			}
			return ":0\r\n"
		case wire.CmdKeyPage:
			q, err := wire.DecodeKeyPageRequest([]byte(args[1]))
			if err != nil {
				t.Error(err)
			}
			page, errText := answer(n, q)
			n++
			if errText != "" {
				return "-" + errText + "\r\n"
			}
			b := wire.AppendKeyPage(nil, &page)
			return fmt.Sprintf("$%d\r\n%s\r\n", len(b), b)
		}
		return "-ERR unknown command\r\n"
	}
	return openSeeded(t, f.Addr), f
}

// TestScanPages: pages that are stale are asked for again, in the term that they name, and each goes on where the last ended.
func TestScanPages(t *testing.T) {
	script := []wire.KeyPage{
		{Term: 4, Seq: 1, Stale: true},
		{Term: 4, Seq: 2, More: true, Next: []byte("one"), Keys: []wire.PageKey{{Name: []byte("a")}, {Name: []byte("")}}},
		{Term: 4, Seq: 3, More: true, Next: []byte("two")},
		{Term: 4, Seq: 4, Keys: []wire.PageKey{{Name: []byte("b")}}},
	}
	terms, afters := []uint64{1, 4, 4, 4}, []string{"", "", "one", "two"}
	c, _ := pages(t, func(n int, q wire.KeyPageRequest) (wire.KeyPage, string) {
		if q.Term != terms[n] || string(q.After) != afters[n] || string(q.Prefix) != "p" || !q.NamesOnly {
			t.Errorf("request %d: %+v", n, q)
		}
		return script[n], ""
	})
	var got []string
	for key, err := range c.Keys(t.Context(), "p") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if !slices.Equal(got, []string{"a", "", "b"}) {
		t.Errorf("%q", got)
	}
}

// TestScanDoubted: a damaged key is read, and one that should be gone is asked for. A key that no server can read is told
// with its error, and the scan goes on.
func TestScanDoubted(t *testing.T) {
	past := time.Now().Add(-time.Hour).UnixMilli()
	keys := []wire.PageKey{{Name: []byte("mended"), Damaged: true}, {Name: []byte("gone"), Expiry: past}, {Name: []byte("late"), Expiry: past},
		{Name: []byte("lost"), Damaged: true}, {Name: []byte("whole"), Term: 1, Seq: 2, Value: []byte("v"), Expiry: time.Now().Add(time.Hour).UnixMilli()}}
	c, f := pages(t, func(int, wire.KeyPageRequest) (wire.KeyPage, string) {
		return wire.KeyPage{Term: 1, Seq: 9, Keys: keys}, ""
	}, "late")
	f.Answer = func(_ int, q wire.DoRequest, w *wire.Writer) {
		switch string(q.Key) {
		case "mended", "late":
			fake.OK(w, wire.DoReply{Status: wire.DoOK, Term: 1, Seq: 7, Value: []byte("read")})
		case "gone":
			fake.OK(w, wire.DoReply{Status: wire.DoNotFound})
		default:
			w.WriteError("CORRUPT")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // how long lost is tried
	defer cancel()
	got, lost := map[string]string{}, []string(nil)
	for e, err := range c.Scan(ctx, ScanOptions{Values: true}) {
		switch {
		case errors.Is(err, ErrCorrupt):
			lost = append(lost, e.Key)
		case err != nil:
			t.Fatal(err)
		default:
			got[e.Key] = string(e.Value.Bytes)
		}
	}
	if len(got) != 3 || got["mended"] != "read" || got["late"] != "read" || got["whole"] != "v" || !slices.Equal(lost, []string{"lost"}) {
		t.Errorf("%q, lost %q", got, lost)
	}
	keys = keys[1:3]
	for key, err := range c.Keys(t.Context(), "") {
		if key != "late" || err != nil {
			t.Errorf("%q, %v", key, err)
		}
	}
}

// TestScanEnds: a scan ends with who iterates, with its context, and with an error of a server.
func TestScanEnds(t *testing.T) {
	endless := func(int, wire.KeyPageRequest) (wire.KeyPage, string) {
		return wire.KeyPage{Term: 1, Seq: 1, More: true, Next: []byte("on"), Keys: []wire.PageKey{{Name: []byte("a")}, {Name: []byte("b")}}}, ""
	}
	c, _ := pages(t, endless)
	n := 0
	for range c.Keys(t.Context(), "") {
		if n++; n == 5 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Keys(ctx, "") {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	c, _ = pages(t, func(int, wire.KeyPageRequest) (wire.KeyPage, string) { return wire.KeyPage{}, "REFUSED so" })
	n = 0
	for key, err := range c.Keys(t.Context(), "") {
		if n++; key != "" || !errors.Is(err, ErrRefused) {
			t.Errorf("%q, %v", key, err)
		}
	}
	if n != 1 {
		t.Errorf("%d times", n)
	}
}
