package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"viewring/client/file"
	"viewring/client/s3keys"
	"viewring/internal/secure"
	"viewring/internal/tally"
)

// Options of a Handler. Files and Keys are required.
type Options struct {
	Files *file.FS
	Keys  Keys
	// Domains are the hosts whose first label before them is a bucket ("virtual-hosted style"), without ports.
	Domains []string
	// Region is what clients are told; any is accepted in signatures. Default us-east-1.
	Region string
	// UploadsEnd is how long after its begin an upload in parts is aborted by whichever front finds it. Default 7 days.
	UploadsEnd time.Duration
	// Room waits until there is room for so many bytes of bodies in memory; done gives them back. Default: there always is.
	Room   func(ctx context.Context, bytes int64) (done func(), err error)
	Logger *slog.Logger // default: none
}

const defaultUploadsEnd = 7 * 24 * time.Hour

// Handler answers requests of S3. Any number of goroutines may use it.
type Handler struct {
	files      *file.FS
	keys       Keys
	domains    []string
	region     string
	uploadsEnd time.Duration
	room       func(context.Context, int64) (func(), error)
	log        *slog.Logger
	now        func() time.Time
	pace       time.Duration // see holding
	partMin    int64
	refused    secure.Refusals
	ops        *tally.Ops // requests, by operationNumbers and classes
}

