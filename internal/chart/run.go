package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// RunFile is where the note of a run is, in the folder with its tables and plots.
const RunFile = "run.json"

// runFormat is the format of a note.
const runFormat = 1

// Run is the note of how the tables and plots of a folder were made.
type Run struct {
	Format  int       `json:"format"`
	Script  string    `json:"script"` // its file's name
	About   string    `json:"about"`  // what the experiment shows: the comment that the script begins with
	Set     []string  `json:"set"`    // NAME=VALUE of variables that were set for this run
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // that it took
	Failed  string    `json:"failed"`  // why it did not come to its end; empty: it did
	Version string    `json:"version"` // of viewring
	Machine Machine   `json:"machine"`
	Tables  []Made    `json:"tables"` // in the order in which they began
	Plots   []Made    `json:"plots"`
}

// Machine is where a run was made.
type Machine struct {
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Go        string `json:"go"`
	CPUs      int    `json:"cpus"`
	Processor string `json:"processor"` // its name; empty: unknown
	Memory    uint64 `json:"memory"`    // bytes; 0: unknown
}

// Made is a table or a plot.
type Made struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// Write keeps the note in a folder that is there.
func (r Run) Write(dir string) error {
	r.Format = runFormat
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("note of %s: %w", r.Script, err)
	}
	if err := os.WriteFile(filepath.Join(dir, RunFile), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("note of %s: %w", r.Script, err)
	}
	return nil
}

// ReadRun reads the note of a folder; nil where there is none.
func ReadRun(dir string) (*Run, error) {
	path := filepath.Join(dir, RunFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("note of a run: %w", err)
	}
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != runFormat {
		return nil, fmt.Errorf("%s: it has format %d, this build knows %d", path, r.Format, runFormat)
	}
	return &r, nil
}
