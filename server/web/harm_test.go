package web

import (
	"strings"
	"testing"
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
