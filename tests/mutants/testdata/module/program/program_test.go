// Package program tests the program as it is built.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "example")
	if out, err := exec.Command("go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		fmt.Printf("build: %v\n%s", err, out)
		os.Exit(1)
	}
	m.Run()
}

func TestProgram(t *testing.T) {
	out, err := exec.Command(binary).Output()
	if string(out) != "5\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestNeverEnds has a child that does not end either, and holds a pipe open.
func TestNeverEnds(t *testing.T) {
	f, err := os.OpenFile(os.Getenv("FIFO"), os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("sleep", "100000")
	cmd.Stdout = f
	t.Error(cmd.Run())
}
