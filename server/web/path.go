package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"viewring/internal/tree"
)

// target is what a URL names.
type target struct {
	path string // as the tree has it: without a slash at the end
	dir  bool   // the URL ends with a slash: a directory is meant
}

// targetOf reads the path of a URL. A slash that is encoded would be part of a name, which no name
// may have; and what stands for other directories is not followed, so that whoever is in front and here read
// the same.
func targetOf(u *url.URL) (target, error) {
	escaped := u.EscapedPath()
	if strings.Contains(strings.ToLower(escaped), "%2f") {
		return target{}, failure{http.StatusBadRequest, fmt.Errorf("%w: an encoded slash is no part of a name", tree.ErrBadPath)}
	}
	t := target{path: u.Path}
	if u.Path != tree.Root {
		t.path, t.dir = strings.CutSuffix(u.Path, "/")
	} else {
		t.dir = true
	}
	switch err := tree.Check(t.path); {
	case len(t.path) > tree.PathBytesMax:
		return target{}, failure{http.StatusRequestURITooLong, err}
	case err != nil:
		return target{}, failure{http.StatusBadRequest, err}
	}
	return t, nil
}

// href is the URL of a path.
func href(path string, dir bool) string {
	u := url.URL{Path: path}
	if dir && path != tree.Root {
		u.Path += "/"
	}
	return u.EscapedPath()
}
