package s3

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"viewring/client/file"
	"viewring/client/s3keys"
)

const xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"

// owner is told where the protocol wants one: there are no users.
type owner struct {
	ID          string
	DisplayName string
}

var theOwner = owner{"viewring", "viewring"}

// at is a time as XML has it.
func at(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// hasBucket is errNoSuchBucket for a bucket that is not there.
func (q *request) hasBucket() error { return q.isThere(q.bucket) }

func (q *request) isThere(bucket string) error {
	i, err := q.h.files.Stat(q.ctx, "/"+bucket)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !i.Dir {
		return errNoSuchBucket
	}
	return err
}

// bucketsMax bounds the buckets of a list, as in S3; it has pages of them.
const bucketsMax = 10_000

func (q *request) listBuckets() error {
	type bucket struct {
		Name         string
		CreationDate string
	}
	var out struct {
		XMLName xml.Name `xml:"ListAllMyBucketsResult"`
		Xmlns   string   `xml:"xmlns,attr"`
		Owner   owner
		Buckets []bucket `xml:"Buckets>Bucket"`
	}
	out.Xmlns, out.Owner = xmlns, theOwner
	for i, err := range q.h.files.List(q.ctx, file.Root) {
		switch {
		case err != nil:
			return err
		case !i.Dir || !s3keys.IsBucket(i.Name()) || !q.signed.mayUse(i.Name()):
			continue
		case len(out.Buckets) == bucketsMax:
			return errNotImplemented.because("There are more than %d buckets: that many are not listed.", bucketsMax)
		}
		out.Buckets = append(out.Buckets, bucket{i.Name(), at(i.CreatedAt)})
	}
	slices.SortFunc(out.Buckets, func(a, b bucket) int { return strings.Compare(a.Name, b.Name) })
	q.reply(http.StatusOK, out)
	return nil
}

// xmlMax bounds bodies of XML.
const xmlMax = 4 << 20

// drain reads a body whose content does not matter, but that must be what was signed.
func (q *request) drain() error {
	b, err := q.openText()
	if err == nil {
		_, err = io.Copy(io.Discard, b)
	}
	return err
}

func (q *request) createBucket() error {
	if err := q.drain(); err != nil { // a region, which is not looked at
		return err
	}
	if err := refusedHeaders(q.r.Header); err != nil {
		return err
	}
	err := q.h.files.Mkdir(q.ctx, "/"+q.bucket)
	if errors.Is(err, fs.ErrExist) {
		if there := q.hasBucket(); there != nil {
			return newFault(http.StatusConflict, "BucketAlreadyExists", "A file is where the bucket would be.")
		}
		return errBucketExists
	}
	if err == nil {
		q.w.Header().Set("Location", "/"+q.bucket)
		q.w.WriteHeader(http.StatusOK)
	}
	return err
}

func (q *request) headBucket() error {
	if err := q.hasBucket(); err != nil {
		return err
	}
	q.w.Header().Set("x-amz-bucket-region", q.h.region)
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// deleteBucket removes a bucket that has no objects, with the directories that are left of some.
func (q *request) deleteBucket() error {
	if err := q.hasBucket(); err != nil {
		return err
	}
	if err := q.removeEmpty("/" + q.bucket); err != nil {
		if errors.Is(err, file.ErrNotEmpty) {
			return errBucketNotEmpty
		}
		return err
	}
	q.h.endUploads(q.ctx, q.bucket, func(upload) bool { return true })
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// removeEmpty removes a directory that has no file in it, at any depth; else it is file.ErrNotEmpty, and some
// that were empty may be gone. Each is removed only if it is empty then: nothing that others put is lost.
func (q *request) removeEmpty(path string) error {
	for i, err := range q.h.files.List(q.ctx, path) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !i.Dir:
			return file.ErrNotEmpty
		}
		if err := q.removeEmpty(i.Path); err != nil {
			return err
		}
	}
	err := q.h.files.Remove(q.ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

func (q *request) getBucketLocation() error {
	if err := q.hasBucket(); err != nil {
		return err
	}
	region := q.h.region
	if region == "us-east-1" { // which has no name here
		region = ""
	}
	q.reply(http.StatusOK, struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		Xmlns   string   `xml:"xmlns,attr"`
		Region  string   `xml:",chardata"`
	}{Xmlns: xmlns, Region: region})
	return nil
}

func (q *request) getBucketVersioning() error {
	if err := q.hasBucket(); err != nil {
		return err
	}
	q.reply(http.StatusOK, struct {
		XMLName xml.Name `xml:"VersioningConfiguration"`
		Xmlns   string   `xml:"xmlns,attr"`
	}{Xmlns: xmlns})
	return nil
}

// accessControlPolicy says that who has a key may do everything.
type accessControlPolicy struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	Xmlns   string   `xml:"xmlns,attr"`
	Owner   owner
	Grants  []grant `xml:"AccessControlList>Grant"`
}

type grant struct {
	Grantee    grantee
	Permission string
}

type grantee struct {
	Xsi         string `xml:"xmlns:xsi,attr"`
	Type        string `xml:"xsi:type,attr"`
	ID          string
	DisplayName string
}

func (q *request) getBucketACL() error {
	if err := q.hasBucket(); err != nil {
		return err
	}
	q.replyACL()
	return nil
}

func (q *request) replyACL() {
	who := grantee{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", theOwner.ID, theOwner.DisplayName}
	q.reply(http.StatusOK, accessControlPolicy{Xmlns: xmlns, Owner: theOwner, Grants: []grant{{who, "FULL_CONTROL"}}})
}
