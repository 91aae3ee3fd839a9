package web

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/file"
)

// must is what must hold of what is at a path when it is changed.
type must struct {
	absent   bool
	modified client.Version // zero: anything
}

func (m must) options() file.PutOptions {
	return file.PutOptions{IfAbsent: m.absent, IfModified: m.modified}
}

// condition looks at what a PUT is to replace, and makes of the request's conditions (RFC 9110, section 13) one that is
// decided when the file is replaced. found is the file that is there, nil for none.
func (q *request) condition() (m must, found *file.Info, err error) {
	i, err := q.files.Stat(q.ctx, q.path)
	switch {
	case err == nil && i.Dir:
		return m, nil, file.ErrIsDirectory
	case err == nil:
		found = &i
	case !errors.Is(err, fs.ErrNotExist):
		return m, nil, err
	}
	m, err = q.conditionOn(found)
	return m, found, err
}

// conditionOn is condition for what was found. Where one holds of the file as it was found, it is that the file is
// still as it was found: others that would hold too of what came since are not tried.
func (q *request) conditionOn(i *file.Info) (m must, err error) {
	h := q.r.Header
	failed := failf(http.StatusPreconditionFailed, "the condition does not hold")
	tag := ""
	if i != nil && !i.Dir {
		tag = etagOf(*i)
	}
	asked := false
	if match := strings.Join(h.Values("If-Match"), ","); match != "" {
		if i == nil || !anyTag(match, tag, false) {
			return m, failed
		}
		asked = true
	} else if since, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil && i != nil {
		if i.ModifiedAt.Truncate(time.Second).After(since) {
			return m, failed
		}
		asked = true
	}
	if none := strings.Join(h.Values("If-None-Match"), ","); none != "" {
		if i != nil && anyTag(none, tag, true) {
			return m, failed
		}
		asked = true
	}
	switch {
	case asked && i != nil:
		m.modified = i.Modified
	case asked:
		m.absent = true
	}
	return m, nil
}

// anyTag reports whether a list of entity tags has one, or is "*", which is any; a list that has "*" beside others is none, and has
// the condition fail. The comparison is the
// weak or the strong one of RFC 9110, section 8.8.3.2.
func anyTag(list, tag string, weak bool) bool {
	if strings.Trim(list, " \t") == "*" {
		return true
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return false
		}
		if list[0] == '*' {
			return weak // as If-None-Match is asked
		}
		isWeak := strings.HasPrefix(list, "W/")
		rest := strings.TrimPrefix(list, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return false // no list of tags
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if rest[:end+2] == tag && (weak || !isWeak) {
			return true
		}
		list = rest[end+2:]
	}
}
