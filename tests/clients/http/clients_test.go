package http

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"viewring/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// startFront starts a cluster and a front of it, and returns the front's URL.
func startFront(t *testing.T) string {
	t.Helper()
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	addr := harness.FreeAddr(t)
	harness.NewShell(t, cluster.Leader.Addr).Start("http", "--listen", addr)
	harness.Eventually(t, "the front serves", func() bool {
		res, err := http.Get("http://" + addr + "/?health")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return "http://" + addr
}

// TestClients runs all of them against one front.
func TestClients(t *testing.T) {
	url := startFront(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, url string)
	}{{"curl", testCurl}, {"wget", testWget}, {"rclone", testRclone}, {"mount", testMount}, {"litmus", testLitmus}} {
		t.Run(c.name, func(t *testing.T) { c.run(t, url) })
	}
}

// program skips a test where a program is missing.
func program(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
}

// run runs a program in a folder, and returns its output.
func run(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "RCLONE_CONFIG=/dev/null", "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// write makes a file of n bytes and returns them.
func write(t *testing.T, name string, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b) // never fails
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func same(t *testing.T, name string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, %v", name, len(got), len(want), err)
	}
}

// testCurl: uploads with and without a length, ranges, what goes on where it broke off, conditions, forms.
func testCurl(t *testing.T, url string) {
	program(t, "curl")
	dir := t.TempDir()
	body := write(t, dir+"/big", 5<<20+3)
	run(t, dir, "", "curl", "-sSf", "-T", "big", url+"/curl/")
	run(t, dir, string(body), "curl", "-sSf", "-T", "-", url+"/curl/chunked")
	for _, name := range []string{"big", "chunked"} {
		run(t, dir, "", "curl", "-sSf", "-o", "got", url+"/curl/"+name)
		same(t, dir+"/got", body)
	}
	if out := run(t, dir, "", "curl", "-sSf", "-r", "1048570-1048585", url+"/curl/big"); out != string(body[1048570:1048586]) {
		t.Errorf("a range: %q", out)
	}
	if err := os.WriteFile(dir+"/part", body[:1<<20], 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "", "curl", "-sSf", "-C", "-", "-o", "part", url+"/curl/big")
	same(t, dir+"/part", body)
	run(t, dir, "", "curl", "-sSf", "--etag-save", "tag", "-o", "got", url+"/curl/big")
	if out := run(t, dir, "", "curl", "-sS", "--etag-compare", "tag", "-o", "none", "-w", "%{http_code}", url+"/curl/big"); out != "304" {
		t.Errorf("the same tag: %s", out)
	}
	if out := run(t, dir, "", "curl", "-sS", "-T", "big", "-H", "If-None-Match: *", "-w", "%{http_code}", "-o", "none", url+"/curl/big"); out != "412" {
		t.Errorf("what is there: %s", out)
	}
	run(t, dir, "", "curl", "-sSf", "-F", "file=@big;filename=of a form", url+"/curl/")
	run(t, dir, "", "curl", "-sSf", "-o", "got", url+"/curl/of%20a%20form")
	same(t, dir+"/got", body)
	if out := run(t, dir, "", "curl", "-sSfg", url+"/curl?list"); strings.Count(out, `"bytes":5242883`) != 3 {
		t.Error(out)
	}
	run(t, dir, "", "curl", "-sSf", "-X", "DELETE", url+"/curl/big")
	if out := run(t, dir, "", "curl", "-sS", "-o", "none", "-w", "%{http_code}", url+"/curl/big"); out != "404" {
		t.Errorf("what is removed: %s", out)
	}
}

// testWget: a download that goes on where it broke off, and one of what is newer only.
func testWget(t *testing.T, url string) {
	program(t, "wget")
	dir := t.TempDir()
	body := write(t, dir+"/src/file", 3<<20+1)
	req, err := http.NewRequest("PUT", url+"/wget/file", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 201 {
		t.Fatal(res, err)
	}
	if err := os.WriteFile(dir+"/file", body[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, dir, "", "wget", "-c", url+"/wget/file"); !strings.Contains(out, "206 Partial Content") {
		t.Error(out)
	}
	same(t, dir+"/file", body)
	if out := run(t, dir, "", "wget", "-N", url+"/wget/file"); !strings.Contains(out, "304 Not Modified") {
		t.Error(out)
	}
	run(t, dir, "", "wget", "-q", "-r", "-np", "-nH", "-P", "mirror", url+"/wget/")
	same(t, dir+"/mirror/wget/file", body)
}

// remote is the front for rclone.
func remote(url string) string { return ":webdav,url='" + url + "',vendor=other:" }

// testRclone: a tree is copied, compared, made the same, moved and removed, through WebDAV.
func testRclone(t *testing.T, url string) {
	program(t, "rclone")
	dir := t.TempDir()
	for i, n := range []int{0, 1, 5000, 2<<20 + 1} {
		write(t, fmt.Sprintf("%s/src/a %d/ü%d.bin", dir, i%2, i), n)
	}
	to := remote(url) + "tree"
	run(t, dir, "", "rclone", "copy", "src", to)
	run(t, dir, "", "rclone", "check", "--download", "src", to)
	write(t, dir+"/src/new/file", 10)
	if err := os.Remove(dir + "/src/a 0/ü0.bin"); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "", "rclone", "sync", "--size-only", "src", to)
	run(t, dir, "", "rclone", "check", "--download", "src", to)
	run(t, dir, "", "rclone", "moveto", to+"/new/file", to+"/a 0/moved")
	run(t, dir, "", "rclone", "moveto", to+"/a 1", to+"/b")
	if out := run(t, dir, "", "rclone", "lsf", "-R", to); strings.TrimSpace(out) == "" || !strings.Contains(out, "b/ü3.bin") || !strings.Contains(out, "a 0/moved") || strings.Contains(out, "a 1") {
		t.Error(out)
	}
	run(t, dir, "", "rclone", "purge", to)
	if out := run(t, dir, "", "rclone", "lsf", "-R", remote(url)); strings.Contains(out, "tree") {
		t.Error(out)
	}
}

// testMount: the files as a folder, by rclone mount.
func testMount(t *testing.T, url string) {
	program(t, "rclone")
	program(t, "fusermount3")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no /dev/fuse")
	}
	dir := t.TempDir()
	at := filepath.Join(dir, "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rclone", "mount", "--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--dir-cache-time", "0s", "--cache-dir", filepath.Join(dir, "cache"), remote(url), at)
	cmd.Env = append(os.Environ(), "RCLONE_CONFIG=/dev/null")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its end is what the test waits for
		close(ended)
	}()
	defer func() {
		_ = exec.Command("fusermount3", "-uz", at).Run() // rclone ends by it, or by the signal
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	}()
	isUp := func() bool {
		mounts, _ := os.ReadFile("/proc/self/mounts")
		return strings.Contains(string(mounts), at)
	}
	harness.Eventually(t, "the folder is mounted", func() bool {
		select {
		case <-ended:
			return true
		default:
			return isUp()
		}
	})
	if !isUp() {
		t.Skipf("rclone can't mount here: %s", said.String())
	}
	body := write(t, at+"/mounted/file", 1<<20)
	harness.Eventually(t, "the file is there", func() bool {
		res, err := http.Get(url + "/mounted/file")
		if err != nil {
			return false
		}
		var got bytes.Buffer
		_, err = got.ReadFrom(res.Body)
		return res.Body.Close() == nil && err == nil && bytes.Equal(got.Bytes(), body)
	})
	same(t, at+"/mounted/file", body)
	if err := os.Rename(at+"/mounted/file", at+"/mounted/renamed"); err != nil {
		t.Error(err)
	}
	same(t, at+"/mounted/renamed", body)
	if err := os.RemoveAll(at + "/mounted"); err != nil {
		t.Error(err)
	}
}

