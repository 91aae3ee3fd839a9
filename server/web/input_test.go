package web

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/wait"
	"viewring/server/web/dav"
)

// TestBadInput: each gets an answer that says what is wrong, and changes nothing.
func TestBadInput(t *testing.T) {
	url := ready(t, nil)
	want(t, 201, "PUT", url+"/bad/file", "as it was")
	long := strings.Repeat("n", 1025)
	for _, c := range []struct {
		method, path string
		status       int
		headers      []string
	}{
		{"GET", "/bad/none", 404, nil},
		{"GET", "/bad/file/", 404, nil},
		{"GET", "/bad/file/below", 404, nil},
		{"GET", "/bad/none/?list", 404, nil},
		{"GET", "/bad/file?list", 409, nil},
		{"GET", "/bad/../etc/passwd", 400, nil},
		{"GET", "/bad/..", 400, nil},
		{"GET", "/bad/%2e%2e/x", 400, nil},
		{"GET", "/bad/.", 400, nil},
		{"GET", "/bad//file", 400, nil},
		{"GET", "//bad/file", 400, nil},
		{"GET", "/bad%2ffile", 400, nil},
		{"GET", "/bad%2Ffile", 400, nil},
		{"GET", "/bad/..%2f..%2fetc", 400, nil},
		{"GET", "/bad/%00", 400, nil},
		{"GET", "/bad/a%0ab", 400, nil},
		{"GET", "/bad/%ff", 400, nil},
		{"GET", "/" + long, 400, nil},
		{"GET", strings.Repeat("/"+long[:1000], 5), 414, nil},
		{"GET", "/" + strings.Repeat("n", 10_000), 414, nil},
		{"GET", strings.Repeat("/n", 129), 400, nil},
		{"PUT", "/", 400, nil},
		{"PUT", "/bad", 409, nil},
		{"PUT", "/bad/x/", 400, nil},
		{"PUT", "/bad/file/x", 409, nil},
		{"PUT", "/bad/../x", 400, nil},
		{"PUT", "/bad/file", 400, []string{"Content-Range", "bytes 0-3/10"}},
		{"PUT", "/bad/file", 415, []string{"Content-Encoding", "gzip"}},
		{"PUT", "/bad/file", 400, []string{"Content-MD5", "nonsense"}},
		{"PUT", "/bad/file", 400, []string{"Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16))}},
		{"PUT", "/bad/file", 400, []string{"Repr-Digest", "sha-256=:AAAA:"}},
		{"PUT", "/bad/file", 400, []string{"Repr-Digest", "sha-256=abc"}},
		{"PUT", "/bad/file", 400, []string{"Content-Digest", "sha-256=:" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":"}},
		{"PUT", "/bad/file", 400, []string{"Digest", "SHA-256=" + base64.StdEncoding.EncodeToString(make([]byte, 32))}},
		{"PUT", "/.webdav-locks", 403, nil},
		{"PUT", "/.webdav-locks/x", 403, nil},
		{"MKCOL", "/.webdav-locks", 403, nil},
		{"GET", "/.webdav-locks", 403, nil},
		{"POST", "/bad/", 415, nil},
		{"POST", "/bad/", 415, []string{"Content-Type", "application/json"}},
		{"POST", "/bad/file", 409, []string{"Content-Type", "multipart/form-data; boundary=x"}},
		{"POST", "/bad/", 400, []string{"Content-Type", "multipart/form-data; boundary=x"}},
		{"POST", "/bad/", 400, []string{"Content-Type", "multipart/form-data"}},
		{"DELETE", "/bad/none", 404, nil},
		{"DELETE", "/bad", 409, nil},
		{"DELETE", "/bad/file/", 404, nil},
		{"DELETE", "/", 400, nil},
		{"BREW", "/bad/file", 405, nil},
		{"TRACE", "/bad/file", 405, nil},
		{"PATCH", "/bad/file", 405, nil},
		{"MKCOL", "/bad/file", 405, nil},
		{"MKCOL", "/bad/none/x", 409, nil},
		{"PROPFIND", "/bad/", 403, []string{"Depth", "infinity"}},
		{"PROPFIND", "/bad/none", 404, []string{"Depth", "0"}},
		{"MOVE", "/bad/file", 400, nil},
		{"MOVE", "/bad/file", 400, []string{"Destination", url + "/bad/%2e%2e/x"}},
		{"MOVE", "/bad/file", 400, []string{"Destination", url + "/bad%2fx"}},
		{"MOVE", "/bad/file", 403, []string{"Destination", url + "/.webdav-locks"}},
		{"MOVE", "/bad/file", 502, []string{"Destination", "http://example.com/x"}},
		{"MOVE", "/bad/file", 409, []string{"Destination", url + "/bad/none/x"}},
		{"MOVE", "/bad/none", 404, []string{"Destination", url + "/bad/file"}},
		{"COPY", "/bad/none", 404, []string{"Destination", url + "/bad/file"}},
		{"COPY", "/bad", 403, []string{"Destination", url + "/bad/below"}},
		{"COPY", "/bad/file", 403, []string{"Destination", url + "/bad/file"}},
		{"LOCK", "/bad/file", 400, nil},
		{"UNLOCK", "/bad/file", 400, nil},
		{"UNLOCK", "/bad/file", 409, []string{"Lock-Token", "<urn:none>"}},
	} {
		body := ""
		if c.method == "PUT" || c.method == "POST" {
			body = "something else"
		}
		a := raw(t, url, c.method, c.path, body, c.headers...)
		if a.status != c.status {
			t.Errorf("%s %.60s %q: %d, want %d: %.200s", c.method, c.path, c.headers, a.status, c.status, a.body)
		}
		if a.status == 405 && c.method != "MKCOL" && !strings.Contains(a.header.Get("Allow"), "PROPFIND") {
			t.Errorf("%s: Allow: %q", c.method, a.header.Get("Allow"))
		}
		if strings.TrimSpace(a.body) == "" {
			t.Errorf("%s %.60s: %d, and nothing is said", c.method, c.path, a.status)
		}
		if got := ask(t, "GET", url+"/bad/file", ""); got.body != "as it was" {
			t.Fatalf("%s %s %q has changed the file: %d %q", c.method, c.path, c.headers, got.status, got.body)
		}
	}
	if a := ask(t, "GET", url+"/bad/none", "", "Accept", "text/plain;q=0.5, application/json"); !strings.HasPrefix(a.body, `{"error":"`) || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("as JSON: %v", a)
	}
}

// raw is ask, of a path that net/http's client would change.
func raw(t *testing.T, url, method, path, body string, headers ...string) answer {
	t.Helper()
	c := dial(t, url)
	defer c.Close()
	host := strings.TrimPrefix(url, "http://")
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n", method, path, host, len(body))
	for i := 0; i < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if _, err := io.WriteString(c, text+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	return read(t, bufio.NewReader(c), method)
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, r *bufio.Reader, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// TestDigests: checksums that match are kept, and told.
func TestDigests(t *testing.T) {
	t.Parallel()
	url := ready(t, nil)
	for _, body := range []string{"", "short", string(pattern(1, 2<<20))} {
		sum, old := sha256.Sum256([]byte(body)), md5.Sum([]byte(body))
		s, m := base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(old[:])
		for i, h := range [][]string{{"Content-MD5", m}, {"Digest", "SHA-256=" + s + ",MD5=" + m}, {"Repr-Digest", "sha-256=:" + s + ":, unknown=:AAAA:"}, {"Content-Digest", "sha-256=:" + s + ":"}} {
			at := fmt.Sprint(url, "/digests/", len(body), i)
			want(t, 201, "PUT", at, body, h...)
			a := want(t, 200, "GET", at, "")
			if told := a.header.Get("Repr-Digest"); a.body != body || i > 0 && told != "sha-256=:"+s+":" {
				t.Errorf("%q: %d bytes, %q", h[0], len(a.body), told)
			}
		}
	}
}

// TestBroken: of an upload that breaks off, or of which nothing more comes, nothing is seen.
func TestBroken(t *testing.T) {
	t.Parallel()
	patient, hasty := ready(t, nil), ready(t, func(o *Options) { o.Bounds.ReadTimeout = 200 * time.Millisecond })
	want(t, 201, "PUT", patient+"/broken/file", "old")
	for _, n := range []int{100, 3<<20 + 100} {
		body := strings.Repeat("y", n)
		for name, text := range map[string]string{
			"length":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n+50, body),
			"chunked": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", n, body),
			"garbage": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nnonsense\r\n\r\n", n, body),
			"form":    fmt.Sprintf("Content-Length: %d\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; name=f; filename=file\r\n\r\n%s", n+500, body),
		} {
			method, path := "PUT", "/broken/file"
			if name == "form" {
				method, path = "POST", "/broken/"
			}
			text = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, text)
			c := dial(t, patient)
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			_ = c.(*net.TCPConn).CloseWrite()
			if a := read(t, bufio.NewReader(c), method); a.status != 400 {
				t.Errorf("%s, %d bytes: %d %s", name, n, a.status, a.body)
			}
			_ = c.Close()
			c = dial(t, hasty)
			_, _ = io.WriteString(c, text) // a machine that is slow enough is too slow here
			if b, _ := io.ReadAll(c); name == "length" && n == 100 && !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
				t.Errorf("%s, %d bytes, and nothing more: %.200q", name, n, b)
			}
			_ = c.Close()
			if got := want(t, 200, "GET", patient+"/broken/file", ""); got.body != "old" {
				t.Fatalf("%s, %d bytes: %d bytes are seen", name, n, len(got.body))
			}
		}
	}
}

