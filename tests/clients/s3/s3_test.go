package s3

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"viewring/client/file"
	"viewring/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// place is a cluster with fronts, and a key for them.
type place struct {
	cluster    *harness.Cluster
	shell      *harness.Shell
	files      *file.FS
	id, secret string
	flags      []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	c := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	p := &place{cluster: c, shell: harness.NewShell(t, c.Leader.Addr)}
	secret := filepath.Join(p.shell.Dir, "secret")
	if err := os.WriteFile(secret, []byte("what encrypts the keys\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.flags = []string{"--s3-secret-file", secret}
	var key struct {
		KeyID  string `json:"key_id"`
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(p.shell.OK(append([]string{"s3", "key", "add", "--json", "test"}, p.flags...)...)), &key); err != nil {
		t.Fatal(err)
	}
	p.id, p.secret = key.KeyID, key.Secret
	var err error
	if p.files, err = file.Open(t.Context(), c.Options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.files.Close() })
	return p
}

// front starts one, and returns its address.
func (p *place) front(t *testing.T) (addr string, d *harness.Daemon) {
	t.Helper()
	addr = harness.FreeAddr(t)
	d = p.shell.Start(append([]string{"http", "--listen", addr, "--s3-domain", "s3.test"}, p.flags...)...)
	harness.Eventually(t, "the front has found the cluster", func() bool {
		res, err := http.Get("http://" + addr + "/?health")
		if err != nil {
			return false
		}
		_ = res.Body.Close() // nothing of it is read
		return res.StatusCode == http.StatusOK
	})
	return addr, d
}

// random are bytes that nobody can shorten.
func random(seed uint64, n int) []byte {
	b := make([]byte, n+8)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b[:n]
}

// step is an operation that a client tries.
type step struct {
	operation string
	try       func() error
	result    string // "": ok
}

// s3client is a client.
type s3client struct {
	name    string
	program string // that must be installed; "" for none
	slow    bool   // it takes two minutes, for its own start takes seconds
	steps   func(t *testing.T, p *place, addr string) []step
}

var clients = []s3client{
	{name: "minio-go", steps: minioSteps}, {name: "s3cmd", program: "s3cmd", steps: s3cmdSteps}, {name: "rclone", program: "rclone", steps: rcloneSteps},
	{name: "restic", program: "restic", steps: resticSteps}, {name: "aws-cli", program: "aws", slow: true, steps: awsSteps},
}

// page has the table of results; VIEWRING_UPDATE=1 writes it, where all clients are.
const page = "../../../server/s3/README.md"

const tableHead = "| client | operation | result |\n|---|---|---|\n"

// TestClients: each client does what its users expect: the table in server/s3/README.md says what was tried.
func TestClients(t *testing.T) {
	p := newPlace(t)
	addr, _ := p.front(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var table []string
	complete := true
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.program); c.program != "" && err != nil {
				complete = false
				t.Skipf("not tested: %s is not installed", c.program)
			}
			if c.slow && !harness.IsSlow() {
				complete = false
				t.Skip("not tested: it is slow, VIEWRING_SLOW=1 tests it")
			}
			for _, s := range c.steps(t, p, addr) {
				row := fmt.Sprintf("| %s | %s | %s |", c.name, s.operation, cmp.Or(s.result, "ok"))
				if err := s.try(); err != nil {
					t.Errorf("%s: %s: %v", c.name, s.operation, err)
				}
				if table = append(table, row); os.Getenv("VIEWRING_UPDATE") == "" && !strings.Contains(string(text), row) {
					t.Errorf("%s has no row %s (VIEWRING_UPDATE=1 writes it where all clients are)", page, row)
				}
			}
		})
	}
	t.Logf("\n%s%s", tableHead, strings.Join(table, "\n"))
	if os.Getenv("VIEWRING_UPDATE") != "" && complete && !t.Failed() {
		before, rest, _ := strings.Cut(string(text), tableHead)
		for strings.HasPrefix(rest, "|") {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		if err := os.WriteFile(page, []byte(before+tableHead+strings.Join(table, "\n")+"\n"+rest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// program runs programs in a folder.
type program struct {
	t   *testing.T
	dir string
	env []string
}

// newProgram makes a folder with files in it: small, big (more than one part), and tree, which has both.
func newProgram(t *testing.T, env ...string) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir()}
	for _, e := range os.Environ() { // what this machine says of AWS is not for these
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "RCLONE_") && !strings.HasPrefix(strings.ToUpper(e), "HTTP_PROXY=") && !strings.HasPrefix(strings.ToUpper(e), "ALL_PROXY=") {
			p.env = append(p.env, e)
		}
	}
	p.env = append(append(p.env, "HOME="+p.dir, "LC_ALL=C.UTF-8"), env...)
	for name, b := range map[string][]byte{"small": random(1, 3000), "big": random(2, 11<<20+7), "tree/big": random(2, 11<<20+7), "tree/sub dir/ä+x.txt": random(3, 100), "tree/empty": nil} {
		path := filepath.Join(p.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// run runs a program; every text must be in what it says. Words that begin with ! must not be.
func (p *program) run(words []string, texts ...string) error {
	cmd := exec.CommandContext(p.t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%q: %w: %s", words, err, out)
	}
	for _, text := range texts {
		not, negated := strings.CutPrefix(text, "!")
		if strings.Contains(string(out), not) == negated {
			return fmt.Errorf("%q: %q is not as expected: %s", words, text, out)
		}
	}
	return nil
}

// same compares two files of the folder.
func (p *program) same(a, b string) error {
	x, errX := os.ReadFile(filepath.Join(p.dir, a))
	y, errY := os.ReadFile(filepath.Join(p.dir, b))
	if err := errors.Join(errX, errY); err != nil || !bytes.Equal(x, y) {
		return fmt.Errorf("%s and %s differ: %v", a, b, err)
	}
	return nil
}

// all does one after the other, to the first error.
func all(steps ...func() error) func() error {
	return func() error {
		for _, s := range steps {
			if err := s(); err != nil {
				return err
			}
		}
		return nil
	}
}