// litmusFails are the tests of litmus that fail, or need one that does, each with the reason.
var litmusFails = map[string]string{
	"props/propfind_invalid2": "encoding/xml takes a prefix that is declared to be of no namespace",
	"locks/lock_shared":       "locks are exclusive",
}

var litmusLine = regexp.MustCompile(`(?m)^-> running .(\w+)'|^\s*\d+\. (\w+)\.*\s.*?(pass|FAIL|SKIPPED|WARNING)`)

// testLitmus: litmus passes, but for what is known.
func testLitmus(t *testing.T, url string) {
	program(t, "litmus")
	cmd := exec.CommandContext(t.Context(), "litmus", "-k", url)
	cmd.Dir = t.TempDir()
	out, _ := cmd.CombinedOutput() // it fails where a test does
	suite, passed := "", 0
	var failed []string
	for _, m := range litmusLine.FindAllStringSubmatch(string(out), -1) {
		name := suite + "/" + m[2]
		switch {
		case m[1] != "":
			suite = m[1]
		case m[3] == "pass":
			passed++
		case m[3] == "FAIL":
			failed = append(failed, name)
			if litmusFails[name] == "" {
				t.Errorf("%s fails", name)
			}
		}
	}
	for name := range litmusFails {
		if !slices.Contains(failed, name) {
			t.Errorf("%s passes", name)
		}
	}
	if passed < 85 {
		t.Errorf("only %d pass", passed)
	}
	t.Logf("%d pass, %d fail: %v", passed, len(failed), failed)
	if t.Failed() {
		t.Logf("%s", out)
	}
}