// TestExpect: who asks before it sends is told before it has sent.
func TestExpect(t *testing.T) {
	url := ready(t, nil)
	c := dial(t, url)
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := io.WriteString(c, "PUT /expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatal(line, err)
	}
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if a := read(t, r, "PUT"); a.status != 201 {
		t.Fatal(a)
	}
	if _, err := io.WriteString(c, "PUT /expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\nIf-None-Match: *\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a := read(t, r, "PUT"); a.status != 412 {
		t.Fatal(a)
	}
	c = dial(t, url)
	defer c.Close()
	if _, err := io.WriteString(c, "PUT /expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000000000000000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a := read(t, bufio.NewReader(c), "PUT"); a.status != 413 {
		t.Fatal(a)
	}
}

// TestStatuses: errors of the cluster are told by the statuses that clients act on.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{client.ErrDiskFull, 507}, {client.ErrUnavailable, 503}, {client.ErrTooFewCopies, 503}, {client.ErrUnknownOutcome, 503}, {client.ErrUnreachable, 503},
		{client.ErrBusy, 503}, {client.ErrTooLarge, 413}, {file.ErrChanged, 412}, {file.ErrLost, 500}, {file.ErrUnreadable, 500}, {file.ErrReplaced, 503},
		{dav.ErrLocked, 423}, {dav.ErrTooMany, 507}, {dav.ErrNoParent, 409}, {errors.New("other"), 500},
	} {
		if got := statusOf(fmt.Errorf("put: %w", c.err)); got != c.status {
			t.Errorf("%v: %d, want %d", c.err, got, c.status)
		}
	}
}

