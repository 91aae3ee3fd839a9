package route

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"viewring/ring"
)

// NoViewCache as Options.ViewCache keeps the last view in memory only.
const NoViewCache = "none"

// defaultViewCache is the file in which clients of these view leaders keep the last
// view, below the user's cache folder. It is "" where there is none.
func defaultViewCache(leaders []string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return ViewCacheIn(dir, leaders)
}

// ViewCacheIn is the file for Options.ViewCache below another cache folder.
func ViewCacheIn(dir string, leaders []string) string {
	sorted := slices.Sorted(slices.Values(leaders))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return filepath.Join(dir, "viewring", "view-"+hex.EncodeToString(sum[:8]))
}

// loadView reads a cached view. Whatever is wrong with the file, there is none.
func loadView(path string) *ring.View {
	if path == "" || path == NoViewCache {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	v, err := ring.DecodeView(b, nil)
	if err != nil {
		return nil
	}
	return v
}

// saveView replaces the cached view in one step, so that no reader ever sees
// half of one. It is not synced: losing it costs nothing.
func saveView(path string, v *ring.View) error {
	if path == "" || path == NoViewCache {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the view: %w", err)
	}
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return fmt.Errorf("keep the view: %w", err)
	}
	_, err = f.Write(ring.AppendView(nil, v, 0))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // a leftover at worst
		return fmt.Errorf("keep the view: %w", err)
	}
	return nil
}
