package web

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestRanges asks for ranges (RFC 9110, section 14) here, and of net/http's server of a folder: the answers are the same.
func TestRanges(t *testing.T) {
	t.Parallel()
	url := ready(t, nil)
	dir := t.TempDir()
	peer := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer peer.Close()
	sizes := []int{0, 1, 10, 5000, 3<<20 + 5}
	for _, n := range sizes {
		body := pattern(n, n)
		name := fmt.Sprintf("%d.bin", n)
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, 201, "PUT", url+"/ranges/"+name, string(body))
	}
	ranges := []string{"", "bytes=0-", "bytes=0-0", "bytes=1-3", "bytes=-1", "bytes=-0", "bytes=-5", "bytes=-99999999", "bytes=4-2", "bytes=9-", "bytes=10-", "bytes=99999999-",
		"bytes=0-99999999", "bytes=4999-", "bytes=5000-", "bytes=1048575-1048576", "bytes=1048576-3145728", "bytes=3145728-", "bytes=2000000-2000010",
		"bytes=0-0,2-3", "bytes=0-1,5-6,-2", "bytes=0-1048576,2097151-2097153", "bytes=3-1,2-4", "bytes=0-0,99999999-", "bytes=", "bytes=x", "bytes=1-x", "bytes=--1",
		"bytes 0-1", "items=0-1", "Bytes=0-1", "bytes=0-1,", "bytes= 0-1 , 2-3", "bytes=18446744073709551616-", "bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0"}
	for _, n := range sizes {
		for _, r := range ranges {
			for _, method := range []string{"GET", "HEAD"} {
				var headers []string
				if r != "" {
					headers = []string{"Range", r}
				}
				name := fmt.Sprintf("%d.bin", n)
				ours := ask(t, method, url+"/ranges/"+name, "", headers...)
				theirs := ask(t, method, peer.URL+"/"+name, "", headers...)
				if a, b := plainly(t, ours), plainly(t, theirs); a != b && theirs.status < 400 {
					t.Errorf("%s of %d bytes, %q:\n%.300q\nbut net/http\n%.300q", method, n, r, a, b)
				}
				if ours.status != theirs.status {
					t.Errorf("%s of %d bytes, %q: %d, but net/http %d", method, n, r, ours.status, theirs.status)
				}
			}
		}
	}
	many := "bytes=0-0" + strings.Repeat(",2-2", rangesMax)
	if a := want(t, 200, "GET", url+"/ranges/5000.bin", "", "Range", many); len(a.body) != 5000 {
		t.Errorf("of very many ranges: %d bytes", len(a.body))
	}
}

// plainly is an answer, without what differs from server to server.
func plainly(t *testing.T, a answer) string {
	t.Helper()
	out := fmt.Sprintf("%d %q %q ", a.status, a.header.Get("Content-Range"), a.header.Get("Accept-Ranges"))
	media, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || media != "multipart/byteranges" || a.body == "" {
		return out + a.header.Get("Content-Length") + " " + a.body
	}
	parts := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
	for {
		p, err := parts.NextPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("[%s %q]", p.Header.Get("Content-Range"), b)
	}
}

// TestReadConditions: conditions of GET and HEAD (RFC 9110, section 13), beside http.ServeContent with the same validators.
func TestReadConditions(t *testing.T) {
	url := ready(t, nil)
	const body = "what is asked for"
	tag := want(t, 201, "PUT", url+"/conditions/read", body).header.Get("Etag")
	modified := want(t, 200, "HEAD", url+"/conditions/read", "").header.Get("Last-Modified")
	at, err := http.ParseTime(modified)
	if err != nil {
		t.Fatal(err)
	}
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", tag)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", at, strings.NewReader(body))
	}))
	defer peer.Close()
	before, after := at.Add(-1e9).UTC().Format(http.TimeFormat), at.Add(1e9).UTC().Format(http.TimeFormat)
	values := map[string][]string{
		"If-Match":            {"", tag, "*", `"other"`, `"other", ` + tag, "W/" + tag, "nonsense"},
		"If-None-Match":       {"", tag, "*", `"other"`, `"other",` + tag, "W/" + tag, "nonsense"},
		"If-Modified-Since":   {"", before, modified, after, "nonsense"},
		"If-Unmodified-Since": {"", before, modified, after, "nonsense"},
		"If-Range":            {"", tag, `"other"`, "W/" + tag, before, after},
	}
	tried := 0
	try := func(headers ...string) {
		for _, method := range []string{"GET", "HEAD"} {
			ours, theirs := ask(t, method, url+"/conditions/read", "", headers...), ask(t, method, peer.URL, "", headers...)
			if a, b := plainly(t, ours), plainly(t, theirs); a != b {
				t.Errorf("%s %q: %s, but ServeContent %s", method, headers, a, b)
			}
			if ours.status == http.StatusNotModified && ours.header.Get("Etag") != tag {
				t.Errorf("%s %q: 304 without the tag", method, headers)
			}
			tried++
		}
	}
	for one, ones := range values {
		for other, others := range values {
			for _, v := range ones {
				for _, w := range others {
					if v != "" && w != "" && one < other {
						try("Range", "bytes=2-4", one, v, other, w)
					}
				}
				if v != "" && one == other {
					try(one, v)
					try("Range", "bytes=2-4", one, v)
				}
			}
		}
	}
	for _, by := range []string{modified, "W/" + tag} { // are no strong validators, where ServeContent takes the date for one
		if a := want(t, 200, "GET", url+"/conditions/read", "", "Range", "bytes=2-4", "If-Range", by); a.body != body {
			t.Errorf("%s: %q", by, a.body)
		}
	}
	if tried < 400 {
		t.Errorf("only %d are tried", tried)
	}
}

