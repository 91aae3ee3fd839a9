package dav

import (
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"strings"

	"golang.org/x/net/webdav"

	"viewring/client"
	"viewring/client/file"
)

// metaPrefix begins the names of attributes that are dead properties: it is followed by the property's
// namespace, a space, and its name.
const metaPrefix = "dav:"

// KeepProps adds to the attributes of a new content the properties that the old one has.
func KeepProps(a *file.Attributes, old file.Attributes) {
	for name, value := range old.Meta {
		if strings.HasPrefix(name, metaPrefix) {
			if a.Meta == nil {
				a.Meta = make(map[string]string)
			}
			a.Meta[name] = value
		}
	}
}

func metaName(n xml.Name) string { return metaPrefix + n.Space + " " + n.Local }

// DeadProps is that of webdav.DeadPropsHolder.
func (f *source) DeadProps() (map[xml.Name]webdav.Property, error) {
	all := make(map[xml.Name]webdav.Property)
	for name, value := range f.info.Attributes.Meta {
		rest, ok := strings.CutPrefix(name, metaPrefix)
		at := strings.LastIndexByte(rest, ' ')
		if !ok || at < 0 {
			continue
		}
		lang, inner, ok := strings.Cut(value, " ")
		if !ok {
			continue
		}
		n := xml.Name{Space: rest[:at], Local: rest[at+1:]}
		all[n] = webdav.Property{XMLName: n, Lang: lang, InnerXML: []byte(inner)}
	}
	return all, nil
}

// Patch is that of webdav.DeadPropsHolder. Directories have no properties of their own.
func (f *source) Patch(patches []webdav.Proppatch) ([]webdav.Propstat, error) {
	answer := webdav.Propstat{Status: http.StatusOK}
	for _, p := range patches {
		for _, prop := range p.Props {
			answer.Props = append(answer.Props, webdav.Property{XMLName: prop.XMLName})
		}
	}
	if f.info.Dir {
		answer.Status = http.StatusForbidden
		answer.ResponseDescription = "directories have no properties of their own"
		return []webdav.Propstat{answer}, nil
	}
	for range attemptsMax {
		a := f.info.Attributes
		a.Meta = maps.Clone(a.Meta)
		if a.Meta == nil {
			a.Meta = make(map[string]string)
		}
		for _, p := range patches {
			for _, prop := range p.Props {
				if p.Remove {
					delete(a.Meta, metaName(prop.XMLName))
				} else {
					a.Meta[metaName(prop.XMLName)] = prop.Lang + " " + string(prop.InnerXML)
				}
			}
		}
		_, err := f.s.Files.SetAttributes(f.ctx, f.info.Path, a, f.info.Modified)
		switch {
		case errors.Is(err, client.ErrTooLarge):
			answer.Status = http.StatusInsufficientStorage
			answer.ResponseDescription = err.Error()
			return []webdav.Propstat{answer}, nil
		case !errors.Is(err, file.ErrChanged):
			return []webdav.Propstat{answer}, f.s.told(err)
		}
		i, err := f.s.Files.Stat(f.ctx, f.info.Path)
		if err != nil {
			return nil, f.s.told(err)
		}
		f.info.Info = i
	}
	return nil, f.s.told(file.ErrContended)
}
