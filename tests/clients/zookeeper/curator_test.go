package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// curatorClient is Curator, whose recipes java/Features.java tries.
var curatorClient = zkClient{name: "Curator", run: runCurator, missing: func() error {
	_, err := curatorJars()
	return err
}}

// curatorJars are Curator and what it needs, as Debian has them.
func curatorJars() (path string, err error) {
	for _, program := range []string{"javac", "java"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%w (Debian's package default-jdk-headless has it)", err)
		}
	}
	var jars []string
	for _, name := range []string{"curator-recipes", "curator-framework", "curator-client", "guava", "slf4j-api", "slf4j-nop"} {
		jar := "/usr/share/java/" + name + ".jar"
		if _, err := os.Stat(jar); err != nil {
			return "", fmt.Errorf("%w (Debian's package libcurator-recipes-java has it)", err)
		}
		jars = append(jars, jar)
	}
	return strings.Join(append(jars, zooKeeperJar), ":"), hasZooKeeper()
}

func runCurator(t *testing.T, addr string) (version string, results []result) {
	t.Helper()
	jars, err := curatorJars()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	classes := t.TempDir()
	if out, err := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", jars, "-d", classes, "java/Features.java").CombinedOutput(); err != nil {
		t.Fatalf("javac: %v: %s", err, out)
	}
	if named, _ := filepath.Glob("/usr/share/java/curator-recipes-*.jar"); len(named) > 0 { // its other name has the version
		version = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(named[0]), "curator-recipes-"), ".jar")
	}
	cmd := exec.CommandContext(ctx, "java", "-cp", classes+":"+jars, "Features", addr, version)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	version, results, failed := toldResults(out)
	if err := errors.Join(err, failed); err != nil || len(results) == 0 {
		t.Fatalf("Features: %v: %s", err, out)
	}
	return version, results
}
