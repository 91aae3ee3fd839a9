package web

import (
	"bytes"
	"cmp"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"viewring/client/file"
	"viewring/internal/tree"
	"viewring/server/web/dav"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// shown is what a page shows.
type shown struct {
	Path    string
	Nonce   string
	Above   []link // the directories on the way
	Entries []row
	More    bool // entries are left out
	Most    int
}

type link struct{ Name, Href string }

type row struct {
	link
	Dir      bool
	Bytes    int64
	Modified string
}

// pageBytesMax is about what a page takes in memory at most.
const pageBytesMax = 8 << 20

// page answers with a directory, for people.
func (q *request) page() error {
	done, err := q.budget.takeList(q.ctx, pageBytesMax)
	if err != nil {
		return err
	}
	defer done()
	p := shown{Path: q.path, Nonce: rand.Text(), Most: pageMax}
	p.Above = append(p.Above, link{"/", "/"})
	if q.path != tree.Root {
		at := ""
		for name := range strings.SplitSeq(q.path[1:], "/") {
			at += "/" + name
			p.Above = append(p.Above, link{name, href(at, true)})
		}
	}
	for i, err := range q.files.List(q.ctx, q.path) {
		if err != nil {
			return err
		}
		if dav.Reserved(i.Path) {
			continue
		}
		if len(p.Entries) == pageMax {
			p.More = true
			break
		}
		p.Entries = append(p.Entries, rowOf(i))
	}
	slices.SortFunc(p.Entries, func(a, b row) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Nonce+"'; script-src 'nonce-"+p.Nonce+"'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(b.Bytes()) // who has gone misses it
	}
	return nil
}

func rowOf(i file.Info) row {
	r := row{link: link{i.Name(), href(i.Path, i.Dir)}, Dir: i.Dir, Bytes: i.Bytes}
	if !i.ModifiedAt.IsZero() {
		r.Modified = i.ModifiedAt.UTC().Format("2006-01-02 15:04:05")
	}
	return r
}
