package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"viewring/client/file"
	"viewring/internal/secure"
	"viewring/internal/wait"
)

// TestReplaced: who reads a file that is replaced or removed meanwhile reads the old one to its end.
func TestReplaced(t *testing.T) {
	t.Parallel()
	url := ready(t, func(o *Options) { o.Bounds.WriteTimeout = 10 * time.Minute }) // the reader waits for who replaces the file
	old := pattern(5, 20<<20)
	for name, change := range map[string]func(at string){
		"replaced": func(at string) { want(t, 204, "PUT", at, string(pattern(6, 20<<20))) },
		"removed":  func(at string) { want(t, 204, "DELETE", at, "") },
	} {
		at := url + "/replaced/" + name
		want(t, 201, "PUT", at, string(old))
		res, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 100)
		if _, err := io.ReadFull(res.Body, head); err != nil {
			t.Fatal(err)
		}
		change(at)
		rest, err := io.ReadAll(res.Body)
		if got := append(head, rest...); err != nil || !bytes.Equal(got, old) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		_ = res.Body.Close()
	}
}

// TestPage: a directory as a page: its names are escaped, and no script of a file is this site's.
func TestPage(t *testing.T) {
	url := ready(t, nil)
	names := []string{`"><img src=x onerror=alert(1)>`, "a&b", "javascript:alert(1)", "ü ?#%", "{{.Path}}"}
	for _, name := range names {
		req, _ := http.NewRequest("PUT", url+"/page/", strings.NewReader("<script>alert(1)</script>"))
		req.URL.Path = "/page/" + name
		req.Header.Set("Content-Type", "text/html")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil || res.StatusCode != 201 {
			t.Fatal(name, res, err)
		}
		_ = res.Body.Close()
	}
	a := want(t, 200, "GET", url+"/page/", "", "Accept", "text/html")
	for _, name := range names {
		if strings.ContainsAny(name, "<>") && strings.Contains(a.body, name) {
			t.Errorf("%q is not escaped", name)
		}
	}
	for _, must := range []string{`href="/page/%22%3E%3Cimg%20src=x%20onerror=alert%281%29%3E"`, `href="/page/%C3%BC%20%3F%23%25"`, `href="/page/javascript:alert%281%29"`, `type="file"`} {
		if !strings.Contains(a.body, must) {
			t.Errorf("%s is not in\n%s", must, a.body)
		}
	}
	csp := a.header.Get("Content-Security-Policy")
	nonce, _, _ := strings.Cut(strings.SplitN(csp, "script-src 'nonce-", 2)[1], "'")
	if strings.Contains(csp, "unsafe") || strings.Count(a.body, "<script") != 1 || !strings.Contains(a.body, `<script nonce="`+nonce+`">`) {
		t.Errorf("%s: %s", csp, a.body)
	}
	if b := want(t, 200, "GET", url+"/page/", ""); strings.Contains(b.body, nonce) {
		t.Error("a nonce is told twice")
	}
	f := want(t, 200, "GET", url+"/page/a&b", "")
	if f.header.Get("Content-Type") != "text/html" || !strings.HasPrefix(f.header.Get("Content-Security-Policy"), "sandbox;") || f.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", f.header)
	}
	if a := want(t, 302, "GET", url+"/page?x=y", ""); a.header.Get("Location") != "/page/?x=y" {
		t.Errorf("%v", a.header)
	}
}