// New returns a Handler.
func New(o Options) *Handler {
	h := &Handler{files: o.Files, keys: o.Keys, region: cmp.Or(o.Region, "us-east-1"), uploadsEnd: cmp.Or(o.UploadsEnd, defaultUploadsEnd),
		room: o.Room, log: o.Logger, now: time.Now, pace: completeEvery, partMin: partBytesMin, ops: tally.NewOps(len(operationNames))}
	for _, d := range o.Domains {
		h.domains = append(h.domains, strings.ToLower(strings.Trim(d, ".")))
	}
	if h.room == nil {
		h.room = func(context.Context, int64) (func(), error) { return func() {}, nil }
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// request is one that is being answered.
type request struct {
	h         *Handler
	w         http.ResponseWriter
	r         *http.Request
	ctx       context.Context
	id        string
	query     url.Values
	operation string
	bucket    string
	key       string
	path      string // of an object
	signed    *signed
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{h: h, w: w, r: r, ctx: r.Context(), id: randomHex(8)}
	w.Header().Set("x-amz-request-id", q.id)
	w.Header().Set("Server", "viewring")
	w.Header().Set("Content-Security-Policy", answerPolicy)
	began := time.Now()
	err := q.serve()
	h.log.Debug("s3 request", "request", q.id, "operation", q.operation, "method", r.Method, "path", r.URL.Path, "took", time.Since(began), "err", err)
	if err != nil {
		q.fail(err)
	}
	h.count(q, err, time.Since(began))
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Bytes in memory of what is stored or read: package file has up to 8 chunks of 1 MiB under way, and one that is filled.
const (
	roomMin = 4 << 10
	roomMax = 9 << 20
)

// take waits for room for a body of a length.
func (q *request) take(bytes int64) (done func(), err error) {
	return q.h.room(q.ctx, roomOf(bytes))
}

func roomOf(bytes int64) int64 { return max(roomMin, min(bytes, roomMax)) }

// serve carries a request out. An error is one that nothing was answered for.
func (q *request) serve() (err error) {
	if !utf8.ValidString(q.r.URL.Path) {
		return errInvalidURI.because("Keys are UTF-8.")
	}
	q.query = q.r.URL.Query()
	q.bucket, q.key = q.h.resource(q.r.Host, q.r.URL.Path)
	op, err := q.find()
	q.operation = op.name
	var denied error
	if q.signed, denied = q.h.authenticate(q.r); denied != nil { // who is not known is told nothing else
		return notServed(denied)
	}
	if err != nil {
		return err
	}
	if q.bucket != "" {
		if !q.signed.mayUse(q.bucket) {
			return errAccessDenied.because("The key %s is not for this bucket.", q.signed.key.ID)
		}
		if !s3keys.IsBucket(q.bucket) {
			if op.name == "CreateBucket" {
				return errInvalidBucketName
			}
			return errNoSuchBucket
		}
	}
	if q.key != "" {
		if q.path, err = pathOf(q.bucket, q.key); err != nil {
			return q.unnamed(err)
		}
	}
	return op.do(q)
}

// unnamed is the error for a key that no object can have: nobody has put one there.
func (q *request) unnamed(err error) error {
	switch q.operation {
	case "GetObject", "HeadObject":
		return errNoSuchKey
	case "DeleteObject":
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return err
}

// notServed is the error of a key that could not be looked up.
func notServed(err error) error {
	switch {
	case errors.Is(err, s3keys.ErrSealed):
		return errInvalidKeyID.because("The access key was added with another password or secret file than this front has.")
	case errors.Is(err, s3keys.ErrNoSecret):
		return errNotImplemented.because("This front has neither the cluster's password nor an --s3-secret-file.")
	}
	return err
}

// What an operation is about.
const (
	onService = iota
	onBucket
	onObject
)

// operation is one of the API.
type operation struct {
	name    string
	method  string
	on      int
	sub     string // parameter of the query that selects it, "" for none
	copying bool   // x-amz-copy-source selects it
	do      func(*request) error
}

var operations = []operation{
	{name: "ListBuckets", method: http.MethodGet, on: onService, do: (*request).listBuckets},

	{name: "CreateBucket", method: http.MethodPut, on: onBucket, do: (*request).createBucket},
	{name: "HeadBucket", method: http.MethodHead, on: onBucket, do: (*request).headBucket},
	{name: "DeleteBucket", method: http.MethodDelete, on: onBucket, do: (*request).deleteBucket},
	{name: "GetBucketLocation", method: http.MethodGet, on: onBucket, sub: "location", do: (*request).getBucketLocation},
	{name: "GetBucketVersioning", method: http.MethodGet, on: onBucket, sub: "versioning", do: (*request).getBucketVersioning},
	{name: "GetBucketAcl", method: http.MethodGet, on: onBucket, sub: "acl", do: (*request).getBucketACL},
	{name: "ListObjects", method: http.MethodGet, on: onBucket, do: (*request).listObjects},
	{name: "ListObjectsV2", method: http.MethodGet, on: onBucket, sub: "list-type", do: (*request).listObjectsV2},
	{name: "ListMultipartUploads", method: http.MethodGet, on: onBucket, sub: "uploads", do: (*request).listUploads},
	{name: "DeleteObjects", method: http.MethodPost, on: onBucket, sub: "delete", do: (*request).deleteObjects},

	{name: "GetObject", method: http.MethodGet, on: onObject, do: (*request).getObject},
	{name: "HeadObject", method: http.MethodHead, on: onObject, do: (*request).getObject},
	{name: "GetObjectAcl", method: http.MethodGet, on: onObject, sub: "acl", do: (*request).getObjectACL},
	{name: "PutObject", method: http.MethodPut, on: onObject, do: (*request).putObject},
	{name: "CopyObject", method: http.MethodPut, on: onObject, copying: true, do: (*request).copyObject},
	{name: "DeleteObject", method: http.MethodDelete, on: onObject, do: (*request).deleteObject},

	{name: "CreateMultipartUpload", method: http.MethodPost, on: onObject, sub: "uploads", do: (*request).createUpload},
	{name: "UploadPart", method: http.MethodPut, on: onObject, sub: "uploadId", do: (*request).uploadPart},
	{name: "UploadPartCopy", method: http.MethodPut, on: onObject, sub: "uploadId", copying: true, do: (*request).uploadPartCopy},
	{name: "CompleteMultipartUpload", method: http.MethodPost, on: onObject, sub: "uploadId", do: (*request).completeUpload},
	{name: "AbortMultipartUpload", method: http.MethodDelete, on: onObject, sub: "uploadId", do: (*request).abortUpload},
	{name: "ListParts", method: http.MethodGet, on: onObject, sub: "uploadId", do: (*request).listParts},
}

// subresources are the parameters that select an operation, of this table and of those that are not implemented.
var subresources = []string{"acl", "delete", "list-type", "location", "uploadId", "uploads", "versioning",
	"accelerate", "analytics", "attributes", "cors", "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "logging", "metadataTable",
	"metrics", "notification", "object-lock", "ownershipControls", "partNumber", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication",
	"requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "versionId", "versions", "website"}

// absent are the answers for settings of a bucket that nobody can have made: clients ask for them, and go on.
var absent = map[string]*fault{
	"cors":              newFault(http.StatusNotFound, "NoSuchCORSConfiguration", "The CORS configuration does not exist."),
	"encryption":        newFault(http.StatusNotFound, "ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found."),
	"lifecycle":         newFault(http.StatusNotFound, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist."),
	"object-lock":       newFault(http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket."),
	"policy":            newFault(http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist."),
	"publicAccessBlock": newFault(http.StatusNotFound, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found."),
	"tagging":           newFault(http.StatusNotFound, "NoSuchTagSet", "There is no tag set associated with the bucket."),
	"website":           newFault(http.StatusNotFound, "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration."),
}

// find finds the operation that a request asks for.
func (q *request) find() (operation, error) {
	on := onService
	switch {
	case q.key != "":
		on = onObject
	case q.bucket != "":
		on = onBucket
	}
	sub := ""
	for _, s := range subresources {
		if !q.query.Has(s) || s == "versionId" && (q.query.Get(s) == "null" || q.query.Get(s) == "") || s == "partNumber" && q.query.Has("uploadId") {
			continue
		}
		if s == "versionId" {
			return operation{}, errNoSuchVersion
		}
		if sub = s; s == "uploadId" {
			break
		}
	}
	copying := q.r.Method == http.MethodPut && len(q.r.Header.Values("X-Amz-Copy-Source")) > 0
	known := false
	for _, op := range operations {
		if op.on != on || op.method != q.r.Method {
			continue
		}
		if known = true; op.sub == sub && op.copying == copying {
			return op, nil
		}
	}
	switch f := absent[sub]; {
	case f != nil && on == onBucket && q.r.Method == http.MethodGet:
		return operation{name: sub}, f
	case sub != "":
		return operation{name: sub}, errNotImplemented.because("%s ?%s is not implemented.", q.r.Method, sub)
	case on == onBucket && q.r.Method == http.MethodPost:
		return operation{name: "PostObject"}, errNotImplemented.because("Uploads by forms of a browser are not implemented.")
	case !known || on == onService:
		q.w.Header().Set("Allow", "GET, HEAD, PUT, POST, DELETE")
		return operation{}, errMethodNotAllowed
	}
	return operation{}, errNotImplemented
}
