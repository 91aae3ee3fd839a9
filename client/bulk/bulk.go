package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"viewring/client"
	"viewring/client/admin"
)

// File is one file of a folder.
type File struct {
	Name string // the key
	Path string // on disk
	Size int64
}

// List finds every regular file below dir, in lexical order.
func List(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files = append(files, File{Name: filepath.ToSlash(rel), Path: path, Size: info.Size()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return files, nil
}

// Bytes sums up the sizes.
func Bytes(files []File) int64 {
	var n int64
	for _, f := range files {
		n += f.Size
	}
	return n
}

// Options of Load and Verify.
type Options struct {
	Workers int                        // default 32
	Timeout time.Duration              // for one file; default 30 s
	Done    func(f File, failed error) // called by many goroutines; may be nil
}

// Problem is what is wrong with one file.
type Problem struct {
	Name string
	What string
	Err  error // nil when the store answered, but not what it should
}

// Load sets a key for every file. The problems are the files that it could not.
func Load(ctx context.Context, c *client.Client, files []File, o Options) []Problem {
	return each(ctx, files, o, func(ctx context.Context, f File) *Problem {
		value, err := os.ReadFile(f.Path)
		if err == nil {
			_, err = c.Set(ctx, f.Name, value, client.Always())
		}
		switch {
		case errors.Is(err, client.ErrUnknownOutcome):
			return &Problem{Name: f.Name, What: "perhaps not stored", Err: err}
		case err != nil:
			return &Problem{Name: f.Name, What: "not stored", Err: err}
		}
		return nil
	})
}

// Check reads a file's key and compares it byte for byte. nil is as it should be.
func Check(ctx context.Context, c *client.Client, f File) *Problem {
	want, err := os.ReadFile(f.Path)
	if err != nil {
		return &Problem{Name: f.Name, What: "file not readable", Err: err}
	}
	got, err := c.Get(ctx, f.Name)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return &Problem{Name: f.Name, What: "missing"}
	case err != nil:
		return &Problem{Name: f.Name, What: "not readable", Err: err}
	case !bytes.Equal(got.Bytes, want):
		return &Problem{Name: f.Name, What: fmt.Sprintf("different: %d bytes stored, %d in the file", len(got.Bytes), len(want))}
	}
	return nil
}

// Verified is what Verify found.
type Verified struct {
	Read   []Problem // files whose key does not read back as the file
	Stored []Problem // files whose copies are not as they should be: on exactly the targets, equal, with the file's checksum
	Audit  *admin.Audit
}

// Verify reads every file's key back, and then asks every server's store which
// copies it has.
func Verify(ctx context.Context, c *client.Client, cluster *admin.Cluster, files []File, o Options) (*Verified, error) {
	var mu sync.Mutex
	sums := make(map[string]uint64, len(files))
	v := &Verified{}
	v.Read = each(ctx, files, o, func(ctx context.Context, f File) *Problem {
		if content, err := os.ReadFile(f.Path); err == nil { // Check reports the error
			mu.Lock()
			sums[f.Name] = xxhash.Sum64(content)
			mu.Unlock()
		}
		return Check(ctx, c, f)
	})
	audit, err := cluster.Audit(ctx)
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	v.Audit = audit
	bad := make(map[string]string)
	for _, p := range audit.Problems {
		bad[p.Key] = p.What
	}
	for _, f := range files {
		stored, ok := audit.Sums[f.Name]
		switch sum, known := sums[f.Name]; {
		case bad[f.Name] != "":
			v.Stored = append(v.Stored, Problem{Name: f.Name, What: bad[f.Name]})
		case !ok:
			v.Stored = append(v.Stored, Problem{Name: f.Name, What: "on no server"})
		case known && stored.Sum != sum:
			v.Stored = append(v.Stored, Problem{Name: f.Name, What: "stored with other bytes"})
		}
	}
	return v, nil
}

// each runs do for every file on a few goroutines and gathers the problems.
func each(ctx context.Context, files []File, o Options, do func(context.Context, File) *Problem) []Problem {
	if o.Workers == 0 {
		o.Workers = 32
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	var (
		next     atomic.Int64
		working  sync.WaitGroup
		mu       sync.Mutex
		problems []Problem
	)
	one := func(f File) {
		ctx, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		p := do(ctx, f)
		var failed error
		if p != nil {
			failed = errors.New(p.What)
			if p.Err != nil {
				failed = p.Err
			}
			mu.Lock()
			problems = append(problems, *p)
			mu.Unlock()
		}
		if o.Done != nil {
			o.Done(f, failed)
		}
	}
	for range o.Workers {
		working.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(files) && ctx.Err() == nil; i = next.Add(1) - 1 {
				one(files[i])
			}
		})
	}
	working.Wait()
	return problems
}
