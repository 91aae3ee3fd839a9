package file

import (
	"context"
	"errors"
	"fmt"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Copy makes a file what another is at one moment. Where both directories lie in the same slot, as when they are one
// or have the same {tag}, both have the same chunks then, and nothing is copied. The attributes are kept, unless PutOptions.Seal
// says others. PutOptions.ChunkBytes is not used.
func (f *FS) Copy(ctx context.Context, from, to string, opts PutOptions) (Info, error) {
	o := f.op(ctx, "copy to", to)
	_, info, err := o.copy(from, to, &opts)
	return info, o.failed(err)
}

// copy also returns what the file was that was copied.
func (o *op) copy(from, to string, opts *PutOptions) (e *entry, info Info, err error) {
	w := when{absent: opts.IfAbsent, modified: wire.TreeVersion(opts.IfModified)}
	for range attemptsMax {
		if e, err = o.file(from); err != nil {
			return nil, Info{}, fmt.Errorf("%s: %w", from, told(err))
		}
		if err := o.mayPut(to, opts); err != nil {
			return nil, Info{}, err
		}
		if from == to {
			if opts.Seal == nil {
				return e, e.Info, nil
			}
			w.modified = e.node.Modified
		}
		info, err = o.copyEntry(e, to, w, e.copied(opts.Seal))
		if !errors.Is(err, ErrReplaced) { // by now it is another
			return e, info, err
		}
	}
	return nil, Info{}, ErrContended
}

// copied is the sealer of a copy of a file. It is told the attributes and the last change of what is copied.
func (e *entry) copied(s sealer) sealer {
	return func(i Info) (Attributes, error) {
		if i.Attributes, i.Modified = e.Attributes, e.Modified; s != nil {
			return s(i)
		}
		return e.Attributes, nil
	}
}

// copyEntry copies one file as it was found.
func (o *op) copyEntry(e *entry, to string, w when, s sealer) (Info, error) {
	home := homeOfFile(to)
	if e.manifest != nil && e.home == home || e.manifest == nil && e.Bytes <= o.f.inline {
		info, body := Info{Path: to, Bytes: e.Bytes}, e.body()
		var err error
		if body.Attributes, err = s.seal(&info); err != nil {
			return Info{}, err
		}
		v, err := o.commit(to, body, w, nil)
		if errors.Is(err, ErrEnded) {
			err = ErrReplaced
		}
		info.Modified = client.Version(v)
		return info, err
	}
	size := int64(0)
	if e.manifest != nil {
		size = e.manifest.chunkSize
	}
	reading, cancel := context.WithCancel(o.ctx)
	defer cancel()
	if e.manifest != nil {
		go (&File{o: o.within(reading), e: e}).keep() // also if it is replaced meanwhile
	}
	b := o.build(home, size, s)
	defer b.close()
	if err := b.copyAll(e); err != nil {
		return Info{}, err
	}
	return b.commit(to, w)
}

// body is what an item says to make another node the same file, in a slot that has its content.
func (e *entry) body() wire.TreeItem {
	return wire.TreeItem{File: true, Value: e.node.Value, Content: e.node.Content, Size: e.Bytes, Attributes: e.node.Attributes}
}

// Rename gives a file another path, where it replaces a file that may be there. Within a
// directory that is one change. Else the file is copied, as Copy does, and then removed
// at the old path, if it was not changed meanwhile: where that fails it is at both. Directories are
// not renamed: all that is below them would have to be.
func (f *FS) Rename(ctx context.Context, from, to string) error {
	return f.rename(ctx, from, to, false)
}

// RenameIfAbsent is Rename, only if nothing is at the new path; else fs.ErrExist.
func (f *FS) RenameIfAbsent(ctx context.Context, from, to string) error {
	return f.rename(ctx, from, to, true)
}

func (f *FS) rename(ctx context.Context, from, to string, absent bool) error {
	o := f.op(ctx, "rename to", to)
	err := errors.Join(tree.Check(from), tree.Check(to))
	if err != nil {
		return o.failed(err)
	}
	dir, name := tree.Split(from)
	if toDir, toName := tree.Split(to); toDir == dir {
		return o.failed(o.renameIn(dir, name, toName, absent))
	}
	e, _, err := o.copy(from, to, &PutOptions{IfAbsent: absent})
	if err != nil {
		return o.failed(err)
	}
	if err := f.RemoveIf(ctx, from, e.Modified); err != nil {
		return fmt.Errorf("%s was copied to %s, and is still there too: %w", from, to, err)
	}
	return nil
}

// renameIn is Rename within a directory.
func (o *op) renameIn(dir, from, to string, absent bool) error {
	for range attemptsMax {
		e, err := o.file(tree.Join(dir, from))
		if err != nil {
			return fmt.Errorf("%s: %w", tree.Join(dir, from), told(err))
		}
		if from == to && !absent {
			return nil
		}
		put := e.body()
		put.Kind, put.Name, put.Owner = wire.TreeCreate, to, e.node.Owner
		switch there, err := o.entry(tree.Join(dir, to)); {
		case errors.Is(err, tree.ErrNoNode):
		case there == nil:
			return err
		case absent:
			return tree.ErrNodeExists
		case there.Dir:
			return ErrIsDirectory
		case there.Owner != 0:
			return ErrSession
		default:
			put.Kind, put.DataVersion, put.Modified, put.Owner = wire.TreeSet, -1, there.node.Modified, 0
		}
		gone := wire.TreeItem{Kind: wire.TreeRemove, Name: from, DataVersion: -1, Modified: e.node.Modified}
		_, _, err = tree.Change(o.ask, dir, []wire.TreeItem{put, gone})
		if !errors.Is(err, tree.ErrNoNode) && !errors.Is(err, tree.ErrNodeExists) && !errors.Is(err, tree.ErrBadVersion) {
			return err
		}
	}
	return ErrContended
}
