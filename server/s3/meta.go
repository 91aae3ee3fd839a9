package s3

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"viewring/client/file"
)

// What is kept of an object in its file's Attributes.Meta. Names of users have no colon, for they are those
// of headers. What begins with metaSum, and metaETag, is of the bytes: it holds while SourceTime is there, which goes
// when the file is edited.
const (
	metaETag    = ":etag"   // of an object that was put together of parts
	metaUpload  = ":upload" // the upload that it was put together by
	metaSum     = ":sum-"   // and the name of a checksum, in base64
	metaHeaders = ":h-"     // and the name of a header of HTTP in lower case

	metaUserMax = 2 << 10 // bytes of names and values, as in S3
	sumsRoom    = 512     // bytes for what is known of the bytes themselves
)

// keptHeaders are told again with the object.
var keptHeaders = []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"}

const (
	userHeader  = "X-Amz-Meta-"
	defaultType = "binary/octet-stream" // of S3
)

// Policies (Content Security Policy Level 3): a page that somebody has stored is not one of this site, and runs nothing.
const (
	objectPolicy = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:"
	answerPolicy = "sandbox; default-src 'none'"
)

// isKept tells whether a name in lower case is one of keptHeaders; another client may have kept any.
func isKept(name string) bool {
	return slices.ContainsFunc(keptHeaders, func(kept string) bool { return strings.EqualFold(kept, name) })
}

// attributesOf are what the headers of a request say of an object.
func attributesOf(h http.Header) (file.Attributes, error) {
	a := file.Attributes{ContentType: h.Get("Content-Type"), Meta: map[string]string{}}
	if a.ContentType == "" {
		a.ContentType = defaultType
	}
	size := 0
	for name, values := range h {
		user, ok := strings.CutPrefix(name, userHeader)
		if !ok || user == "" {
			continue
		}
		value := strings.Join(values, ",")
		if size += len(user) + len(value); size > metaUserMax {
			return a, errMetadataTooLarge
		}
		a.Meta[strings.ToLower(user)] = value
	}
	for _, name := range keptHeaders {
		value := strings.Join(h.Values(name), ",")
		if name == "Content-Encoding" {
			value = withoutFraming(value)
		}
		if value != "" {
			a.Meta[metaHeaders+strings.ToLower(name)] = value
		}
	}
	size = len(a.ContentType)
	for name, value := range a.Meta {
		size += len(name) + len(value) + 4
	}
	if size > file.AttributesMax-sumsRoom {
		return a, errMetadataTooLarge.because("The metadata and the other headers that are kept have more than %d bytes.", file.AttributesMax-sumsRoom)
	}
	return a, refusedHeaders(h)
}

// withoutFraming is a list of content encodings without that of bodies in chunks, which is not of the object.
func withoutFraming(value string) string {
	all := strings.Split(value, ",")
	kept := slices.DeleteFunc(all, func(one string) bool { return strings.EqualFold(strings.TrimSpace(one), "aws-chunked") })
	return strings.TrimSpace(strings.Join(kept, ","))
}

// refusedHeaders are those that ask for what is not done, and must not be taken for done.
func refusedHeaders(h http.Header) error {
	for name := range h {
		switch {
		case strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"), strings.HasPrefix(name, "X-Amz-Object-Lock-"), name == "X-Amz-Website-Redirect-Location",
			name == "X-Amz-Write-Offset-Bytes", strings.HasPrefix(name, "X-Amz-Grant-"):
			return errNotImplemented.because("%s is not implemented.", strings.ToLower(name))
		}
	}
	if acl := h.Get("X-Amz-Acl"); acl != "" && acl != "private" && acl != "bucket-owner-full-control" {
		return errNoACL
	}
	if tags := h.Get("X-Amz-Tagging"); tags != "" {
		return errNotImplemented.because("Tags are not implemented.")
	}
	return nil
}

// isWhole tells whether what is known of the bytes is of those that the file has.
func isWhole(a *file.Attributes) bool { return !a.SourceTime.IsZero() }

// etagOf is an object's entity tag: the MD5 of its bytes, for one that was put together of parts that of their MD5s with their
// number, and of a file that another client has written the version of its last change, in a form that nobody takes for an MD5.
func etagOf(i *file.Info) string {
	a := &i.Attributes
	switch tag := a.Meta[metaETag]; {
	case tag != "" && isWhole(a):
		return quoted(tag)
	case len(a.MD5) == md5.Size:
		return quoted(hex.EncodeToString(a.MD5))
	}
	return quoted(fmt.Sprintf("%016x%016x-0", i.Modified.Term, i.Modified.Seq))
}

func quoted(tag string) string { return `"` + tag + `"` }

// isUsers tells whether a name in Meta is one that a user gave.
func isUsers(name string) bool { return !strings.HasPrefix(name, ":") }

// describe sets the headers that tell of an object.
func describe(h http.Header, i *file.Info, withSums bool) {
	h.Set("ETag", etagOf(i))
	h.Set("Last-Modified", i.ModifiedAt.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Security-Policy", objectPolicy)
	h.Set("Content-Type", defaultType)
	if i.Attributes.ContentType != "" {
		h.Set("Content-Type", i.Attributes.ContentType)
	}
	for _, name := range slices.Sorted(maps.Keys(i.Attributes.Meta)) {
		value := i.Attributes.Meta[name]
		if header, ok := strings.CutPrefix(name, metaHeaders); ok && isKept(header) && isHeaderValue(value) {
			h.Set(header, value)
		}
		if sum, ok := strings.CutPrefix(name, metaSum); ok && withSums && isWhole(&i.Attributes) {
			h.Set(checksumHeader+sum, value)
		}
		if isUsers(name) && isHeaderValue(value) {
			h[userHeader+name] = []string{value} // names of users are in lower case: clients look for them so
		}
	}
}

// isHeaderValue tells whether a text may be the value of a header, as what other clients keep need not be.
func isHeaderValue(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// ofBytes adds to attributes what is known of the bytes of a body, which was read.
func (b *body) ofBytes(a *file.Attributes, now time.Time) {
	a.MD5, a.SHA256, a.SourceTime = b.md5.Sum(nil), b.sha256(), now
	for name, sum := range b.sums() {
		a.Meta[metaSum+name] = sum
	}
}
