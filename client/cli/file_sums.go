package cli

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/file"
)

// sumFlags say which sums are wanted.
type sumFlags struct{ md5, sha256 bool }

// add adds the flags; help says what is done with the sum, and the program that takes it.
func (s *sumFlags) add(cmd *cobra.Command, help string) {
	cmd.Flags().BoolVar(&s.md5, "md5", false, fmt.Sprintf(help, "MD5", "md5sum -c"))
	cmd.Flags().BoolVar(&s.sha256, "sha256", false, fmt.Sprintf(help, "SHA-256", "sha256sum -c"))
}

// sums are made of bytes that are written to it.
type sums struct{ md5, sha256 hash.Hash }

func newSums(wantMD5, wantSHA256 bool) (k sums) {
	if wantMD5 {
		k.md5 = md5.New()
	}
	if wantSHA256 {
		k.sha256 = sha256.New()
	}
	return k
}

// Write takes more of the bytes. It never fails.
func (k *sums) Write(p []byte) (int, error) {
	for _, h := range []hash.Hash{k.md5, k.sha256} {
		if h != nil {
			_, _ = h.Write(p) // never fails
		}
	}
	return len(p), nil
}

// attributes are those of a file that all bytes were taken of.
func (l *sendFile) attributes(k *sums) file.Attributes {
	a := file.Attributes{SourceTime: l.changed}
	if k.md5 != nil {
		a.MD5 = k.md5.Sum(nil)
	}
	if k.sha256 != nil {
		a.SHA256 = k.sha256.Sum(nil)
	}
	return a
}

// check compares the sums with those that are kept of a file, if there are any.
func (k *sums) check(i *file.Info) error {
	for _, c := range []struct {
		name string
		h    hash.Hash
		kept []byte
	}{{"MD5", k.md5, i.Attributes.MD5}, {"SHA-256", k.sha256, i.Attributes.SHA256}} {
		if c.h != nil && len(c.kept) > 0 && !bytes.Equal(c.h.Sum(nil), c.kept) {
			return fmt.Errorf("%s: %w: its %s was %x when it was written, and is %x", i.Path, file.ErrChecksum, c.name, c.kept, c.h.Sum(nil))
		}
	}
	return nil
}

// sumLine is a line as md5sum -c and sha256sum -c take it: a name that is not on one line has its special
// characters escaped, and the line begins with a backslash.
func sumLine(sum []byte, name string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	line := fmt.Sprintf("%x  %s", sum, escaped)
	if escaped != name {
		line = `\` + line
	}
	return line
}

// sumLines are lines with sums, of files in any order.
type sumLines struct {
	mu    sync.Mutex
	lines []namedLine
}

type namedLine struct{ name, line, kind, sum string }

// add notes the sums of a file.
func (l *sumLines) add(k *sums, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.md5 != nil {
		l.lines = append(l.lines, lineOf(name, "md5", k.md5.Sum(nil)))
	}
	if k.sha256 != nil {
		l.lines = append(l.lines, lineOf(name, "sha256", k.sha256.Sum(nil)))
	}
}

func lineOf(name, kind string, sum []byte) namedLine {
	return namedLine{name, sumLine(sum, name), kind, hex.EncodeToString(sum)}
}

// print prints them in order of names, and returns them for JSON.
func (l *sumLines) print(a *app) map[string]any {
	slices.SortStableFunc(l.lines, func(a, b namedLine) int { return strings.Compare(a.name, b.name) })
	list := []map[string]any{}
	for _, n := range l.lines {
		if !a.flags.json {
			a.printf("%s\n", n.line)
		}
		list = append(list, map[string]any{"name": n.name, n.kind: n.sum})
	}
	return map[string]any{"sums": list}
}

// endSums is fileJob.end of a command that prints sums and nothing else.
func (g *fileGet) endSums(ctx context.Context, many bool) error {
	g.job.quiet, g.job.extra = true, g.sums.print(g.a)
	return g.job.end(ctx, g.a, many)
}

func (a *app) fileSumsCmd() *cobra.Command {
	var flags sumFlags
	cmd := &cobra.Command{
		Use:   "sums PATH…",
		Short: "print checksums of files, as md5sum -c takes them",
		Long: `Print the MD5 of each file, or with --sha256 the SHA-256, in directories of all files
below, as md5sum -c and sha256sum -c take them. Names are those below the directory,
so that the check is made in the folder that it was fetched to. Sums that are kept with
the file, as put --md5 and S3 do, are printed as they are; of others the file is read.`,
		Example: "  viewring file get -r /photos ./photos\n  viewring file sums /photos | (cd photos && md5sum -c --quiet)",
		Args:    wantsSome("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			if flags.md5 && flags.sha256 {
				return usagef("file sums: --md5 and --sha256 exclude each other")
			}
			job := &fileJob{verb: "sums", done: "read", began: time.Now(), quiet: true}
			var files []file.Info
			var names []string
			for _, p := range args {
				top, err := f.Stat(ctx, p)
				if err != nil {
					return err
				}
				if !top.Dir {
					files, names = append(files, top), append(names, top.Name())
					continue
				}
				for i, err := range f.Walk(ctx, p) {
					if err != nil {
						return err
					}
					if !i.Dir {
						files, names = append(files, i), append(names, strings.TrimPrefix(strings.TrimPrefix(i.Path, p), "/"))
					}
				}
			}
			return a.sums(ctx, f, job, files, names, flags.sha256)
		})),
	}
	flags.add(cmd, "the %s, as %s takes it")
	return cmd
}

// sums prints the sums of files under these names.
func (a *app) sums(ctx context.Context, f *file.FS, job *fileJob, files []file.Info, names []string, wantSHA256 bool) error {
	var lines sumLines
	job.each(ctx, len(files), func(i int) int64 { return files[i].Bytes }, func(i int) {
		kind, kept := "md5", files[i].Attributes.MD5
		if wantSHA256 {
			kind, kept = "sha256", files[i].Attributes.SHA256
		}
		if len(kept) > 0 {
			lines.mu.Lock()
			lines.lines = append(lines.lines, lineOf(names[i], kind, kept))
			lines.mu.Unlock()
			job.note(files[i].Path, files[i].Bytes, nil)
			return
		}
		k := newSums(!wantSHA256, wantSHA256)
		info, err := f.Get(ctx, files[i].Path, &k)
		if err == nil {
			lines.add(&k, names[i])
		}
		job.note(files[i].Path, info.Bytes, err)
	})
	job.extra = lines.print(a)
	return job.end(ctx, a, true)
}
