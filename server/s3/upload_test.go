package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/client/file"
)

// begin begins an upload.
func (c *caller) begin(target string, headers ...string) (id string) {
	c.t.Helper()
	p := c.must(200, "POST", target+"?uploads", nil, headers...)
	return parse[struct {
		ID string `xml:"UploadId"`
	}](c.t, p.body).ID
}

// partsXML is what Complete is asked with.
func partsXML(numbers []int, tags []string) []byte {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i, n := range numbers {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, tags[i])
	}
	b.WriteString("</CompleteMultipartUpload>")
	return []byte(b.String())
}

// tagOf is the ETag of an object of parts.
func tagOf(parts ...[]byte) string {
	sum := md5.New()
	for _, p := range parts {
		s := md5.Sum(p)
		sum.Write(s[:])
	}
	return fmt.Sprintf(`"%x-%d"`, sum.Sum(nil), len(parts))
}

// nothingLeft wants no upload of a bucket and no part to be left. Where other tests go on meanwhile, only parts of the
// uploads with these ids.
func nothingLeft(t *testing.T, files *file.FS, bucket string, ids ...string) {
	t.Helper()
	for _, dir := range []string{uploadsDir + "/" + bucket, partsDir} {
		for i, err := range files.List(t.Context(), dir) {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			others := dir == partsDir && len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(path.Base(i.Path), id) })
			if err == nil && !others {
				t.Errorf("%s is left", i.Path)
			}
		}
	}
}

// TestUploads: parts at any front, in any order and again, listed, completed twice, and nothing is left.
func TestUploads(t *testing.T) {
	t.Parallel()
	files := openFiles(t)
	one, two := newCaller(t, files), newCaller(t, openFiles(t)) // two fronts
	one.bucket("uploads")
	one.must(200, "PUT", "/uploads/dir/o", []byte("old"))
	id := one.begin("/uploads/dir/o", "X-Amz-Meta-A", "b", "Content-Type", "text/x")
	target := "/uploads/dir/o?uploadId=" + id
	parts := [][]byte{text(1 << 20), text(1<<20 + 3), text(100)}
	for n, c := range map[int]*caller{2: one, 1: two, 3: two} {
		if n == 1 {
			c.must(200, "PUT", fmt.Sprintf("%s&partNumber=%d", target, n), []byte("another"))
		}
		p := c.must(200, "PUT", fmt.Sprintf("%s&partNumber=%d", target, n), parts[n-1], "Content-MD5", md5Base64(parts[n-1]))
		if p.header.Get("ETag") != etagFor(parts[n-1]) {
			t.Errorf("part %d: %s", n, p.header.Get("ETag"))
		}
	}
	type list struct {
		Part []struct {
			PartNumber int
			ETag       string
			Size       int64
		}
		IsTruncated          bool
		NextPartNumberMarker int
	}
	l := parse[list](t, two.must(200, "GET", target+"&max-parts=2", nil).body)
	if len(l.Part) != 2 || l.Part[0].PartNumber != 1 || l.Part[1].Size != int64(len(parts[1])) || !l.IsTruncated || l.NextPartNumberMarker != 2 {
		t.Errorf("%+v", l)
	}
	if l = parse[list](t, two.must(200, "GET", target+"&part-number-marker=2", nil).body); len(l.Part) != 1 || l.Part[0].PartNumber != 3 || l.IsTruncated {
		t.Errorf("%+v", l)
	}
	if p := one.must(200, "GET", "/uploads?list-type=2", nil); strings.Contains(string(p.body), id) || strings.Count(string(p.body), "<Key>") != 1 {
		t.Errorf("%s", p.body)
	}
	tags := []string{etagFor(parts[0]), etagFor(parts[1]), etagFor(parts[2])}
	for _, bad := range []struct {
		body []byte
		code string
	}{
		{partsXML([]int{1, 4}, tags[:2]), "InvalidPart"}, {partsXML([]int{1, 2}, []string{tags[0], tags[2]}), "InvalidPart"}, {partsXML([]int{2, 1}, tags[:2]), "InvalidPartOrder"}, {partsXML([]int{1, 1}, tags[:2]), "InvalidPartOrder"},
		{partsXML(nil, nil), "MalformedXML"}, {[]byte("<x"), "MalformedXML"}, {partsXML([]int{1}, []string{"x"}), "InvalidPart"},
	} {
		one.refused(400, bad.code, one.do("POST", target, bad.body))
	}
	if p := one.must(200, "GET", "/uploads/dir/o", nil); string(p.body) != "old" {
		t.Errorf("the old object is %q", p.body)
	}
	body := partsXML([]int{1, 2, 3}, tags)
	one.refused(412, "PreconditionFailed", one.do("POST", target, body, "If-None-Match", "*"))
	one.refused(400, "InvalidRequest", one.do("POST", target, body, "X-Amz-Mp-Object-Size", "7"))
	for _, c := range []*caller{two, one} { // again, as who has lost the first answer
		p := c.must(200, "POST", target, body, "X-Amz-Mp-Object-Size", fmt.Sprint(len(parts[0])+len(parts[1])+len(parts[2])))
		if r := parse[struct{ ETag, Key, Bucket, Location string }](t, p.body); r.ETag != tagOf(parts...) || r.Key != "dir/o" || r.Bucket != "uploads" {
			t.Errorf("%+v", r)
		}
	}
	whole := slices.Concat(parts...)
	p := one.must(200, "GET", "/uploads/dir/o", nil)
	if !bytes.Equal(p.body, whole) || p.header.Get("ETag") != tagOf(parts...) || p.header.Get("X-Amz-Meta-A") != "b" || p.header.Get("Content-Type") != "text/x" {
		t.Errorf("%d bytes, %v", len(p.body), p.header)
	}
	nothingLeft(t, files, "uploads", id)
	one.refused(404, "NoSuchUpload", one.do("PUT", target+"&partNumber=1", []byte("x")))
	one.refused(404, "NoSuchUpload", one.do("DELETE", target, nil))
	one.refused(404, "NoSuchUpload", one.do("POST", target, partsXML([]int{1, 2}, tags[:2])))
	one.must(200, "PUT", "/uploads/dir/o", []byte("new"))
	one.refused(404, "NoSuchUpload", one.do("POST", target, body)) // somebody has replaced it since
}

