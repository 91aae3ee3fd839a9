package page

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"viewring/client/file"
)

// Files tell of the tree of paths, files among them. A *file.FS is one.
type Files interface {
	Stat(ctx context.Context, path string) (file.Info, error)
	List(ctx context.Context, path string) iter.Seq2[file.Info, error]
	Close() error
}

var _ Files = (*file.FS)(nil)

const (
	browsesMax  = 2   // at a time; more wait
	childrenMax = 500 // that are shown of a directory
	pathMax     = 4096
	browseMax   = 8 * time.Second // for all that is asked of the servers
)

// node is what the page shows of a path. Path is as it is; Text as people read it.
type node struct {
	Path       string      `json:"path"`
	Text       string      `json:"text"`
	Kind       string      `json:"kind"` // directory, file, records
	Bytes      int64       `json:"bytes"`
	Version    int64       `json:"version"` // how often it was changed
	Created    string      `json:"created"`
	Modified   string      `json:"modified"`
	CreatedAt  int64       `json:"created_at"`           // milliseconds since 1970; 0: not known
	ModifiedAt int64       `json:"modified_at"`          // likewise
	Session    string      `json:"session"`              // that it goes with; "": none
	Attributes [][2]string `json:"attributes,omitempty"` // not of children
}

// directory is a node, with what is in it.
type directory struct {
	node
	Children []node `json:"children"`
	More     bool   `json:"more"` // there are more than these, which were found first
}

// browse says what is at the path of a query, and below it.
func (p *Page) browse(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("path")
	if path == "" || len(path) > pathMax {
		fail(w, http.StatusBadRequest, fmt.Sprintf("want a path of 1 to %d bytes: /paths?path=/", pathMax))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), browseMax)
	defer cancel()
	select {
	case p.browses <- struct{}{}:
		defer func() { <-p.browses }()
	case <-ctx.Done():
		fail(w, http.StatusServiceUnavailable, "others are being answered: ask again")
		return
	}
	d, err := p.look(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fail(w, http.StatusNotFound, "there is nothing at "+shown(path))
	case errors.Is(err, file.ErrBadPath):
		fail(w, http.StatusBadRequest, err.Error())
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err.Error())
	default:
		answer(w, encode(d))
	}
}

// look asks the servers for a node and the first of its children. Connections are made for it and end with it: people
// look seldom.
func (p *Page) look(ctx context.Context, path string) (d directory, err error) {
	files, err := p.opts.openFiles(ctx)
	if err != nil {
		return d, err
	}
	defer files.Close()
	info, err := files.Stat(ctx, path)
	if err != nil {
		return d, err
	}
	d = directory{node: nodeOf(&info, info.Path), Children: []node{}}
	if !info.Dir {
		return d, nil
	}
	for child, err := range files.List(ctx, path) {
		if err != nil {
			return d, err
		}
		if len(d.Children) == childrenMax {
			d.More = true
			break
		}
		one := nodeOf(&child, child.Name())
		one.Text, one.Attributes = shown(child.Name()), nil
		d.Children = append(d.Children, one)
	}
	slices.SortFunc(d.Children, func(a, b node) int { return strings.Compare(a.Path, b.Path) })
	return d, nil
}

func (o *Options) openFiles(ctx context.Context) (Files, error) {
	if o.Files != nil {
		return o.Files, nil
	}
	return file.Open(ctx, o.Client)
}

func nodeOf(i *file.Info, name string) node {
	n := node{Path: i.Path, Text: legible(name), Kind: "file", Bytes: i.Bytes, Version: i.Version, Created: i.Created.String(), Modified: i.Modified.String(),
		CreatedAt: milliseconds(i.CreatedAt), ModifiedAt: milliseconds(i.ModifiedAt), Attributes: attributesOf(&i.Attributes)}
	switch {
	case i.Dir:
		n.Kind = "directory"
	case i.Records:
		n.Kind = "records"
	}
	if i.Owner != 0 {
		n.Session = strconv.FormatUint(i.Owner, 16)
	}
	return n
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// attributesMax is how many attributes of a file are shown.
const attributesMax = 100

func attributesOf(a *file.Attributes) [][2]string {
	all := [][2]string{}
	add := func(name, text string) {
		if text != "" && len(all) < attributesMax {
			all = append(all, [2]string{shown(name), shown(text)})
		}
	}
	add("content type", a.ContentType)
	add("MD5", fmt.Sprintf("%x", a.MD5))
	add("SHA-256", fmt.Sprintf("%x", a.SHA256))
	if !a.SourceTime.IsZero() {
		add("source changed", a.SourceTime.UTC().Format(time.RFC3339))
	}
	for _, k := range slices.Sorted(maps.Keys(a.Meta)) {
		add(k, a.Meta[k])
	}
	return all
}
