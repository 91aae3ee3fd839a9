package s3

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// The examples of the specification: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks",
// and "... Including Trailing Headers".
const (
	exampleSeed        = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	exampleTrailerSeed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
)

func example(t testing.TB, payload, seed string) *signed {
	t.Helper()
	s := &signed{key: theKey, payload: payload, date: "20130524T000000Z", seed: seed}
	if err := s.deriveFrom(theKey.ID + "/20130524/us-east-1/s3/aws4_request"); err != nil {
		t.Fatal(err)
	}
	return s
}

func exampleBody(trailer bool) string {
	first, second, last := "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
	end := "\r\n"
	if trailer {
		first, second, last = "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
		end = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	}
	return "10000;chunk-signature=" + first + "\r\n" + strings.Repeat("a", 65536) + "\r\n400;chunk-signature=" + second + "\r\n" + strings.Repeat("a", 1024) + "\r\n0;chunk-signature=" + last + "\r\n" + end
}

// TestExamples: the bodies of the specification's examples are read.
func TestExamples(t *testing.T) {
	for _, trailer := range []bool{false, true} {
		s, h := example(t, streamingPayload, exampleSeed), http.Header{}
		if trailer {
			s = example(t, streamingTrailer, exampleTrailerSeed)
			h.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
		}
		for name, slow := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader} {
			b, err := io.ReadAll(newChunked(slow(strings.NewReader(exampleBody(trailer))), s, h))
			if err != nil || string(b) != strings.Repeat("a", 66560) {
				t.Errorf("trailer %v, %s: %d bytes, %v", trailer, name, len(b), err)
			}
		}
	}
}

// TestMinioTrailers: trailing headers as minio-go sends them, with ends of lines of its own.
func TestMinioTrailers(t *testing.T) {
	good := exampleBody(true)
	theirs := strings.Replace(good, "sOO8/Q==\r\n", "sOO8/Q==\n\r\n", 1)
	for body, s := range map[string]*signed{theirs: example(t, streamingTrailer, exampleTrailerSeed), "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:mnG7TA==\n\r\n\r\n": {payload: unsignedTrailer}} {
		c := newChunked(strings.NewReader(body), s, http.Header{"X-Amz-Trailer": {"x-amz-checksum-crc32c"}})
		if _, err := io.ReadAll(c); err != nil || c.trailers.Get("x-amz-checksum-crc32c") == "" {
			t.Errorf("%.30q: %v, %v", body, c.trailers, err)
		}
	}
}

// TestChunkedRefused: each change of a body in chunks is an error, and so is each end that comes too early.
func TestChunkedRefused(t *testing.T) {
	t.Parallel()
	for _, trailer := range []bool{false, true} {
		s, h := example(t, streamingPayload, exampleSeed), http.Header{}
		if trailer {
			s = example(t, streamingTrailer, exampleTrailerSeed)
			h.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
		}
		good := exampleBody(trailer)
		for at := 0; at < len(good); at++ {
			if at > 100 && at < 65600 && at%9973 != 0 || at > 65750 && at < 66600 && at%97 != 0 { // in the midst of bytes
				continue
			}
			if _, err := io.ReadAll(newChunked(strings.NewReader(good[:at]), s, h)); err == nil {
				t.Errorf("trailer %v: cut at %d", trailer, at)
			}
			bad := []byte(good)
			bad[at] ^= 0x11
			if _, err := io.ReadAll(newChunked(bytes.NewReader(bad), s, h)); err == nil {
				t.Errorf("trailer %v: byte %d changed: %.50q", trailer, at, good[max(at-20, 0):])
			}
		}
		if _, err := io.ReadAll(newChunked(strings.NewReader(good+"x"), s, h)); err == nil {
			t.Error("something behind the end")
		}
	}
	for name, body := range map[string]string{
		"no size": "\r\n\r\n", "negative": "-1\r\n\r\n", "too large": "fffffffffffffffff\r\n", "no hex": "0x5\r\nhello\r\n0\r\n\r\n", "a long line": strings.Repeat("0", 10_000), "bare newline": "5\nhello\n0\n\n",
		"other trailer": "0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-meta-a:b\r\n\r\n", "twice": "0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "none": "0\r\n\r\n",
	} {
		c := newChunked(strings.NewReader(body), &signed{payload: unsignedTrailer}, http.Header{"X-Amz-Trailer": {"x-amz-checksum-crc32"}})
		if _, err := io.ReadAll(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// FuzzChunked: whatever is sent, what is read is not longer, and nothing panics.
func FuzzChunked(f *testing.F) {
	f.Add([]byte(exampleBody(false)), 0)
	f.Add([]byte(exampleBody(true)), 1)
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, b []byte, kind int) {
		payload := []string{streamingPayload, streamingTrailer, unsignedTrailer}[uint(kind)%3]
		c := newChunked(bytes.NewReader(b), example(t, payload, exampleSeed), http.Header{"X-Amz-Trailer": {"x-amz-checksum-crc32"}})
		out, _ := io.ReadAll(io.LimitReader(c, 1<<20))
		if len(out) > len(b) {
			t.Errorf("%d bytes of %d", len(out), len(b))
		}
		if n, err := c.Read(make([]byte, 1)); n > 0 && err == nil && len(out) < 1<<20 {
			t.Error("read on behind the end")
		}
	})
}
