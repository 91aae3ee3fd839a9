package s3

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// body is what a request carries, without framing. Reading it to io.EOF says that it is what was signed
// and that every checksum that was sent is right: whatever is wrong is another error, so nothing is stored then.
type body struct {
	r       io.Reader
	framed  *chunked // nil: it is sent as it is
	want    int64    // bytes
	n       int64
	checks  []check
	md5     hash.Hash
	trailed []check // of the trailer
	touched bool    // somebody has begun to read
	err     error
}

// fromClient reads what a client sends. All its errors are the client's, or the network's.
type fromClient struct{ io.Reader }

func (f fromClient) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, errRequestTimeout
	}
	return n, errIncompleteBody
}

// begun tells whether something was read, which can't be read again.
func (b *body) begun() bool { return b.touched }

// openBody looks at the headers that tell of the body, and returns it.
func (q *request) openBody() (*body, error) {
	h := q.r.Header
	checks, err := checksOf(h)
	if err != nil {
		return nil, err
	}
	b := &body{r: fromClient{q.r.Body}, want: q.r.ContentLength, checks: checks, md5: md5.New()}
	if text := h.Get("Content-MD5"); len(h.Values("Content-MD5")) > 0 {
		want, err := decodeSum(text, md5.Size)
		if err != nil {
			return nil, err
		}
		b.checks = append(b.checks, check{name: "md5", sum: b.md5, want: want, differs: errBadDigest})
	}
	if isSHA256(q.signed.payload) {
		want, _ := hex.DecodeString(q.signed.payload) // it was looked at
		b.checks = append(b.checks, check{sum: sha256.New(), want: want, differs: errContentSHA256})
	}
	if strings.HasPrefix(q.signed.payload, streamingAnything) {
		return b, b.frame(q)
	}
	if isFramed(h) {
		return nil, errInvalidRequest.because("The content encoding aws-chunked is for x-amz-content-sha256: STREAMING-….")
	}
	if b.want < 0 {
		return nil, errMissingLength
	}
	return b, nil
}

// frame makes it a body in chunks.
func (b *body) frame(q *request) (err error) {
	h := q.r.Header
	b.want, err = strconv.ParseInt(h.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || b.want < 0 {
		return errMissingLength.because("You must provide the x-amz-decoded-content-length header.")
	}
	b.framed = newChunked(b.r, q.signed, h)
	b.r = b.framed
	if len(b.framed.want) > 0 && !b.framed.trailer {
		return errInvalidRequest.because("x-amz-trailer is for bodies with a trailer.")
	}
	for _, name := range b.framed.want {
		a := algorithmOf(name)
		if a == nil {
			return errInvalidRequest.because("The trailing header %.60q is not a checksum that is known.", name)
		}
		b.trailed = append(b.trailed, check{name: a.name, sum: a.make(), differs: errBadDigest})
	}
	return nil
}

func isFramed(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h.Values("Content-Encoding"), ",")), "aws-chunked")
}

// Read is that of io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.touched = true
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if n > 0 {
		b.n += int64(n)
		b.feed(p[:n])
	}
	switch {
	case b.n > b.want:
		b.err = errIncompleteBody.because("The body is longer than was said.")
	case err == io.EOF:
		b.err = b.end()
	case err != nil:
		b.err = err
	default:
		return n, nil
	}
	return n, b.err
}

func (b *body) feed(p []byte) {
	b.md5.Write(p)
	for _, list := range [][]check{b.checks, b.trailed} {
		for i := range list {
			if list[i].sum != b.md5 {
				list[i].sum.Write(p)
			}
		}
	}
}

// end looks whether all that was read is what it should be.
func (b *body) end() error {
	if b.n != b.want {
		return errIncompleteBody
	}
	for i := range b.trailed {
		c := &b.trailed[i]
		want, err := decodeSum(b.framed.trailers.Get(checksumHeader+c.name), c.sum.Size())
		if err != nil {
			return err
		}
		c.want = want
		b.checks = append(b.checks, *c)
	}
	b.trailed = nil
	for i := range b.checks {
		if subtle.ConstantTimeCompare(b.checks[i].sum.Sum(nil), b.checks[i].want) != 1 {
			return b.checks[i].differs
		}
	}
	return io.EOF
}

// sums are the checksums that were sent, as they are kept and told again. To be asked once it was read.
func (b *body) sums() map[string]string {
	out := map[string]string{}
	for _, c := range b.checks {
		if c.name != "" && c.name != "md5" {
			out[c.name] = base64.StdEncoding.EncodeToString(c.want)
		}
	}
	return out
}

// sha256 is that of the body if it was sent, else nil.
func (b *body) sha256() []byte {
	for _, c := range b.checks {
		if c.name == "" || c.name == "sha256" {
			return c.want
		}
	}
	return nil
}
