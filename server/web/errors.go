package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"strings"

	"viewring/client"
	"viewring/client/file"
	"viewring/server/web/dav"
)

// failure is an error with the status that answers it.
type failure struct {
	status int
	err    error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func failf(status int, format string, args ...any) error {
	return failure{status, fmt.Errorf(format, args...)}
}

// statuses are those of errors, the first that fits.
var statuses = []struct {
	is     error
	status int
}{
	{file.ErrBadPath, http.StatusBadRequest},
	{fs.ErrNotExist, http.StatusNotFound},
	{file.ErrChanged, http.StatusPreconditionFailed},
	{fs.ErrExist, http.StatusPreconditionFailed},
	{file.ErrIsDirectory, http.StatusConflict},
	{file.ErrNotDirectory, http.StatusConflict},
	{file.ErrNotEmpty, http.StatusConflict},
	{client.ErrDiskFull, http.StatusInsufficientStorage},
	{client.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{client.ErrUnavailable, http.StatusServiceUnavailable},
	{client.ErrTooFewCopies, http.StatusServiceUnavailable},
	{client.ErrUnreachable, http.StatusServiceUnavailable},
	{client.ErrUnknownOutcome, http.StatusServiceUnavailable},
	{client.ErrBusy, http.StatusServiceUnavailable},
	{client.ErrClosed, http.StatusServiceUnavailable},
	{file.ErrContended, http.StatusServiceUnavailable},
	{file.ErrEnded, http.StatusServiceUnavailable},
	{file.ErrReplaced, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{client.ErrRefused, http.StatusForbidden},
}

// statusOf is the status that answers an error.
func statusOf(err error) int {
	var own failure
	if errors.As(err, &own) {
		return own.status
	}
	if status := dav.Status(err); status != 0 {
		return status
	}
	for _, s := range statuses {
		if errors.Is(err, s.is) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// fail answers a request with an error, as text or as JSON.
func (f *Front) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	h := w.Header()
	for _, of := range []string{"Content-Length", "Content-Range", "Content-Encoding", "Content-Disposition", "ETag", "Last-Modified", "Repr-Digest"} {
		h.Del(of) // of the answer that did not come about
	}
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // what follows is not a request
	}
	if status >= http.StatusInternalServerError && r.Context().Err() == nil && !isHealth(r) && f.cluster.Load() != nil { // else the client has gone; or anybody could fill the log: see health and find
		f.opts.Logger.Warn("a request failed", "method", r.Method, "path", r.URL.Path, "status", status, "err", err)
	}
	if wantsJSON(r) {
		writeJSON(w, status, map[string]any{"error": err.Error(), "status": status})
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintln(w, err) // who has gone misses it
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who has gone misses it
}

// accepts reports whether a client names a media type among those that it takes.
func accepts(r *http.Request, want string) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if media, params, err := mime.ParseMediaType(strings.TrimSpace(part)); err == nil && media == want && params["q"] != "0" {
			return true
		}
	}
	return false
}

func wantsJSON(r *http.Request) bool { return accepts(r, "application/json") }
func wantsHTML(r *http.Request) bool { return accepts(r, "text/html") }
