package s3

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"slices"
	"strings"
)

// algorithm is one of the checksums that S3 knows beside Content-MD5.
type algorithm struct {
	name  string // in headers: x-amz-checksum-NAME
	bytes int
	make  func() hash.Hash
}

const checksumHeader = "X-Amz-Checksum-"

// nvme is the polynomial of CRC-64/NVME (NVM Express NVM Command Set Specification 1.0, 5.2.1.3), reversed.
const nvme = 0x9a6c9329ac4bc9b5

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	crc64nvme  = crc64.MakeTable(nvme)
)

var algorithms = []algorithm{
	{"crc32", 4, func() hash.Hash { return crc32.NewIEEE() }},
	{"crc32c", 4, func() hash.Hash { return crc32.New(castagnoli) }},
	{"crc64nvme", 8, func() hash.Hash { return crc64.New(crc64nvme) }},
	{"sha1", sha1.Size, sha1.New},
	{"sha256", sha256.Size, sha256.New},
}

// algorithmOf returns the algorithm of a header such as x-amz-checksum-crc32, nil if it is of none.
func algorithmOf(header string) *algorithm {
	name, ok := strings.CutPrefix(strings.ToLower(header), strings.ToLower(checksumHeader))
	i := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == name })
	if !ok || i < 0 {
		return nil
	}
	return &algorithms[i]
}

// check is a checksum of a body that is being read, and what it must be.
type check struct {
	name    string // as in headers, in lower case; "md5" and "" (x-amz-content-sha256) are none
	sum     hash.Hash
	want    []byte // nil: the trailer will tell
	differs *fault // where it is another
}

func decodeSum(text string, bytes int) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != bytes {
		return nil, errInvalidDigest
	}
	return b, nil
}

// notSums are headers that begin like those of checksums and are none.
var notSums = []string{"X-Amz-Checksum-Algorithm", "X-Amz-Checksum-Mode", "X-Amz-Checksum-Type"}

// checksOf are the checks that headers ask for of a body.
func checksOf(h http.Header) (checks []check, err error) {
	for name, values := range h {
		if !strings.HasPrefix(name, checksumHeader) || slices.Contains(notSums, name) {
			continue
		}
		a := algorithmOf(name)
		if a == nil {
			return nil, errInvalidRequest.because("The checksum of %s is not known.", name)
		}
		want, err := decodeSum(values[0], a.bytes)
		if err != nil || len(values) > 1 {
			return nil, errInvalidRequest.because("The value of %s is not a checksum in base64.", name)
		}
		checks = append(checks, check{name: a.name, sum: a.make(), want: want, differs: errBadDigest})
	}
	return checks, nil
}
