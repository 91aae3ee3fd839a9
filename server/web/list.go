package web

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"time"

	"viewring/client/file"
	"viewring/internal/tree"
	"viewring/server/web/dav"
)

// entry is a file or a directory as JSON tells of it.
type entry struct {
	Path     string     `json:"path"`
	Name     string     `json:"name"`
	Dir      bool       `json:"dir"`
	Bytes    int64      `json:"bytes"`
	Modified *time.Time `json:"modified,omitempty"` // none of the root
	ETag     string     `json:"etag,omitempty"`     // none of a directory
}

func entryOf(i file.Info) entry {
	e := entry{Path: i.Path, Name: i.Name(), Dir: i.Dir, Bytes: i.Bytes}
	if !i.ModifiedAt.IsZero() {
		at := i.ModifiedAt.UTC()
		e.Modified = &at
	}
	if !i.Dir {
		e.ETag = etag(i.Modified)
	}
	return e
}

// list answers with what is in a directory, or below it, as JSON: one object, whose entries come as they are
// read, in no order. One that does not come to its end is cut off.
func (q *request) list(recursive bool) error {
	all := q.files.List(q.ctx, q.path)
	if recursive {
		all = q.files.Walk(q.ctx, q.path)
	}
	next, stop := iter.Pull2(all)
	defer stop()
	i, err, more := next()
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	q.w.Header().Set("Cache-Control", "no-cache")
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method == http.MethodHead {
		return nil
	}
	name, err := json.Marshal(q.path)
	if err == nil {
		_, err = io.WriteString(q.w, `{"path":`+string(name)+`,"entries":[`)
	}
	for between := "\n"; more && err == nil; {
		var line []byte
		if dav.Reserved(i.Path) {
			i, err, more = next()
			continue
		}
		if line, err = json.Marshal(entryOf(i)); err == nil {
			_, err = q.w.Write(append([]byte(between), line...))
			between = ",\n"
		}
		if err == nil {
			i, err, more = next()
		}
	}
	if err == nil {
		_, err = io.WriteString(q.w, "\n]}\n")
	}
	if err != nil {
		panic(http.ErrAbortHandler) // so that nobody takes it for the whole
	}
	return nil
}

// takeForm puts the files of a form into the directory, one after the other, and returns those that were stored.
func (q *request) takeForm() (stored []entry, err error) {
	form, err := q.r.MultipartReader()
	if err != nil {
		return nil, failure{http.StatusBadRequest, err}
	}
	stored = []entry{}
	for parts := 0; ; parts++ {
		part, err := form.NextRawPart()
		switch {
		case err == io.EOF:
			return stored, nil
		case err != nil:
			var own failure
			if !errors.As(err, &own) {
				err = failure{http.StatusBadRequest, err}
			}
			return stored, err
		case parts == formMax:
			return stored, failf(http.StatusRequestEntityTooLarge, "a form has up to %d parts", formMax)
		case part.FileName() == "": // not a file, or none was chosen
			continue
		}
		i, err := q.putPart(part)
		if err != nil {
			return stored, err
		}
		stored = append(stored, entryOf(i))
	}
}

// putPart puts a file of a form.
func (q *request) putPart(part *multipart.Part) (file.Info, error) {
	name := part.FileName() // without directories
	if err := tree.CheckName(name); err != nil {
		return file.Info{}, err
	}
	to := tree.Join(q.path, name)
	if dav.Reserved(to) {
		return file.Info{}, failf(http.StatusForbidden, "%s is this front's own", to)
	}
	asPut := q.r.Clone(q.ctx)
	asPut.Method, asPut.URL.Path = http.MethodPut, to
	seal := func(i file.Info) (file.Attributes, error) {
		a, err := said(part.Header.Get("Content-Type"))(i)
		return a, errors.Join(err, q.share.Free(asPut)) // somebody may have locked it meanwhile
	}
	var i file.Info
	err := q.share.Guard(asPut, func() (err error) {
		i, err = q.files.Put(q.ctx, to, wholePart{part}, file.PutOptions{Parents: true, Seal: seal})
		return err
	})
	if err != nil {
		return file.Info{}, err
	}
	i.ModifiedAt = time.Time{} // a server's clock has told it to the servers only
	return i, nil
}

// wholePart is a part of a form; one that breaks off is no end.
type wholePart struct{ *multipart.Part }

// Read is that of io.Reader.
func (p wholePart) Read(b []byte) (int, error) {
	n, err := p.Part.Read(b)
	var own failure
	if err != nil && err != io.EOF && !errors.As(err, &own) {
		err = failf(http.StatusBadRequest, "%w: %v", errBroken, err)
	}
	return n, err
}

// addStored adds to an error which files of a form are there.
func addStored(err error, stored []entry) error {
	if len(stored) == 0 {
		return err
	}
	var names []string
	for _, e := range stored {
		names = append(names, path.Base(e.Path))
	}
	return errors.Join(err, errors.New("stored before that: "+strings.Join(names, ", ")))
}
