package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"viewring/client/file"
)

// comparison says which files are not stored again.
type comparison int

const (
	byTime    comparison = iota // those of the same length, from a source that was changed at the same time
	byContent                   // those with the same bytes
	never
)

// sender stores files and folders. What can't be read, or stored, is noted, and it goes on with the rest.
type sender struct {
	a               *app
	f               *file.FS
	job             *fileJob
	parents, absent bool
	md5, sha256     bool // to be kept
	compare         comparison
	dryRun          bool

	folders []*sendFolder
	files   []sendFile // beside those in folders
	bytes   int64      // of all; -1: not known
}

// sendFile is a file of the disk.
type sendFile struct {
	from, to string
	bytes    int64
	changed  time.Time // zero: it is no regular file
}

// sendFolder is a folder of the disk.
type sendFolder struct {
	from, to string
	level    int
	subs     []*sendFolder
	files    []sendFile
	fresh    bool // nothing was there
	failed   bool
}

// walk notes what is in a folder.
func (s *sender) walk(ctx context.Context, from, to string, level int) *sendFolder {
	d := &sendFolder{from: from, to: to, level: level}
	s.folders = append(s.folders, d)
	entries, err := os.ReadDir(from)
	if err != nil {
		s.job.note(from, 0, codeError{exitNotFound, err})
	}
	for _, e := range entries {
		name, dest := filepath.Join(from, e.Name()), path.Join(to, e.Name())
		info, err := e.Info()
		switch {
		case ctx.Err() != nil:
			return d
		case err != nil:
			s.job.note(name, 0, codeError{exitNotFound, err})
		case e.IsDir():
			d.subs = append(d.subs, s.walk(ctx, name, dest, level+1))
		case !info.Mode().IsRegular():
			s.a.tell("file %s: %s is neither a file nor a folder: left out\n", s.job.verb, quoted(name))
		default:
			d.files = append(d.files, sendFile{name, dest, info.Size(), info.ModTime()})
		}
	}
	return d
}

// makeDirectories makes those for folders, whose own ones are there: many at a time, from the top down.
func (s *sender) makeDirectories(ctx context.Context) {
	levels := [][]*sendFolder{}
	for _, d := range s.folders {
		for len(levels) <= d.level {
			levels = append(levels, nil)
		}
		levels[d.level] = append(levels[d.level], d)
	}
	for _, level := range levels {
		s.job.each(ctx, len(level), func(int) int64 { return 0 }, func(i int) {
			d := level[i]
			if len(d.subs) == 0 {
				return
			}
			some := make([]file.Small, len(d.subs))
			for k, sub := range d.subs {
				sub.failed = d.failed
				some[k] = file.Small{Name: path.Base(sub.to), Dir: true}
			}
			if d.failed {
				return
			}
			for k, m := range s.f.PutMany(ctx, d.to, some, file.PutOptions{}) {
				if d.subs[k].fresh = m.Created; m.Err != nil {
					d.subs[k].failed = true
					s.job.note(d.subs[k].from, 0, m.Err)
				}
			}
		})
	}
}

// leaveOut takes away the files that need not be stored.
func (s *sender) leaveOut(ctx context.Context) {
	if s.compare == never || s.absent {
		return
	}
	s.job.each(ctx, len(s.folders), func(int) int64 { return 0 }, func(i int) {
		d := s.folders[i]
		if d.fresh || d.failed || len(d.files) == 0 {
			return
		}
		there := map[string]file.Info{}
		for info, err := range s.f.List(ctx, d.to) {
			if err != nil {
				return // storing tells
			}
			there[info.Path] = info
		}
		d.files = s.others(ctx, d.files, func(to string) (file.Info, bool) {
			info, ok := there[to]
			return info, ok
		})
	})
	s.files = s.others(ctx, s.files, func(to string) (file.Info, bool) {
		info, err := s.f.Stat(ctx, to)
		return info, err == nil
	})
}

// others returns the files that are not there.
func (s *sender) others(ctx context.Context, files []sendFile, find func(to string) (file.Info, bool)) (left []sendFile) {
	for _, l := range files {
		if info, ok := find(l.to); ok && s.same(ctx, &l, &info) {
			s.job.skip()
		} else {
			left = append(left, l)
		}
	}
	return left
}

// same reports whether a file is stored already, with the sums that are to be kept.
func (s *sender) same(ctx context.Context, l *sendFile, there *file.Info) bool {
	a := &there.Attributes
	if there.Dir || l.changed.IsZero() || there.Bytes != l.bytes || s.md5 && len(a.MD5) == 0 || s.sha256 && len(a.SHA256) == 0 {
		return false
	}
	if s.compare == byTime {
		return a.SourceTime.Equal(l.changed)
	}
	r, err := os.Open(l.from)
	if err != nil {
		return false // storing tells
	}
	defer r.Close()
	same, err := s.f.Same(ctx, l.to, r)
	return err == nil && same
}

