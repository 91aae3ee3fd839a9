package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestCutBetweenReads: an upload that is cut off while nobody reads of it is answered at once. net/http
// reads the rest of a body before it answers, and would wait for the client to send that.
func TestCutBetweenReads(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &pace{conn: http.NewResponseController(w), patience: time.Hour}
		err := p.begin()
		n, readErr := r.Body.Read(make([]byte, 1<<10))
		if err != nil || readErr != nil || n == 0 {
			t.Errorf("%d bytes, %v, %v", n, err, readErr)
		}
		p.end(n)
		p.waited = paceOver
		if !p.cutOff(1 << 40) {
			t.Error("it is not too slow")
		}
		w.WriteHeader(http.StatusRequestTimeout)
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	send, body := io.Pipe()
	go func() { _, _ = body.Write(make([]byte, 8<<10)) }() // and no more; the request's end ends it
	req, err := http.NewRequestWithContext(ctx, "PUT", s.URL, send)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("it is answered %s", res.Status)
	}
}
