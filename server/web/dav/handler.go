// Package dav makes of the files of a cluster a WebDAV share (RFC 4918, classes 1 and 2), by
// golang.org/x/net/webdav. Locks are kept in the cluster: all fronts know them.
package dav

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/webdav"

	"viewring/client/file"
	"viewring/internal/tree"
)

// What requests fail with, beside the errors of package file.
var (
	// ErrLocked: somebody else has locked what would be changed.
	ErrLocked = errors.New("locked by another client")
	// ErrTooMany: there are more entries, locks or properties than this share takes.
	ErrTooMany = errors.New("too many for this share")
	// ErrRefused: this is not done; the text says why.
	ErrRefused = errors.New("refused")
	// ErrNoParent: the directory that something is to be created in is not there.
	ErrNoParent = errors.New("its directory does not exist")
)

// Bounds.
const (
	xmlMax     = 64 << 10  // bytes of the body of a request that is XML
	entriesMax = 20_000    // entries of a directory that PROPFIND tells of
	lockMax    = time.Hour // that a lock lives without a refresh
)

// Methods are those of WebDAV that are not HTTP's own.
var Methods = []string{"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"}

// Is reports whether a method is one of Methods.
func Is(method string) bool { return slices.Contains(Methods, method) }

// Share is what is served. Its exported fields are required, and must not change; any number of goroutines may use it.
type Share struct {
	Files       *file.FS
	ETag        func(file.Info) string
	ContentType func(file.Info) string

	last lastTable
}

// Serve answers a request with one of Methods. An error is one that nothing was answered for yet. A request
// that is answered in part panics with http.ErrAbortHandler where the rest can't be told. The context of the
// request is that of all that is done.
func (s *Share) Serve(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Depth") != "0" && r.Header.Get("Depth") != "1" && r.Method == "PROPFIND" {
		return finite(w)
	}
	q := &play{Share: s, ctx: r.Context(), r: r, w: w}
	if err := q.prepare(); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, xmlMax)
	return q.run()
}

// Guard carries do out, of a PUT or a DELETE, unless somebody else has locked what that changes.
func (s *Share) Guard(r *http.Request, do func() error) error {
	q := &play{Share: s, ctx: r.Context(), r: r, w: nowhere{}, do: do}
	return q.run()
}

// finite refuses to tell of a whole tree (RFC 4918, section 9.1.1).
func finite(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(xml.Header + `<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>` + "\n")) // who has gone misses it
	return nil
}

// play is one request as webdav.Handler plays it: the file system and the locks that it sees.
type play struct {
	*Share
	ctx context.Context
	r   *http.Request
	w   http.ResponseWriter

	do    func() error // of Guard: what is done in place of what webdav.Handler would do
	done  bool
	err   error                // what webdav.Handler could not tell
	known map[string]file.Info // what a directory has, while its entries are told

	staged staged

	status int // that was answered; 0: nothing yet
	mute   bool
}

// prepare has the request say what webdav.Handler takes otherwise than RFC 4918 has it.
func (q *play) prepare() error {
	h := q.r.Header
	switch q.r.Method {
	case "LOCK":
		h.Set("Timeout", timeout(h.Get("Timeout")))
	case "COPY", "MOVE":
		if h.Get("Overwrite") == "" {
			h.Set("Overwrite", "T") // section 10.6
		}
		to, err := url.Parse(h.Get("Destination"))
		if err != nil || h.Get("Destination") == "" {
			return fmt.Errorf("%w: Destination is no URL", tree.ErrBadPath)
		}
		if strings.Contains(strings.ToLower(to.EscapedPath()), "%2f") {
			return fmt.Errorf("%w: an encoded slash is no part of a name", tree.ErrBadPath)
		}
		from, into := clean(q.r.URL.Path), clean(to.Path)
		if err := tree.Check(into); err != nil {
			return err
		}
		if Reserved(into) {
			return fmt.Errorf("%w: %s is this share's own", ErrRefused, tablePath)
		}
		if under(into, from) || under(from, into) || from == into { // what is in the way is removed first: the source with it
			return fmt.Errorf("%w: %s and %s are in each other", ErrRefused, from, into)
		}
	}
	return nil
}

// timeout is a Timeout that is bounded.
func timeout(asked string) string {
	first, _, _ := strings.Cut(asked, ",")
	seconds, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(first), "Second-"), 10, 32)
	most := uint64(lockMax / time.Second)
	if err != nil || seconds > most {
		seconds = most
	}
	return fmt.Sprint("Second-", max(seconds, 1))
}

// run has webdav.Handler play the request.
func (q *play) run() error {
	h := &webdav.Handler{FileSystem: (*fileSystem)(q), LockSystem: (*lockSystem)(q)}
	h.ServeHTTP((*writer)(q), q.r)
	switch {
	case q.err == nil && q.do != nil && !q.done: // the If header is wrong, or does not hold
		return status(q.status)
	case q.err != nil && q.status != 0 && !q.mute:
		panic(http.ErrAbortHandler) // so that nobody takes it for the whole
	}
	return q.err
}

// status is an error that says nothing but the status that answers it.
type status int

func (s status) Error() string { return webdav.StatusText(int(s)) }

// Status is the status that answers an error of this package; 0: of none.
func Status(err error) int {
	var plain status
	switch {
	case errors.As(err, &plain):
		return int(plain)
	case errors.Is(err, ErrLocked):
		return http.StatusLocked
	case errors.Is(err, ErrTooMany):
		return http.StatusInsufficientStorage
	case errors.Is(err, ErrRefused):
		return http.StatusForbidden
	case errors.Is(err, ErrNoParent):
		return http.StatusConflict
	}
	return 0
}

// writer is where webdav.Handler answers: an error that it could not tell is told by others.
type writer play

// Header is that of http.ResponseWriter.
func (w *writer) Header() http.Header { return w.w.Header() }

// WriteHeader is that of http.ResponseWriter.
func (w *writer) WriteHeader(code int) {
	if w.status != 0 {
		return
	}
	w.status = code
	if w.mute = w.err != nil || w.do != nil; !w.mute {
		w.w.WriteHeader(code)
	}
}

// Write is that of io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.mute {
		return len(p), nil
	}
	return w.w.Write(p)
}

// nowhere is where an answer goes that others give.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) WriteHeader(int)             {}
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// clean is a path without the slash at its end.
func clean(path string) string {
	if path == tree.Root {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// under reports whether a path lies below another one.
func under(path, above string) bool {
	return path != above && (above == tree.Root || strings.HasPrefix(path, above+"/"))
}