// TestList: a directory, and a tree, as JSON.
func TestList(t *testing.T) {
	t.Parallel()
	url := ready(t, nil)
	for i := range 1500 {
		if i < 3 || i%100 == 0 {
			want(t, 201, "PUT", fmt.Sprintf("%s/list/%d/f", url, i), "x", "Content-Type", "text/plain")
		}
	}
	want(t, 201, "PUT", url+"/list/empty/", "")
	want(t, 204, "PUT", url+"/list/empty/", "")
	for query, n := range map[string]int{"?list": 18, "?list&recursive": 35} {
		a := want(t, 200, "GET", url+"/list"+query, "")
		var got struct {
			Path    string
			Entries []entry
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Path != "/list" || len(got.Entries) != n {
			t.Errorf("%s: %d entries, %v", query, len(got.Entries), err)
		}
		for _, e := range got.Entries {
			if e.Dir != (e.ETag == "") || e.Modified == nil || !e.Dir && (e.Bytes != 1 || want(t, 200, "HEAD", url+e.Path, "").header.Get("Etag") != e.ETag) {
				t.Errorf("%+v", e)
			}
		}
	}
	var empty map[string]any
	if err := json.Unmarshal([]byte(want(t, 200, "GET", url+"/list/empty/?list", "").body), &empty); err != nil || len(empty["entries"].([]any)) != 0 {
		t.Errorf("%v, %v", empty, err)
	}
	want(t, 409, "DELETE", url+"/list", "")
	want(t, 204, "DELETE", url+"/list?recursive", "")
	want(t, 404, "GET", url+"/list/1/f", "")
}

// TestForm: files of a form, as a browser without scripts sends them.
func TestForm(t *testing.T) {
	url := ready(t, nil)
	form := func(names ...string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		_ = w.WriteField("other", "is no file")
		for _, name := range names {
			p, _ := w.CreateFormFile("file", name)
			_, _ = p.Write([]byte("of " + name))
		}
		_ = w.Close()
		return b.String(), w.FormDataContentType()
	}
	body, media := form("one", "../../two", "C%3A.txt", "wör ds")
	a := want(t, 201, "POST", url+"/form/", body, "Content-Type", media)
	if strings.Count(a.body, `"path":"/form/`) != 4 {
		t.Error(a.body)
	}
	for at, text := range map[string]string{"/form/one": "one", "/form/two": "../../two", "/form/w%C3%B6r%20ds": "wör ds"} {
		if got := want(t, 200, "GET", url+at, ""); got.body != "of "+text {
			t.Errorf("%s: %q", at, got.body)
		}
	}
	if a := want(t, 303, "POST", url+"/form/", body, "Content-Type", media, "Accept", "text/html"); a.header.Get("Location") != "/form/" {
		t.Error(a.header)
	}
	body, media = form("good", "bad\x01name", "never")
	if a := want(t, 400, "POST", url+"/form/", body, "Content-Type", media); !strings.Contains(a.body, "stored before that: good") {
		t.Error(a.body)
	}
	want(t, 404, "GET", url+"/form/never", "")
	own, ownMedia := form(".webdav-locks")
	want(t, 403, "POST", url+"/", own, "Content-Type", ownMedia)
	want(t, 403, "POST", url+"/form/", body, "Content-Type", media, "Sec-Fetch-Site", "cross-site")
	want(t, 403, "PUT", url+"/form/one", "forged", "Origin", "http://evil.example")
}

// TestHosts: without a password only this machine's names are served; with one, or when told so, any.
func TestHosts(t *testing.T) {
	url := ready(t, nil)
	for host, status := range map[string]int{"localhost": 200, "localhost:80": 200, "127.0.0.1": 200, "[::1]:80": 200, "files.localhost": 200, "evil.example": 421, "localhost.evil.example": 421} {
		want(t, status, "GET", url+"/", "", "Host", host)
	}
	want(t, 200, "GET", ready(t, func(o *Options) { o.AnyHost = true })+"/", "", "Host", "files.example")
}

// TestPassword: the cluster's password, as that of any user or as a token.
func TestPassword(t *testing.T) {
	name := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(name, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := secure.Load(secure.Files{Password: name})
	if err != nil {
		t.Fatal(err)
	}
	url := ready(t, func(o *Options) { o.Secure = config })
	get := func(status int, set func(r *http.Request)) {
		t.Helper()
		req, _ := http.NewRequest("GET", url+"/", nil)
		set(req)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != status || status == 401 && !strings.HasPrefix(res.Header.Get("Www-Authenticate"), "Basic ") {
			t.Errorf("%d, want %d: %v", res.StatusCode, status, req.Header)
		}
	}
	get(401, func(*http.Request) {})
	get(200, func(r *http.Request) { r.SetBasicAuth("anybody", "open sesame") })
	get(200, func(r *http.Request) { r.SetBasicAuth("", "open sesame") })
	get(401, func(r *http.Request) { r.SetBasicAuth("open sesame", "") })
	get(401, func(r *http.Request) { r.SetBasicAuth("default", "wrong") })
	get(200, func(r *http.Request) { r.Header.Set("Authorization", "Bearer open sesame") })
	get(401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer") })
	get(401, func(r *http.Request) { r.Header.Set("Authorization", "Digest open sesame") })
	for _, method := range []string{"PUT", "DELETE", "PROPFIND", "LOCK", "OPTIONS", "POST"} {
		want(t, 401, method, url+"/x", "")
	}
	want(t, 200, "GET", url+"/?health", "")
	want(t, 401, "GET", url+"/?health=1", "")
	want(t, 401, "GET", url+"/x?health", "")
}

// ownS3 owns what has its header.
type ownS3 struct{}

func (ownS3) Owns(r *http.Request) bool { return r.Header.Get("X-Amz-Date") != "" }
func (ownS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusTeapot)
	_, _ = io.Copy(w, r.Body)
}

// TestAskedFirst: what another handler owns is its own.
func TestAskedFirst(t *testing.T) {
	url := ready(t, func(o *Options) { o.S3 = func(*file.FS, Room) S3 { return ownS3{} } })
	if a := want(t, 418, "PUT", url+"/a%2fb/../c", "body", "X-Amz-Date", "today", "Host", "bucket.example"); a.body != "body" {
		t.Error(a)
	}
	want(t, 201, "PUT", url+"/a", "body")
}

// TestStop: a front that is told to finish lets requests under way end, and is not ready any more.
func TestStop(t *testing.T) {
	f := start(t, nil)
	url := "http://" + f.Addr()
	for ask(t, "GET", url+"/?health", "").status != 200 {
		if !wait.For(t.Context(), time.Millisecond) {
			t.Fatal("it finds no cluster")
		}
	}
	c := dial(t, url)
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := io.WriteString(c, "PUT /stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadString('\n'); err != nil { // it is under way
		t.Fatal(err)
	}
	_, _ = r.ReadString('\n')
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		f.Finish(t.Context())
		_ = f.Close()
	}()
	for { // until it listens no more
		other, err := http.Get(url + "/?health")
		if err != nil {
			break
		}
		_ = other.Body.Close()
	}
	if err := f.Service().Ready(); err == nil {
		t.Error("it is ready")
	}
	if _, err := io.WriteString(c, "0123456789"); err != nil {
		t.Fatal(err)
	}
	if a := read(t, r, "PUT"); a.status != 201 {
		t.Error(a)
	}
	<-closed
}
