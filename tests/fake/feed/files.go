package feed

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/file"
)

// Files is a tree of paths of which nothing is real. It implements page.Files.
type Files map[string]file.Info

// Hostile are names that would do something if a page took them for more than text.
var Hostile = []string{`<script>alert(1)`, `"><img src=x onerror=alert(1)>`, "evil\u202egnp.exe", "a&amp;b %2e%2e?#", strings.Repeat("長", 340)}

// NewFiles returns a tree with hostile names, a directory of so many files, and a path of 4 KiB.
func NewFiles(many int) Files {
	f := Files{}
	f.add("/", file.Info{Dir: true})
	for _, name := range Hostile {
		f.add("/hostile/"+name, file.Info{Bytes: 7, Attributes: file.Attributes{ContentType: "text/html", Meta: map[string]string{"<b>": "<script>alert(2)</script>"}}})
	}
	for i := range many {
		f.add(fmt.Sprintf("/many/%05d", i), file.Info{Bytes: int64(i) << 10, Records: i == 0, Owner: uint64(i % 2)})
	}
	f.add(LongPath(), file.Info{Bytes: 1})
	return f
}

// LongPath is the longest that there can be.
func LongPath() (long string) {
	for len(long) < 4096 {
		long += "/" + strings.Repeat("d", min(1000, 4096-len(long)-1))
	}
	return long
}

// add adds a node, and directories for it.
func (f Files) add(name string, i file.Info) {
	i.Path, i.Version, i.Created, i.Modified = name, 3, client.Version{Term: 5, Seq: 1}, client.Version{Term: 5, Seq: 9}
	i.CreatedAt, i.ModifiedAt = time.UnixMilli(1_000_000_000_000), time.UnixMilli(1_700_000_000_000)
	f[name] = i
	if dir := path.Dir(name); name != "/" && f[dir].Path == "" {
		f.add(dir, file.Info{Dir: true})
	}
}

// Stat implements page.Files.
func (f Files) Stat(_ context.Context, path string) (file.Info, error) {
	i, ok := f[path]
	if !ok {
		return i, fmt.Errorf("stat: %w", fs.ErrNotExist)
	}
	return i, nil
}

// List implements page.Files.
func (f Files) List(_ context.Context, dir string) iter.Seq2[file.Info, error] {
	var names []string
	for name := range f {
		if name != "/" && path.Dir(name) == dir {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return func(yield func(file.Info, error) bool) {
		for _, name := range names {
			if !yield(f[name], nil) {
				return
			}
		}
	}
}

// Close implements page.Files.
func (f Files) Close() error { return nil }
