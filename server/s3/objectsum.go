package s3

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"

	"viewring/client/file"
)

// objectSum is a checksum of an object that is put together of parts, as Complete gives it: of all bytes, or "composite",
// which is the checksum of the checksums of the parts ("Checking object integrity" in the S3 User Guide).
type objectSum struct {
	*algorithm
	text      string
	composite bool
}

// objectSums reads those that a Complete gives.
func objectSums(h http.Header) (sums []objectSum, err error) {
	kind := strings.ToUpper(h.Get("X-Amz-Checksum-Type"))
	for name, values := range h {
		if !strings.HasPrefix(name, checksumHeader) || slices.Contains(notSums, name) {
			continue
		}
		a := algorithmOf(name)
		if a == nil || len(values) > 1 {
			return nil, errInvalidRequest.because("The checksum of %s is not known.", name)
		}
		s := objectSum{algorithm: a, text: values[0]}
		s.composite = kind == "COMPOSITE" || kind == "" && strings.Contains(s.text, "-") || kind == "" && a.name != "crc64nvme"
		if !s.composite && polynomials[a.name] == 0 {
			return nil, errInvalidRequest.because("%s of a whole object is not a checksum of uploads in parts.", a.name)
		}
		sums = append(sums, s)
	}
	return sums, nil
}

// verify looks whether the checksums are right by those that were kept of the parts, and keeps them.
func (c *completion) verify(a *file.Attributes) error {
	for _, s := range c.sums {
		var is []byte
		all, whole := s.make(), uint64(0)
		for n := range c.found {
			b := decoded(&c.found[n], s.algorithm)
			if b == nil {
				return errInvalidRequest.because("Part %d was sent without a checksum by %s: that of the object can't be verified.", c.parts[n].PartNumber, s.name)
			}
			all.Write(b)
			if !s.composite {
				whole = combine(polynomials[s.name], 8*s.bytes, whole, bigEndian(b), c.found[n].Bytes)
			}
		}
		text, parts, _ := strings.Cut(s.text, "-")
		if is = all.Sum(nil); !s.composite {
			is = binary.BigEndian.AppendUint64(nil, whole)[8-s.bytes:]
		}
		want, err := decodeSum(text, s.bytes)
		if err != nil || subtle.ConstantTimeCompare(is, want) != 1 || parts != "" && parts != fmt.Sprint(len(c.parts)) {
			return errBadDigest
		}
		sum := base64.StdEncoding.EncodeToString(is)
		if s.composite {
			sum = fmt.Sprintf("%s-%d", sum, len(c.parts))
		}
		a.Meta[metaSum+s.name] = sum
	}
	return nil
}

// polynomials are those of checksums that can be combined, reversed.
var polynomials = map[string]uint64{"crc32": crc32.IEEE, "crc32c": crc32.Castagnoli, "crc64nvme": nvme}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// combine is the CRC of two runs of bytes, one behind the other, of which the CRCs are known and the second has n bytes. It puts n
// zeros behind the first, by squaring the matrix that does so for one bit; as crc32_combine of zlib 1.2.11.
func combine(polynomial uint64, bits int, first, second uint64, n int64) uint64 {
	odd, even := make([]uint64, bits), make([]uint64, bits)
	odd[0] = polynomial
	for i := 1; i < bits; i++ {
		odd[i] = 1 << (i - 1)
	}
	square(even, odd) // two bits
	square(odd, even) // four
	for n > 0 {
		square(even, odd)
		if n&1 != 0 {
			first = times(even, first)
		}
		odd, even = even, odd
		n >>= 1
	}
	return first ^ second
}

// times multiplies a matrix and a vector over GF(2).
func times(m []uint64, v uint64) (sum uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func square(to, m []uint64) {
	for i := range m {
		to[i] = times(m, m[i])
	}
}
