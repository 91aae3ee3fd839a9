package clients

import (
	"cmp"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"viewring/tests/harness"
)

// openCLI is redis-cli -c, one process a command.
func openCLI(t *testing.T, s *harness.Shell, addr string) []driver {
	t.Helper()
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Log("redis-cli is not tested: there is none (Debian's package redis-tools has it)")
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return []driver{newCLI(s, func() []string { return []string{"-h", host, "-p", port} })}
}

// newCLI is one that is told where to connect, and how, for each command.
func newCLI(s *harness.Shell, how func() []string) *cli {
	run := func(stdin string) (string, error) {
		r := s.Finish(exec.Command("redis-cli", append([]string{"-c", "-e"}, how()...)...), stdin)
		if r.Code != 0 {
			return "", fmt.Errorf("redis-cli: exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		return r.Stdout, nil
	}
	words := strings.Fields(s.Finish(exec.Command("redis-cli", "--version"), "").Stdout)
	return &cli{ask: run, title: "redis-cli -c " + words[len(words)-1], stop: make(chan struct{}), ended: make(chan struct{}), acked: map[string]string{}}
}

type cli struct {
	title       string
	ask         func(stdin string) (string, error)
	pace        pace
	stop, ended chan struct{}
	acked       map[string]string
	result      outcome
}

func (c *cli) name() string { return c.title }

func (c *cli) wants(stdin, want string) error {
	out, err := c.ask(stdin)
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "-> Redirected") {
			lines = append(lines, line)
		}
	}
	out = strings.Join(lines, "")
	if got := strings.Join(strings.Fields(out), " "); err == nil && got != want {
		err = fmt.Errorf("%q: %q, want %q", stdin, got, want)
	}
	return err
}

func (c *cli) run(_ *testing.T, check string) error {
	switch check {
	case "basic":
		return c.wants("SET cli/b hello\nGET cli/b\nAPPEND cli/b !\nDEL cli/b\nGET cli/b\nINCRBY cli/b 7\nMSET {cli}a 1 {cli}b 2\nMGET {cli}a {cli}b\n", "OK hello 6 1 7 OK 1 2")
	case "ttl":
		return c.wants("SET cli/t v PX 60000\nTTL cli/t\nPERSIST cli/t\nTTL cli/t\n", "OK 60 1 -1")
	case "multi":
		return c.wants("GET {cli/m}a\nMULTI\nSET {cli/m}a 1\nINCR {cli/m}a\nEXEC\n", "OK QUEUED QUEUED OK 2")
	}
	var in, want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&in, "SET cli/%s/%d %d\nGET cli/%s/%d\n", check, i, i, check, i)
		fmt.Fprintf(&want, "OK %d ", i)
	}
	return c.wants(in.String(), strings.TrimSpace(want.String()))
}

func (c *cli) load() error {
	go func() {
		defer close(c.ended)
		tick := time.NewTicker(cmp.Or(c.pace.every, time.Millisecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			at := i
			if c.pace.keys > 0 {
				at %= c.pace.keys
			}
			key, value := fmt.Sprintf("cli/load/%d", at), fmt.Sprint(i)
			began := time.Now()
			if err := c.wants("SET "+key+" "+value+"\n", "OK"); err != nil {
				delete(c.acked, key) // nobody knows
				c.result.Errors++
				c.result.Last = strings.TrimSpace(err.Error())
				if c.pace.fail != nil {
					c.pace.fail(err)
				}
			} else {
				c.acked[key] = value
				c.result.Acked++
			}
			c.result.Longest = max(c.result.Longest, int(time.Since(began).Milliseconds()))
		}
	}()
	return nil
}

func (c *cli) finish() (outcome, error) {
	close(c.stop)
	<-c.ended
	for key, value := range c.acked {
		if err := c.wants("GET "+key+"\n", value); err != nil {
			c.result.Lost++
			c.result.Last = err.Error()
		}
	}
	return c.result, nil
}

// benchmark runs redis-benchmark --cluster, as people do who try a cluster.
func benchmark(t *testing.T, s *harness.Shell, addr string) {
	t.Helper()
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		t.Log("redis-benchmark is not tested: there is none")
		return
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, pipeline := range []string{"1", "16"} {
		r := s.Finish(exec.Command("timeout", "60", "redis-benchmark", "--cluster", "-h", host, "-p", port, "-t", "set,get,incr", "-n", "3000", "-c", "16", "-P", pipeline, "-r", "1000", "--csv"), "")
		if r.Code != 0 || !strings.Contains(r.Stdout, `"INCR"`) || strings.Contains(r.Stdout+r.Stderr, "rror") {
			t.Errorf("redis-benchmark --cluster -P %s: exit %d\n%s%s", pipeline, r.Code, r.Stdout, r.Stderr)
		}
	}
}
