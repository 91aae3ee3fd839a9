package s3

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
)

// keysMax is how many keys and prefixes are told at once, at most and if nothing is said.
const keysMax = 1000

// listing is what is asked for, and a page of the answer.
type listing struct {
	prefix, delimiter, after string
	max                      int

	objects   []found
	prefixes  []string
	truncated bool
	last      string // key or prefix that was told
}

// commonPrefix is the prefix that a key is told as, "" if it is told itself.
func (l *listing) commonPrefix(key string) string {
	if l.delimiter == "" || len(key) < len(l.prefix) {
		return ""
	}
	i := strings.Index(key[len(l.prefix):], l.delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(l.prefix)+i+len(l.delimiter)]
}

// read fills a page.
func (l *listing) read(q *request) error {
	if err := q.hasBucket(); err != nil || l.max == 0 {
		return err
	}
	w := &walk{ctx: q.ctx, files: q.h.files, bucket: q.bucket, prefix: l.prefix, after: l.after, page: keysMax + 1}
	if strings.HasPrefix(l.after, l.prefix) && l.commonPrefix(l.after) == l.after {
		w.skip = l.after // the page before ended with this prefix
	}
	w.each = func(o found) bool {
		if len(l.objects)+len(l.prefixes) == l.max {
			l.truncated = true
			return false
		}
		if p := l.commonPrefix(o.key); p != "" {
			l.prefixes, l.last, w.skip = append(l.prefixes, p), p, p
		} else {
			l.objects, l.last = append(l.objects, o), o.key
		}
		return true
	}
	return w.run()
}

// listing reads what all lists are asked with.
func (q *request) listing() (*listing, func(string) string, error) {
	l := &listing{prefix: q.query.Get("prefix"), delimiter: q.query.Get("delimiter")}
	var err error
	if l.max, err = q.number("max-keys", keysMax); err != nil {
		return nil, nil, err
	}
	encode, err := q.encoding()
	return l, encode, err
}

// number is a parameter that bounds a page.
func (q *request) number(name string, most int) (int, error) {
	text := q.query.Get(name)
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<31-1 {
		return 0, errInvalidArgument.because("%s must be a number from 0 to 2147483647.", name)
	}
	return min(n, most), nil
}

func (q *request) encoding() (func(string) string, error) {
	switch q.query.Get("encoding-type") {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return escape, nil
	}
	return nil, errInvalidArgument.because("encoding-type must be url.")
}

// object is an object in the XML of a list.
type object struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
	Owner        *owner `xml:",omitempty"`
}

type commonPrefix struct{ Prefix string }

func (l *listing) contents(encode func(string) string, withOwner bool) (out []object) {
	for _, o := range l.objects {
		x := object{encode(o.key), at(o.modified), o.etag, o.bytes, storageClass, nil}
		if withOwner {
			x.Owner = &theOwner
		}
		out = append(out, x)
	}
	return out
}

func (l *listing) commonPrefixes(encode func(string) string) (out []commonPrefix) {
	for _, p := range l.prefixes {
		out = append(out, commonPrefix{encode(p)})
	}
	return out
}

const storageClass = "STANDARD"

func (q *request) listObjects() error {
	l, encode, err := q.listing()
	if err != nil {
		return err
	}
	l.after = q.query.Get("marker")
	if err := l.read(q); err != nil {
		return err
	}
	out := struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		Xmlns          string   `xml:"xmlns,attr"`
		Name           string
		Prefix         string
		Marker         string
		NextMarker     string `xml:",omitempty"`
		MaxKeys        int
		Delimiter      string `xml:",omitempty"`
		IsTruncated    bool
		EncodingType   string `xml:",omitempty"`
		Contents       []object
		CommonPrefixes []commonPrefix
	}{Xmlns: xmlns, Name: q.bucket, Prefix: encode(l.prefix), Marker: encode(l.after), MaxKeys: l.max, Delimiter: encode(l.delimiter),
		IsTruncated: l.truncated, EncodingType: q.query.Get("encoding-type"), Contents: l.contents(encode, true), CommonPrefixes: l.commonPrefixes(encode)}
	if l.truncated {
		out.NextMarker = encode(l.last)
	}
	q.reply(http.StatusOK, out)
	return nil
}

// A continuation token is the last key or prefix that was told. Clients send it back as it is.
func token(last string) string { return "1" + base64.RawURLEncoding.EncodeToString([]byte(last)) }

func readToken(text string) (string, error) {
	rest, ok := strings.CutPrefix(text, "1")
	b, err := base64.RawURLEncoding.DecodeString(rest)
	if !ok || err != nil || len(b) == 0 {
		return "", errInvalidArgument.because("The continuation token is not one that was given.")
	}
	return string(b), nil
}

func (q *request) listObjectsV2() error {
	if q.query.Get("list-type") != "2" {
		return errInvalidArgument.because("list-type must be 2.")
	}
	l, encode, err := q.listing()
	if err != nil {
		return err
	}
	l.after = q.query.Get("start-after")
	if q.query.Has("continuation-token") {
		if l.after, err = readToken(q.query.Get("continuation-token")); err != nil {
			return err
		}
	}
	if err := l.read(q); err != nil {
		return err
	}
	out := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Xmlns                 string   `xml:"xmlns,attr"`
		Name                  string
		Prefix                string
		StartAfter            string `xml:",omitempty"`
		ContinuationToken     string `xml:",omitempty"`
		NextContinuationToken string `xml:",omitempty"`
		KeyCount              int
		MaxKeys               int
		Delimiter             string `xml:",omitempty"`
		IsTruncated           bool
		EncodingType          string `xml:",omitempty"`
		Contents              []object
		CommonPrefixes        []commonPrefix
	}{Xmlns: xmlns, Name: q.bucket, Prefix: encode(l.prefix), StartAfter: encode(q.query.Get("start-after")), ContinuationToken: q.query.Get("continuation-token"),
		KeyCount: len(l.objects) + len(l.prefixes), MaxKeys: l.max, Delimiter: encode(l.delimiter), IsTruncated: l.truncated, EncodingType: q.query.Get("encoding-type"),
		Contents: l.contents(encode, q.query.Get("fetch-owner") == "true"), CommonPrefixes: l.commonPrefixes(encode)}
	if l.truncated {
		out.NextContinuationToken = token(l.last)
	}
	q.reply(http.StatusOK, out)
	return nil
}
