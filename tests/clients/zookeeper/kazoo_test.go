package zookeeper

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// kazooClient is kazoo, Python's client: python/features.py runs it.
var kazooClient = zkClient{name: "kazoo", run: runKazoo, missing: func() error { _, err := python(); return err }}

// python finds an interpreter that has kazoo.
func python() (string, error) {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import kazoo.client").Run() == nil {
			return name, nil
		}
	}
	return "", errors.New("no python3 has kazoo (Debian's package python3-kazoo)")
}

// toldLine is a line that a program below python/ or java/ prints.
type toldLine struct {
	Client, Feature, Result, Why string
}

func runKazoo(t *testing.T, addr string) (version string, results []result) {
	t.Helper()
	python, err := python()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "python/features.py", addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	version, results, failed := toldResults(out)
	if failed != nil || len(results) == 0 {
		t.Fatalf("features.py: %v, %v: %s", err, failed, out)
	}
	return version, results
}

// toldResults reads what a program prints of a client and its features.
func toldResults(out []byte) (version string, results []result, err error) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var l toldLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return "", nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if l.Client != "" {
			version = l.Client
			continue
		}
		var came error
		switch l.Result {
		case "ok":
		case "refused":
			came = fmt.Errorf("%w: %s", errRefused, l.Why)
		case "differs":
			came = fmt.Errorf("%w: %s", errDiffers, l.Why)
		default:
			came = errors.New(l.Why)
		}
		r := result{feature: strings.ReplaceAll(l.Feature, "_", " ")}
		r.outcome, r.why = outcomeOf(came)
		results = append(results, r)
	}
	return version, results, lines.Err()
}
