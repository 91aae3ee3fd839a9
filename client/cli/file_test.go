package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInterruptedJob: of an interrupted transfer that is told which went wrong of itself.
func TestInterruptedJob(t *testing.T) {
	var out, stderr bytes.Buffer
	a := &app{running: true, env: Env{Stdout: &out, Stderr: &stderr}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j := &fileJob{verb: "put", done: "stored"}
	j.note("good", 3, nil)
	j.note("under way", 0, fmt.Errorf("put: %w", context.Canceled))
	j.note("unreadable", 0, codeError{exitNotFound, os.ErrPermission})
	err := j.end(ctx, a, true)
	var answer answeredError
	if !errors.As(err, &answer) || a.exitCode(ctx, err) != exitUnknown || answer.answer["failed"] != 1 || answer.answer["files"] != 1 {
		t.Errorf("%+v", err)
	}
	if got := stderr.String(); !strings.Contains(got, "unreadable") || strings.Contains(got, "under way") {
		t.Errorf("told: %s", got)
	}
}

// TestWalk: what can't be read of a folder is noted, and the rest is found.
func TestWalk(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a/b"), 0o777), os.WriteFile(filepath.Join(dir, "a/f"), []byte("x"), 0o666)); err != nil {
		t.Fatal(err)
	}
	s := &sender{a: &app{env: Env{Stderr: &bytes.Buffer{}}}, job: &fileJob{}}
	s.walk(t.Context(), filepath.Join(dir, "none"), "/none", 0)
	top := s.walk(t.Context(), dir, "/d", 0)
	if len(s.job.problems) != 1 || len(s.folders) != 4 || len(top.subs) != 1 || top.subs[0].files[0].to != "/d/a/f" || top.subs[0].subs[0].level != 2 {
		t.Errorf("%d problems, %d folders, %+v", len(s.job.problems), len(s.folders), top)
	}
	if err := s.job.end(t.Context(), &app{running: true, env: Env{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}}, true); err == nil {
		t.Error("nothing is told of what could not be read")
	}
}

// TestTopmost: what goes with something else is not removed by itself.
func TestTopmost(t *testing.T) {
	all := []string{"/d/a/b/c", "/d/a", "/d/ab", "/d/x/y", "/d/x/z", "/d/a/b"}
	if got := topmost(all, func(s string) string { return s }); !slices.Equal(got, []string{"/d/a", "/d/ab", "/d/x/y", "/d/x/z"}) {
		t.Errorf("%v", got)
	}
}

// TestSumLine: lines are as md5sum writes them.
func TestSumLine(t *testing.T) {
	for name, want := range map[string]string{"a b": "01  a b", `a\b`: `\01  a\\b`, "a\nb": `\01  a\nb`} {
		if got := sumLine([]byte{1}, name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}

// TestDeleteNothing: a folder that could not be read as a whole deletes nothing of what was stored of it.
func TestDeleteNothing(t *testing.T) {
	var stderr bytes.Buffer
	s := &sender{a: &app{env: Env{Stderr: &stderr}}, job: &fileJob{}} // without files: whoever asks for some panics
	s.walk(t.Context(), filepath.Join(t.TempDir(), "none"), "/d", 0)
	if err := s.removeOthers(t.Context(), "/d"); err != nil || !strings.Contains(stderr.String(), "nothing is deleted") {
		t.Errorf("%v, %s", err, stderr.String())
	}
}