// TestUploadsShare: the parts' chunks become the object's, and are not copied.
func TestUploadsShare(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("sharing")
	id := c.begin("/sharing/deep/dir/o")
	parts := [][]byte{text(1 << 20), text(1<<20 + 1)}
	var tags []string
	for n, p := range parts {
		tags = append(tags, c.must(200, "PUT", fmt.Sprintf("/sharing/deep/dir/o?uploadId=%s&partNumber=%d", id, n+1), p).header.Get("ETag"))
	}
	c.must(200, "POST", "/sharing/deep/dir/o?uploadId="+id, partsXML([]int{1, 2}, tags))
	d, err := files.Describe(t.Context(), "/sharing/deep/dir/o")
	if err != nil || len(d.Extents) != 2 || d.Extents[0].Content == d.Extents[1].Content {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestUploadsEnd: an upload is aborted, ends with its bucket, of age, or when its object is complete.
func TestUploadsEnd(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("ending")
	c.h.partMin = partBytesMin
	id := c.begin("/ending/dir/o")
	target := "/ending/dir/o?uploadId=" + id
	tags := []string{c.must(200, "PUT", target+"&partNumber=1", text(10)).header.Get("ETag"), c.must(200, "PUT", target+"&partNumber=2", text(11)).header.Get("ETag")}
	c.refused(400, "EntityTooSmall", c.do("POST", target, partsXML([]int{1, 2}, tags)))
	for _, n := range []string{"0", "10001", "x", ""} {
		c.refused(400, "InvalidArgument", c.do("PUT", target+"&partNumber="+n, []byte("x")))
	}
	c.refused(404, "NoSuchUpload", c.do("PUT", "/ending/other?partNumber=1&uploadId="+id, []byte("x")))
	c.refused(404, "NoSuchUpload", c.do("PUT", "/ending/dir/o?partNumber=1&uploadId=..%2fx", []byte("x")))
	c.must(204, "DELETE", target, nil)
	c.refused(404, "NoSuchUpload", c.do("GET", target, nil))
	nothingLeft(t, files, "ending")
	if _, err := files.Stat(t.Context(), "/ending/dir/o"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// Of age.
	id = c.begin("/ending/old")
	c.must(200, "PUT", "/ending/old?partNumber=1&uploadId="+id, text(10))
	c.h.Sweep(t.Context())
	c.must(200, "GET", "/ending/old?uploadId="+id, nil)
	c.h.now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	if n := c.h.Sweep(t.Context()); n != 1 {
		t.Errorf("%d uploads were ended", n)
	}
	c.h.now = time.Now
	nothingLeft(t, files, "ending")
	// A front that dies once the object is complete.
	id = c.begin("/ending/done")
	u := upload{}
	for i, err := range files.List(t.Context(), uploadsDir+"/ending") {
		if err != nil {
			t.Fatal(err)
		}
		u, _ = uploadOf("ending", &i)
	}
	tag := c.must(200, "PUT", "/ending/done?partNumber=1&uploadId="+id, text(10)).header.Get("ETag")
	attributes := file.Attributes{SourceTime: time.Now(), Meta: map[string]string{metaUpload: id, metaETag: strings.Trim(tagOf(text(10)), `"`)}}
	if _, err := files.Concat(t.Context(), "/ending/done", []string{u.part(1)}, file.PutOptions{Seal: func(file.Info) (file.Attributes, error) { return attributes, nil }}); err != nil {
		t.Fatal(err)
	}
	if n := c.h.Sweep(t.Context()); n != 1 {
		t.Errorf("%d uploads were ended", n)
	}
	nothingLeft(t, files, "ending")
	c.must(200, "POST", "/ending/done?uploadId="+id, partsXML([]int{1}, []string{tag}))
	// With the bucket.
	c.must(204, "DELETE", "/ending/done", nil)
	c.begin("/ending/with")
	c.must(204, "DELETE", "/ending", nil)
	nothingLeft(t, files, "ending")
}

// TestListUploads: uploads come in the order of their keys, page by page.
func TestListUploads(t *testing.T) {
	c := newCaller(t, openFiles(t))
	c.bucket("many-uploads")
	for _, k := range []string{"b", "a/x", "a/y", "a/x", "c"} {
		c.begin("/many-uploads/" + k)
	}
	type list struct {
		Upload []struct {
			Key string
			ID  string `xml:"UploadId"`
		}
		CommonPrefixes                    []struct{ Prefix string }
		IsTruncated                       bool
		NextKeyMarker, NextUploadIdMarker string
	}
	read := func(query string) (all []string) {
		key, id := "", ""
		for range 10 {
			l := parse[list](t, c.must(200, "GET", "/many-uploads?uploads&max-uploads=2&key-marker="+url.QueryEscape(key)+"&upload-id-marker="+id+query, nil).body)
			for _, u := range l.Upload {
				all = append(all, u.Key)
			}
			for _, p := range l.CommonPrefixes {
				all = append(all, p.Prefix)
			}
			if key, id = l.NextKeyMarker, l.NextUploadIdMarker; !l.IsTruncated {
				break
			}
		}
		return all
	}
	if got := read(""); !slices.Equal(got, []string{"a/x", "a/x", "a/y", "b", "c"}) {
		t.Errorf("%q", got)
	}
	if got := read("&delimiter=/"); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"a/", "b", "c"}) {
		t.Errorf("%q", got)
	}
	if got := read("&prefix=a/"); len(got) != 3 {
		t.Errorf("%q", got)
	}
	c.must(204, "DELETE", "/many-uploads", nil)
}

// TestCopies: objects and parts of them are copied, with what is known of them or with something else.
func TestCopies(t *testing.T) {
	t.Parallel()
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("from-bucket")
	c.bucket("to-bucket")
	body := text(2<<20 + 5)
	c.must(200, "PUT", "/from-bucket/dir/so%20urce", body, "X-Amz-Meta-A", "b", "Content-Type", "text/x", "X-Amz-Checksum-Crc32", encoded("crc32", body))
	tag := etagFor(body)
	for _, target := range []string{"/to-bucket/new/dir/o", "/from-bucket/dir/o"} {
		p := c.must(200, "PUT", target, nil, "X-Amz-Copy-Source", "/from-bucket/dir/so%20urce")
		if r := parse[struct{ ETag, LastModified string }](t, p.body); r.ETag != tag || r.LastModified == "" {
			t.Errorf("%s", p.body)
		}
		p = c.must(200, "GET", target, nil, "X-Amz-Checksum-Mode", "ENABLED")
		if !bytes.Equal(p.body, body) || p.header.Get("X-Amz-Meta-A") != "b" || p.header.Get("Content-Type") != "text/x" || p.header.Get("ETag") != tag || p.header.Get("X-Amz-Checksum-Crc32") == "" {
			t.Errorf("%s: %v", target, p.header)
		}
	}
	c.must(200, "PUT", "/from-bucket/dir/o", nil, "X-Amz-Copy-Source", "from-bucket/dir/o", "X-Amz-Metadata-Directive", "REPLACE", "X-Amz-Meta-C", "d")
	if p := c.must(200, "HEAD", "/from-bucket/dir/o", nil); p.header.Get("X-Amz-Meta-C") != "d" || p.header.Get("X-Amz-Meta-A") != "" || p.header.Get("ETag") != tag {
		t.Errorf("%v", p.header)
	}
	for _, bad := range []struct {
		status  int
		code    string
		headers []string
	}{
		{400, "InvalidRequest", []string{"X-Amz-Copy-Source", "/to-bucket/x"}},
		{404, "NoSuchKey", []string{"X-Amz-Copy-Source", "/from-bucket/none"}}, {404, "NoSuchBucket", []string{"X-Amz-Copy-Source", "/no-such-bucket/o"}},
		{404, "NoSuchVersion", []string{"X-Amz-Copy-Source", "/from-bucket/dir/o?versionId=x"}}, {400, "InvalidArgument", []string{"X-Amz-Copy-Source", "/from-bucket"}},
		{400, "InvalidArgument", []string{"X-Amz-Copy-Source", "/from-bucket/dir/o", "X-Amz-Metadata-Directive", "x"}},
		{412, "PreconditionFailed", []string{"X-Amz-Copy-Source", "/from-bucket/dir/o", "X-Amz-Copy-Source-If-Match", `"x"`}},
		{412, "PreconditionFailed", []string{"X-Amz-Copy-Source", "/from-bucket/dir/o", "X-Amz-Copy-Source-If-None-Match", tag}},
	} {
		if bad.code == "InvalidRequest" {
			c.must(200, "PUT", "/to-bucket/x", []byte("x"))
		}
		c.refused(bad.status, bad.code, c.do("PUT", "/to-bucket/x", nil, bad.headers...))
	}
	id := c.begin("/to-bucket/parts")
	target := "/to-bucket/parts?uploadId=" + id
	tags := make([]string, 2)
	for n, r := range []string{"bytes=0-1048575", "bytes=1048576-2097156"} {
		p := c.must(200, "PUT", fmt.Sprintf("%s&partNumber=%d", target, n+1), nil, "X-Amz-Copy-Source", "/from-bucket/dir/o", "X-Amz-Copy-Source-Range", r)
		tags[n] = parse[struct{ ETag string }](t, p.body).ETag
	}
	for _, r := range []string{"bytes=0-2097157", "bytes=5-", "bytes=5-4", "x"} {
		c.refused(400, "InvalidArgument", c.do("PUT", target+"&partNumber=3", nil, "X-Amz-Copy-Source", "/from-bucket/dir/o", "X-Amz-Copy-Source-Range", r))
	}
	c.must(200, "POST", target, partsXML([]int{1, 2}, tags))
	if p := c.must(200, "GET", "/to-bucket/parts", nil); !bytes.Equal(p.body, body) || p.header.Get("ETag") != tagOf(body[:1<<20], body[1<<20:]) {
		t.Errorf("%d bytes, %v", len(p.body), p.header.Get("ETag"))
	}
}

// TestObjectSums: the checksum that Complete gives of the whole object is verified by those of the parts.
func TestObjectSums(t *testing.T) {
	t.Parallel()
	c := newCaller(t, openFiles(t))
	c.bucket("object-sums")
	parts := [][]byte{text(70_000), text(123), text(9)}
	whole := slices.Concat(parts...)
	for _, a := range algorithms {
		for _, kind := range []string{"COMPOSITE", "FULL_OBJECT"} {
			if kind == "FULL_OBJECT" && polynomials[a.name] == 0 {
				continue
			}
			id := c.begin("/object-sums/o", "X-Amz-Checksum-Algorithm", strings.ToUpper(a.name), "X-Amz-Checksum-Type", kind)
			header := "X-Amz-Checksum-" + a.name
			var tags []string
			all := a.make()
			for n, p := range parts {
				tags = append(tags, c.must(200, "PUT", fmt.Sprintf("/object-sums/o?uploadId=%s&partNumber=%d", id, n+1), p, header, encoded(a.name, p)).header.Get("ETag"))
				one := a.make()
				one.Write(p)
				all.Write(one.Sum(nil))
			}
			want, stored := encoded(a.name, whole), encoded(a.name, whole)
			if kind == "COMPOSITE" {
				want = base64.StdEncoding.EncodeToString(all.Sum(nil))
				stored = want + "-3"
			}
			body, target := partsXML([]int{1, 2, 3}, tags), "/object-sums/o?uploadId="+id
			c.refused(400, "BadDigest", c.do("POST", target, body, header, encoded(a.name, []byte("x")), "X-Amz-Checksum-Type", kind))
			c.must(200, "POST", target, body, header, want, "X-Amz-Checksum-Type", kind)
			if p := c.must(200, "HEAD", "/object-sums/o", nil, "X-Amz-Checksum-Mode", "ENABLED"); p.header.Get(header) != stored {
				t.Errorf("%s, %s: %q, want %q", a.name, kind, p.header.Get(header), stored)
			}
		}
	}
}

// TestDeleteObjects: many at once, with what can't be deleted told of each.
func TestDeleteObjects(t *testing.T) {
	t.Parallel()
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("deleting")
	for n := range 20 {
		c.must(200, "PUT", fmt.Sprintf("/deleting/d%d/o", n), nil)
	}
	body := "<Delete>"
	for n := range 20 {
		body += fmt.Sprintf("<Object><Key>d%d/o</Key></Object>", n)
	}
	body += "<Object><Key>none</Key></Object><Object><Key>a//b</Key></Object><Object><Key>&lt;x&gt;</Key></Object><Object><Key>v</Key><VersionId>3</VersionId></Object></Delete>"
	c.refused(400, "InvalidRequest", c.do("POST", "/deleting?delete", []byte(body)))
	c.refused(400, "BadDigest", c.do("POST", "/deleting?delete", []byte(body), "Content-MD5", md5Base64(nil)))
	type result struct {
		Deleted []struct{ Key string }
		Error   []struct{ Key, Code string }
	}
	r := parse[result](t, c.must(200, "POST", "/deleting?delete", []byte(body), "Content-MD5", md5Base64([]byte(body))).body)
	if len(r.Deleted) != 23 || len(r.Error) != 1 || r.Error[0].Code != "NoSuchVersion" || r.Error[0].Key != "v" || r.Deleted[22].Key != "<x>" {
		t.Errorf("%+v", r)
	}
	for i, err := range files.Walk(t.Context(), "/deleting") {
		if err != nil || !i.Dir {
			t.Errorf("%s is left, %v", i.Path, err)
		}
	}
	for _, bad := range []string{"<Delete></Delete>", "x", "<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", 1001) + "</Delete>"} {
		c.refused(400, "MalformedXML", c.do("POST", "/deleting?delete", []byte(bad), "Content-MD5", md5Base64([]byte(bad))))
	}
	huge := bytes.Repeat([]byte("x"), xmlMax+1)
	c.refused(400, "MalformedXML", c.do("POST", "/deleting?delete", huge, "Content-MD5", md5Base64(huge)))
}
