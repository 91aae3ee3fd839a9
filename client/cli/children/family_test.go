package children

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestFamilyEnds: all that a command has started ends, in whatever session it is, and what is
// spared does not.
func TestFamilyEnds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a family is a process group")
	}
	if err := Adopt(); err != nil {
		t.Fatal(err)
	}
	spared := exec.Command("sleep", "1000")
	if err := spared.Start(); err != nil {
		t.Fatal(err)
	}
	f := Family{Spare: Descendants()}
	cmd := exec.Command("sh", "-c", `trap "" TERM; (setsid sh -c 'trap "" TERM; sleep 1000; true' &); sleep 1000 & echo begun; wait; sleep 1000`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.Pid = cmd.Process.Pid
	begun := make([]byte, len("begun"))
	if _, err := io.ReadFull(out, begun); err != nil || string(begun) != "begun" {
		t.Fatalf("%q, %v", begun, err)
	}
	if n := f.Living(); n < 2 {
		t.Errorf("%d processes are known", n)
	}
	if left := f.End(10 * time.Millisecond); left != 0 || f.Living() != 0 {
		t.Errorf("%d are said to be left, %d are", left, f.Living())
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the command has ended well")
	}
	if err := spared.Process.Signal(os.Kill); err != nil {
		t.Errorf("what was spared has ended: %v", err)
	}
	_ = spared.Wait() // it was killed
}

// TestWatchdog: the kernel kills a process that stands still past its time, and no other.
func TestWatchdog(t *testing.T) {
	if os.Getenv("VIEWRING_TEST_WATCHED") != "" {
		w, err := NewWatchdog()
		if err != nil {
			t.Fatal(err)
		}
		w.Set(time.Hour)
		w.Stop()
		w.Set(10 * time.Millisecond)
		_, _ = os.Stdin.Read(make([]byte, 1)) // nobody writes
	}
	if runtime.GOOS != "linux" {
		t.Skip("there is none elsewhere")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "TestWatchdog$")
	cmd.Env = append(os.Environ(), "VIEWRING_TEST_WATCHED=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it ended with %v", err)
	}
}
