package s3

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/client/file"
	"viewring/client/s3keys"
	"viewring/tests/local"
)

// The tests of this package share a cluster of three servers within this process.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// openFiles opens the files of the cluster.
func openFiles(t testing.TB) *file.FS {
	t.Helper()
	f, err := file.Open(t.Context(), cluster().Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// someKeys are keys as a front knows them.
type someKeys map[string]s3keys.Key

func (k someKeys) Lookup(_ context.Context, id string) (s3keys.Key, error) {
	key, ok := k[id]
	if !ok {
		return key, s3keys.ErrNoKey
	}
	return key, nil
}

var (
	theKey     = s3keys.Key{ID: "AKIAIOSFODNN7EXAMPLE", Name: "test", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	limitedKey = s3keys.Key{ID: "LIMITED", Name: "limited", Secret: "secret", Buckets: []string{"limited-bucket"}}
)

// caller signs requests, by the letter of the specification: it shares no code with the front.
type caller struct {
	t    testing.TB
	url  string
	h    *Handler
	key  s3keys.Key
	when time.Time // zero: now
}

func newCaller(t testing.TB, files *file.FS) *caller {
	t.Helper()
	h := New(Options{Files: files, Keys: someKeys{theKey.ID: theKey, limitedKey.ID: limitedKey}, Domains: []string{"s3.test"}})
	h.partMin = 1
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &caller{t: t, url: s.URL, h: h, key: theKey}
}

func sum256(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, text)
	return m.Sum(nil)
}

func (c *caller) now() time.Time {
	if c.when.IsZero() {
		return time.Now().UTC()
	}
	return c.when.UTC()
}

func (c *caller) signingKey(day string) []byte {
	return mac(mac(mac(mac([]byte("AWS4"+c.key.Secret), day), "eu-test-1"), "s3"), "aws4_request")
}

// request makes one that is not signed.
func (c *caller) request(method, target string, body []byte) *http.Request {
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+target, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// canonical is what is signed of a request.
func canonical(r *http.Request, headers []string, payload string) string {
	var b strings.Builder
	query := r.URL.Query()
	for _, v := range query {
		slices.Sort(v)
	}
	fmt.Fprintf(&b, "%s\n%s\n%s\n", r.Method, escape(r.URL.Path), strings.ReplaceAll(query.Encode(), "+", "%20"))
	for _, h := range headers {
		value := strings.Join(r.Header.Values(h), ",")
		if h == "host" {
			if value = r.Host; value == "" {
				value = r.URL.Host
			}
		}
		fmt.Fprintf(&b, "%s:%s\n", h, strings.TrimSpace(value))
	}
	fmt.Fprintf(&b, "\n%s\n%s", strings.Join(headers, ";"), payload)
	return b.String()
}

// sign signs a request by its head, and returns the signature.
func (c *caller) sign(r *http.Request, payload string) string {
	now := c.now()
	day := now.Format("20060102")
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	if r.Header.Get("X-Amz-Content-Sha256") == "" && payload != "" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if payload == "" {
		payload = emptySHA256
	}
	headers := []string{"host"}
	for name := range r.Header {
		if name != "User-Agent" && name != "Accept-Encoding" {
			headers = append(headers, strings.ToLower(name))
		}
	}
	slices.Sort(headers)
	scope := day + "/eu-test-1/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + now.Format("20060102T150405Z") + "\n" + scope + "\n" + sum256([]byte(canonical(r, headers, payload)))
	signature := hex.EncodeToString(mac(c.signingKey(day), text))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s", c.key.ID, scope, strings.Join(headers, ";"), signature))
	return signature
}

// presign signs a request by its URL.
func (c *caller) presign(r *http.Request, expires time.Duration) {
	now := c.now()
	day := now.Format("20060102")
	scope := day + "/eu-test-1/s3/aws4_request"
	headers := []string{"host"}
	for name := range r.Header {
		headers = append(headers, strings.ToLower(name))
	}
	slices.Sort(headers)
	q := r.URL.Query()
	for k, v := range map[string]string{"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": c.key.ID + "/" + scope, "X-Amz-Date": now.Format("20060102T150405Z"),
		"X-Amz-Expires": fmt.Sprint(int(expires.Seconds())), "X-Amz-SignedHeaders": strings.Join(headers, ";")} {
		q.Set(k, v)
	}
	r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	text := "AWS4-HMAC-SHA256\n" + now.Format("20060102T150405Z") + "\n" + scope + "\n" + sum256([]byte(canonical(r, headers, "UNSIGNED-PAYLOAD")))
	r.URL.RawQuery += "&X-Amz-Signature=" + hex.EncodeToString(mac(c.signingKey(day), text))
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// code is the code of an error.
func (r reply) code() string {
	var e struct{ Code string }
	_ = xml.Unmarshal(r.body, &e)
	return e.Code
}

func (c *caller) send(r *http.Request) reply {
	c.t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

// do carries out a request that is signed with the checksum of its body. headers are pairs.
func (c *caller) do(method, target string, body []byte, headers ...string) reply {
	c.t.Helper()
	r := c.request(method, target, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c.sign(r, sum256(body))
	return c.send(r)
}

// must is do, that must be answered so.
func (c *caller) must(status int, method, target string, body []byte, headers ...string) reply {
	c.t.Helper()
	p := c.do(method, target, body, headers...)
	if p.status != status {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, target, p.status, status, p.body)
	}
	return p
}

// refused wants an error.
func (c *caller) refused(status int, code string, p reply) {
	c.t.Helper()
	if p.status != status || p.code() != code {
		c.t.Errorf("answered %d %s, want %d %s: %s", p.status, p.code(), status, code, p.body)
	}
}

// bucket makes one.
func (c *caller) bucket(name string) {
	c.t.Helper()
	c.must(200, "PUT", "/"+name, nil)
}

func parse[T any](t testing.TB, b []byte) (v T) {
	t.Helper()
	if err := xml.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// etagFor is that of a plain object.
func etagFor(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }

func md5Base64(b []byte) string {
	s := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(s[:])
}

// text makes bytes that repeat late.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*7 ^ byte(i>>16)*13
	}
	return b
}
