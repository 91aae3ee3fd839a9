package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
)

// shapes are the elements of plain drawings, with their attributes.
var shapes = map[string][]string{
	"svg":  {"viewBox", "width", "height"},
	"g":    {"transform"},
	"path": {"d", "style"},
	"text": {"x", "y", "transform", "style"},
}

// harmless matches values of attributes that draw and do nothing else: no addresses, no quotes.
var harmless = regexp.MustCompile(`^[-+\w.,:;%# ()\n\t]*$`)

// plain writes a drawing anew, from the elements and attributes of plain drawings alone. If it has
// others it is not plain.
func plain(svg []byte, title string) (template.HTML, bool) {
	var b bytes.Buffer
	d := xml.NewDecoder(bytes.NewReader(svg))
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return template.HTML(b.String()), b.Len() > 0 && depth == 0
		}
		if err != nil {
			return "", false
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			if !start(&b, token, title, depth) {
				return "", false
			}
		case xml.EndElement:
			depth--
			b.WriteString("</" + token.Name.Local + ">")
		case xml.CharData:
			if depth > 0 {
				_ = xml.EscapeText(&b, token) // a buffer takes everything
			}
		}
	}
}

// start writes the beginning of an element, if that is plain.
func start(b *bytes.Buffer, e xml.StartElement, title string, depth int) bool {
	known, ok := shapes[e.Name.Local]
	if !ok || (e.Name.Local == "svg") != (depth == 1) {
		return false
	}
	b.WriteString("<" + e.Name.Local)
	for _, a := range e.Attr {
		switch {
		case a.Name.Space == "xmlns" || a.Name.Local == "xmlns":
			continue // HTML knows
		case !slices.Contains(known, a.Name.Local) || !harmless.MatchString(a.Value) || strings.Contains(strings.ToLower(a.Value), "url"):
			return false
		case depth == 1 && a.Name.Local != "viewBox":
			continue // as wide as there is room
		}
		b.WriteString(" " + a.Name.Local + `="` + a.Value + `"`)
	}
	if depth == 1 {
		b.WriteString(` role="img" aria-label="`)
		template.HTMLEscape(b, []byte(title))
		b.WriteString(`"`)
	}
	b.WriteString(">")
	return true
}
