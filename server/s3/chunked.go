package s3

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Bounds of the framing of bodies in chunks.
const (
	chunkLineMax    = 4 << 10 // of its head, and of a trailing header
	trailersMax     = 16
	chunkDigitsMax  = 15
	payloadAlgo     = sigV4 + "-PAYLOAD"
	trailerAlgo     = sigV4 + "-TRAILER"
	chunkSignature  = "chunk-signature"
	trailerSigned   = "x-amz-trailer-signature"
	chunkBufferSize = 32 << 10
)

// chunked reads a body with the content encoding aws-chunked ("Signature Calculations for the Authorization
// Header: Transferring Payload in Multiple Chunks" and "... Including Trailing Headers"). Bytes are given on before
// the signature of their chunk is known to be right: who reads must not use them before EOF.
type chunked struct {
	r       *bufio.Reader
	sign    *signed // nil: chunks are not signed
	trailer bool
	want    []string // trailing headers that were announced, in lower case

	left     int64 // of the chunk
	in       bool  // a chunk
	previous string
	claimed  string // signature of the chunk
	sum      hash.Hash
	trailers http.Header // once EOF was read
	err      error
}

func newChunked(r io.Reader, s *signed, h http.Header) *chunked {
	c := &chunked{r: bufio.NewReaderSize(r, chunkBufferSize), trailer: s.payload != streamingPayload, trailers: http.Header{}}
	if s.payload != unsignedTrailer {
		c.sign, c.previous, c.sum = s, s.seed, sha256.New()
	}
	for _, v := range h.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && !slices.Contains(c.want, name) {
				c.want = append(c.want, name)
			}
		}
	}
	return c
}

// Read reads what is within the chunks. It is io.EOF only if all of the framing, and each signature, is right.
func (c *chunked) Read(p []byte) (int, error) {
	for c.err == nil {
		if !c.in {
			c.err = c.begin()
			continue
		}
		if c.left == 0 {
			c.err = c.end()
			continue
		}
		n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
		c.left -= int64(n)
		if c.sum != nil {
			c.sum.Write(p[:n])
		}
		if err != nil {
			c.err = cutShort(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, c.err
}

// cutShort is the error of a body that ends before its framing does.
func cutShort(err error) error {
	if err == io.EOF {
		return errIncompleteBody
	}
	return err
}

// line reads one without its end.
func (c *chunked) line() (string, error) {
	text, err := c.rawLine()
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(text, "\r\n")
	if !ok {
		return "", errBadFraming
	}
	return text, nil
}

// rawLine reads one with its end, a newline.
func (c *chunked) rawLine() (string, error) {
	var b []byte
	for {
		part, err := c.r.ReadSlice('\n')
		if b = append(b, part...); len(b) > chunkLineMax {
			return "", errInvalidRequest.because("A line of the framing of the body is too long.")
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return "", cutShort(err)
		}
		return string(b), nil
	}
}

var errBadFraming = errInvalidRequest.because("The framing of the body in chunks is not right.")

// begin reads the head of a chunk.
func (c *chunked) begin() error {
	text, err := c.line()
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(text, ";")
	if len(size) == 0 || len(size) > chunkDigitsMax || strings.Trim(size, "0123456789abcdefABCDEF") != "" {
		return errBadFraming
	}
	if c.left, err = strconv.ParseInt(size, 16, 64); err != nil {
		return errBadFraming
	}
	c.in, c.claimed = true, ""
	if c.sign != nil {
		name, value, _ := strings.Cut(extension, "=")
		if name != chunkSignature || !isSHA256(value) {
			return errSignature.because("A chunk of the body is not signed.")
		}
		c.claimed = value
		c.sum.Reset()
	}
	if c.left == 0 {
		return c.last()
	}
	return nil
}

// end reads what is behind the bytes of a chunk.
func (c *chunked) end() error {
	if err := c.newline(); err != nil {
		return err
	}
	c.in = false
	return c.verify()
}

func (c *chunked) newline() error {
	text, err := c.line()
	if err == nil && text != "" {
		err = errBadFraming
	}
	return err
}

// verify looks at the signature of the chunk that was read.
func (c *chunked) verify() error {
	if c.sign == nil {
		return nil
	}
	return c.compare(payloadAlgo, c.claimed, emptySHA256+"\n"+hex.EncodeToString(c.sum.Sum(nil)))
}

// compare looks at a signature that goes with the one before.
func (c *chunked) compare(algorithm, claimed, of string) error {
	text := strings.Join([]string{algorithm, c.sign.date, c.sign.scope, c.previous, of}, "\n")
	want := hex.EncodeToString(hmacOf(c.sign.signer, text))
	if subtle.ConstantTimeCompare([]byte(want), []byte(claimed)) != 1 {
		return errSignature.because("The signature of a chunk of the body, or of its trailing headers, does not match.")
	}
	c.previous = want
	return nil
}

// last reads all behind the head of the last chunk, which is empty.
func (c *chunked) last() error {
	if err := c.verify(); err != nil {
		return err
	}
	if c.trailer {
		if err := c.trailing(); err != nil {
			return err
		}
	} else if err := c.newline(); err != nil {
		return err
	}
	if c.trailer && c.sign == nil { // minio-go sends one more
		if b, err := c.r.Peek(2); err == nil && string(b) == "\r\n" {
			_, _ = c.r.Discard(2) // they are there
		}
	}
	if _, err := c.r.ReadByte(); err == nil {
		return errInvalidRequest.because("There is something behind the last chunk of the body.")
	} else if err != io.EOF {
		return cutShort(err)
	}
	return io.EOF
}

// trailing reads the trailing headers, and looks at their signature. Between both minio-go has a line that is empty, and it
// ends each header with a newline only.
func (c *chunked) trailing() error {
	var canonical strings.Builder
	claimed := ""
	for range trailersMax {
		text, err := c.rawLine()
		if err != nil {
			return err
		}
		if text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"); text == "" {
			if c.sign != nil && claimed == "" && canonical.Len() > 0 {
				continue
			}
			return c.trailed(canonical.String(), claimed)
		}
		name, value, ok := strings.Cut(text, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok:
			return errBadFraming
		case name == trailerSigned && claimed == "":
			claimed = value
		case claimed != "" || !slices.Contains(c.want, name) || c.trailers.Get(name) != "" || value == "":
			return errInvalidRequest.because("The trailing header %.60q was not announced by x-amz-trailer, or is there twice.", name)
		default:
			c.trailers.Set(name, value)
			canonical.WriteString(name + ":" + value + "\n")
		}
	}
	return errBadFraming
}

// trailed ends the trailing headers.
func (c *chunked) trailed(canonical, claimed string) error {
	if len(c.trailers) != len(c.want) {
		return errInvalidRequest.because("A trailing header that x-amz-trailer announced is missing.")
	}
	if c.sign == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(canonical))
	return c.compare(trailerAlgo, claimed, hex.EncodeToString(sum[:]))
}
