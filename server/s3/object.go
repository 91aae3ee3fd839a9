package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"viewring/client/file"
)

// place makes the directories of an object that are missing. Its bucket is not made.
func (q *request) place() error {
	for _, dir := range parents(q.path) {
		err := q.h.files.Mkdir(q.ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// store stores an object, and makes room for it: directories that are missing are made, and one in its place that has no
// object is removed. begun tells whether put has read what can be read only once; it looks before whether it may.
func (q *request) store(begun func() bool, put func() (file.Info, error)) (i file.Info, err error) {
	for range roomAttempts {
		if i, err = put(); err == nil || begun() {
			break
		}
		var room error
		switch {
		case errors.Is(err, file.ErrIsDirectory):
			room = q.removeEmpty(q.path)
		case !errors.Is(err, fs.ErrNotExist):
			return i, err
		default:
			if room = q.hasBucket(); room == nil {
				room = q.place()
			}
		}
		if room != nil && !errors.Is(room, fs.ErrNotExist) {
			return i, room
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // a directory went meanwhile
		err = errSlowDown
	}
	return i, err
}

// roomAttempts bounds how often room is made for an object, since others may remove directories at the same time.
const roomAttempts = 10

// never is for what can be done again.
func never() bool { return false }

// put stores a body at a path.
func (q *request) put(b *body, path string, a file.Attributes, opts file.PutOptions) (file.Info, error) {
	opts.Seal = func(file.Info) (file.Attributes, error) {
		if b.err != io.EOF {
			panic("invariant: what is stored was verified")
		}
		b.ofBytes(&a, q.h.now())
		return a, nil
	}
	return q.h.files.Put(q.ctx, path, b, opts)
}

func (q *request) putObject() error {
	a, err := attributesOf(q.r.Header)
	if err != nil {
		return err
	}
	b, err := q.openBody()
	if err != nil {
		return err
	}
	var opts file.PutOptions
	if err := q.writeCondition(&opts); err != nil {
		return err
	}
	i, err := q.store(b.begun, func() (file.Info, error) { return q.put(b, q.path, a, opts) })
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", etagOf(&i))
	q.tellSums(&i)
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// tellSums tells the checksums that were sent, as S3 does.
func (q *request) tellSums(i *file.Info) {
	for name, value := range i.Attributes.Meta {
		if sum, ok := strings.CutPrefix(name, metaSum); ok {
			q.w.Header().Set(checksumHeader+sum, value)
		}
	}
}

// overrides are parameters that set a header of the answer.
var overrides = map[string]string{"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition", "response-content-encoding": "Content-Encoding",
	"response-content-language": "Content-Language", "response-content-type": "Content-Type", "response-expires": "Expires"}

// noObject is the error where an object was looked for.
func (q *request) noObject(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if there := q.hasBucket(); there != nil {
			return there
		}
		return errNoSuchKey
	case errors.Is(err, file.ErrIsDirectory), errors.Is(err, file.ErrNotDirectory):
		return errNoSuchKey
	}
	return err
}

// getObject answers GetObject and HeadObject.
func (q *request) getObject() error {
	f, err := q.h.files.OpenFile(q.ctx, q.path)
	if err != nil {
		return q.noObject(err)
	}
	defer f.Close()
	i := f.Info()
	if err := ofRequest.judge(q.r.Header, &i); err != nil {
		if err == errNotModified {
			describe(q.w.Header(), &i, false)
			q.w.Header().Del("Content-Type")
		}
		return err
	}
	from, to, status := int64(0), i.Bytes, http.StatusOK
	if text := q.r.Header.Get("Range"); text != "" && q.rangeHolds(&i) {
		var ok bool
		if from, to, ok = byteRange(text, i.Bytes); !ok {
			q.w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(i.Bytes, 10))
			return errInvalidRange
		}
		if to-from < i.Bytes || text == "bytes=0-" {
			status = http.StatusPartialContent
			q.w.Header().Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(to-1, 10)+"/"+strconv.FormatInt(i.Bytes, 10))
		}
	}
	h := q.w.Header()
	describe(h, &i, strings.EqualFold(q.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && status == http.StatusOK)
	for name, header := range overrides {
		if value := q.query.Get(name); value != "" && isHeaderValue(value) {
			h.Set(header, value)
		}
	}
	h.Set("Content-Length", strconv.FormatInt(to-from, 10))
	if q.r.Method == http.MethodHead {
		q.w.WriteHeader(status)
		return nil
	}
	return q.send(f, from, to, status)
}

// rangeHolds looks at If-Range (RFC 9110, 13.1.5).
func (q *request) rangeHolds(i *file.Info) bool {
	text := q.r.Header.Get("If-Range")
	if t, err := http.ParseTime(text); err == nil {
		return i.ModifiedAt.Unix() == t.Unix()
	}
	return text == "" || hasTag(text, etagOf(i))
}

// byteRange reads a header with one range of bytes (RFC 9110, 14.1.2). Of all others, as S3 does, it makes all bytes.
func byteRange(text string, size int64) (from, to int64, ok bool) {
	spec, isBytes := strings.CutPrefix(text, "bytes=")
	first, last, isRange := strings.Cut(strings.TrimSpace(spec), "-")
	if !isBytes || !isRange || strings.ContainsAny(spec, ",") {
		return 0, size, true
	}
	a, errA := strconv.ParseUint(first, 10, 63)
	b, errB := strconv.ParseUint(last, 10, 63)
	switch {
	case first == "" && errB == nil: // the last bytes
		return max(size-int64(b), 0), size, b > 0 && size > 0
	case errA != nil, last != "" && errB != nil, last != "" && b < a:
		return 0, size, true
	case int64(a) >= size:
		return 0, 0, false
	case last == "" || int64(b) >= size:
		return int64(a), size, true
	}
	return int64(a), int64(b) + 1, true
}

// started writes the head of an answer with its first byte, up to a number of bytes.
type started struct {
	q      *request
	status int
	left   int64
	begun  bool
}

var errEnough = errors.New("all that was asked for was written")

func (s *started) Write(p []byte) (n int, err error) {
	if !s.begun {
		s.begun = true
		s.q.w.WriteHeader(s.status)
	}
	part := p[:min(int64(len(p)), s.left)]
	n, err = s.q.w.Write(part)
	if s.left -= int64(n); err == nil && s.left == 0 {
		err = errEnough
	}
	return n, err
}

// readAtMax is up to which length a part of an object is read as it is asked for, and not ahead.
const readAtMax = 1 << 20

// send writes bytes of an object. What fails before the first of them is an error; after that the connection is cut, so that
// nobody takes what came for all.
func (q *request) send(f *file.File, from, to int64, status int) error {
	if from == to {
		q.w.WriteHeader(status)
		return nil
	}
	s := &started{q: q, status: status, left: to - from}
	var err error
	if whole := from == 0 && to == f.Info().Bytes; whole || to-from > readAtMax {
		if _, err = f.Seek(from, io.SeekStart); err == nil {
			if whole {
				s.left++ // so that all is read, and the checksum compared
			}
			_, err = f.WriteTo(s)
		}
	} else {
		b := make([]byte, to-from)
		if _, err = f.ReadAt(b, from); err == nil || err == io.EOF {
			_, err = io.Copy(s, bytes.NewReader(b))
		}
	}
	switch {
	case err == nil, errors.Is(err, errEnough):
		return nil
	case !s.begun:
		for _, name := range []string{"Content-Length", "Content-Range", "ETag", "Last-Modified", "Accept-Ranges"} {
			q.w.Header().Del(name)
		}
		return err
	}
	q.h.log.Warn("s3: an answer is cut off", "request", q.id, "resource", q.r.URL.Path, "err", err)
	panic(http.ErrAbortHandler)
}

func (q *request) getObjectACL() error {
	if _, err := q.object(q.path); err != nil {
		return err
	}
	q.replyACL()
	return nil
}

// object tells of one.
func (q *request) object(path string) (file.Info, error) {
	i, err := q.h.files.Stat(q.ctx, path)
	if err == nil && i.Dir {
		err = file.ErrIsDirectory
	}
	return i, q.noObject(err)
}

func (q *request) deleteObject() error {
	if list := strings.Join(q.r.Header.Values("If-Match"), ","); list != "" {
		i, err := q.object(q.path)
		switch {
		case err != nil:
			return err
		case !hasTag(list, etagOf(&i)):
			return errPreconditionFailed
		}
		if err := q.h.files.RemoveIf(q.ctx, q.path, i.Modified); err != nil {
			return err
		}
	} else if err := q.remove(q.path); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// remove removes an object; one that is not there is gone.
func (q *request) remove(path string) error {
	err := q.h.files.Remove(q.ctx, path)
	if errors.Is(err, file.ErrNotEmpty) { // a directory is no object
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return q.hasBucket()
	}
	return err
}

// deleteMax is how many objects are deleted at once.
const deleteMax = 1000

func (q *request) deleteObjects() error {
	h := q.r.Header
	sums, err := checksOf(h)
	if err != nil {
		return err
	}
	if h.Get("Content-MD5") == "" && len(sums) == 0 && h.Get("X-Amz-Trailer") == "" {
		return errInvalidRequest.because("Missing required header for this request: Content-MD5, or x-amz-checksum-….")
	}
	var in struct {
		Quiet  bool
		Object []struct {
			Key       string
			VersionID string `xml:"VersionId"`
			ETag      string
		}
	}
	if err := q.readXML(&in); err != nil {
		return err
	}
	if len(in.Object) == 0 || len(in.Object) > deleteMax {
		return errMalformedXML.because("1 to %d objects are deleted at once.", deleteMax)
	}
	if err := q.hasBucket(); err != nil {
		return err
	}
	type deleted struct{ Key string }
	type failed struct{ Key, Code, Message string }
	out := struct {
		XMLName xml.Name `xml:"DeleteResult"`
		Xmlns   string   `xml:"xmlns,attr"`
		Deleted []deleted
		Error   []failed
	}{Xmlns: xmlns}
	faults := make([]error, len(in.Object))
	each(len(in.Object), func(n int) {
		o := in.Object[n]
		path, err := pathOf(q.bucket, o.Key)
		switch {
		case o.Key == "":
			err = errInvalidArgument.because("The key is empty.")
		case o.VersionID != "" && o.VersionID != "null":
			err = errNoSuchVersion
		case o.ETag != "":
			err = errNotImplemented.because("Conditions of single objects are not implemented.")
		case err != nil:
			err = nil // nobody has put it there
		default:
			err = q.remove(path)
		}
		faults[n] = err
	})
	for n, err := range faults {
		if err != nil {
			f := told(err)
			out.Error = append(out.Error, failed{in.Object[n].Key, f.code, f.message})
		} else if !in.Quiet {
			out.Deleted = append(out.Deleted, deleted{in.Object[n].Key})
		}
	}
	q.reply(http.StatusOK, out)
	return nil
}

// readXML reads the body.
func (q *request) readXML(into any) error {
	b, err := q.openBody()
	if err != nil {
		return err
	}
	text, err := b.readAll(xmlMax)
	if err != nil {
		return err
	}
	if xml.Unmarshal(text, into) != nil {
		return errMalformedXML
	}
	return nil
}