// TestWriteConditions: conditions of PUT and DELETE, which are decided when the file is replaced or removed.
func TestWriteConditions(t *testing.T) {
	url := ready(t, nil)
	at := url + "/conditions/write"
	old := want(t, 201, "PUT", at, "old")
	tag := old.header.Get("Etag")
	modified := want(t, 200, "HEAD", at, "").header.Get("Last-Modified")
	for _, c := range []struct {
		there bool // whether there is a file
		name  string
		value string
		holds bool
	}{
		{true, "If-Match", tag, true},
		{true, "If-Match", "*", true},
		{true, "If-Match", `"other"`, false},
		{true, "If-Match", `"other", ` + tag, true},
		{true, "If-Match", "W/" + tag, false}, // the strong comparison
		{true, "If-Match", "nonsense", false},
		{true, "If-Match", `"other", *`, false},
		{true, "If-Match", `*, "other"`, false},
		{true, "If-None-Match", `"other", *`, false},
		{true, "If-None-Match", "*", false},
		{true, "If-None-Match", tag, false},
		{true, "If-None-Match", "W/" + tag, false}, // the weak one
		{true, "If-None-Match", `"other"`, true},
		{true, "If-Unmodified-Since", modified, true},
		{true, "If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", false},
		{true, "If-Unmodified-Since", "nonsense", true}, // is not looked at
		{false, "If-Match", "*", false},
		{false, "If-Match", tag, false},
		{false, "If-None-Match", "*", true},
		{false, "If-None-Match", tag, true},
		{false, "If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", true},
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			if method == "DELETE" && !c.there {
				continue
			}
			to := at
			value := c.value
			if !c.there {
				to = url + "/conditions/" + c.name + fmt.Sprint(len(c.value))
			} else { // as it was
				ask(t, "DELETE", at, "")
				now := want(t, 201, "PUT", at, "old").header.Get("Etag")
				value = strings.ReplaceAll(value, tag, now)
				if value == modified {
					value = want(t, 200, "HEAD", at, "").header.Get("Last-Modified")
				}
			}
			status := http.StatusPreconditionFailed
			switch {
			case c.holds && !c.there:
				status = http.StatusCreated
			case c.holds:
				status = http.StatusNoContent
			}
			body := ""
			if method == "PUT" {
				body = "new"
			}
			want(t, status, method, to, body, c.name, value)
			after := ask(t, "GET", to, "")
			switch {
			case !c.holds && c.there && after.body != "old", !c.holds && !c.there && after.status != 404, c.holds && method == "PUT" && after.body != "new", c.holds && method == "DELETE" && after.status != 404:
				t.Errorf("%s, %s: %s, there %v: %d %q", method, c.name, value, c.there, after.status, after.body)
			}
		}
	}
}

// TestWriteRace: of many who put on the same condition, at two fronts, one does.
func TestWriteRace(t *testing.T) {
	fronts := []string{ready(t, nil), ready(t, nil)}
	tag := ""
	for round := range 4 {
		header, value := "If-None-Match", "*"
		if round > 0 {
			header, value = "If-Match", tag
		}
		var all sync.WaitGroup
		won := make(chan string, 8)
		for i := range 8 {
			all.Go(func() {
				a := ask(t, "PUT", fronts[i%2]+"/race/write", strings.Repeat("x", 1+i*1000), header, value)
				if a.status/100 == 2 {
					won <- a.header.Get("Etag")
				} else if a.status != 412 {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d did", round, len(won))
		}
		if tag = <-won; want(t, 200, "HEAD", fronts[0]+"/race/write", "").header.Get("Etag") != tag {
			t.Errorf("round %d: another file is there", round)
		}
	}
}
