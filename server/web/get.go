package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"

	"viewring/client"
	"viewring/client/file"
)

// etag is the strong validator of a file: the version of its last change, which no other content at
// this path ever has.
func etag(v client.Version) string { return fmt.Sprintf(`"%x-%x"`, v.Term, v.Seq) }

func etagOf(i file.Info) string { return etag(i.Modified) }

// contentType is the media type of a file: what its writer has said, or what its name says.
func contentType(i file.Info) string {
	switch {
	case strings.HasPrefix(strings.ToLower(strings.TrimSpace(i.Attributes.ContentType)), "multipart/"): // browsers take its parts for documents, with heads of their own
		return "application/octet-stream"
	case i.Attributes.ContentType != "":
		return i.Attributes.ContentType
	}
	if byName := mime.TypeByExtension(path.Ext(i.Path)); byName != "" {
		return byName
	}
	return "application/octet-stream"
}

// policy is that of what users have stored: it is shown, and no script of it runs as this site's.
const policy = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; frame-ancestors 'none'"

// get answers GET and HEAD.
func (q *request) get() error {
	query := q.r.URL.Query()
	if query.Has("list") {
		return q.list(query.Has("recursive"))
	}
	if q.dir {
		i, err := q.files.Stat(q.ctx, q.path)
		switch {
		case err != nil:
			return err
		case !i.Dir:
			return failf(http.StatusNotFound, "%s is a file: leave the slash at its end out", q.path)
		case wantsJSON(q.r):
			return q.list(false)
		}
		return q.page()
	}
	opened, err := q.files.OpenFile(q.ctx, q.path)
	if errors.Is(err, file.ErrIsDirectory) {
		to := href(q.path, true)
		if q.r.URL.RawQuery != "" {
			to += "?" + q.r.URL.RawQuery
		}
		q.w.Header().Set("Location", to)
		q.w.WriteHeader(http.StatusFound)
		return nil
	}
	if err != nil {
		return err
	}
	return q.serveFile(opened)
}

// serveFile answers with a file, or what is asked of it.
func (q *request) serveFile(opened *file.File) error {
	c := newContent(q.ctx, opened, q.budget)
	defer c.Close()
	i := opened.Info()
	h := q.w.Header()
	h.Set("ETag", etag(i.Modified))
	h.Set("Content-Type", contentType(i))
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // no page of another site shows it
	if sum := i.Attributes.SHA256; len(sum) > 0 {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	h.Set("Cache-Control", "no-cache") // ask whether it is the same yet
	if strings.Count(strings.Join(q.r.Header.Values("Range"), ","), ",") >= rangesMax {
		q.r.Header.Del("Range")
	}
	if by := q.r.Header.Get("If-Range"); by != "" && !strings.HasPrefix(by, `"`) {
		q.r.Header.Del("Range") // a date of seconds is no strong validator (RFC 9110, section 13.1.5): the file may have changed twice in one
	}
	answer := &late{ResponseWriter: q.w}
	http.ServeContent(answer, q.r, "", i.ModifiedAt, c)
	switch {
	case c.failed() == nil:
		answer.send()
		return nil
	case answer.sent:
		q.opts.Logger.Warn("an answer is cut off", "path", q.path, "err", c.failed())
		panic(http.ErrAbortHandler) // so that nobody takes it for the whole
	}
	return c.failed()
}
