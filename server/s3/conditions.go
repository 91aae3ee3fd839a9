package s3

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"viewring/client/file"
)

// Names of the headers of conditions: those of requests, and those for the source of a copy.
type conditionHeaders struct{ match, noneMatch, modifiedSince, unmodifiedSince string }

var (
	ofRequest = conditionHeaders{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}
	ofSource  = conditionHeaders{"X-Amz-Copy-Source-If-Match", "X-Amz-Copy-Source-If-None-Match", "X-Amz-Copy-Source-If-Modified-Since", "X-Amz-Copy-Source-If-Unmodified-Since"}
)

// hasTag tells whether a list of entity tags has one, or is *. Clients of S3 leave quotes out.
func hasTag(list, tag string) bool {
	tag = strings.Trim(tag, `"`)
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || strings.Trim(one, `"`) == tag {
			return true
		}
	}
	return false
}

// judge looks at the conditions for a read, in the order of RFC 9110, 13.2.2.
func (c conditionHeaders) judge(h http.Header, i *file.Info) error {
	modified := i.ModifiedAt.Truncate(time.Second)
	if list := strings.Join(h.Values(c.match), ","); list != "" {
		if !hasTag(list, etagOf(i)) {
			return errPreconditionFailed
		}
	} else if t, err := http.ParseTime(h.Get(c.unmodifiedSince)); err == nil && modified.After(t) {
		return errPreconditionFailed
	}
	if list := strings.Join(h.Values(c.noneMatch), ","); list != "" {
		if hasTag(list, etagOf(i)) {
			return errNotModified
		}
	} else if t, err := http.ParseTime(h.Get(c.modifiedSince)); err == nil && !modified.After(t) {
		return errNotModified
	}
	return nil
}

// writeCondition makes a request's conditions one that is decided when the object is replaced: If-None-Match: * and If-Match. S3 knows no others
// for writes.
func (q *request) writeCondition(o *file.PutOptions) error {
	none, match := strings.Join(q.r.Header.Values("If-None-Match"), ","), strings.Join(q.r.Header.Values("If-Match"), ",")
	switch {
	case none == "" && match == "":
		return nil
	case none != "" && match != "", none != "" && strings.TrimSpace(none) != "*":
		return errNotImplemented.because("A write is done If-None-Match: *, or If-Match an ETag.")
	case none != "":
		o.IfAbsent = true
		return nil
	}
	i, err := q.h.files.Stat(q.ctx, q.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && i.Dir:
		if there := q.hasBucket(); there != nil {
			return there
		}
		return errNoSuchKey
	case err != nil:
		return err
	case !hasTag(match, etagOf(&i)):
		return errPreconditionFailed
	}
	o.IfModified = i.Modified
	return nil
}
