package s3

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rclone/gofakes3/signature"

	"viewring/client/s3keys"
	"viewring/internal/secure"
)

// Values of x-amz-content-sha256 that are no checksum ("Signature Calculations for the Authorization Header").
const (
	unsignedPayload   = "UNSIGNED-PAYLOAD"
	unsignedTrailer   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	streamingPayload  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamingTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamingAnything = "STREAMING-"

	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sigV4       = "AWS4-HMAC-SHA256"
)

const contentSHA256 = "X-Amz-Content-Sha256"

// signed is what a request was signed with.
type signed struct {
	key       s3keys.Key
	presigned bool
	payload   string // x-amz-content-sha256
	date      string // as it was signed
	scope     string
	seed      string // the signature
	signer    []byte // key of signatures of this scope
}

// authenticate tells who has signed a request. What package signature looks at: the signature itself over method, path, query and
// the signed headers, compared in constant time; that host and all x-amz-* headers are signed; that the time
// is at most 15 minutes from the front's; that a presigned URL has not ended, and is for 7 days at most.
// The rest is here: the query can be read in one way, the time is of the day of the
// credential, one way of signing is used, and the body is what it was signed for (openBody).
func (h *Handler) authenticate(r *http.Request) (*signed, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errInvalidURI.because("The query could not be parsed.")
	}
	s := &signed{payload: r.Header.Get(contentSHA256)}
	authorization := r.Header.Values("Authorization")
	var credential string
	switch _, presigned := query["X-Amz-Signature"]; {
	case len(authorization) > 1, len(authorization) == 1 && presigned:
		return nil, errInvalidRequest.because("A request is signed by one Authorization header, or by its query.")
	case presigned:
		if query.Get("X-Amz-Algorithm") != sigV4 {
			return nil, errInvalidRequest.because("X-Amz-Algorithm must be %s.", sigV4)
		}
		s.presigned, credential, s.date, s.seed = true, query.Get("X-Amz-Credential"), query.Get("X-Amz-Date"), query.Get("X-Amz-Signature")
	case query.Has("AWSAccessKeyId"), len(authorization) == 1 && !strings.HasPrefix(authorization[0], sigV4+" "):
		return nil, errInvalidRequest.because("The authorization mechanism that you provided is not supported. Please use %s.", sigV4)
	case len(authorization) == 0:
		return nil, errAccessDenied.because("The request is not signed.")
	default:
		credential, s.seed = authorized(authorization[0], "Credential"), authorized(authorization[0], "Signature")
		if s.date = r.Header.Get("X-Amz-Date"); s.date == "" {
			return nil, errAccessDenied.because("AWS authentication requires a valid x-amz-date header.")
		}
	}
	if err := s.looksRight(r.Header); err != nil {
		return nil, err
	}
	var looked error
	for _, values := range query { // what is signed is in order, by names and values; the package knows of names
		slices.Sort(values)
	}
	sorted, at := *r, *r.URL
	at.RawQuery = query.Encode()
	sorted.URL = &at
	code := signature.V4SignVerifyWithLookup(&sorted, func(id string) (string, bool) {
		s.key, looked = h.keys.Lookup(r.Context(), id)
		return s.key.Secret, looked == nil
	})
	if looked != nil && !errors.Is(looked, s3keys.ErrNoKey) {
		return nil, looked
	}
	if f := toldBySignature(code); f != nil {
		if f.code == errSignature.code || f.code == errInvalidKeyID.code {
			h.refused.Note(h.log, r.RemoteAddr, "S3: "+f.code)
		}
		return nil, f
	}
	if err := s.deriveFrom(credential); err != nil {
		return nil, err
	}
	secure.Greeted(r.Context())
	return s, nil
}

// authorized is a field of an Authorization header.
func authorized(header, name string) string {
	for field := range strings.SplitSeq(strings.TrimPrefix(header, sigV4), ",") {
		if k, v, _ := strings.Cut(strings.TrimSpace(field), "="); k == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// looksRight looks at x-amz-content-sha256.
func (s *signed) looksRight(h http.Header) error {
	known := []string{unsignedPayload, unsignedTrailer, streamingPayload, streamingTrailer}
	switch {
	case len(h.Values(contentSHA256)) > 1:
		return errInvalidRequest.because("x-amz-content-sha256 is there more than once.")
	case s.payload == "" && s.presigned:
		s.payload = unsignedPayload
	case s.payload == "":
		s.payload = emptySHA256 // that is what the signature is looked at with: so the body must be empty
	case strings.HasPrefix(s.payload, streamingAnything) && s.presigned:
		return errInvalidRequest.because("The body of a presigned request is not signed in chunks.")
	case strings.HasPrefix(s.payload, streamingAnything) && !slices.Contains(known, s.payload):
		return errNotImplemented.because("Bodies signed as %.60q are not implemented.", s.payload)
	case !slices.Contains(known, s.payload) && !isSHA256(s.payload):
		return errInvalidArgument.because("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING values, or a SHA-256 in hex.")
	}
	return nil
}

func isSHA256(text string) bool {
	return len(text) == 2*sha256.Size && strings.Trim(text, "0123456789abcdef") == ""
}

// deriveFrom makes what signs the chunks of a body. The signature was found right.
func (s *signed) deriveFrom(credential string) error {
	parts := strings.Split(credential, "/")
	if len(parts) < 5 {
		return errAccessDenied
	}
	parts = parts[len(parts)-4:]
	if len(s.date) < 8 || s.date[:8] != parts[0] { // else a key derived for one day would sign for ever
		return errAccessDenied.because("The date of the credential is not that of the request.")
	}
	s.scope = strings.Join(parts, "/")
	key := []byte("AWS4" + s.key.Secret)
	for _, part := range parts {
		key = hmacOf(key, part)
	}
	s.signer = key
	return nil
}

func hmacOf(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// mayUse tells whether the key is for a bucket.
func (s *signed) mayUse(bucket string) bool {
	return len(s.key.Buckets) == 0 || slices.Contains(s.key.Buckets, bucket)
}

// Owns tells whether a request is one of S3: it is signed as such, or for a host that is a bucket.
func (h *Handler) Owns(r *http.Request) bool {
	for _, v := range r.Header.Values("Authorization") {
		if strings.HasPrefix(v, "AWS") {
			return true
		}
	}
	if len(r.Header.Values("X-Amz-Date")) > 0 || len(r.Header.Values(contentSHA256)) > 0 {
		return true
	}
	for name := range r.URL.Query() {
		if strings.HasPrefix(name, "X-Amz-") || name == "AWSAccessKeyId" {
			return true
		}
	}
	_, virtual := h.virtual(r.Host)
	return virtual
}

// Keys looks keys up; it is a *s3keys.Cache. An id that nobody has is s3keys.ErrNoKey.
type Keys interface {
	Lookup(ctx context.Context, id string) (s3keys.Key, error)
}
