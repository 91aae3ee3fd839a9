package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"viewring/internal/disk"
)

const (
	runPrefix  = "run-"
	partSuffix = ".part"
	segSuffix  = ".seg"
)

func runName(number uint64) string { return fmt.Sprintf("%s%06d", runPrefix, number) }

func segmentName(number uint32) string { return fmt.Sprintf("%06d%s", number, segSuffix) }

// parseRunName reads a name that runName made.
func parseRunName(name string) (number uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, runPrefix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && number > 0 && runName(number) == name
}

// Run is a run in a folder.
type Run struct {
	Number   uint64
	Dir      string
	Manifest *Manifest // nil where it can't be read
	Err      error     // why
}

// Folder is a folder of backups.
type Folder struct {
	Dir  string
	Runs []*Run   // in order
	Left []string // names of folders that interrupted runs have left
}

// OpenFolder reads what is in a folder: its runs, in order, also those whose manifests can't be read, and what
// interrupted ones have Left. One that is not there is an error that wraps fs.ErrNotExist.
func OpenFolder(dir string) (*Folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir}
	for _, e := range entries {
		base, unfinished := strings.CutSuffix(e.Name(), partSuffix)
		number, ok := parseRunName(base)
		switch {
		case !ok || !e.IsDir():
		case unfinished:
			f.Left = append(f.Left, e.Name())
		default:
			run := &Run{Number: number, Dir: filepath.Join(dir, e.Name())}
			run.Manifest, run.Err = readManifest(run.Dir)
			if run.Err == nil && run.Manifest.Number != number {
				run.Manifest, run.Err = nil, fmt.Errorf("%s: %w: it is the manifest of run %d", run.Dir, ErrDamaged, run.Manifest.Number)
			}
			f.Runs = append(f.Runs, run)
		}
	}
	slices.SortFunc(f.Runs, func(a, b *Run) int { return cmp.Compare(a.Number, b.Number) })
	return f, nil
}

// ErrNoRun: there is no such run, or none at all.
var ErrNoRun = errors.New("no such run")

// Run returns a run by its number, 0 for the last one, that can be read.
func (f *Folder) Run(number uint64) (*Run, error) {
	for _, r := range slices.Backward(f.Runs) {
		if number == 0 || r.Number == number {
			return r, r.Err
		}
	}
	switch {
	case number != 0:
		return nil, fmt.Errorf("%s: %w: run %d; there are %s", f.Dir, ErrNoRun, number, f.numbers())
	case len(f.Left) > 0:
		return nil, fmt.Errorf("%s: %w: there is only what an interrupted backup left", f.Dir, ErrNoRun)
	}
	return nil, fmt.Errorf("%s: %w: there is no backup", f.Dir, ErrNoRun)
}

func (f *Folder) numbers() string {
	var all []string
	for _, r := range f.Runs {
		all = append(all, strconv.FormatUint(r.Number, 10))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// chain returns a run and those that it is built upon, the newest first.
func (f *Folder) chain(number uint64) ([]*Run, error) {
	run, err := f.Run(number)
	if err != nil {
		return nil, err
	}
	chain := []*Run{run}
	for run.Manifest.Base != (RunID{}) {
		base, err := f.Run(run.Number - 1)
		switch {
		case run.Number == 1 || errors.Is(err, ErrNoRun):
			return nil, fmt.Errorf("%s: %w: run %d is built upon run %d, which is not there", f.Dir, ErrDamaged, run.Number, run.Number-1)
		case err != nil:
			return nil, fmt.Errorf("run %d is built upon one that can't be read: %w", run.Number, err)
		case base.Manifest.ID != run.Manifest.Base || base.Manifest.Cluster != run.Manifest.Cluster || len(base.Manifest.Partitions) != len(run.Manifest.Partitions):
			return nil, fmt.Errorf("%s: %w: run %d is not the one that run %d is built upon", f.Dir, ErrDamaged, base.Number, run.Number)
		}
		chain = append(chain, base)
		run = base
	}
	return chain, nil
}

// removeLeft removes what interrupted runs have left.
func (f *Folder) removeLeft() error {
	for _, name := range f.Left {
		if err := os.RemoveAll(filepath.Join(f.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// ErrForeign: the folder has other files, and no backup.
var ErrForeign = errors.New("the folder has other files, and no backup: name an empty one")

// own makes a folder for backups, or takes one that is there and has nothing else in it.
func own(dir string) error {
	if _, err := disk.Make(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	ours := len(entries) == 0
	for _, e := range entries {
		_, run := parseRunName(strings.TrimSuffix(e.Name(), partSuffix))
		ours = ours || run || e.Name() == disk.LockName
	}
	if !ours {
		return fmt.Errorf("%s: %w", dir, ErrForeign)
	}
	return nil
}

// lock keeps other backups out of a folder.
func lock(dir string) (io.Closer, error) {
	held, err := disk.Dir(dir).Lock()
	if errors.Is(err, disk.ErrInUse) {
		return nil, fmt.Errorf("%s: another backup is being written there: %w", dir, err)
	}
	return held, err
}

// readAtMost reads all of a file that has no more than limit bytes.
func readAtMost(f fs.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, limit)
	}
	return b, err
}

// damaged has the end of a file where there should be more be damage.
func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return err
}
