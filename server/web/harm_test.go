package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"viewring/client"
	"viewring/client/file"
)

// TestIntoAncestor: nothing is put in the place of a directory that it is itself in: that would remove it first.
func TestIntoAncestor(t *testing.T) {
	at := ready(t, nil)
	want(t, 201, "PUT", at+"/into/a/f", "precious")
	want(t, 201, "PUT", at+"/into/other", "precious too")
	for _, method := range []string{"COPY", "MOVE"} {
		for _, from := range []string{"/into/a", "/into/a/", "/into/a/f"} {
			for _, to := range []string{"/into", "/into/", "/"} {
				want(t, 403, method, at+from, "", "Destination", at+to)
				want(t, 403, method, at+from, "", "Destination", at+to, "Depth", "0")
			}
		}
		want(t, 403, method, at+"/into", "", "Destination", at+"/into/a/below")
		want(t, 403, method, at+"/into", "", "Destination", at+"/into/")
	}
	want(t, 200, "GET", at+"/into/a/f", "")
	want(t, 200, "GET", at+"/into/other", "")
}

// TestIfNamesAnother: an If header whose lists are about another resource does not open the lock of this one.
func TestIfNamesAnother(t *testing.T) {
	at := ready(t, nil)
	want(t, 201, "PUT", at+"/tagged/f", "old")
	want(t, 201, "PUT", at+"/tagged/free", "free")
	token := lock(t, at+"/tagged/f")
	names := lock(t, at+"/tagged/", "Depth", "0")
	none := []string{"If", "<" + at + "/none> (Not <urn:x>)"}
	refused := func(method, path, body string, more ...string) {
		t.Helper()
		want(t, 423, method, at+path, body, append(more, none...)...)
	}
	refused("PUT", "/tagged/f", "stolen")
	refused("DELETE", "/tagged/f", "")
	refused("DELETE", "/tagged/", "")
	refused("PROPPATCH", "/tagged/f", "<x/>")
	refused("MKCOL", "/tagged/new", "")
	refused("MOVE", "/tagged/f", "", "Destination", at+"/moved")
	refused("MOVE", "/tagged/free", "", "Destination", at+"/tagged/f")
	refused("COPY", "/tagged/free", "", "Destination", at+"/tagged/f")
	refused("POST", "/tagged/", "--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nnew\r\n--x--\r\n", "Content-Type", "multipart/form-data; boundary=x")
	if a := want(t, 200, "GET", at+"/tagged/f", ""); a.body != "old" {
		t.Errorf("%q", a.body)
	}
	// What has the token does it, whatever resource the list is about.
	want(t, 201, "COPY", at+"/tagged/f", "", "Destination", at+"/copy", "If", "<"+at+"/tagged/f> (Not <urn:x>)")
	want(t, 204, "PUT", at+"/tagged/f", "new", "If", "<"+at+"/tagged/f> ("+token+")")
	want(t, 204, "PUT", at+"/tagged/f", "new", "If", "<"+at+"/none> (Not <urn:x> Not "+strings.TrimSpace(token)+")")
	want(t, 204, "UNLOCK", at+"/tagged/", "", "Lock-Token", names)
	want(t, 204, "UNLOCK", at+"/tagged/f", "", "Lock-Token", token)
}

// TestKeeps: of many who move and copy to one path, and would replace nothing, one does.
func TestKeeps(t *testing.T) {
	t.Parallel()
	at := ready(t, nil)
	for _, method := range []string{"MOVE", "COPY"} {
		for _, dir := range []string{"", "/"} { // a file, and a directory
			for _, there := range []string{"/keeps/", "/keeps2/"} {
				to := fmt.Sprint(at, there, method, len(dir))
				for i := range 6 {
					want(t, 201, "PUT", fmt.Sprintf("%s/keeps/%d%sf", at, i, dir), fmt.Sprint(i))
				}
				want(t, 201, "PUT", at+there+"other", "")
				var all sync.WaitGroup
				got := make([]int, 6)
				for i := range got {
					all.Go(func() {
						from := fmt.Sprintf("%s/keeps/%d%sf", at, i, dir)
						if dir != "" {
							from = fmt.Sprint(at, "/keeps/", i, "/")
						}
						got[i] = ask(t, method, from, "", "Destination", to, "Overwrite", "F").status
					})
				}
				all.Wait()
				slices.Sort(got)
				if !slices.Equal(got, []int{201, 412, 412, 412, 412, 412}) {
					t.Errorf("%s to %s: %v", method, to, got)
				}
				want(t, 204, "DELETE", at+"/keeps/", "")
				ask(t, "DELETE", at+"/keeps2/", "")
			}
		}
	}
}

// TestShown: what one user stores is shown by no page of another site, and is no document of many.
func TestShown(t *testing.T) {
	at := ready(t, nil)
	want(t, 201, "PUT", at+"/shown", "--x", "Content-Type", "Multipart/x-mixed-replace; boundary=x")
	h := want(t, 200, "GET", at+"/shown", "").header
	if h.Get("Content-Type") != "application/octet-stream" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Error(h)
	}
}

