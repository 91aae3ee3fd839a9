package s3

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"

	"viewring/client"
	"viewring/client/file"
)

// TestPolicies: no answer is a page of the site of the front, whatever is stored or asked for.
func TestPolicies(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("policies")
	c.must(200, "PUT", "/policies/page", []byte("<script>alert(1)</script>"), "Content-Type", "text/html")
	i, err := files.Stat(t.Context(), "/policies/page")
	if err != nil {
		t.Fatal(err)
	}
	i.Attributes.Meta = map[string]string{metaHeaders + "content-security-policy": "script-src *"}
	if _, err := files.SetAttributes(t.Context(), "/policies/page", i.Attributes, client.Version{}); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{"/policies/page?response-content-type=text/html": objectPolicy, "/policies/page": objectPolicy,
		"/policies?list-type=2": answerPolicy, "/policies/none": answerPolicy} {
		if got := c.do("GET", target, nil).header.Get("Content-Security-Policy"); got != want || !strings.HasPrefix(got, "sandbox") {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

// TestCompleteAgain: a Complete that is sent again after its front died does not put its object over a newer one.
func TestCompleteAgain(t *testing.T) {
	t.Parallel()
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("again")
	for _, old := range []string{"", "old"} {
		for _, died := range []string{"before the mark", "after the mark", "after the replacement"} {
			for _, newer := range []bool{false, true} {
				c.must(204, "DELETE", "/again/dir/o", nil)
				if old != "" {
					c.must(200, "PUT", "/again/dir/o", []byte(old))
				}
				id, tag := c.begin("/again/dir/o"), etagFor(text(100))
				target := "/again/dir/o?uploadId=" + id
				c.must(200, "PUT", target+"&partNumber=1", text(100))
				q := &request{h: c.h, r: httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), ctx: t.Context(), bucket: "again", key: "dir/o", path: "/again/dir/o"}
				u, err := q.upload(id)
				done := &completion{id: id, parts: []listed{{PartNumber: 1, ETag: tag}}}
				if err := errors.Join(err, done.tag()); err != nil {
					t.Fatal(err)
				}
				switch died {
				case "after the mark":
					m, err := q.markFor("", file.PutOptions{})
					if err := errors.Join(err, q.mark(&u, m)); err != nil {
						t.Fatal(err)
					}
				case "after the replacement":
					if err := q.replace(done, &u); err != nil {
						t.Fatal(err)
					}
				}
				if newer {
					c.must(200, "PUT", "/again/dir/o", []byte("newer"))
				}
				want, p := string(text(100)), c.do("POST", target, partsXML([]int{1}, []string{tag}))
				if newer && died != "before the mark" {
					want = "newer"
					c.refused(404, "NoSuchUpload", p)
				} else if p.status != 200 {
					t.Errorf("%s: %d %s", died, p.status, p.body)
				}
				if got := string(c.must(200, "GET", "/again/dir/o", nil).body); got != want {
					t.Errorf("it died %s, newer %v: the object is %.10q, want %.10q", died, newer, got, want)
				}
				nothingLeft(t, files, "again", id)
			}
		}
	}
}

// TestXML: what strangers send is refused before it takes much.
func TestXML(t *testing.T) {
	for _, n := range []int{1, 3, 4, 100_000} {
		var in struct {
			Quiet bool
			Part  few[struct{ ETag string }]
		}
		in.Part.most = 3
		err := parseXML([]byte("<X a='b'><Quiet>true</Quiet>"+strings.Repeat("<Part><ETag>x</ETag></Part>", n)+"</X>"), &in)
		if (err == nil) != (n <= 3) || len(in.Part.all) != min(n, 3) || !in.Quiet {
			t.Errorf("%d elements: %v, %d were kept", n, err, len(in.Part.all))
		}
	}
	for name, text := range map[string]string{"deep": "<X>" + strings.Repeat("<a>", 8) + strings.Repeat("</a>", 8) + "</X>", "attributes": "<X " + strings.Repeat("a='' ", 4000) + "></X>",
		"not closed": "<X><a></X></a>", "cut": "<X>", "empty": ""} {
		var in struct{}
		if err := parseXML([]byte(text), &in); !errors.Is(err, errMalformedXML) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLittleRoom: where others have the memory, an object is read by pages.
func TestLittleRoom(t *testing.T) {
	t.Parallel()
	c := newCaller(t, openFiles(t))
	c.bucket("little-room")
	body := text(3<<20 + 7)
	c.must(200, "PUT", "/little-room/o", body)
	c.h.room = func(ctx context.Context, bytes int64) (func(), error) {
		if bytes > pageBytes {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return func() {}, nil
	}
	if p := c.must(200, "GET", "/little-room/o", nil); !bytes.Equal(p.body, body) {
		t.Errorf("%d bytes", len(p.body))
	}
	if p := c.must(206, "GET", "/little-room/o", nil, "Range", "bytes=5-2097999"); !bytes.Equal(p.body, body[5:2098000]) {
		t.Errorf("%d bytes of a range", len(p.body))
	}
}

// TestCopySource: what the conditions of a copy were looked at with is what is copied, also of files that have no MD5.
func TestCopySource(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("copy-source")
	put := func(text string) {
		if _, err := files.Put(t.Context(), "/copy-source/from", strings.NewReader(text), file.PutOptions{}); err != nil {
			t.Error(err)
		}
	}
	put("one")
	tag := c.must(200, "HEAD", "/copy-source/from", nil).header.Get("ETag")
	c.h.room = func(context.Context, int64) (func(), error) { // once the conditions were looked at
		put("two")
		return func() {}, nil
	}
	c.refused(503, "SlowDown", c.do("PUT", "/copy-source/to", nil, "X-Amz-Copy-Source", "/copy-source/from", "X-Amz-Copy-Source-If-Match", tag))
	if _, err := files.Stat(t.Context(), "/copy-source/to"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was copied, %v", err)
	}
}
