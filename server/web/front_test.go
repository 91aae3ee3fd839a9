package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/client/file"
	"viewring/internal/wait"
	"viewring/tests/local"
)

// The tests of this package share a cluster of three servers within this process.
var cluster3 = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// start starts a front of the cluster.
func start(t *testing.T, change func(o *Options)) *Front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Listener: l, Open: func(ctx context.Context) (*file.FS, error) { return file.Open(ctx, cluster3().Options()) }}
	if change != nil {
		change(&o)
	}
	f := Start(t.Context(), o)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// ready is start, of a front that has found the cluster. It returns the front's URL.
func ready(t *testing.T, change func(o *Options)) string {
	t.Helper()
	f := start(t, change)
	url := "http://" + f.Addr()
	for ask(t, "GET", url+"/?health", "").status != http.StatusOK {
		if !wait.For(t.Context(), time.Millisecond) {
			t.Fatal("it finds no cluster")
		}
	}
	return url
}

// answer is what a request was answered with.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes a request; headers are names and values in turn.
func ask(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req) // follows nothing
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// want is ask, of which the status is known.
func want(t *testing.T, status int, method, url, body string, headers ...string) answer {
	t.Helper()
	a := ask(t, method, url, body, headers...)
	if a.status != status {
		t.Errorf("%s %s %q: %d, want %d: %.200s", method, url, headers, a.status, status, a.body)
	}
	return a
}

// pattern is n bytes that are not others'.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// TestPutGet: files of lengths around the bounds, with and without a length.
func TestPutGet(t *testing.T) {
	t.Parallel()
	url := ready(t, nil)
	for _, n := range []int{0, 1, 4096, 4097, 1 << 20, 1<<20 + 1, 9<<20 + 7} {
		body := pattern(n, n)
		for _, chunked := range []bool{false, true} {
			at := fmt.Sprint(url, "/put/new/", n)
			var r io.Reader = bytes.NewReader(body)
			if chunked {
				r = struct{ io.Reader }{r}
			}
			req, _ := http.NewRequest(http.MethodPut, at, r)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode/100 != 2 {
				t.Fatalf("%d bytes, chunked %v: %s", n, chunked, res.Status)
			}
			a := want(t, 200, "GET", at, "")
			if a.body != string(body) || a.header.Get("Etag") != res.Header.Get("Etag") || a.header.Get("Etag") == "" {
				t.Errorf("%d bytes, chunked %v: %d come back, %q and %q", n, chunked, len(a.body), a.header.Get("Etag"), res.Header.Get("Etag"))
			}
			if h := want(t, 200, "HEAD", at, ""); h.header.Get("Content-Length") != a.header.Get("Content-Length") || h.body != "" {
				t.Errorf("HEAD: %v", h)
			}
		}
	}
}
