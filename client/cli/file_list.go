package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/client/file"
	"viewring/ring"
)

func (a *app) fileListCmd() *cobra.Command {
	var long, recursive bool
	cmd := &cobra.Command{
		Use:   "ls [-l] [-r] [PATH]",
		Short: "list a directory",
		Long: `List a directory, / unless PATH is given: the names in it, or with -r the paths of
all that is below it. The names of directories end with a slash. With -l each line
begins with the length in bytes and the time of the last change. PATH may be a file.

Up to 1,000 come in order of names; more come as they are found.`,
		Example: "  viewring file ls /photos\n  viewring file ls -l -r",
		Args:    upTo("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			path := file.Root
			if len(args) > 0 {
				path = args[0]
			}
			info, err := f.Stat(ctx, path)
			if err != nil {
				return err
			}
			files := f.List(ctx, path)
			switch {
			case !info.Dir:
				files = func(yield func(file.Info, error) bool) { yield(info, nil) }
			case recursive:
				files = f.Walk(ctx, path)
			}
			l := &listing[file.Info]{a: a, head: jsonField("path", path), field: "files", teller: a.newTeller("listed"), order: func(x, y *file.Info) int { return cmp.Compare(x.Path, y.Path) },
				one: func(i *file.Info) { a.fileLine(i, long, recursive || !info.Dir) }, fields: fileFields}
			return l.print(files)
		})),
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "lengths and times too")
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "all that is below PATH")
	return cmd
}

// fileLine prints a file on a line.
func (a *app) fileLine(i *file.Info, long, whole bool) {
	name := i.Name()
	if whole {
		name = i.Path
	}
	if i.Dir {
		name = strings.TrimSuffix(name, "/") + "/"
	}
	if long {
		length := size(uint64(i.Bytes))
		if i.Dir {
			length = "-"
		} else if i.Records {
			length = "records"
		}
		a.printf("%10s  %s  ", length, i.ModifiedAt.Local().Format(time.DateTime))
	}
	a.printf("%s\n", name)
}

// fileFields are a file's figures in JSON.
func fileFields(i *file.Info) map[string]any {
	fields := map[string]any{"path": i.Path, "directory": i.Dir, "bytes": i.Bytes, "changes": i.Version, "created": i.Created.String(), "modified": i.Modified.String()}
	if i.Records {
		fields["records"] = true
	}
	if !i.CreatedAt.IsZero() {
		fields["created_at"], fields["modified_at"] = i.CreatedAt.UTC().Format(time.RFC3339Nano), i.ModifiedAt.UTC().Format(time.RFC3339Nano)
	}
	return fields
}

func (a *app) fileStatCmd() *cobra.Command {
	var chunks bool
	cmd := &cobra.Command{
		Use:   "stat PATH",
		Short: "tell of a file how it is stored",
		Long: `Tell of a file or a directory what is known of it, and of a file that is kept in
chunks how many there are, and how many of them each server has a copy of.

The checksum is the sum, modulo 2^64, of the xxhash64 of all chunks, each seeded
with its number in the file; of a file of one chunk or none it is the xxhash64.

With --chunks each server is asked for its copy of the entry and of each chunk, which
it reads and verifies: version, length, and the xxhash64 of the bytes.`,
		Example: "  viewring file stat /photos/cat.jpg",
		Args:    wants("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			d, err := f.Describe(ctx, args[0])
			if err != nil {
				return err
			}
			var servers []chunkCopies
			if d.Chunks > 0 {
				cluster, err := a.openCluster(ctx)
				if err != nil {
					return err
				}
				defer cluster.Close()
				servers = copiesOf(cluster, &d)
			}
			var list []map[string]any
			var rows [][]string
			if chunks {
				l, err := a.newLooker(ctx)
				if err != nil {
					return err
				}
				defer l.close()
				if list, rows, err = l.chunkTable(ctx, &d); err != nil {
					return err
				}
			}
			if a.flags.json {
				a.fileStatJSON(&d, servers, list)
				return nil
			}
			a.fileStatText(&d, servers)
			if chunks {
				a.printf("\n")
				a.table([]string{">CHUNK", "SERVER", "VERSION", ">BYTES", "XXHASH64"}, rows)
			}
			return nil
		})),
	}
	cmd.Flags().BoolVar(&chunks, "chunks", false, "ask servers for each copy of each chunk")
	return cmd
}

// chunkCopies is what a server has of a file.
type chunkCopies struct {
	id              ring.ServerID
	up              bool
	copies, primary int64
}

// copiesOf counts where a file's chunks are in the view that is known.
func copiesOf(cluster *admin.Cluster, d *file.Details) []chunkCopies {
	view := cluster.View()
	byServer := map[ring.ServerID]*chunkCopies{}
	for slot := range d.Slots() {
		for i, id := range view.Partitions[ring.PartitionOf(slot, len(view.Partitions))].Acting {
			if byServer[id] == nil {
				m := view.Member(id)
				byServer[id] = &chunkCopies{id: id, up: m != nil && m.Up}
			}
			byServer[id].copies++
			if i == 0 {
				byServer[id].primary++
			}
		}
	}
	var all []chunkCopies
	for _, c := range byServer {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b chunkCopies) int { return int(int64(a.id) - int64(b.id)) })
	return all
}

