package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"viewring/client/file"
	"viewring/client/s3keys"
)

// source finds the object that is to be copied, and looks at the conditions for it.
func (q *request) source() (file.Info, error) {
	text, version, _ := strings.Cut(q.r.Header.Get("X-Amz-Copy-Source"), "?")
	name, err := url.PathUnescape(text)
	if err != nil {
		return file.Info{}, errInvalidArgument.because("x-amz-copy-source is not encoded as a URL.")
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	switch {
	case !s3keys.IsBucket(bucket) || key == "":
		return file.Info{}, errInvalidArgument.because("x-amz-copy-source must be a bucket, a slash and a key.")
	case version != "" && version != "versionId=null":
		return file.Info{}, errNoSuchVersion
	case !q.signed.mayUse(bucket):
		return file.Info{}, errAccessDenied.because("The key %s is not for the bucket of the source.", q.signed.key.ID)
	}
	path, err := pathOf(bucket, key)
	if err != nil {
		return file.Info{}, errNoSuchKey
	}
	i, err := q.object(bucket, path)
	if err != nil {
		return i, err
	}
	if ofSource.judge(q.r.Header, &i) != nil {
		return i, errPreconditionFailed
	}
	return i, nil
}

// bytesOf takes over from another object what is known of its bytes.
func bytesOf(a *file.Attributes, from *file.Attributes) {
	a.MD5, a.SHA256, a.SourceTime = from.MD5, from.SHA256, from.SourceTime
	for name, value := range from.Meta {
		if name == metaETag || strings.HasPrefix(name, metaSum) {
			a.Meta[name] = value
		}
	}
}

func (q *request) copyObject() error {
	if err := q.drain(); err != nil {
		return err
	}
	replace := false
	switch directive := q.r.Header.Get("X-Amz-Metadata-Directive"); directive {
	case "", "COPY":
	case "REPLACE":
		replace = true
	default:
		return errInvalidArgument.because("x-amz-metadata-directive must be COPY or REPLACE.")
	}
	given, err := attributesOf(q.r.Header)
	if err != nil {
		return err
	}
	from, err := q.source()
	if err != nil {
		return err
	}
	if from.Path == q.path && !replace {
		return errInvalidRequest.because("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.")
	}
	var opts file.PutOptions
	if err := q.writeCondition(&opts); err != nil {
		return err
	}
	opts.Seal = func(i file.Info) (file.Attributes, error) {
		if i.Modified != from.Modified { // what the conditions were looked at with is replaced
			return file.Attributes{}, errSlowDown
		}
		a := file.Attributes{ContentType: given.ContentType, Meta: map[string]string{}}
		kept := given.Meta
		if !replace {
			a.ContentType, kept = i.Attributes.ContentType, i.Attributes.Meta
		}
		for name, value := range kept {
			if isUsers(name) || strings.HasPrefix(name, metaHeaders) {
				a.Meta[name] = value
			}
		}
		bytesOf(&a, &i.Attributes)
		return a, nil
	}
	done, err := q.take(from.Bytes)
	if err != nil {
		return err
	}
	defer done()
	return q.holding(func() (any, error) {
		i, err := q.store(never, func() (file.Info, error) { return q.h.files.Copy(q.ctx, from.Path, q.path, opts) })
		return copyResult{XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: etagOf(&i), LastModified: at(q.h.now())}, err
	})
}

type copyResult struct {
	XMLName      xml.Name
	ETag         string
	LastModified string
}

// completeEvery is how often a client is sent a blank that waits for what takes long.
const completeEvery = 10 * time.Second

// holding carries out what may take long: S3 answers 200 then, sends blanks so that the client goes on waiting, and
// tells an error in the body.
func (q *request) holding(do func() (any, error)) error {
	type outcome struct {
		v        any
		err      error
		panicked any
	}
	done := make(chan outcome, 1)
	go func() {
		o := outcome{panicked: errors.New("the goroutine ended")}
		defer func() {
			if p := recover(); p != nil {
				o.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			done <- o
		}()
		o.v, o.err = do()
		o.panicked = nil
	}()
	tick := time.NewTicker(q.h.pace)
	defer tick.Stop()
	begun := false
	for {
		select {
		case o := <-done:
			switch {
			case o.panicked != nil: // here it ends this request, there it would end the process
				panic(o.panicked)
			case !begun && o.err != nil:
				return o.err
			case !begun:
				q.reply(http.StatusOK, o.v)
			default:
				q.finish(o.v, o.err)
			}
			return nil
		case <-tick.C:
			text := " "
			if !begun {
				begun, text = true, xml.Header
				q.w.Header().Set("Content-Type", "application/xml")
				q.w.WriteHeader(http.StatusOK)
			}
			_, _ = q.w.Write([]byte(text)) // who has gone is told nothing; what was begun goes on until its context ends
			_ = http.NewResponseController(q.w).Flush()
		}
	}
}

// finish ends an answer whose head was sent.
func (q *request) finish(v any, err error) {
	if err != nil {
		f := told(err)
		if errors.Is(err, q.ctx.Err()) && q.ctx.Err() != nil {
			return
		}
		q.h.log.Warn("s3: a request failed", "request", q.id, "operation", q.operation, "resource", q.r.URL.Path, "err", err)
		v = q.errorReply(f)
	}
	b, err := xml.Marshal(v)
	if err != nil {
		panic("invariant: an answer is XML: " + err.Error())
	}
	_, _ = q.w.Write(b)
}
