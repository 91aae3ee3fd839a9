package web

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/wait"
)

const lockBody = `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>`

// lock locks what is at a URL, and returns the token.
func lock(t *testing.T, at string, headers ...string) string {
	t.Helper()
	a := ask(t, "LOCK", at, lockBody, headers...)
	if a.status != 200 && a.status != 201 {
		t.Fatalf("LOCK %s: %d %s", at, a.status, a.body)
	}
	return a.header.Get("Lock-Token")
}

// TestLocks: a lock made at one front holds at another one, and of all that changes what it is of.
func TestLocks(t *testing.T) {
	one, other := ready(t, nil), ready(t, nil)
	want(t, 201, "PUT", one+"/locks/dir/file", "old")
	want(t, 201, "PUT", one+"/locks/free", "free")
	token := lock(t, one+"/locks/dir/file")
	to := []string{"Destination", other + "/locks/dir/file"}
	refused := func(status int) {
		t.Helper()
		want(t, status, "PUT", other+"/locks/dir/file", "new")
		want(t, status, "DELETE", other+"/locks/dir/file", "")
		want(t, status, "DELETE", other+"/locks/dir/", "") // also with what is below
		want(t, status, "PROPPATCH", other+"/locks/dir/file", "<x/>")
		want(t, status, "COPY", other+"/locks/free", "", to...)
		want(t, status, "MOVE", other+"/locks/free", "", to...)
		want(t, status, "MOVE", other+"/locks/dir/file", "", "Destination", other+"/locks/moved")
		want(t, status, "MOVE", other+"/locks/dir", "", "Destination", other+"/locks/moved")
		want(t, status, "LOCK", other+"/locks/dir/file", lockBody)
	}
	refused(423)
	want(t, 423, "LOCK", other+"/locks", lockBody, "Depth", "infinity") // there is a lock below
	want(t, 423, "POST", other+"/locks/dir/", "--x\r\nContent-Disposition: form-data; name=f; filename=file\r\n\r\nnew\r\n--x--\r\n", "Content-Type", "multipart/form-data; boundary=x")
	if a := want(t, 200, "GET", other+"/locks/dir/file", ""); a.body != "old" {
		t.Errorf("%q", a.body)
	}
	want(t, 412, "PUT", other+"/locks/dir/file", "new", "If", "(<urn:other>)")
	want(t, 423, "PUT", other+"/locks/dir/file", "new", "If", "(Not <urn:other>)") // it holds, and names no lock
	want(t, 412, "PUT", other+"/locks/dir/file", "new", "If", "("+token+` ["other"])`)
	want(t, 400, "PUT", other+"/locks/dir/file", "new", "If", "nonsense")
	tag := want(t, 200, "HEAD", other+"/locks/dir/file", "").header.Get("Etag")
	want(t, 204, "PUT", other+"/locks/dir/file", "new", "If", "("+token+" ["+tag+"])")
	want(t, 200, "LOCK", other+"/locks/dir/file", "", "If", "("+token+")") // refreshed
	want(t, 409, "UNLOCK", other+"/locks/free", "", "Lock-Token", token)   // not of this
	want(t, 204, "UNLOCK", other+"/locks/dir/file", "", "Lock-Token", token)
	want(t, 409, "UNLOCK", one+"/locks/dir/file", "", "Lock-Token", token)
	want(t, 204, "PUT", one+"/locks/dir/file", "newer")

	token = lock(t, one+"/locks/dir", "Depth", "infinity")
	refused(423)
	want(t, 423, "PUT", other+"/locks/dir/new/deep", "new")
	want(t, 201, "PUT", other+"/locks/dir/new/deep", "new", "If", "<"+other+"/locks/dir> ("+token+")")
	want(t, 204, "DELETE", other+"/locks/dir/", "", "If", "("+token+")")
	want(t, 204, "UNLOCK", one+"/locks/dir", "", "Lock-Token", token)

	token = lock(t, one+"/locks/", "Depth", "0") // of the names that are in it
	want(t, 423, "PUT", other+"/locks/new", "new")
	want(t, 423, "DELETE", other+"/locks/free", "")
	want(t, 204, "PUT", other+"/locks/free", "new")
	want(t, 204, "UNLOCK", one+"/locks/", "", "Lock-Token", token)
	token = lock(t, one+"/locks/reserved") // of what is not there: an empty file is made
	if a := want(t, 200, "GET", one+"/locks/reserved", ""); a.body != "" {
		t.Error(a)
	}
	want(t, 409, "LOCK", one+"/locks/none/x", lockBody)
	want(t, 201, "PUT", one+"/locks/none/x", "is not locked")
	want(t, 204, "UNLOCK", one+"/locks/reserved", "", "Lock-Token", token)
	if a := want(t, 200, "GET", one+"/?list", ""); strings.Contains(a.body, ".webdav") {
		t.Error(a.body)
	}
}

