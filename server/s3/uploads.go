package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"viewring/client/file"
	"viewring/internal/tree"
	"viewring/internal/wait"
)

// Where uploads in parts are: an empty file for each, whose attributes say what it is, and a directory with its parts, beside
// that of the object. The file is made before the directory and removed after it: so who finds a directory finds what it
// is, and no part can be put once it is gone. No bucket begins with a dot.
const (
	uploadsDir = "/.s3/uploads"
	partsDir   = "/.s3/parts"

	metaKey   = ":key"   // of the object
	metaParts = ":parts" // the directory of the parts
	metaMark  = ":mark"  // what the object was when a Complete began to replace it: see mark
)

const (
	partsMax     = 10_000
	partBytesMin = 5 << 20 // but of the last
	uploadIDLen  = 32
	sweepEvery   = time.Hour
)

// upload is an upload in parts.
type upload struct {
	id, bucket, key string
	parts           string // directory
	began           time.Time
	attributes      file.Attributes // of the object
	file            file.Info       // of the upload
}

func (u *upload) path() string { return uploadsDir + "/" + u.bucket + "/" + u.id }

// part is the path of one.
func (u *upload) part(number int) string { return fmt.Sprintf("%s/%05d", u.parts, number) }

// uploadOf reads what a file says; ok is false for what is none.
func uploadOf(bucket string, i *file.Info) (u upload, ok bool) {
	meta := i.Attributes.Meta
	u = upload{id: i.Name(), bucket: bucket, key: meta[metaKey], parts: meta[metaParts], began: i.CreatedAt, file: *i}
	if i.Dir || u.key == "" || path.Dir(u.parts) != partsDir {
		return u, false
	}
	u.attributes = file.Attributes{ContentType: i.Attributes.ContentType, Meta: map[string]string{}}
	for name, value := range meta {
		if name != metaKey && name != metaParts && name != metaMark {
			u.attributes.Meta[name] = value
		}
	}
	return u, true
}

func (q *request) createUpload() error {
	if err := q.drain(); err != nil {
		return err
	}
	a, err := attributesOf(q.r.Header)
	if err == nil {
		err = q.hasBucket()
	}
	if err != nil {
		return err
	}
	u := upload{id: randomHex(uploadIDLen / 2), bucket: q.bucket, key: q.key}
	dir, _ := tree.Split(q.path)
	if u.parts, err = file.Beside(dir, partsDir+"/"+u.id); err != nil {
		return err
	}
	a.Meta[metaKey], a.Meta[metaParts] = u.key, u.parts
	a.Meta[metaMark] = strings.Repeat(" ", markRoom)
	opts := file.PutOptions{IfAbsent: true, Parents: true, Seal: func(file.Info) (file.Attributes, error) { return a, nil }}
	if _, err := q.h.files.Put(q.ctx, u.path(), strings.NewReader(""), opts); err != nil {
		return err
	}
	if err := q.h.files.MkdirAll(q.ctx, u.parts); err != nil {
		return err
	}
	if _, err := q.upload(u.id); err != nil { // the bucket was deleted meanwhile, with its uploads
		_ = q.h.files.Remove(q.ctx, u.parts) // it is empty, and stays so
		return errNoSuchBucket
	}
	if name := q.r.Header.Get("X-Amz-Checksum-Algorithm"); name != "" {
		q.w.Header().Set("x-amz-checksum-algorithm", name)
	}
	q.reply(http.StatusOK, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Xmlns    string   `xml:"xmlns,attr"`
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{Xmlns: xmlns, Bucket: q.bucket, Key: q.key, UploadID: u.id})
	return nil
}

// upload finds one of this bucket and key.
func (q *request) upload(id string) (u upload, err error) {
	if len(id) != uploadIDLen || strings.Trim(id, "0123456789abcdef") != "" {
		return u, errNoSuchUpload
	}
	i, err := q.h.files.Stat(q.ctx, uploadsDir+"/"+q.bucket+"/"+id)
	if errors.Is(err, fs.ErrNotExist) {
		return u, errNoSuchUpload
	}
	if err != nil {
		return u, err
	}
	u, ok := uploadOf(q.bucket, &i)
	if !ok || u.key != q.key {
		return u, errNoSuchUpload
	}
	return u, nil
}

