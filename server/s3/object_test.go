package s3

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestObjects: what is put is what is got, with all that is told of it.
func TestObjects(t *testing.T) {
	t.Parallel()
	c := newCaller(t, openFiles(t))
	c.bucket("objects")
	for n, size := range []int{0, 1, 4096, 4097, 1 << 20, 3<<20 + 17} {
		body := text(size)
		target := fmt.Sprintf("/objects/dir/sub%%20dir/%%C3%%A4+%d", n)
		p := c.must(200, "PUT", target, body, "Content-Type", "text/x-test", "X-Amz-Meta-Colour", "blue", "Cache-Control", "max-age=3", "Content-MD5", md5Base64(body))
		if p.header.Get("ETag") != etagFor(body) {
			t.Errorf("%d bytes: ETag %s", size, p.header.Get("ETag"))
		}
		for _, method := range []string{"GET", "HEAD"} {
			p := c.must(200, method, target, nil)
			h := p.header
			if method == "GET" && string(p.body) != string(body) {
				t.Errorf("%d bytes: others are read, %d", size, len(p.body))
			}
			if h.Get("ETag") != etagFor(body) || h.Get("Content-Type") != "text/x-test" || h.Get("X-Amz-Meta-Colour") != "blue" || h.Get("Cache-Control") != "max-age=3" ||
				h.Get("Content-Length") != fmt.Sprint(size) || h.Get("Last-Modified") == "" || h.Get("X-Amz-Request-Id") == "" {
				t.Errorf("%s: %v", method, h)
			}
		}
		c.must(204, "DELETE", target, nil)
		c.refused(404, "NoSuchKey", c.do("GET", target, nil))
		if p := c.do("HEAD", target, nil); p.status != 404 || len(p.body) > 0 {
			t.Errorf("HEAD of what is gone: %d %s", p.status, p.body)
		}
		c.must(204, "DELETE", target, nil)
	}
	c.refused(404, "NoSuchBucket", c.do("GET", "/no-such-bucket/key", nil))
	c.refused(404, "NoSuchBucket", c.do("PUT", "/no-such-bucket/key", []byte("x")))
	c.refused(404, "NoSuchBucket", c.do("PUT", "/no-such-bucket/dir/key", []byte("x")))
	c.refused(404, "NoSuchBucket", c.do("DELETE", "/no-such-bucket/key", nil))
}

