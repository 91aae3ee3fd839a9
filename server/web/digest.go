package web

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"viewring/client/file"
)

// digest is a checksum that a request has to match.
type digest struct {
	name string
	sum  hash.Hash
	want []byte
}

// digests are all of a request's.
type digests []digest

// algorithms are those that are verified, by their names in RFC 3230 and RFC 9530; others are not looked at.
var algorithms = map[string]func() hash.Hash{"md5": md5.New, "sha-256": sha256.New, "sha-512": sha512.New}

// newDigests reads the checksums that a request gives before its body: Content-MD5 (RFC 1864), Digest (RFC 3230), and
// Content-Digest and Repr-Digest (RFC 9530), which are of the same bytes here.
func newDigests(r *http.Request) (digests, error) {
	for _, name := range []string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		if _, later := r.Trailer[name]; later {
			return nil, failf(http.StatusBadRequest, "%s is not verified in a trailer: send it before the body", name)
		}
	}
	var all digests
	add := func(field, algorithm, encoded string) error {
		make := algorithms[strings.ToLower(algorithm)]
		if make == nil {
			return nil
		}
		d := digest{name: field, sum: make()}
		want, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(want) != d.sum.Size() {
			return failf(http.StatusBadRequest, "%s: %q is no checksum by %s", field, encoded, algorithm)
		}
		d.want = want
		all = append(all, d)
		return nil
	}
	if given := r.Header.Get("Content-MD5"); given != "" {
		if err := add("Content-MD5", "md5", given); err != nil {
			return nil, err
		}
	}
	for _, field := range []string{"Digest", "Content-Digest", "Repr-Digest"} {
		for one := range strings.SplitSeq(strings.Join(r.Header.Values(field), ","), ",") {
			algorithm, value, ok := strings.Cut(strings.TrimSpace(one), "=")
			if !ok {
				continue
			}
			if field != "Digest" { // a byte sequence of RFC 8941
				value, _, _ = strings.Cut(value, ";")
				value = strings.TrimSpace(value)
				if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
					return nil, failf(http.StatusBadRequest, "%s: %q is no byte sequence", field, value)
				}
				value = value[1 : len(value)-1]
			}
			if err := add(field, algorithm, value); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// reader is the body of a request, whose end is an error where a checksum does not match.
func (d digests) reader(r *http.Request) io.Reader {
	if len(d) == 0 {
		return r.Body
	}
	return &verifier{r.Body, d}
}

// keep keeps the checksums that were verified.
func (d digests) keep(a *file.Attributes) {
	for _, one := range d {
		switch len(one.want) {
		case md5.Size:
			a.MD5 = one.want
		case sha256.Size:
			a.SHA256 = one.want
		}
	}
}

type verifier struct {
	r   io.Reader
	all digests
}

// Read is that of io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	for i := range v.all {
		_, _ = v.all[i].sum.Write(p[:n]) // a hash never fails
	}
	if err != io.EOF {
		return n, err
	}
	for _, d := range v.all {
		if got := d.sum.Sum(nil); !bytes.Equal(got, d.want) {
			return n, failure{http.StatusBadRequest, fmt.Errorf("%s does not match: what came has %s", d.name, base64.StdEncoding.EncodeToString(got))}
		}
	}
	return n, io.EOF
}