func (q *request) abortUpload() error {
	u, err := q.upload(q.query.Get("uploadId"))
	if err == nil {
		err = q.h.end(q.ctx, &u)
	}
	if err == nil {
		q.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// end removes an upload. Whoever dies in between, another one goes on.
func (h *Handler) end(ctx context.Context, u *upload) error {
	for _, path := range []string{u.parts, u.path()} {
		if err := h.files.RemoveAll(ctx, path, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// endUploads ends those of a bucket that which says, and returns how many.
func (h *Handler) endUploads(ctx context.Context, bucket string, which func(upload) bool) (ended int) {
	for i, err := range h.files.List(ctx, uploadsDir+"/"+bucket) {
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				h.log.Warn("s3: uploads are not ended", "bucket", bucket, "err", err)
			}
			return ended
		}
		u, ok := uploadOf(bucket, &i)
		if !ok || !which(u) {
			continue
		}
		if err := h.end(ctx, &u); err != nil {
			h.log.Warn("s3: an upload is not ended", "bucket", bucket, "key", u.key, "upload", u.id, "err", err)
			continue
		}
		ended++
	}
	return ended
}

// Sweep ends the uploads that are too old, or whose object was completed by a front that died before it had removed the parts.
// It returns how many those were.
func (h *Handler) Sweep(ctx context.Context) (ended int) {
	for i, err := range h.files.List(ctx, uploadsDir) {
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				h.log.Warn("s3: uploads are not looked through", "err", err)
			}
			return ended
		}
		ended += h.endUploads(ctx, i.Name(), func(u upload) bool {
			return h.now().Sub(u.began) > h.uploadsEnd || h.isCompleted(ctx, &u)
		})
	}
	return ended
}

// isCompleted tells whether the object is the one of the upload.
func (h *Handler) isCompleted(ctx context.Context, u *upload) bool {
	path, err := pathOf(u.bucket, u.key)
	if err != nil {
		return false
	}
	i, err := h.files.Stat(ctx, path)
	return err == nil && i.Attributes.Meta[metaUpload] == u.id
}

// Run sweeps until the context ends.
func (h *Handler) Run(ctx context.Context) {
	for {
		if n := h.Sweep(ctx); n > 0 {
			h.log.Info("s3: uploads were ended", "uploads", n)
		}
		if !wait.For(ctx, sweepEvery) {
			return
		}
	}
}

// byKey is the order of uploads in lists.
func byKey(a, b upload) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

func (q *request) listUploads() error {
	l := &listing{prefix: q.query.Get("prefix"), delimiter: q.query.Get("delimiter")}
	encode, err := q.encoding()
	if err != nil {
		return err
	}
	if l.max, err = q.number("max-uploads", keysMax); err != nil {
		return err
	}
	if err := q.hasBucket(); err != nil {
		return err
	}
	after := upload{key: q.query.Get("key-marker"), id: q.query.Get("upload-id-marker")}
	if after.id == "" {
		after.id = "~" // behind all of the key
	}
	if l.max == 0 {
		l.max = 1 // as S3 does not, but a page of none leads nowhere
	}
	uploads, err := q.pageOfUploads(l, after)
	if err != nil {
		return err
	}
	type one struct {
		Key          string
		UploadID     string `xml:"UploadId"`
		Initiator    owner
		Owner        owner
		StorageClass string
		Initiated    string
	}
	out := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		Xmlns              string   `xml:"xmlns,attr"`
		Bucket             string
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string `xml:",omitempty"`
		NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
		Prefix             string
		Delimiter          string `xml:",omitempty"`
		MaxUploads         int
		EncodingType       string `xml:",omitempty"`
		IsTruncated        bool
		Upload             []one
		CommonPrefixes     []commonPrefix
	}{Xmlns: xmlns, Bucket: q.bucket, KeyMarker: encode(after.key), UploadIDMarker: q.query.Get("upload-id-marker"), Prefix: encode(l.prefix), Delimiter: encode(l.delimiter),
		MaxUploads: l.max, EncodingType: q.query.Get("encoding-type"), IsTruncated: l.truncated, CommonPrefixes: l.commonPrefixes(encode)}
	for _, u := range uploads {
		out.Upload = append(out.Upload, one{encode(u.key), u.id, theOwner, theOwner, storageClass, at(u.began)})
	}
	if l.truncated {
		out.NextKeyMarker = encode(l.last)
		if n := len(uploads); n > 0 && uploads[n-1].key == l.last {
			out.NextUploadIDMarker = uploads[n-1].id
		}
	}
	q.reply(http.StatusOK, out)
	return nil
}

// pageOfUploads finds those that come next, and the prefixes that stand for others. It holds up to four pages of them.
func (q *request) pageOfUploads(l *listing, after upload) (uploads []upload, err error) {
	var all []upload
	least := func() {
		slices.SortFunc(all, byKey)
		all = all[:min(len(all), 2*keysMax)]
	}
	past := l.commonPrefix(after.key) == after.key && after.key != "" // the page before ended with a prefix
	for i, err := range q.h.files.List(q.ctx, uploadsDir+"/"+q.bucket) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		u, ok := uploadOf(q.bucket, &i)
		if !ok || !strings.HasPrefix(u.key, l.prefix) || byKey(u, after) <= 0 || past && strings.HasPrefix(u.key, after.key) {
			continue
		}
		if p := l.commonPrefix(u.key); p != "" { // one of them stands for all
			u = upload{key: p}
			if slices.ContainsFunc(all, func(o upload) bool { return o.id == "" && o.key == p }) {
				continue
			}
		}
		if all = append(all, u); len(all) >= 4*keysMax {
			least()
		}
	}
	least()
	for _, u := range all {
		if len(uploads)+len(l.prefixes) == l.max {
			l.truncated = true
			break
		}
		if l.last = u.key; u.id == "" {
			l.prefixes = append(l.prefixes, u.key)
		} else {
			uploads = append(uploads, u)
		}
	}
	return uploads, nil
}

// number of a part.
func (q *request) partNumber() (int, error) {
	n, err := strconv.Atoi(q.query.Get("partNumber"))
	if err != nil || n < 1 || n > partsMax {
		return 0, errInvalidArgument.because("Part number must be an integer between 1 and %d, inclusive.", partsMax)
	}
	return n, nil
}
