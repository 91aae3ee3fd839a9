package s3

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestHolding: who waits for long is sent blanks, and then the answer or the error; who need not wait has it as any other.
func TestHolding(t *testing.T) {
	h := New(Options{})
	h.pace = time.Millisecond
	for _, fails := range []bool{false, true} {
		w := httptest.NewRecorder()
		q := &request{h: h, w: w, r: httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/b/k", nil), ctx: t.Context(), id: "id"}
		enough := make(chan struct{})
		q.w = &waited{ResponseRecorder: w, after: func(n int) {
			if n == 3 {
				close(enough)
			}
		}}
		err := q.holding(func() (any, error) {
			<-enough
			if fails {
				return nil, errNoSuchKey
			}
			return copyResult{XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: "x"}, nil
		})
		want := "<CopyObjectResult>"
		if fails {
			want = "<Error><Code>NoSuchKey</Code>"
		}
		if body := w.Body.String(); err != nil || w.Code != 200 || !strings.HasPrefix(body, xml.Header+"  ") || !strings.Contains(body, want) {
			t.Errorf("%v, %d: %q", err, w.Code, body)
		}
	}
	h.pace = time.Hour
	w := httptest.NewRecorder()
	q := &request{h: h, w: w, r: httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/b/k", nil), ctx: t.Context()}
	if err := q.holding(func() (any, error) { return nil, errNoSuchKey }); !errors.Is(err, errNoSuchKey) || w.Body.Len() > 0 {
		t.Errorf("%v %q", err, w.Body)
	}
}

// waited counts writes.
type waited struct {
	*httptest.ResponseRecorder
	n     int
	after func(n int)
}

func (w *waited) Write(b []byte) (int, error) {
	w.n++
	w.after(w.n)
	return w.ResponseRecorder.Write(b)
}

// TestHoldingPanics: a panic ends the request, and not the process.
func TestHoldingPanics(t *testing.T) {
	q := &request{h: New(Options{}), w: httptest.NewRecorder(), ctx: t.Context()}
	defer func() {
		if p, ok := recover().(string); !ok || !strings.HasPrefix(p, "invariant: x") {
			t.Errorf("%v", p)
		}
	}()
	_ = q.holding(func() (any, error) { panic("invariant: x") })
}
