package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"viewring/client"
	"viewring/client/file"
)

// A mark says what the object was when a Complete was about to replace it. It is kept with the upload before anything is
// replaced, and whoever repeats the Complete replaces the same or nothing: so an object that was put there since stays.
type mark struct {
	absent   bool
	modified client.Version
}

// markRoom is how many bytes of attributes an upload holds for its mark, and for what Complete adds to the object's.
const markRoom = 160

// errMarked: another Complete has marked the upload.
var errMarked = errors.New("the upload was marked meanwhile")

func (m mark) String() string {
	if m.absent {
		return "absent"
	}
	return m.modified.String()
}

// markFor is the mark that was found, or else that of the condition that was asked for, or of the object as it is.
func (q *request) markFor(found string, asked file.PutOptions) (m mark, err error) {
	m = mark{asked.IfAbsent, asked.IfModified}
	switch {
	case found == mark{absent: true}.String():
		return mark{absent: true}, nil
	case found != "":
		_, err := fmt.Sscanf(found, "%d.%d", &m.modified.Term, &m.modified.Seq)
		return m, err
	case m != mark{}:
		return m, nil
	}
	i, err := q.h.files.Stat(q.ctx, q.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && i.Dir {
		return mark{absent: true}, nil
	}
	return mark{modified: i.Modified}, err
}

// isBroken tells whether an error is that the object is not what the mark says.
func (m mark) isBroken(err error) bool {
	return errors.Is(err, file.ErrChanged) || errors.Is(err, fs.ErrExist) || m.modified != client.Version{} && errors.Is(err, errSlowDown)
}

// isFault tells whether an error is one that was found before anything was replaced.
func isFault(err error) bool {
	var f *fault
	return errors.As(err, &f)
}

// mark is the one that is kept, "" if there is none.
func (u *upload) mark() string { return strings.TrimSpace(u.file.Attributes.Meta[metaMark]) }

// mark keeps a mark, unless it is there.
func (q *request) mark(u *upload, m mark) error {
	if u.mark() != "" {
		return nil
	}
	return q.setMark(u, m.String())
}

func (q *request) unmark(u *upload) error {
	if u.mark() == "" {
		return nil
	}
	return q.setMark(u, "")
}

func (q *request) setMark(u *upload, text string) error {
	a := u.file.Attributes
	a.Meta = maps.Clone(a.Meta)
	a.Meta[metaMark] = fmt.Sprintf("%-*s", markRoom, text)
	i, err := q.h.files.SetAttributes(q.ctx, u.path(), a, u.file.Modified)
	switch {
	case errors.Is(err, file.ErrChanged):
		return errMarked
	case errors.Is(err, fs.ErrNotExist):
		return errNoSuchUpload
	case err != nil:
		return err
	}
	u.file = i
	return nil
}
