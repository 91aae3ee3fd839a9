package s3

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"viewring/client/file"
)

// files is what a walk needs of a *file.FS.
type files interface {
	List(ctx context.Context, path string) iter.Seq2[file.Info, error]
}

// found is what a list tells of an object.
type found struct {
	key      string
	etag     string
	bytes    int64
	modified time.Time
}

// walk goes through the objects of a bucket in the order of their keys, as bytes. Directories tell what is in them
// in no order: of each on the way to where the walk is it holds up to twice page entries, the least that come
// next, and reads all of the directory again for more.
type walk struct {
	ctx    context.Context
	files  files
	bucket string
	prefix string // only keys with it
	after  string // only keys behind it
	skip   string // no keys with it, if it is not ""
	page   int
	each   func(found) bool // false ends the walk
}

// entry is what is in a directory.
type entry struct {
	name string // of a directory with a slash at its end; "" is the object that the directory itself is
	dir  bool
	found
}

// errWalked ends a walk early.
var errWalked = errors.New("walked far enough")

// run walks. The bucket is there.
func (w *walk) run() error {
	top := w.prefix[:strings.LastIndexByte(w.prefix, '/')+1]
	path := "/" + w.bucket
	if top != "" {
		below, err := pathOf(w.bucket, top+"x")
		if err != nil {
			return nil //nolint:nilerr // a prefix that no key can have
		}
		path = strings.TrimSuffix(below, "/x")
	}
	err := w.directory(path, top)
	if errors.Is(err, errWalked) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, file.ErrNotDirectory) {
		return nil
	}
	return err
}

// wants tells whether a directory may have a key that is asked for below a key, or whether a file is one.
func (w *walk) wants(key string, dir bool) bool {
	if w.skip != "" && strings.HasPrefix(key, w.skip) {
		return false
	}
	if dir {
		return (strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)) && (key > w.after || strings.HasPrefix(w.after, key))
	}
	return strings.HasPrefix(key, w.prefix) && key > w.after
}

// directory walks through a directory, and what is below it. The keys in it begin with key.
func (w *walk) directory(path, key string) error {
	last, more := "", true
	for first := true; more; first = false {
		var batch []entry
		var err error
		if batch, more, err = w.next(path, key, last, first); err != nil {
			return err
		}
		for i := range batch {
			e := &batch[i]
			last = e.name
			if w.skip != "" && strings.HasPrefix(key, w.skip) { // all of this directory
				return nil
			}
			if !w.wants(key+e.name, e.dir) { // by now
				continue
			}
			if !e.dir {
				if !w.each(e.found) {
					return errWalked
				}
				continue
			}
			err := w.directory(path+"/"+strings.TrimSuffix(e.name, "/"), key+e.name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, file.ErrNotDirectory) { // gone meanwhile
				return err
			}
		}
	}
	return nil
}

// next returns the least entries of a directory behind the last, and whether there are more. The first time there is no last.
func (w *walk) next(path, key, last string, first bool) (batch []entry, more bool, err error) {
	least := func() {
		slices.SortFunc(batch, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		if len(batch) > w.page {
			clear(batch[w.page:])
			batch, more = batch[:w.page], true
		}
	}
	for i, err := range w.files.List(w.ctx, path) {
		if err != nil {
			return nil, false, err
		}
		e := entry{name: i.Name(), dir: i.Dir}
		switch {
		case i.Dir:
			e.name += "/"
		case e.name == folderMarker && key == "": // of the bucket: no key is empty
			continue
		case e.name == folderMarker:
			e.name = ""
		}
		if !w.wants(key+e.name, e.dir) || !first && e.name <= last {
			continue
		}
		if !e.dir {
			e.found = found{key + e.name, etagOf(&i), i.Bytes, i.ModifiedAt}
		}
		if batch = append(batch, e); len(batch) >= 2*w.page {
			least()
		}
	}
	least()
	return batch, more, nil
}
