package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

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
	done, err := q.take(b.want)
	if err != nil {
		return file.Info{}, err
	}
	defer done()
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
func (q *request) noObject(bucket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if there := q.isThere(bucket); there != nil {
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
		return q.noObject(q.bucket, err)
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
	a := &answer{q: q, head: http.Header{}, status: http.StatusOK}
	from, to := int64(0), i.Bytes
	if text := q.r.Header.Get("Range"); text != "" && q.rangeHolds(&i) {
		var partial, ok bool
		if from, to, partial, ok = byteRange(text, i.Bytes); !ok {
			q.w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(i.Bytes, 10))
			return errInvalidRange
		}
		if partial {
			a.status = http.StatusPartialContent
			a.head.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(to-1, 10)+"/"+strconv.FormatInt(i.Bytes, 10))
		}
	}
	describe(a.head, &i, strings.EqualFold(q.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && a.status == http.StatusOK)
	for name, header := range overrides {
		if value := q.query.Get(name); value != "" && isHeaderValue(value) {
			a.head.Set(header, value)
		}
	}
	a.head.Set("Content-Length", strconv.FormatInt(to-from, 10))
	if q.r.Method == http.MethodHead {
		a.begin()
		return nil
	}
	return a.send(f, from, to)
}

// rangeHolds looks at If-Range (RFC 9110, 13.1.5).
func (q *request) rangeHolds(i *file.Info) bool {
	text := q.r.Header.Get("If-Range")
	if t, err := http.ParseTime(text); err == nil {
		return i.ModifiedAt.Unix() == t.Unix()
	}
	return text == "" || hasTag(text, etagOf(i))
}

// byteRange reads a header with one range of bytes (RFC 9110, 14.1.2); ok is false where it has none of the object's. Of all
// others, as S3 does, it makes all bytes.
func byteRange(text string, size int64) (from, to int64, partial, ok bool) {
	spec, isBytes := strings.CutPrefix(text, "bytes=")
	first, last, isRange := strings.Cut(strings.TrimSpace(spec), "-")
	a, errA := position(first)
	b, errB := position(last)
	switch {
	case !isBytes || !isRange || first == "" && errB != nil || first != "" && errA != nil || last != "" && errB != nil:
		return 0, size, false, true
	case first == "": // the last bytes
		return max(size-int64(b), 0), size, true, b > 0 && size > 0
	case last != "" && b < a:
		return 0, size, false, true
	case int64(a) >= size:
		return 0, 0, false, false
	case last == "":
		return int64(a), size, true, true
	}
	return int64(a), min(int64(b)+1, size), true, true
}

// position reads a number of a range. One that no object reaches is the largest.
func position(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 62)
	if errors.Is(err, strconv.ErrRange) {
		err = nil
	}
	return n, err
}

// answer is one with bytes of an object. Its head is sent with the first of them.
type answer struct {
	q      *request
	head   http.Header
	status int
	begun  bool
}

func (a *answer) begin() {
	maps.Copy(a.q.w.Header(), a.head)
	a.q.w.WriteHeader(a.status)
	a.begun = true
}

// Write is that of io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	if !a.begun {
		a.begin()
	}
	return a.q.w.Write(p)
}

// send writes bytes of an object. What fails before the first of them is an error; after that the connection is cut, so that
// nobody takes what came for all.
func (a *answer) send(f *file.File, from, to int64) error {
	if from == to {
		a.begin()
		return nil
	}
	err := a.write(f, from, to)
	if err == nil || !a.begun {
		return err
	}
	a.q.h.log.Warn("s3: an answer is cut off", "request", a.q.id, "resource", a.q.r.URL.Path, "err", err)
	panic(http.ErrAbortHandler)
}

// Where there is no room at once to read several chunks at a time, bytes come by pages: so who reads slowly holds up nobody
// else's reading.
const (
	roomSoon  = 100 * time.Millisecond
	pageBytes = 256 << 10
)

func (a *answer) write(f *file.File, from, to int64) error {
	soon, cancel := context.WithTimeout(a.q.ctx, roomSoon)
	defer cancel()
	if done, err := a.q.h.room(soon, roomOf(to-from)); err == nil {
		defer done()
		_, err = f.WriteRange(a, from, to-from)
		return err
	}
	done, err := a.q.take(min(to-from, pageBytes))
	if err != nil {
		return err
	}
	defer done()
	n, err := io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{io.NewSectionReader(f, from, to-from)}, make([]byte, min(to-from, pageBytes)))
	if err == nil && n < to-from {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (q *request) getObjectACL() error {
	if _, err := q.object(q.bucket, q.path); err != nil {
		return err
	}
	q.replyACL()
	return nil
}

// object tells of one.
func (q *request) object(bucket, path string) (file.Info, error) {
	i, err := q.h.files.Stat(q.ctx, path)
	if err == nil && i.Dir {
		err = file.ErrIsDirectory
	}
	return i, q.noObject(bucket, err)
}

func (q *request) deleteObject() error {
	if list := strings.Join(q.r.Header.Values("If-Match"), ","); list != "" {
		i, err := q.object(q.bucket, q.path)
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
		Object few[struct {
			Key       string
			VersionID string `xml:"VersionId"`
			ETag      string
		}]
	}
	in.Object.most = deleteMax
	if err := q.readXML(&in); err != nil {
		return err
	}
	objects := in.Object.all
	if len(objects) == 0 {
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
	faults := make([]error, len(objects))
	each(len(objects), func(n int) {
		o := objects[n]
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
			out.Error = append(out.Error, failed{objects[n].Key, f.code, f.message})
		} else if !in.Quiet {
			out.Deleted = append(out.Deleted, deleted{objects[n].Key})
		}
	}
	q.reply(http.StatusOK, out)
	return nil
}
