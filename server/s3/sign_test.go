package s3

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"viewring/client/file"
)

// way is a way of sending a body.
type way struct {
	name string
	// request makes a signed request that carries body; with tamper the bytes that are sent are others
	// than those that were signed, or that the checksums are of.
	request func(c *caller, target string, body []byte, tamper func([]byte) []byte) *http.Request
	code    string // of a tampered body
}

func same(b []byte) []byte { return b }

// flip changes a byte in the middle.
func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// plain is a request whose body is sent as it is.
func plain(payload func(body []byte) string, headers func(body []byte) []string) func(*caller, string, []byte, func([]byte) []byte) *http.Request {
	return func(c *caller, target string, body []byte, tamper func([]byte) []byte) *http.Request {
		r := c.request("PUT", target, tamper(body))
		if headers != nil {
			for h := headers(body); len(h) > 0; h = h[2:] {
				r.Header.Set(h[0], h[1])
			}
		}
		c.sign(r, payload(body))
		return r
	}
}

func unsigned([]byte) string { return unsignedPayload }

// encoded is the checksum of a body as headers have it.
func encoded(name string, body []byte) string {
	sum := algorithmOf("x-amz-checksum-" + name).make()
	sum.Write(body)
	return base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// inChunks frames the body of a request of that date: chunks are signed after the seed unless that is "".
func (c *caller) inChunks(date, seed string, body []byte, size int, trailer string, tamper func([]byte) []byte) []byte {
	day, _, _ := strings.Cut(date, "T")
	key, previous := c.signingKey(day), seed
	link := func(algorithm, of string) string {
		previous = hex.EncodeToString(mac(key, algorithm+"\n"+date+"\n"+day+"/eu-test-1/s3/aws4_request\n"+previous+"\n"+of))
		return previous
	}
	var b bytes.Buffer
	for at := 0; ; at += size {
		part := body[min(at, len(body)):min(at+size, len(body))]
		fmt.Fprintf(&b, "%x", len(part))
		if seed != "" {
			fmt.Fprintf(&b, ";chunk-signature=%s", link("AWS4-HMAC-SHA256-PAYLOAD", emptySHA256+"\n"+sum256(part)))
		}
		b.WriteString("\r\n")
		if len(part) == 0 {
			break
		}
		b.Write(tamper(part))
		b.WriteString("\r\n")
	}
	if trailer != "" {
		b.WriteString(trailer + "\r\n")
		if seed != "" {
			b.WriteString("x-amz-trailer-signature:" + link("AWS4-HMAC-SHA256-TRAILER", sum256([]byte(trailer+"\n"))) + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// chunks is a request whose body is sent in chunks.
func chunks(payload, sum string) func(*caller, string, []byte, func([]byte) []byte) *http.Request {
	return func(c *caller, target string, body []byte, tamper func([]byte) []byte) *http.Request {
		r := c.request("PUT", target, nil)
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)))
		r.Header.Set("Content-Encoding", "aws-chunked")
		trailer := ""
		if sum != "" {
			r.Header.Set("X-Amz-Trailer", "x-amz-checksum-"+sum)
			trailer = "x-amz-checksum-" + sum + ":" + encoded(sum, body)
		}
		seed := c.sign(r, payload)
		if payload == unsignedTrailer {
			seed = ""
		}
		framed := c.inChunks(r.Header.Get("X-Amz-Date"), seed, body, 64<<10, trailer, tamper)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(framed)), int64(len(framed))
		return r
	}
}

// ways are all ways of sending a body, with every checksum that there is.
func ways() []way {
	all := []way{
		{"x-amz-content-sha256", plain(sum256, nil), "XAmzContentSHA256Mismatch"},
		{"Content-MD5", plain(unsigned, func(b []byte) []string { return []string{"Content-MD5", md5Base64(b)} }), "BadDigest"},
		{"presigned, Content-MD5", func(c *caller, target string, body []byte, tamper func([]byte) []byte) *http.Request {
			r := c.request("PUT", target, tamper(body))
			r.Header.Set("Content-MD5", md5Base64(body))
			c.presign(r, time.Minute)
			return r
		}, "BadDigest"},
		{streamingPayload, chunks(streamingPayload, ""), "SignatureDoesNotMatch"},
	}
	for _, a := range algorithms {
		all = append(all,
			way{"x-amz-checksum-" + a.name, plain(unsigned, func(b []byte) []string { return []string{"X-Amz-Checksum-" + a.name, encoded(a.name, b)} }), "BadDigest"},
			way{streamingTrailer + ", " + a.name, chunks(streamingTrailer, a.name), "SignatureDoesNotMatch"},
			way{unsignedTrailer + ", " + a.name, chunks(unsignedTrailer, a.name), "BadDigest"})
	}
	return all
}

// TestWays: by each way of sending, a body arrives; one that is tampered with, that is cut short or longer, and a signature that is
// not right are refused, and nothing is stored.
func TestWays(t *testing.T) {
	t.Parallel()
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("ways")
	for n, w := range ways() {
		for _, size := range []int{5, 200_000} {
			body, target := text(size), fmt.Sprintf("/ways/%d-%d", n, size)
			if p := c.send(w.request(c, target, body, flip)); p.code() != w.code {
				t.Errorf("%s: a tampered body: %d %s, want %s", w.name, p.status, p.code(), w.code)
			}
			for _, change := range []func([]byte) []byte{
				func(b []byte) []byte { return b[:len(b)-1] },
				func(b []byte) []byte { return append(bytes.Clone(b), 'x') },
			} {
				if p := c.send(w.request(c, target, body, change)); p.status < 400 || p.status > 403 {
					t.Errorf("%s: a body of another length: %d %s", w.name, p.status, p.body)
				}
			}
			r := w.request(c, target, body, same)
			wrong := *c
			wrong.key.Secret += "x"
			if p := c.send(w.request(&wrong, target, body, same)); p.code() != "SignatureDoesNotMatch" || p.status != 403 {
				t.Errorf("%s: another secret: %d %s", w.name, p.status, p.code())
			}
			stranger := *c
			stranger.key.ID = "NOBODY"
			if p := c.send(w.request(&stranger, target, body, same)); p.code() != "InvalidAccessKeyId" {
				t.Errorf("%s: nobody's key: %d %s", w.name, p.status, p.code())
			}
			if _, err := files.Stat(t.Context(), target); err == nil {
				t.Errorf("%s: something is stored", w.name)
			}
			if p := c.send(r); p.status != 200 || p.header.Get("ETag") != etagFor(body) {
				t.Errorf("%s: %d %s", w.name, p.status, p.body)
			}
			if p := c.must(200, "GET", target, nil); !bytes.Equal(p.body, body) || p.header.Get("Content-Encoding") != "" {
				t.Errorf("%s: other bytes are read, %d of %d", w.name, len(p.body), size)
			}
		}
	}
}

// TestDecodedLength: the length that a body in chunks is said to have must be the one that it has, however well it is signed.
func TestDecodedLength(t *testing.T) {
	c := newCaller(t, openFiles(t))
	c.bucket("decoded")
	for off, code := range map[int]string{1: "IncompleteBody", -1: "IncompleteBody", 0: ""} {
		body := text(1000)
		r := c.request("PUT", "/decoded/o", nil)
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)+off))
		seed := c.sign(r, streamingPayload)
		framed := c.inChunks(r.Header.Get("X-Amz-Date"), seed, body, 300, "", same)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(framed)), int64(len(framed))
		if p := c.send(r); p.code() != code {
			t.Errorf("%d bytes more: %d %s, want %s", off, p.status, p.code(), code)
		}
	}
	for _, text := range []string{"", "x", "-1"} {
		r := c.request("PUT", "/decoded/o", []byte("0\r\n\r\n"))
		r.Header.Set("X-Amz-Decoded-Content-Length", text)
		c.sign(r, streamingPayload)
		c.refused(411, "MissingContentLength", c.send(r))
	}
}

