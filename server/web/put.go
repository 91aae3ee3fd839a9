package web

import (
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"strings"

	"viewring/client/file"
	"viewring/server/web/dav"
)

const (
	defaultChunk = 1 << 20 // bytes, of package file
	chunksMax    = 4 << 20 // of a file
	fileMax      = chunksMax * file.ChunkBytesMax
)

// chunkFor is the length of chunks for a file of a length, -1 where it is not known: more than a
// file may have of the usual ones are made of larger ones.
func chunkFor(length int64) int64 {
	size := int64(defaultChunk)
	for length/size >= chunksMax && size < file.ChunkBytesMax {
		size *= 2
	}
	return size
}

// put answers PUT: the file is there, whole, once the answer is given, and as it was before if anything fails.
func (q *request) put() error {
	h := q.r.Header
	switch {
	case h.Get("Content-Range") != "":
		return failf(http.StatusBadRequest, "a part of a file can't be put (Content-Range): see RFC 9110, section 14.5")
	case !isPlain(h.Get("Content-Encoding")):
		return failf(http.StatusUnsupportedMediaType, "Content-Encoding %q is not kept: put the file as it is", h.Get("Content-Encoding"))
	case q.r.ContentLength > fileMax:
		return failf(http.StatusRequestEntityTooLarge, "a file has up to %d bytes", int64(fileMax))
	case q.dir:
		return q.putDirectory()
	}
	checked, err := newDigests(q.r)
	if err != nil {
		return err
	}
	cond, found, err := q.condition()
	if err != nil {
		return err
	}
	chunk := chunkFor(q.r.ContentLength)
	room := chunk * (chunksAtOnce + 1)
	if q.r.ContentLength >= 0 {
		room = min(room, max(q.r.ContentLength, 4<<10))
	}
	done, err := q.budget.take(q.ctx, room)
	if err != nil {
		return err
	}
	defer done()
	opts := cond.options()
	opts.Parents, opts.ChunkBytes, opts.Seal = true, chunk, q.seal(checked, found)
	i, err := q.files.Put(q.ctx, q.path, checked.reader(q.r), opts)
	if err != nil {
		return err
	}
	if i.Modified.Seq != 0 { // else it was replaced before that could be told
		q.w.Header().Set("ETag", etag(i.Modified))
	}
	if found != nil {
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	q.w.Header().Set("Location", href(q.path, false))
	q.w.WriteHeader(http.StatusCreated)
	return nil
}

// seal says what is kept of a file that is put beside its bytes.
func (q *request) seal(checked digests, found *file.Info) func(file.Info) (file.Attributes, error) {
	return func(i file.Info) (file.Attributes, error) {
		a, err := said(q.r.Header.Get("Content-Type"))(i)
		checked.keep(&a)
		if found != nil { // it may have got properties meanwhile
			old, statErr := q.files.Stat(q.ctx, q.path)
			if statErr != nil && !errors.Is(statErr, fs.ErrNotExist) {
				return a, statErr
			}
			dav.KeepProps(&a, old.Attributes)
		}
		return a, errors.Join(err, q.share.Free(q.r)) // somebody may have locked it meanwhile
	}
}

// said keeps the media type that a client says a file has, where it is one.
func said(contentType string) func(file.Info) (file.Attributes, error) {
	if _, _, err := mime.ParseMediaType(contentType); err != nil || contentType == "application/x-www-form-urlencoded" { // which curl says of anything
		contentType = ""
	}
	return func(file.Info) (file.Attributes, error) { return file.Attributes{ContentType: contentType}, nil }
}

func isPlain(encoding string) bool {
	return encoding == "" || strings.EqualFold(encoding, "identity")
}

// putDirectory makes a directory, of a PUT without a body.
func (q *request) putDirectory() error {
	if q.r.ContentLength != 0 {
		return failf(http.StatusBadRequest, "a directory has no body: leave the slash at the end of a file's name out")
	}
	i, err := q.files.Stat(q.ctx, q.path)
	switch {
	case err == nil && !i.Dir:
		return failf(http.StatusConflict, "%s is a file", q.path)
	case err == nil:
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := q.files.MkdirAll(q.ctx, q.path); err != nil {
		return err
	}
	q.w.Header().Set("Location", href(q.path, true))
	q.w.WriteHeader(http.StatusCreated)
	return nil
}

// post takes files from a form, each into the directory that the form is of.
func (q *request) post() error {
	media, _, err := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		q.w.Header().Set("Accept-Post", "multipart/form-data")
		return failf(http.StatusUnsupportedMediaType, "POST takes the files of a form (multipart/form-data); use PUT for one file")
	}
	i, err := q.files.Stat(q.ctx, q.path)
	if err == nil && !i.Dir {
		return failf(http.StatusConflict, "%s is a file: a form is posted to a directory", q.path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	done, err := q.budget.take(q.ctx, defaultChunk*(chunksAtOnce+1))
	if err != nil {
		return err
	}
	defer done()
	stored, err := q.takeForm()
	if err != nil {
		return failure{statusOf(err), addStored(err, stored)}
	}
	if wantsHTML(q.r) {
		q.w.Header().Set("Location", href(q.path, true))
		q.w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	writeJSON(q.w, http.StatusCreated, map[string]any{"path": q.path, "entries": stored})
	return nil
}

// remove answers DELETE. A directory that is not empty is removed, with all that is below it, where the URL has the slash
// of a directory at its end, as clients of WebDAV have it (RFC 4918, section 9.6.1); else only with ?recursive.
func (q *request) remove() error {
	i, err := q.files.Stat(q.ctx, q.path)
	if err != nil {
		return err
	}
	if q.dir && !i.Dir {
		return failf(http.StatusNotFound, "%s is a file: leave the slash at its end out", q.path)
	}
	cond, err := q.conditionOn(&i)
	if err != nil {
		return err
	}
	switch {
	case i.Dir && (q.dir || q.r.URL.Query().Has("recursive")):
		err = q.files.RemoveAll(q.ctx, q.path, nil)
	case cond != must{}:
		err = q.files.RemoveIf(q.ctx, q.path, i.Modified)
	default:
		err = q.files.Remove(q.ctx, q.path)
	}
	if err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