// TestRangesAndConditions are tables by RFC 9110, 13 and 14, for one range as S3 has it.
func TestRangesAndConditions(t *testing.T) {
	t.Parallel()
	c := newCaller(t, openFiles(t))
	c.bucket("ranges")
	for _, size := range []int{1000, 2<<20 + 5} {
		body := text(size)
		c.must(200, "PUT", "/ranges/o", body)
		for _, r := range []struct {
			header   string
			status   int
			from, to int
		}{
			{"bytes=0-0", 206, 0, 1}, {"bytes=1-10", 206, 1, 11}, {"bytes=2-18446744073709551615", 206, 2, size}, {"bytes=2-99999999999999999999999", 206, 2, size}, {"bytes=990-", 206, 990, size}, {"bytes=-5", 206, size - 5, size}, {"bytes=0-99999999", 206, 0, size},
			{"bytes=-99999999", 206, 0, size}, {"bytes=500-1048577", 206, 500, min(size, 1048578)},
			{"bytes=0-1,3-4", 200, 0, size}, {"bytes=5-3", 200, 0, size}, {"bytes=x", 200, 0, size}, {"lines=1-2", 200, 0, size}, {"bytes=0-", 206, 0, size},
			{fmt.Sprintf("bytes=%d-", size), 416, 0, 0}, {"bytes=-0", 416, 0, 0},
		} {
			p := c.do("GET", "/ranges/o", nil, "Range", r.header)
			if p.status != r.status || r.status < 300 && string(p.body) != string(body[r.from:r.to]) {
				t.Errorf("%s of %d: %d, %d bytes", r.header, size, p.status, len(p.body))
			}
			want := ""
			switch r.status {
			case 206:
				want = fmt.Sprintf("bytes %d-%d/%d", r.from, r.to-1, size)
			case 416:
				want = fmt.Sprintf("bytes */%d", size)
			}
			if got := p.header.Get("Content-Range"); got != want {
				t.Errorf("%s of %d: Content-Range %q, want %q", r.header, size, got, want)
			}
		}
	}
	body := text(2<<20 + 5)
	tag := etagFor(body)
	past, future := time.Now().Add(-time.Hour).UTC().Format(time.RFC1123), time.Now().Add(time.Hour).UTC().Format(time.RFC1123)
	past, future = strings.Replace(past, "UTC", "GMT", 1), strings.Replace(future, "UTC", "GMT", 1)
	for _, r := range []struct {
		headers []string
		status  int
	}{
		{[]string{"If-Match", tag}, 200}, {[]string{"If-Match", strings.Trim(tag, `"`)}, 200}, {[]string{"If-Match", `"x", ` + tag}, 200}, {[]string{"If-Match", "*"}, 200}, {[]string{"If-Match", `"x"`}, 412},
		{[]string{"If-None-Match", tag}, 304}, {[]string{"If-None-Match", `"x"`}, 200}, {[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-Modified-Since", past}, 200}, {[]string{"If-Modified-Since", future}, 304}, {[]string{"If-Unmodified-Since", past}, 412}, {[]string{"If-Unmodified-Since", future}, 200},
		{[]string{"If-Match", tag, "If-Unmodified-Since", past}, 200}, {[]string{"If-None-Match", `"x"`, "If-Modified-Since", future}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", tag}, 206}, {[]string{"Range", "bytes=0-1", "If-Range", `"x"`}, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if p := c.do(method, "/ranges/o", nil, r.headers...); p.status != r.status {
				t.Errorf("%s %q: %d, want %d", method, r.headers, p.status, r.status)
			}
		}
	}
	// Writes.
	c.refused(412, "PreconditionFailed", c.do("PUT", "/ranges/o", []byte("y"), "If-None-Match", "*"))
	c.refused(412, "PreconditionFailed", c.do("PUT", "/ranges/o", []byte("y"), "If-Match", `"x"`))
	c.refused(404, "NoSuchKey", c.do("PUT", "/ranges/none", []byte("y"), "If-Match", `"x"`))
	c.must(200, "PUT", "/ranges/o", []byte("y"), "If-Match", tag)
	c.must(200, "PUT", "/ranges/new", []byte("y"), "If-None-Match", "*")
	c.refused(412, "PreconditionFailed", c.do("DELETE", "/ranges/o", nil, "If-Match", tag))
	c.must(204, "DELETE", "/ranges/o", nil, "If-Match", etagFor([]byte("y")))
}

// TestKeys: keys that are paths, and what is said of those that can't be.
func TestKeys(t *testing.T) {
	t.Parallel()
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("keys-bucket")
	long := strings.Repeat("k", 1024)
	for _, k := range []struct {
		key    string
		status int
		code   string
	}{
		{"a//b", 400, "InvalidArgument"}, {"/a", 400, "InvalidArgument"}, {"a/./b", 400, "InvalidArgument"}, {"../a", 400, "InvalidArgument"}, {"a/..", 400, "InvalidArgument"}, {"a//", 400, "InvalidArgument"},
		{"a%0Ab", 400, "InvalidArgument"}, {"%FF", 400, "InvalidURI"}, {long + "k", 400, "KeyTooLongError"}, {long, 200, ""}, {strings.Repeat("d/", 126) + "x", 200, ""}, {strings.Repeat("d/", 127) + "x", 400, "InvalidArgument"},
		{".s3-folder", 400, "InvalidArgument"}, {"a/.s3-folder", 400, "InvalidArgument"}, {"%2e%2e/a", 400, "InvalidArgument"}, {".hidden", 200, ""}, {"a b+c%25%3F", 200, ""},
	} {
		p := c.do("PUT", "/keys-bucket/"+k.key, []byte("v"))
		if p.status != k.status || p.code() != k.code {
			t.Errorf("%.50s: %d %s, want %d %s", k.key, p.status, p.code(), k.status, k.code)
		}
		if k.code != "" && k.code != "InvalidURI" {
			c.refused(404, "NoSuchKey", c.do("GET", "/keys-bucket/"+k.key, nil))
			c.must(204, "DELETE", "/keys-bucket/"+k.key, nil)
		}
	}
	// An object and one below it.
	c.must(200, "PUT", "/keys-bucket/x", []byte("v"))
	c.refused(409, "KeyConflict", c.do("PUT", "/keys-bucket/x/y", []byte("v")))
	c.refused(404, "NoSuchKey", c.do("GET", "/keys-bucket/x/y", nil))
	c.must(204, "DELETE", "/keys-bucket/x/y", nil)
	c.must(200, "PUT", "/keys-bucket/p/q/r", []byte("v"))
	c.refused(409, "KeyConflict", c.do("PUT", "/keys-bucket/p/q", []byte("v")))
	c.refused(404, "NoSuchKey", c.do("GET", "/keys-bucket/p/q", nil))
	c.must(204, "DELETE", "/keys-bucket/p/q", nil)
	c.must(200, "GET", "/keys-bucket/p/q/r", nil)
	c.must(204, "DELETE", "/keys-bucket/p/q/r", nil)
	c.must(200, "PUT", "/keys-bucket/p", []byte("v")) // what is left of directories gives way
	// Folders.
	c.must(200, "PUT", "/keys-bucket/folder/", nil, "X-Amz-Meta-Mtime", "1")
	if p := c.must(200, "HEAD", "/keys-bucket/folder/", nil); p.header.Get("X-Amz-Meta-Mtime") != "1" {
		t.Errorf("%v", p.header)
	}
	c.refused(404, "NoSuchKey", c.do("GET", "/keys-bucket/folder", nil))
	c.must(200, "PUT", "/keys-bucket/folder/in", []byte("v"))
	c.must(204, "DELETE", "/keys-bucket/folder/", nil)
	c.refused(404, "NoSuchKey", c.do("GET", "/keys-bucket/folder/", nil))
	c.must(200, "GET", "/keys-bucket/folder/in", nil)
}

// TestBuckets: their life, their names, and what is told of their settings.
func TestBuckets(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	for _, name := range []string{"ab", "Abc", "a_b", "-abc", "abc-", "a..b", "192.168.1.1", strings.Repeat("a", 64), ".s3"} {
		c.refused(400, "InvalidBucketName", c.do("PUT", "/"+name, nil))
		c.refused(404, "NoSuchBucket", c.do("GET", "/"+name, nil))
		c.refused(404, "NoSuchBucket", c.do("GET", "/"+name+"/keys", nil))
	}
	c.bucket("life")
	c.refused(409, "BucketAlreadyOwnedByYou", c.do("PUT", "/life", nil))
	c.must(200, "HEAD", "/life", nil)
	if p := c.do("HEAD", "/life-not", nil); p.status != 404 {
		t.Errorf("HEAD of no bucket: %d", p.status)
	}
	if p := c.must(200, "GET", "/", nil); !strings.Contains(string(p.body), "<Name>life</Name>") || strings.Contains(string(p.body), ".s3") {
		t.Errorf("%s", p.body)
	}
	for sub, want := range map[string]string{"location": "LocationConstraint", "versioning": "VersioningConfiguration", "acl": "FULL_CONTROL"} {
		if p := c.must(200, "GET", "/life?"+sub, nil); !strings.Contains(string(p.body), want) {
			t.Errorf("%s: %s", sub, p.body)
		}
	}
	c.refused(404, "NoSuchBucketPolicy", c.do("GET", "/life?policy", nil))
	for _, r := range [][2]string{{"PUT", "/life?policy"}, {"PUT", "/life?versioning"}, {"GET", "/life?versions"}, {"PUT", "/life/key?tagging"}, {"GET", "/life/key?attributes"}, {"POST", "/life/key?restore"},
		{"POST", "/life"}, {"GET", "/life/key?partNumber=1"}, {"PUT", "/life/key?acl"}} {
		c.refused(501, "NotImplemented", c.do(r[0], r[1], nil))
	}
	for _, h := range [][3]string{{"X-Amz-Acl", "public-read", "AccessControlListNotSupported"}, {"X-Amz-Server-Side-Encryption", "AES256", "NotImplemented"}, {"X-Amz-Tagging", "a=b", "NotImplemented"},
		{"X-Amz-Meta-A", strings.Repeat("a", 2050), "MetadataTooLarge"}, {"Content-Disposition", strings.Repeat("a", 4200), "MetadataTooLarge"}} {
		if p := c.do("PUT", "/life/asked", nil, h[0], h[1]); p.code() != h[2] {
			t.Errorf("%s: %d %s", h[0], p.status, p.code())
		}
	}
	c.refused(400, "InvalidArgument", c.do("PUT", "/life/asked", []byte("x"), "X-Amz-Copy-Source", ""))
	c.refused(405, "MethodNotAllowed", c.do("PATCH", "/life/key", nil))
	c.refused(405, "MethodNotAllowed", c.do("DELETE", "/", nil))
	c.refused(404, "NoSuchVersion", c.do("GET", "/life/key?versionId=3", nil))
	c.must(200, "PUT", "/life/a/b/c", []byte("v"))
	c.refused(409, "BucketNotEmpty", c.do("DELETE", "/life", nil))
	c.must(200, "GET", "/life/a/b/c", nil)
	c.must(204, "DELETE", "/life/a/b/c", nil)
	c.must(204, "DELETE", "/life", nil) // with the directories that are left
	c.refused(404, "NoSuchBucket", c.do("DELETE", "/life", nil))
	c.refused(404, "NoSuchBucket", c.do("GET", "/life", nil))
}