// TestGarbage: what is not HTTP is hung up on, and disturbs nobody.
func TestGarbage(t *testing.T) {
	t.Parallel()
	url := ready(t, nil)
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01\x00", "*1\r\n$4\r\nPING\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x00\x00\x00\x2d", strings.Repeat("A", 100<<10), "GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"PUT /smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: nonsense\r\n\r\nhello"} {
		c := dial(t, url)
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c) // or a reset
		if s := string(b); s != "" && !strings.HasPrefix(s, "HTTP/1.1 4") && !strings.HasPrefix(s, "HTTP/1.1 5") {
			t.Errorf("%.20q: %.100q", text, s)
		}
		_ = c.Close()
	}
	want(t, 404, "GET", url+"/smuggled", "")
}

// TestTooMany: beyond the bound connections are turned away, and let in again when others have left.
func TestTooMany(t *testing.T) {
	url := ready(t, func(o *Options) { o.Bounds.Connections = 3 })
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var inside []net.Conn
	turned := false
	for range 5 {
		c := dial(t, url)
		defer c.Close()
		inside = append(inside, c)
		if _, err := io.WriteString(c, "GET /?health HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && res.StatusCode == 503 && res.Header.Get("Retry-After") != "" {
			turned = true
		}
	}
	if !turned {
		t.Error("nobody is turned away")
	}
	for _, c := range inside {
		_ = c.Close()
	}
	for {
		c := dial(t, url)
		_, _ = io.WriteString(c, "GET /?health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		_ = c.Close()
		if err == nil && res.StatusCode == 200 {
			break
		}
		if !wait.For(t.Context(), time.Millisecond) {
			t.Fatal("nobody is let in again")
		}
	}
}

// TestAway: while the cluster is away requests are told to come back, and so is who asks for the front's health.
func TestAway(t *testing.T) {
	f := start(t, func(o *Options) {
		o.Open = func(ctx context.Context) (*file.FS, error) { <-ctx.Done(); return nil, ctx.Err() }
	})
	for _, c := range [][2]string{{"GET", "/?health"}, {"GET", "/"}, {"PUT", "/x"}, {"PROPFIND", "/"}} {
		if a := want(t, 503, c[0], "http://"+f.Addr()+c[1], ""); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: when?", c)
		}
	}
}

// TestCutOff: an answer whose file can't be read on does not look whole.
func TestCutOff(t *testing.T) {
	t.Parallel()
	var files *file.FS
	url := ready(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (fs *file.FS, err error) { files, err = open(ctx); return files, err }
	})
	want(t, 201, "PUT", url+"/cut", string(pattern(3, 24<<20)))
	for _, r := range []string{"", "bytes=1-", "bytes=0-9,1000-"} {
		req, _ := http.NewRequest("GET", url+"/cut", nil)
		if r != "" {
			req.Header.Set("Range", r)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if r == "bytes=0-9,1000-" {
			_ = files.Close() // the last: nothing can be read any more
			if n, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Errorf("%q: it ends after %d bytes", r, n)
			}
		}
		_ = res.Body.Close()
	}
}
