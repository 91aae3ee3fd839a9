package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/cli/play"
	"viewring/scripts"
)

func (a *app) demoCmd() *cobra.Command {
	var dir string
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show the main job: files through joins, a crash and a leave",
		Long: `Start a private cluster, load a real folder while reading it back at random, and
meanwhile let servers join, crash and leave. Then verify every byte and every
copy. The address of a page to watch it on is printed. Exit code 1 if a request failed or a key was lost.`,
		Example: "  viewring demo\n  viewring demo --dir ./photos",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tree, err := demoTree(cmd.Context(), dir)
			if err != nil {
				return err
			}
			text, err := scripts.FS.ReadFile("demo.txt")
			if err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			done, err := a.play(cmd.Context(), "demo.txt", bytes.NewReader(text), played{keep: keep, env: []string{"TREE=" + tree}, page: a.demoPage})
			if a.flags.json && done.Summary != nil {
				a.printJSON(struct {
					Version int `json:"version"`
					*play.Summary
				}{jsonVersion, done.Summary})
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the `folder` to load (default the sources of the Go toolchain)")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the cluster's folder")
	return cmd
}

// demoTree returns the folder to load.
func demoTree(ctx context.Context, dir string) (string, error) {
	if dir == "" {
		root := os.Getenv("GOROOT")
		if root == "" {
			out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
			if err != nil {
				return "", usagef("demo: no Go toolchain here whose sources could be loaded (%v); name another folder with --dir", err)
			}
			root = strings.TrimSpace(string(out))
		}
		dir = filepath.Join(root, "src")
	}
	if info, err := os.Stat(dir); err != nil {
		return "", usagef("demo: %v; name another folder with --dir", err)
	} else if !info.IsDir() {
		return "", usagef("demo: %s is not a folder", dir)
	}
	return filepath.Abs(dir)
}
