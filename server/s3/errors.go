package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/rclone/gofakes3/signature"

	"viewring/client"
	"viewring/client/file"
)

// fault is an error as clients are told it.
type fault struct {
	code    string // of the S3 API Reference, "Error responses", but for KeyConflict
	status  int    // of HTTP
	message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

// because is the same fault with another message.
func (f *fault) because(format string, args ...any) *fault {
	return &fault{f.code, f.status, fmt.Sprintf(format, args...)}
}

func newFault(status int, code, message string) *fault { return &fault{code, status, message} }

var (
	errAccessDenied       = newFault(http.StatusForbidden, "AccessDenied", "Access denied.")
	errBadDigest          = newFault(http.StatusBadRequest, "BadDigest", "The Content-MD5 or checksum value that you specified did not match what the server received.")
	errBucketExists       = newFault(http.StatusConflict, "BucketAlreadyOwnedByYou", "The bucket exists already, and is yours.")
	errBucketNotEmpty     = newFault(http.StatusConflict, "BucketNotEmpty", "The bucket that you tried to delete is not empty.")
	errEntityTooSmall     = newFault(http.StatusBadRequest, "EntityTooSmall", "All parts but the last must have at least 5 MiB.")
	errIncompleteBody     = newFault(http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	errInternal           = newFault(http.StatusInternalServerError, "InternalError", "The store failed. Please try again.")
	errInvalidArgument    = newFault(http.StatusBadRequest, "InvalidArgument", "Invalid argument.")
	errInvalidBucketName  = newFault(http.StatusBadRequest, "InvalidBucketName", "A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, begins and ends with a letter or a digit, and is no IP address.")
	errInvalidDigest      = newFault(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 or checksum value that you specified is not valid.")
	errInvalidKeyID       = newFault(http.StatusForbidden, "InvalidAccessKeyId", "The access key ID that you provided does not exist.")
	errInvalidPart        = newFault(http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found. A part may not have been uploaded, or its entity tag does not match.")
	errInvalidPartOrder   = newFault(http.StatusBadRequest, "InvalidPartOrder", "The list of parts must be in ascending order of part numbers.")
	errInvalidRange       = newFault(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range cannot be satisfied.")
	errInvalidRequest     = newFault(http.StatusBadRequest, "InvalidRequest", "Invalid request.")
	errInvalidURI         = newFault(http.StatusBadRequest, "InvalidURI", "The URI could not be parsed.")
	errKeyConflict        = newFault(http.StatusConflict, "KeyConflict", "An object and one below it can't both be kept: keys are paths of files.")
	errKeyTooLong         = newFault(http.StatusBadRequest, "KeyTooLongError", "A key has at most 1,024 bytes.")
	errMalformedXML       = newFault(http.StatusBadRequest, "MalformedXML", "The XML that you provided was not well-formed, or is not of the published schema.")
	errMetadataTooLarge   = newFault(http.StatusBadRequest, "MetadataTooLarge", "The user metadata has more than 2 KiB.")
	errMethodNotAllowed   = newFault(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method is not allowed against this resource.")
	errMissingLength      = newFault(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	errNoACL              = newFault(http.StatusBadRequest, "AccessControlListNotSupported", "Who has a key may do everything: there are no other access control lists.")
	errNoSuchBucket       = newFault(http.StatusNotFound, "NoSuchBucket", "The bucket does not exist.")
	errNoSuchKey          = newFault(http.StatusNotFound, "NoSuchKey", "The key does not exist.")
	errNoSuchUpload       = newFault(http.StatusNotFound, "NoSuchUpload", "The upload does not exist. It may have been aborted or completed.")
	errNoSuchVersion      = newFault(http.StatusNotFound, "NoSuchVersion", "There are no versions of objects: only the version null exists.")
	errNotImplemented     = newFault(http.StatusNotImplemented, "NotImplemented", "That is not implemented.")
	errNotModified        = newFault(http.StatusNotModified, "NotModified", "Not modified.")
	errPreconditionFailed = newFault(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the preconditions that you specified did not hold.")
	errContentSHA256      = newFault(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 header does not match what was computed.")
	errRequestTimeout     = newFault(http.StatusBadRequest, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
	errSignature          = newFault(http.StatusForbidden, "SignatureDoesNotMatch", "The signature that was calculated does not match the signature that you provided. Check your key and signing method.")
	errSlowDown           = newFault(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate, or try again.")
	errUnavailable        = newFault(http.StatusServiceUnavailable, "ServiceUnavailable", "The part of the store where this lies is not served now. Please try again.")
)

// errorReply is the XML of an error.
type errorReply struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

// told is an error as clients are told it.
func told(err error) *fault {
	var f *fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, file.ErrBadPath):
		return errInvalidArgument.because("%v", err)
	case errors.Is(err, file.ErrNotDirectory), errors.Is(err, file.ErrIsDirectory), errors.Is(err, file.ErrNotEmpty):
		return errKeyConflict
	case errors.Is(err, fs.ErrNotExist):
		return errNoSuchKey
	case errors.Is(err, file.ErrChanged), errors.Is(err, fs.ErrExist):
		return errPreconditionFailed
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrTooFewCopies):
		return errUnavailable
	case errors.Is(err, client.ErrBusy), errors.Is(err, file.ErrContended), errors.Is(err, context.DeadlineExceeded):
		return errSlowDown
	case errors.Is(err, client.ErrTooLarge):
		return errInvalidArgument.because("%v", err)
	}
	return errInternal
}

// toldBySignature are the faults of package signature: their names in the API, and what it calls so.
func toldBySignature(code signature.ErrorCode) *fault {
	if code == signature.ErrNone {
		return nil
	}
	e := signature.GetAPIError(code)
	switch e.Code { // they have a letter wrong
	case "AuthorizationQueryParameterserror":
		e.Code = "AuthorizationQueryParametersError"
	case "AuthorizationParameterserror":
		e.Code = "AuthorizationHeaderMalformed"
	case "MissingFields", "UnsupportedAlgorithm":
		e.Code = "AuthorizationHeaderMalformed"
	case "MalformedDate", "MalformedExpires":
		e.Code = "AccessDenied"
		e.HTTPStatusCode = http.StatusForbidden
	}
	return &fault{e.Code, e.HTTPStatusCode, e.Description}
}

// fail answers with an error.
func (q *request) fail(err error) {
	f := told(err)
	if f.status >= http.StatusInternalServerError && f.status != http.StatusNotImplemented && q.r.Context().Err() == nil {
		q.h.log.Warn("s3: a request failed", "request", q.id, "operation", q.operation, "resource", q.r.URL.Path, "err", err)
	}
	if f.status == http.StatusServiceUnavailable {
		q.w.Header().Set("Retry-After", "1")
	}
	if f == errNotModified { // has no body
		q.w.WriteHeader(f.status)
		return
	}
	q.reply(f.status, q.errorReply(f))
}

func (q *request) errorReply(f *fault) errorReply {
	return errorReply{Code: f.code, Message: f.message, Resource: q.r.URL.Path, RequestID: q.id, HostID: "viewring"}
}

// reply answers with XML.
func (q *request) reply(status int, v any) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(v); err != nil {
		panic(fmt.Sprintf("invariant: an answer is XML: %v", err))
	}
	h := q.w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	q.w.WriteHeader(status)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(b.Bytes()) // a client that is gone
	}
}