// TestPropsMeanwhile: a put keeps the properties that the file got while it went on.
func TestPropsMeanwhile(t *testing.T) {
	at := ready(t, nil)
	want(t, 201, "PUT", at+"/props-meanwhile", "old")
	put, _ := begun(t, at, "PUT", "/props-meanwhile", "ne", 1)
	want(t, 207, "PROPPATCH", at+"/props-meanwhile", `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><N:color xmlns:N="urn:mine">blue</N:color></D:prop></D:set></D:propertyupdate>`)
	if got := ended(t, put, "w"); got != 204 {
		t.Error(got)
	}
	if a := want(t, 207, "PROPFIND", at+"/props-meanwhile", "", "Depth", "0"); !strings.Contains(a.body, "blue") {
		t.Error(a.body)
	}
}

// TestReadAfterClose: who still reads what was closed gets nothing, and takes no room.
func TestReadAfterClose(t *testing.T) {
	f := start(t, nil)
	want(t, 201, "PUT", ready(t, nil)+"/closed", strings.Repeat("x", 100))
	files, err := f.opts.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	opened, err := files.OpenFile(t.Context(), "/closed")
	if err != nil {
		t.Fatal(err)
	}
	c := newContent(t.Context(), opened, f.budget)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, fs.ErrClosed) || c.done != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestQuiet: who has no password can't fill the log by asking for the health of a front that has no cluster.
func TestQuiet(t *testing.T) {
	var log bytes.Buffer
	f := start(t, func(o *Options) {
		o.Open = func(context.Context) (*file.FS, error) { return nil, client.ErrUnreachable }
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	for range 20 {
		want(t, 503, "GET", "http://"+f.Addr()+"/?health", "")
		want(t, 503, "GET", "http://"+f.Addr()+"/f", "")
	}
	_ = f.Close() // so that nobody writes the log
	if strings.Contains(log.String(), "a request failed") {
		t.Error(log.String())
	}
}

// TestTrailer: a checksum that is sent where it is not looked at is refused, and not passed over.
func TestTrailer(t *testing.T) {
	at := ready(t, nil)
	req, err := http.NewRequest(http.MethodPut, at+"/trailer", struct{ io.Reader }{strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"Repr-Digest": {"sha-256=:AAAA:"}}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 400 {
		t.Error(res.Status)
	}
	want(t, 404, "GET", at+"/trailer", "")
}

// begun begins a request whose body has some bytes more than are sent, and returns once those are being read.
func begun(t *testing.T, at, method, path, body string, more int, headers ...string) (*bufio.ReadWriter, net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(at, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	rw := bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
	fmt.Fprintf(rw, "%s %s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n%s\r\n", method, path, len(body)+more, strings.Join(headers, ""))
	if err := rw.Flush(); err != nil {
		t.Fatal(err)
	}
	if line, err := rw.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := rw.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, _ = rw.WriteString(body) // as Flush tells
	if err := rw.Flush(); err != nil {
		t.Fatal(err)
	}
	return rw, c
}

// ended sends the rest of a body, and returns the status that answers the request.
func ended(t *testing.T, rw *bufio.ReadWriter, rest string) int {
	t.Helper()
	_, _ = rw.WriteString(rest) // as Flush tells
	if err := rw.Flush(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(rw.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// TestLockedMeanwhile: a lock holds against a change that has begun before it, and ends after it.
func TestLockedMeanwhile(t *testing.T) {
	at := ready(t, nil)
	want(t, 201, "PUT", at+"/meanwhile/f", "old")
	const head, tail = "--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nsto", "len\r\n--x--\r\n"
	put, _ := begun(t, at, "PUT", "/meanwhile/f", "sto", 3)
	long, _ := begun(t, at, "PUT", "/meanwhile/f", strings.Repeat("x", 300<<10), 3)
	form, _ := begun(t, at, "POST", "/meanwhile/", head, len(tail), "Content-Type: multipart/form-data; boundary=x\r\n")
	token := lock(t, at+"/meanwhile/f")
	want(t, 204, "PUT", at+"/meanwhile/f", "mine", "If", "("+token+")")
	for what, got := range map[string]int{"PUT": ended(t, put, "len"), "a long PUT": ended(t, long, "len"), "POST": ended(t, form, tail)} {
		if got != 423 {
			t.Errorf("%s: %d", what, got)
		}
	}
	if a := want(t, 200, "GET", at+"/meanwhile/f", ""); a.body != "mine" {
		t.Errorf("%d bytes: %.20q", len(a.body), a.body)
	}
	own, _ := begun(t, at, "PUT", "/meanwhile/f", "mi", 2, "If: ("+token+")\r\n")
	if got := ended(t, own, "ne"); got != 204 {
		t.Errorf("with the lock: %d", got)
	}
	want(t, 204, "UNLOCK", at+"/meanwhile/f", "", "Lock-Token", token)
}
