package clients

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"viewring/tests/harness"
)

// node is a client library for node, in a process of its own.
type node struct {
	title string
	in    io.Writer
	out   *bufio.Scanner
}

// npm installs the libraries of npm, if they are wanted and there is npm.
func npm(t *testing.T) bool {
	t.Helper()
	if !harness.IsSlow() {
		t.Log("VIEWRING_SLOW=1 tests npm's clients too")
		return false
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("npm's clients are not tested: there is no %s", program)
			return false
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	install.Dir = "node"
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("npm's clients are not tested: npm ci: %v\n%s", err, out)
		return false
	}
	return true
}

func openNode(t *testing.T, addrs []string) []driver {
	t.Helper()
	if !npm(t) {
		return nil
	}
	return []driver{startNode(t, "ioredis", addrs), startNode(t, "redis", addrs)}
}

// startNode starts the driver of a library; env says how to connect.
func startNode(t *testing.T, library string, addrs []string, env ...string) *node {
	t.Helper()
	cmd := exec.Command("node", append([]string{"driver.mjs", library}, addrs...)...)
	cmd.Dir, cmd.Stderr, cmd.Env = "node", os.Stderr, append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in := startTalking(t, cmd)
	n := &node{in: in, out: bufio.NewScanner(out)}
	var hello struct{ Version string }
	if err := n.answer(&hello); err != nil {
		t.Fatalf("%s: %v", library, err)
	}
	n.title = map[string]string{"ioredis": "ioredis", "redis": "node-redis"}[library] + " " + hello.Version + " (npm)"
	return n
}

func (n *node) name() string { return n.title }

// answer reads a line.
func (n *node) answer(into any) error {
	if !n.out.Scan() {
		return errors.Join(io.ErrUnexpectedEOF, n.out.Err())
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(n.out.Bytes(), &failed); err != nil {
		return err
	}
	if failed.Error != "" {
		return errors.New(failed.Error)
	}
	return json.Unmarshal(n.out.Bytes(), into)
}

func (n *node) ask(command string, into any) error {
	if _, err := fmt.Fprintln(n.in, command); err != nil {
		return err
	}
	return n.answer(into)
}

func (n *node) run(_ *testing.T, check string) error { return n.ask(check, &struct{}{}) }
func (n *node) load() error                          { return n.ask("load", &struct{}{}) }

func (n *node) finish() (o outcome, err error) {
	err = n.ask("finish", &o)
	return o, err
}

// startTalking starts a program that is talked to, until the test ends.
func startTalking(t *testing.T, cmd *exec.Cmd) (in io.Writer) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return in
}
