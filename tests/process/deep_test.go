package process

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"viewring/tests/damage"
	"viewring/tests/harness"
)

// damaged flips bits of a text where it stands in the files of a cluster for the first time.
func damaged(t *testing.T, dir, text string) {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || found || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if at := bytes.Index(b, []byte(text)); err == nil && at >= 0 {
			damage.At(t, path, int64(at))
			found = true
		}
		return err
	})
	if err != nil || !found {
		t.Fatalf("%q is nowhere in %s: %v", text, dir, err)
	}
}

// testDeep damages a copy of a chunk, and one of an entry, on a disk while the servers run: file verify --deep finds them, has them
// repaired, and tells.
func testDeep(t *testing.T, s *harness.Shell) {
	long := strings.Repeat("-", 1<<20) + "A MARK IN A CHUNK" + strings.Repeat("+", 1<<20)
	for path, text := range map[string]string{"/deep/long": long, "/deep/short": "A MARK IN AN ENTRY"} {
		if r := s.Run(text, "file", "put", "-p", "-", path); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	var o struct {
		Files, Copies, Repaired int
		Pieces                  []struct {
			Chunk  int
			Copies []struct{ Server, State, Version, Sum string }
		}
		Servers []struct {
			Stored int64 `json:"stored_bytes"`
			Free   int64 `json:"free_bytes"`
		}
		Bytes int
	}
	verify := func(repaired int) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.OK("file", "verify", "--deep", "--json", "/deep")), &o); err != nil || o.Files != 2 || o.Copies != 3*(1+3+1) || o.Repaired != repaired {
			t.Errorf("verified: %+v, %v, want %d repaired", o, err, repaired)
		}
	}
	verify(0)
	for _, text := range []string{"A MARK IN A CHUNK", "A MARK IN AN ENTRY"} {
		damaged(t, filepath.Join(s.Dir, "cluster"), text)
		verify(1)
		verify(0)
	}
	if err := json.Unmarshal([]byte(s.OK("file", "stat", "--chunks", "--json", "/deep/long")), &o); err != nil || len(o.Pieces) != 4 || o.Pieces[0].Chunk != -1 {
		t.Errorf("stat: %+v, %v", o, err)
	}
	for _, p := range o.Pieces {
		for _, c := range p.Copies {
			if len(p.Copies) != 3 || c != (struct{ Server, State, Version, Sum string }{c.Server, "ok", p.Copies[0].Version, p.Copies[0].Sum}) {
				t.Errorf("%+v", p)
			}
		}
	}
	if got := s.OK("file", "stat", "--chunks", "/deep/long"); strings.Count(got, "\n") < 4*3 || !strings.Contains(got, "XXHASH64") {
		t.Errorf("stat: %s", got)
	}
	if err := json.Unmarshal([]byte(s.OK("file", "df", "--json", "/deep")), &o); err != nil || o.Files != 2 || o.Bytes != len(long)+18 || len(o.Servers) != 3 || o.Servers[0].Free == 0 || o.Servers[0].Stored < int64(len(long)) {
		t.Errorf("df: %+v, %v", o, err)
	}
	if got := s.OK("file", "df"); !strings.Contains(got, "s3 ") || !strings.Contains(got, "FREE") {
		t.Errorf("df: %s", got)
	}
	s.Fails(1, "does not exist", "file", "df", "/none")
	s.Fails(1, "does not exist", "file", "verify", "--deep", "/none")
	s.OK("file", "rm", "-r", "/deep")
}