// TestLockEnds: a lock that is not refreshed ends.
func TestLockEnds(t *testing.T) {
	t.Parallel()
	at := ready(t, nil)
	token := lock(t, at+"/ends", "Timeout", "Second-1")
	want(t, 423, "PUT", at+"/ends", "new")
	for ask(t, "PUT", at+"/ends", "new").status != 204 {
		if !wait.For(t.Context(), 10*time.Millisecond) {
			t.Fatal("it does not end")
		}
	}
	want(t, 409, "UNLOCK", at+"/ends", "", "Lock-Token", token)
	token = lock(t, at+"/ends", "Timeout", "Infinite, Second-4100000000")
	if a := want(t, 200, "LOCK", at+"/ends", "", "If", "("+token+")"); !strings.Contains(a.body, "Second-3600") {
		t.Error(a.body)
	}
	want(t, 204, "UNLOCK", at+"/ends", "", "Lock-Token", token)
}

// TestLockRace: of many who lock the same, at two fronts, one gets it.
func TestLockRace(t *testing.T) {
	fronts := []string{ready(t, nil), ready(t, nil)}
	for round := range 3 {
		var all sync.WaitGroup
		got := make(chan string, 20)
		for i := range 8 {
			all.Go(func() {
				at := fmt.Sprint(fronts[i%2], "/race", round)
				a := ask(t, "LOCK", at, lockBody)
				if a.status == 200 || a.status == 201 {
					got <- a.header.Get("Lock-Token")
				} else if a.status != 423 {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		all.Wait()
		if len(got) != 1 {
			t.Fatalf("%d have it", len(got))
		}
		want(t, 204, "UNLOCK", fmt.Sprint(fronts[0], "/race", round), "", "Lock-Token", <-got)
	}
}

// TestMove: files and directories are moved and copied, and replaced only where that is meant.
func TestMove(t *testing.T) {
	t.Parallel()
	at := ready(t, nil)
	big := string(pattern(9, 2<<20))
	want(t, 201, "PUT", at+"/move/a", "a", "Content-Type", "text/x-a")
	want(t, 201, "PUT", at+"/move/big", big)
	want(t, 201, "PUT", at+"/move/dir/sub/file", "deep")
	want(t, 201, "PUT", at+"/move/dir/empty/", "")
	to := func(path string, more ...string) []string { return append([]string{"Destination", at + path}, more...) }
	want(t, 412, "MOVE", at+"/move/a", "", to("/move/big", "Overwrite", "F")...)
	want(t, 412, "COPY", at+"/move/a", "", to("/move/big", "Overwrite", "F")...)
	want(t, 404, "MOVE", at+"/move/none", "", to("/move/big")...)
	if a := want(t, 200, "GET", at+"/move/big", ""); a.body != big {
		t.Errorf("%d bytes", len(a.body))
	}
	want(t, 404, "MOVE", at+"/move/none", "", to("/move/dir")...)
	want(t, 200, "GET", at+"/move/dir/sub/file", "")
	want(t, 201, "COPY", at+"/move/big", "", to("/move/copy")...)
	want(t, 204, "COPY", at+"/move/a", "", to("/move/copy")...)
	want(t, 204, "MOVE", at+"/move/a", "", to("/move/big")...)
	if a := want(t, 200, "GET", at+"/move/big", ""); a.body != "a" || a.header.Get("Content-Type") != "text/x-a" {
		t.Errorf("%v", a)
	}
	want(t, 404, "GET", at+"/move/a", "")
	want(t, 201, "COPY", at+"/move/dir/", "", to("/move/copied/")...)
	want(t, 201, "MOVE", at+"/move/dir/", "", to("/move/moved/")...)
	for _, dir := range []string{"copied", "moved"} {
		if a := want(t, 200, "GET", at+"/move/"+dir+"/sub/file", ""); a.body != "deep" {
			t.Errorf("%q", a.body)
		}
		want(t, 200, "GET", at+"/move/"+dir+"/empty/", "")
	}
	want(t, 404, "GET", at+"/move/dir/", "")
	want(t, 204, "MOVE", at+"/move/moved/", "", to("/move/copied/")...)
	want(t, 204, "COPY", at+"/move/big", "", to("/move/copied/")...) // a file in the place of a directory
	if a := want(t, 200, "GET", at+"/move/copied", ""); a.body != "a" {
		t.Errorf("%v", a)
	}
}

// TestProps: properties of users go with their files.
func TestProps(t *testing.T) {
	at := ready(t, nil)
	want(t, 201, "PUT", at+"/props/file", "x")
	patch := func(name, inner string) string {
		return `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><N:` + name + ` xmlns:N="urn:mine">` + inner + `</N:` + name + `></D:prop></D:set></D:propertyupdate>`
	}
	find := func(path string) string {
		return want(t, 207, "PROPFIND", at+path, `<D:propfind xmlns:D="DAV:"><D:prop><N:color xmlns:N="urn:mine"/><D:getetag/></D:prop></D:propfind>`, "Depth", "0").body
	}
	want(t, 207, "PROPPATCH", at+"/props/file", patch("color", "<b>blue</b>"))
	want(t, 204, "PUT", at+"/props/file", "y")
	want(t, 201, "COPY", at+"/props/file", "", "Destination", at+"/props/copy")
	want(t, 201, "MOVE", at+"/props/file", "", "Destination", at+"/elsewhere")
	for _, path := range []string{"/elsewhere", "/props/copy"} {
		if a := find(path); !strings.Contains(a, "blue") {
			t.Errorf("%s: %s", path, a)
		}
	}
	if a := want(t, 207, "PROPPATCH", at+"/props/copy", patch("long", strings.Repeat("x", 5000))); !strings.Contains(a.body, "507") {
		t.Error(a.body)
	}
	if a := find("/props/copy"); !strings.Contains(a, "blue") {
		t.Error(a)
	}
	if a := want(t, 207, "PROPPATCH", at+"/props/", patch("color", "red")); !strings.Contains(a.body, "403") {
		t.Error(a.body)
	}
	if a := ask(t, "PROPPATCH", at+"/props/copy", patch("long", strings.Repeat("x", 100<<10))); a.status/100 != 4 && a.status/100 != 5 {
		t.Errorf("%v", a)
	}
	for _, name := range []string{"a b", "ü&<>"} {
		want(t, 201, "PUT", at+"/props/"+url.PathEscape(name), "x")
	}
	a := want(t, 207, "PROPFIND", at+"/props/", "", "Depth", "1")
	if strings.Count(a.body, "<D:response>") != 4 || !strings.Contains(a.body, "/props/a%20b</D:href>") {
		t.Error(a.body)
	}
}

// TestOverDirectory: a file that takes the place of a directory is there before that is removed: where it can't be copied nothing is.
func TestOverDirectory(t *testing.T) {
	t.Parallel()
	at := ready(t, nil)
	for _, method := range []string{"COPY", "MOVE"} {
		for _, size := range []int{3, 3 << 20} {
			name := fmt.Sprint(at, "/over-", method, size)
			text := string(pattern(size, size))
			want(t, 201, "PUT", name+"/a/f", text, "Content-Type", "text/x-test")
			want(t, 201, "PUT", name+"/b/below/g", "precious")
			want(t, 412, method, name+"/a/f", "", "Destination", name+"/b", "Overwrite", "F")
			want(t, 404, method, name+"/a/none", "", "Destination", name+"/b")
			want(t, 200, "GET", name+"/b/below/g", "")
			want(t, 204, method, name+"/a/f", "", "Destination", name+"/b")
			if a := want(t, 200, "GET", name+"/b", ""); a.body != text || a.header.Get("Content-Type") != "text/x-test" {
				t.Errorf("%s: %d bytes, %v", name, len(a.body), a.header)
			}
			want(t, map[string]int{"COPY": 200, "MOVE": 404}[method], "GET", name+"/a/f", "")
			if list := want(t, 200, "GET", name+"/?list&recursive", "").body; strings.Contains(list, "staged") {
				t.Errorf("what was staged is left: %s", list)
			}
		}
	}
}
