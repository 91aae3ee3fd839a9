package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/client/file"
)

func (a *app) fileDfCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "df [PATH]",
		Short: "tell how much room files take, and how much there is",
		Long: `Tell how many files there are below a directory, / unless PATH is given, and how many
bytes they have; and of each server how much its store holds of everything, copies of
files and of keys alike, what of its log is garbage that waits to be collected, how
many contents of files that nothing names any more wait for their end, and how much
of its disk is free.

Copies that share chunks are counted as files, though they take no room of their own.`,
		Example: "  viewring file df\n  viewring file df /photos",
		Args:    upTo("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			path := file.Root
			if len(args) > 0 {
				path = args[0]
			}
			files, dirs, bytes := 0, 0, int64(0)
			teller := a.newTeller("counted")
			for i, err := range f.Walk(ctx, path) {
				switch {
				case err != nil:
					return err
				case i.Dir:
					dirs++
				default:
					files, bytes = files+1, bytes+i.Bytes
				}
				teller.tell(files + dirs)
			}
			servers, err := a.rooms(ctx)
			if err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "path": path, "files": files, "directories": dirs, "bytes": bytes, "servers": servers})
				return nil
			}
			a.printf("%s: %s in %d directories below, %s\n\n", path, count(files, "file"), dirs, size(uint64(bytes)))
			var rows [][]string
			for _, s := range servers {
				row := []string{s["server"].(string), s["state"].(string)}
				for _, name := range []string{"stored_bytes", "garbage_bytes", "ending", "free_bytes"} {
					text := ""
					if n, ok := s[name].(int64); ok && name == "ending" {
						text = fmt.Sprint(n)
					} else if ok {
						text = size(uint64(n))
					}
					row = append(row, text)
				}
				rows = append(rows, row)
			}
			a.table([]string{"SERVER", "STATE", ">STORED", ">GARBAGE", ">ENDING", ">FREE"}, rows)
			return nil
		})),
	}
}

// rooms asks all servers how much they hold, and have free.
func (a *app) rooms(ctx context.Context) ([]map[string]any, error) {
	cluster, err := a.openCluster(ctx)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	list := []map[string]any{}
	for _, m := range cluster.View().Members {
		fields := map[string]any{"server": m.ID.String(), "state": "up"}
		list = append(list, fields)
		if !m.Up {
			fields["state"] = "down"
			continue
		}
		if err := a.room(ctx, m.Addr, fields); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			fields["state"] = "no answer"
		}
	}
	return list, nil
}

func (a *app) room(ctx context.Context, addr string, fields map[string]any) error {
	s, err := admin.DialServer(ctx, addr, a.dialer())
	if err != nil {
		return err
	}
	defer s.Close()
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	for field, name := range map[string]string{"stored_bytes": "log_live_bytes", "garbage_bytes": "log_garbage_bytes", "ending": "file_contents_ending", "free_bytes": "disk_free"} {
		if n, err := strconv.ParseInt(info[name], 10, 64); err == nil {
			fields[field] = n
		}
	}
	return nil
}