func (a *app) fileStatJSON(d *file.Details, servers []chunkCopies, chunks []map[string]any) {
	fields := fileFields(&d.Info)
	if chunks != nil {
		fields["pieces"] = chunks
	}
	fields["version"] = jsonVersion
	if a := &d.Attributes; !a.IsZero() {
		fields["attributes"] = attributeFields(a)
	}
	if d.ChunkBytes > 0 {
		fields["chunk_bytes"], fields["chunks"], fields["holes"], fields["sum"] = d.ChunkBytes, d.Chunks, d.Holes, fmt.Sprintf("%016x", d.Sum)
		list := []map[string]any{}
		for _, s := range servers {
			list = append(list, map[string]any{"server": s.id.String(), "up": s.up, "copies": s.copies, "primary": s.primary})
		}
		fields["servers"] = list
	}
	a.printJSON(fields)
}

// attributeFields are attributes in JSON: those that there are.
func attributeFields(a *file.Attributes) map[string]any {
	fields := map[string]any{}
	if a.ContentType != "" {
		fields["content_type"] = a.ContentType
	}
	if len(a.MD5) > 0 {
		fields["md5"] = fmt.Sprintf("%x", a.MD5)
	}
	if len(a.SHA256) > 0 {
		fields["sha256"] = fmt.Sprintf("%x", a.SHA256)
	}
	if !a.SourceTime.IsZero() {
		fields["source_time"] = a.SourceTime.UTC().Format(time.RFC3339Nano)
	}
	if len(a.Meta) > 0 {
		fields["meta"] = a.Meta
	}
	return fields
}

func (a *app) fileStatText(d *file.Details, servers []chunkCopies) {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "always"
		}
		return t.Local().Format(time.DateTime)
	}
	kind := "file"
	if d.Dir {
		kind = "directory"
	}
	a.printf("path      %s\nkind      %s\n", d.Path, kind)
	if !d.Dir {
		a.printf("bytes     %d\nchanges   %d\n", d.Bytes, d.Version)
	}
	fields := attributeFields(&d.Attributes)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "meta" {
			a.printf("%-8s  %s\n", name, fields[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes.Meta)) {
		a.printf("meta      %s: %s\n", quoted(name), quoted(d.Attributes.Meta[name]))
	}
	a.printf("created   %s (%s)\nmodified  %s (%s)\n", at(d.CreatedAt), d.Created, at(d.ModifiedAt), d.Modified)
	switch {
	case d.Dir:
		return
	case d.ChunkBytes == 0:
		a.printf("chunks    none: the bytes are in the entry\n")
		return
	}
	contents := map[string]bool{}
	for _, e := range d.Extents {
		if !e.Hole {
			contents[e.Content.String()] = true
		}
	}
	a.printf("chunks    %d of %s, of %s", d.Chunks, size(uint64(d.ChunkBytes)), count(len(contents), "write"))
	if d.Holes > 0 {
		a.printf("; and %d of zeros that take no room", d.Holes)
	}
	a.printf("\nchecksum  %016x\n\n", d.Sum)
	var rows [][]string
	for _, s := range servers {
		state := "up"
		if !s.up {
			state = "down"
		}
		rows = append(rows, []string{s.id.String(), state, fmt.Sprint(s.copies), fmt.Sprint(s.primary)})
	}
	a.table([]string{"SERVER", "STATE", ">COPIES", ">PRIMARY"}, rows)
}

func (a *app) fileVerifyCmd() *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify [--deep] PATH…",
		Short: "read files and compare their checksums",
		Long: `Read all of each file, in directories of all files below, and compare it with the
checksum that was made of it when it was written. Files of up to 64 KiB have none
of their own, but that of the server's store. A file with lost or wrong bytes
is exit code 5.

With --deep each server also reads its copies of the entry and of all chunks, and they
are compared. A damaged one is repaired from the others, and counted; what can't be
repaired within half a minute is exit code 5.`,
		Example: "  viewring file verify /photos /backups/monday.tar",
		Args:    wantsSome("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			job := fileJob{verb: "verify", done: "verified", began: time.Now()}
			var look *looker
			if deep {
				var err error
				if look, err = a.newLooker(ctx); err != nil {
					return err
				}
				defer look.close()
			}
			var files []file.Info
			total := int64(0)
			for _, path := range args {
				top, err := f.Stat(ctx, path)
				if err != nil {
					return err
				}
				if !top.Dir {
					files, total = append(files, top), total+top.Bytes
					continue
				}
				for i, err := range f.Walk(ctx, path) {
					if err != nil {
						return err
					}
					if !i.Dir {
						files, total = append(files, i), total+i.Bytes
					}
				}
			}
			progress := a.newTransfer(total)
			defer progress.end()
			job.each(ctx, len(files), func(i int) int64 { return files[i].Bytes }, func(i int) {
				var err error
				if look != nil { // first: to read a damaged copy repairs it
					err = look.file(ctx, f, files[i].Path)
				}
				info := files[i]
				if err == nil {
					info, err = f.Get(ctx, files[i].Path, counting{discard{}, progress})
				}
				job.note(files[i].Path, info.Bytes, err)
			})
			progress.end()
			if look != nil {
				job.extra, job.more = look.told()
			}
			return job.end(ctx, a, true)
		})),
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read every copy on every server, and compare them")
	return cmd
}

// discard takes bytes for nothing.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
