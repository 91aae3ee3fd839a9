package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
)

// Bounds of what is parsed, so that it takes little more than the text has.
const (
	xmlDepth = 8
	xmlTag   = 16 << 10 // bytes from one < to the next
)

// few are elements that may be repeated up to most times.
type few[T any] struct {
	most int
	all  []T
}

var errTooMany = errors.New("an element is there too often, too deep or too long")

// UnmarshalXML is that of xml.Unmarshaler, which is called for each of them.
func (f *few[T]) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if len(f.all) == f.most {
		return errTooMany
	}
	var one T
	if err := d.DecodeElement(&one, &start); err != nil {
		return err
	}
	f.all = append(f.all, one)
	return nil
}

// shallow refuses elements that are nested deeply, which a decoder keeps.
type shallow struct {
	d     *xml.Decoder
	depth int
}

// Token is that of xml.TokenReader.
func (s *shallow) Token() (xml.Token, error) {
	t, err := s.d.RawToken()
	switch t.(type) {
	case xml.StartElement:
		if s.depth++; s.depth > xmlDepth {
			return nil, errTooMany
		}
	case xml.EndElement:
		s.depth--
	}
	return t, err
}

// openText opens a body that is XML, or is not looked at.
func (q *request) openText() (*body, error) {
	b, err := q.openBody()
	if err == nil && b.want > xmlMax {
		err = errMalformedXML.because("The body has more than %d bytes.", xmlMax)
	}
	return b, err
}

// readXML reads the body.
func (q *request) readXML(into any) error {
	b, err := q.openText()
	if err != nil {
		return err
	}
	done, err := q.take(2 * b.want) // the text, and what is parsed
	if err != nil {
		return err
	}
	defer done()
	text, err := io.ReadAll(b)
	if err != nil {
		return err
	}
	return parseXML(text, into)
}

// parseXML is xml.Unmarshal for what strangers send.
func parseXML(text []byte, into any) error {
	for part := range bytes.SplitSeq(text, []byte("<")) {
		if len(part) > xmlTag {
			return errMalformedXML
		}
	}
	if xml.NewTokenDecoder(&shallow{d: xml.NewDecoder(bytes.NewReader(text))}).Decode(into) != nil {
		return errMalformedXML
	}
	return nil
}