// sendUnit is what is done at a time: one file, or some short ones of a folder.
type sendUnit struct {
	folder *sendFolder // nil of one file
	files  []sendFile
	bytes  int64
}

// sendUnitBytes bounds the bytes of a unit of several files.
const sendUnitBytes = 256 << 10

func (s *sender) units() (units []sendUnit) {
	for _, l := range s.files {
		units = append(units, sendUnit{files: []sendFile{l}, bytes: l.bytes})
	}
	for _, d := range s.folders {
		if d.failed {
			continue
		}
		some := sendUnit{folder: d}
		for _, l := range d.files {
			if l.bytes > file.SmallMax {
				units = append(units, sendUnit{files: []sendFile{l}, bytes: l.bytes})
				continue
			}
			if len(some.files) == 100 || some.bytes+l.bytes > sendUnitBytes {
				units = append(units, some)
				some = sendUnit{folder: d}
			}
			some.files, some.bytes = append(some.files, l), some.bytes+l.bytes
		}
		if len(some.files) > 0 {
			units = append(units, some)
		}
	}
	return units
}

// run stores all that was noted and is not there.
func (s *sender) run(ctx context.Context) {
	if !s.dryRun {
		s.makeDirectories(ctx)
	}
	s.leaveOut(ctx)
	units := s.units()
	total := s.bytes
	for _, u := range units {
		if total >= 0 {
			total += u.bytes
		}
	}
	progress := s.a.newTransfer(total)
	defer progress.end()
	s.job.each(ctx, len(units), func(i int) int64 { return units[i].bytes }, func(i int) {
		switch u := &units[i]; {
		case s.dryRun:
			for _, l := range u.files {
				s.job.wouldDo("put", l.to, l.bytes)
			}
		case u.folder == nil:
			s.one(ctx, &u.files[0], progress)
		default:
			s.several(ctx, u, progress)
		}
	})
}

// one stores a file.
func (s *sender) one(ctx context.Context, l *sendFile, progress *transfer) {
	r, closing, err := s.a.source(ctx, l.from)
	if err != nil {
		s.job.note(l.from, 0, err)
		return
	}
	defer closing()
	k := newSums(s.md5, s.sha256)
	info, err := s.f.Put(ctx, l.to, io.TeeReader(r, &k), file.PutOptions{Parents: s.parents, IfAbsent: s.absent, Written: progress.told(),
		Seal: func(file.Info) (file.Attributes, error) { return l.attributes(&k), nil }})
	s.job.note(l.from, info.Bytes, err)
}

// several stores short files of a folder.
func (s *sender) several(ctx context.Context, u *sendUnit, progress *transfer) {
	var some []file.Small
	var of []*sendFile
	for i := range u.files {
		l := &u.files[i]
		b, err := readShort(l.from)
		if errors.Is(err, errLonger) { // by now
			s.one(ctx, l, progress)
			continue
		}
		if err != nil {
			s.job.note(l.from, 0, codeError{exitNotFound, err})
			continue
		}
		k := newSums(s.md5, s.sha256)
		_, _ = k.Write(b) // never fails
		some, of = append(some, file.Small{Name: path.Base(l.to), Bytes: b, Attributes: l.attributes(&k)}), append(of, l)
	}
	if len(some) == 0 {
		return
	}
	for i, m := range s.f.PutMany(ctx, u.folder.to, some, file.PutOptions{IfAbsent: s.absent}) {
		n := int64(len(some[i].Bytes))
		s.job.note(of[i].from, n, m.Err)
		progress.add(n)
	}
}

// errLonger: a file is longer than it was.
var errLonger = errors.New("no short file")

// readShort reads a file that is a file.Small.
func readShort(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(f, file.SmallMax+1))
	if err == nil && n > file.SmallMax {
		err = errLonger
	}
	return b.Bytes(), err
}

// mkdir makes the directory for a folder, and says whether nothing was there.
func (s *sender) mkdir(ctx context.Context, d *sendFolder) error {
	err := s.f.Mkdir(ctx, d.to)
	switch {
	case err == nil:
		d.fresh = true
		return nil
	case errors.Is(err, fs.ErrExist), s.parents && errors.Is(err, fs.ErrNotExist):
		return s.f.MkdirAll(ctx, d.to) // is it one
	}
	return err
}