// TestSums: a checksum that was sent is told again to who asks for it.
func TestSums(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("sums")
	body := text(10_000)
	for _, a := range algorithms {
		header, want := "X-Amz-Checksum-"+a.name, encoded(a.name, body)
		c.must(200, "PUT", "/sums/o", body, header, want)
		if p := c.must(200, "HEAD", "/sums/o", nil, "X-Amz-Checksum-Mode", "ENABLED"); p.header.Get(header) != want {
			t.Errorf("%s: %q, want %q", a.name, p.header.Get(header), want)
		}
		if p := c.must(200, "HEAD", "/sums/o", nil); p.header.Get(header) != "" {
			t.Errorf("%s is told to who does not ask", a.name)
		}
		c.refused(400, "InvalidRequest", c.do("PUT", "/sums/o", body, header, "%%"))
		c.refused(400, "InvalidRequest", c.do("PUT", "/sums/o", body, header, "AAAA"))
	}
	c.refused(400, "InvalidDigest", c.do("PUT", "/sums/o", body, "Content-MD5", "AAAA"))
	c.refused(400, "InvalidRequest", c.do("PUT", "/sums/o", body, "X-Amz-Checksum-Md4", "AAAA"))
	if got := crc64.Checksum([]byte("123456789"), crc64nvme); got != 0xae8b14860a799888 { // its "check" in the catalogue of CRCs
		t.Errorf("CRC-64/NVME: %x", got)
	}
	// What is known of the bytes goes with them, also where another client edits the file.
	if _, err := files.Append(t.Context(), "/sums/o", strings.NewReader("more")); err != nil {
		t.Fatal(err)
	}
	if p := c.must(200, "HEAD", "/sums/o", nil, "X-Amz-Checksum-Mode", "ENABLED"); p.header.Get("X-Amz-Checksum-Sha256") != "" || !strings.HasSuffix(p.header.Get("ETag"), `-0"`) {
		t.Errorf("an edited file: %v", p.header)
	}
	if _, err := files.Put(t.Context(), "/sums/plain", strings.NewReader("x"), file.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	c.must(200, "GET", "/sums/plain", nil)
}

// TestSignatures: what is wrong with a signature, its time or its scope is refused by name.
func TestSignatures(t *testing.T) {
	c := newCaller(t, openFiles(t))
	c.bucket("signatures")
	c.must(200, "PUT", "/signatures/o", []byte("x"))
	try := func(status int, code string, change func(r *http.Request)) {
		t.Helper()
		r := c.request("GET", "/signatures/o?a=b%20c&a=B&x", nil)
		c.sign(r, sum256(nil))
		change(r)
		p := c.send(r)
		if p.status != status || p.code() != code {
			t.Errorf("%d %s, want %d %s: %.300s", p.status, p.code(), status, code, p.body)
		}
	}
	try(200, "", func(*http.Request) {})
	try(200, "", func(r *http.Request) { r.URL.RawQuery = "x&a=B&a=b%20c" }) // in another order
	try(403, "SignatureDoesNotMatch", func(r *http.Request) { r.URL.RawQuery += "&more" })
	try(403, "SignatureDoesNotMatch", func(r *http.Request) { r.URL.Path = "/signatures/p" })
	try(403, "SignatureDoesNotMatch", func(r *http.Request) { r.Method = "DELETE" })
	try(403, "SignatureDoesNotMatch", func(r *http.Request) { r.Host = "other.test" })
	try(403, "AccessDenied", func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/a/b") }) // not signed
	try(400, "InvalidURI", func(r *http.Request) { r.URL.RawQuery = "a;b" })
	try(403, "AccessDenied", func(r *http.Request) { r.Header.Del("Authorization") })
	try(400, "InvalidRequest", func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:abc") })
	try(400, "InvalidRequest", func(r *http.Request) {
		r.Header.Del("Authorization")
		r.URL.RawQuery = "AWSAccessKeyId=AKIA&Signature=abc&Expires=1"
	})
	try(400, "InvalidRequest", func(r *http.Request) { r.Header.Add("Authorization", "AWS4-HMAC-SHA256 x") })
	try(400, "InvalidRequest", func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=x" })
	try(400, "AuthorizationHeaderMalformed", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") })
	try(400, "AuthorizationHeaderMalformed", func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/s3/", "/ec2/", 1))
	})
	try(403, "AccessDenied", func(r *http.Request) { // host must be signed
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
	})
	for _, skew := range []time.Duration{-14 * time.Minute, 14 * time.Minute, -16 * time.Minute, 16 * time.Minute} {
		other := *c
		other.when = time.Now().Add(skew)
		want := 200
		if skew.Abs() > 15*time.Minute {
			want = 403
		}
		if p := other.do("GET", "/signatures/o", nil); p.status != want || want != 200 && p.code() != "RequestTimeTooSkewed" {
			t.Errorf("%v off: %d %s", skew, p.status, p.code())
		}
	}
	// A credential of another day.
	r := c.request("GET", "/signatures/o", nil)
	c.sign(r, sum256(nil))
	scope := "20200101/eu-test-1/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + sum256([]byte(canonical(r, []string{"host", "x-amz-content-sha256", "x-amz-date"}, sum256(nil))))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.key.ID+"/"+scope+",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="+hex.EncodeToString(mac(c.signingKey("20200101"), text)))
	c.refused(403, "AccessDenied", c.send(r))
}

// TestPresigned: URLs that carry their signature, and how long they do.
func TestPresigned(t *testing.T) {
	c := newCaller(t, openFiles(t))
	c.bucket("presigned")
	put := c.request("PUT", "/presigned/dir/o", []byte("value"))
	c.presign(put, time.Minute)
	if p := c.send(put); p.status != 200 {
		t.Fatalf("%d %s", p.status, p.body)
	}
	for _, r := range []struct {
		expires, age time.Duration
		status       int
	}{{time.Minute, 0, 200}, {time.Hour, 59 * time.Minute, 200}, {time.Hour, 61 * time.Minute, 403}, {7 * 24 * time.Hour, 0, 200}, {7*24*time.Hour + time.Second, 0, 403}, {0, 0, 403}, {time.Minute, -16 * time.Minute, 403}} {
		other := *c
		other.when = time.Now().Add(-r.age)
		get := other.request("GET", "/presigned/dir/o?response-content-type=text/y", nil)
		other.presign(get, r.expires)
		p := other.send(get)
		if p.status != r.status || p.status == 200 && (string(p.body) != "value" || p.header.Get("Content-Type") != "text/y") {
			t.Errorf("%v, %v ago: %d %s", r.expires, r.age, p.status, p.body)
		}
	}
	get := c.request("GET", "/presigned/dir/o", nil)
	c.presign(get, time.Minute)
	get.URL.Path = "/presigned/dir/p"
	c.refused(403, "SignatureDoesNotMatch", c.send(get))
	get = c.request("PUT", "/presigned/dir/o", []byte("x"))
	get.Header.Set("X-Amz-Content-Sha256", streamingPayload)
	c.presign(get, time.Minute)
	c.refused(400, "InvalidRequest", c.send(get))
}

// TestAccess: a key for some buckets is for no others, also as the source of a copy.
func TestAccess(t *testing.T) {
	c := newCaller(t, openFiles(t))
	c.bucket("limited-bucket")
	c.bucket("other-bucket")
	c.must(200, "PUT", "/other-bucket/o", []byte("x"))
	limited := *c
	limited.key = limitedKey
	limited.must(200, "PUT", "/limited-bucket/o", []byte("x"))
	if p := limited.must(200, "GET", "/", nil); strings.Count(string(p.body), "<Bucket>") != 1 {
		t.Errorf("%s", p.body)
	}
	for _, r := range [][2]string{{"GET", "/other-bucket"}, {"GET", "/other-bucket/o"}, {"PUT", "/other-bucket/o"}, {"DELETE", "/other-bucket/o"}, {"PUT", "/new-bucket"}, {"DELETE", "/other-bucket"}, {"POST", "/other-bucket/o?uploads"}, {"GET", "/.s3/keys/x"}} {
		limited.refused(403, "AccessDenied", limited.do(r[0], r[1], nil))
	}
	limited.refused(403, "AccessDenied", limited.do("PUT", "/limited-bucket/copy", nil, "X-Amz-Copy-Source", "/other-bucket/o"))
}

// TestVirtualHosts: the bucket may be in the name of the host.
func TestVirtualHosts(t *testing.T) {
	c := newCaller(t, openFiles(t))
	send := func(method, host, target string, body []byte) reply {
		r := c.request(method, target, body)
		r.Host = host
		c.sign(r, sum256(body))
		return c.send(r)
	}
	if p := send("PUT", "virtual.s3.test:8080", "/", nil); p.status != 200 {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p := send("PUT", "virtual.s3.test", "/a/b", []byte("v")); p.status != 200 {
		t.Errorf("%d %s", p.status, p.body)
	}
	for host, target := range map[string]string{"Virtual.S3.test": "/a/b", "s3.test": "/virtual/a/b", "127.0.0.1": "/virtual/a/b"} {
		if p := send("GET", host, target, nil); string(p.body) != "v" {
			t.Errorf("%s: %d %s", host, p.status, p.body)
		}
	}
	for _, o := range []struct {
		host, header, query string
		want                bool
	}{{"x.s3.test", "", "", true}, {"s3.test", "", "", true}, {"xs3.test", "", "", false}, {"localhost", "AWS4-HMAC-SHA256 x", "", true}, {"localhost", "AWS x:y", "", true}, {"localhost", "Basic x", "", false},
		{"localhost", "", "X-Amz-Signature=1", true}, {"localhost", "", "list", false}} {
		r := c.request("GET", "/?"+o.query, nil)
		r.Host = o.host
		if o.header != "" {
			r.Header.Set("Authorization", o.header)
		}
		if got := c.h.Owns(r); got != o.want {
			t.Errorf("%+v: %v", o, got)
		}
	}
}
