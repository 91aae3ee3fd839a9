package process

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"viewring/tests/harness"
)

// statusJSON is a part of what query_servers --json says.
type statusJSON struct {
	Safety  struct{ Safe bool }
	Servers []struct {
		ID, State, Zone string
		Heard           bool
		Weight          int
	}
	Problems []struct{ Server, Problem string }
}

func statusOf(t *testing.T, s *harness.Shell, flags ...string) (st statusJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.OK(append([]string{"query_servers", "--json"}, flags...)...)), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// After a cold start of everything the status tells what was heard from what the view leader remembers,
// and a server has the place that it was given last.
func TestColdStart(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	leader := func() *harness.Daemon {
		d := s.Start("viewleader", "--listen", s.Leader, "--data", "leader")
		d.Stderr.Wait(t, "view leader is up", d.Done)
		return d
	}
	addrs := harness.FreeAddrs(t, 3)
	server := func(i int, flags ...string) *harness.Daemon {
		d := s.Start(append([]string{"server", "--listen", addrs[i], "--data", fmt.Sprint("s", i+1)}, flags...)...)
		d.Stderr.Wait(t, "joined the cluster", d.Done)
		return d
	}
	all := []*harness.Daemon{leader()}
	for i := range 3 {
		all = append(all, server(i, "--zone", string(rune('a'+i)), "--weight", fmt.Sprint(2-i%2)))
	}
	safe := func() bool { return strings.Contains(s.OK("query_servers"), "safe: all") }
	harness.Eventually(t, "the cluster has all copies", safe)
	for _, args := range [][]string{{"set-weight", "s2", "3"}, {"set-zone", "s3", "d"}} {
		s.Fails(4, "--yes does it", args...)
		s.OK(append(args, "--yes")...)
	}
	harness.Eventually(t, "the cluster has all copies by weight", safe)
	guard := s.Start("lock_get", "deploy", "alice", "--", "sleep", "1000")
	harness.Eventually(t, "the lock is held", func() bool { return strings.Contains(s.OK("locks"), "deploy") })
	for _, d := range append(all, guard) {
		_ = d.Cmd.Process.Kill() // it may have ended
		<-d.Done
	}
	leader()
	text := s.OK("query_servers")
	if strings.Contains(text, "safe: all") || !strings.Contains(text, "not known: 3 of the 3 servers") || !strings.Contains(text, "up when last heard of") {
		t.Errorf("with no server there: %s", text)
	}
	if st := statusOf(t, s); st.Safety.Safe || st.Servers[0].Heard {
		t.Errorf("with no server there: %+v", st)
	}
	if text := s.OK("locks"); !strings.Contains(text, "not heard of yet") {
		t.Errorf("a lock whose holder was not heard of: %s", text)
	}
	server(0, "--zone", "a", "--weight", "2") // as before, and so are those that say nothing
	server(1)
	server(2, "--zone", "c", "--weight", "4") // the zone as before, the weight not
	harness.Eventually(t, "the cluster has all copies again", safe)
	for i, m := range statusOf(t, s).Servers {
		zone, weight := []string{"a", "b", "d"}[i], []int{2, 3, 4}[i]
		if m.Zone != zone || m.Weight != weight || !m.Heard {
			t.Errorf("%s is in zone %q, not %q, of weight %d, not %d; heard: %v", m.ID, m.Zone, zone, m.Weight, weight, m.Heard)
		}
	}
}

// Addresses at which nobody could reach a process are refused, with what to do.
func TestAdvertised(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	refused := map[string]string{
		"10.0.0.1": "say the port too", "::1": "in brackets", "::1:7000": "in brackets", "0.0.0.0:7000": "others can't reach 0.0.0.0", "[::]:7000": "others can't reach ::",
		":7000": "has no host", "localhost:0": "not a port", "localhost:http": "not a port", "localhost:70000": "not a port",
	}
	if _, err := net.LookupHost("nobody.invalid"); err != nil && strings.Contains(err.Error(), "no such host") {
		refused["nobody.invalid:7000"] = "no host is called"
	}
	for addr, want := range refused {
		for _, command := range []string{"server", "viewleader"} {
			s.Fails(2, want, command, "--listen", harness.FreeAddr(t), "--data", command, "--advertise", addr)
		}
	}
	s.Fails(2, "in brackets", "server", "--data", "s1", "--listen", "::1:7000")
}

// A cluster on IPv6 tells its addresses as Redis does: clients that know Redis Cluster find their way.
func TestIPv6(t *testing.T) {
	t.Parallel()
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	probe.Close()
	at := func() string {
		_, port, _ := net.SplitHostPort(harness.FreeAddr(t)) // it has one
		return net.JoinHostPort("::1", port)
	}
	s := harness.NewShell(t, at())
	d := s.Start("viewleader", "--listen", s.Leader, "--data", "leader")
	d.Stderr.Wait(t, "view leader is up", d.Done)
	var addrs []string
	for i := range 3 {
		addrs = append(addrs, at())
		d := s.Start("server", "--listen", addrs[i], "--data", fmt.Sprint("s", i+1))
		d.Stderr.Wait(t, "joined the cluster", d.Done)
	}
	harness.Eventually(t, "the cluster has all copies", func() bool {
		text := s.OK("query_servers")
		return strings.Contains(text, "safe: all") && strings.Contains(text, "; rebalanced")
	})
	s.OK("setr", "greeting", "hello")
	for _, addr := range addrs {
		answer := converse(t, addr, "GET greeting\r\nCLUSTER NODES\r\nCLUSTER SLOTS\r\nCLUSTER SHARDS\r\nQUIT\r\n")
		moved, _, _ := strings.Cut(answer, "\r\n")
		if strings.Contains(answer, "[::1]") || strings.HasPrefix(moved, "-MOVED") && !strings.Contains(moved, " ::1:") || !strings.Contains(answer, " ::1:") {
			t.Errorf("%s answers %.2000s", addr, answer)
		}
		if _, err := exec.LookPath("redis-cli"); err == nil {
			_, port, _ := net.SplitHostPort(addr) // as above
			if r := s.Finish(exec.Command("redis-cli", "-c", "-h", "::1", "-p", port, "GET", "greeting"), ""); strings.TrimSpace(r.Stdout) != "hello" {
				t.Errorf("redis-cli at %s: %s%s", addr, r.Stdout, r.Stderr)
			}
		}
	}
}

// converse sends commands and returns all answers.
func converse(t *testing.T, addr, commands string) string {
	t.Helper()
	nc := dialPlain(t, addr)
	if _, err := io.WriteString(nc, commands); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(nc)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// Long names are cut in errors, wherever they are told.
func TestLongNames(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	d := s.Start("viewleader", "--listen", s.Leader, "--data", "leader", "--min-copies", "1")
	d.Stderr.Wait(t, "view leader is up", d.Done)
	listen := harness.FreeAddr(t)
	server := s.Start("server", "--listen", listen, "--data", "s1")
	server.Stderr.Wait(t, "joined the cluster", server.Done)
	name := strings.Repeat("n", 70_000)
	for _, args := range [][]string{{"getr", name[:60_000]}, {"setr", name, "x"}, {"delr", name[:60_000]}, {name}, {"lock_release", name, "me"}, {"meta", "get", "/" + name},
		{"file", "cat", "/" + name}, {"leave", name}} {
		if r := s.Run("", args...); r.Code == 0 || len(r.Stderr) > 2500 {
			t.Errorf("%.20q: exit %d, %d bytes: %.300s", args, r.Code, len(r.Stderr), r.Stderr)
		}
	}
	for _, command := range []string{name[:60_000], "GET " + name[:60_000] + " more", "CONFIG " + name[:60_000], "CLIENT " + name[:60_000]} {
		if answer := converse(t, listen, command+"\r\nQUIT\r\n"); len(answer) > 2500 || !strings.HasPrefix(answer, "-") {
			t.Errorf("%.20s: %d bytes: %.300s", command, len(answer), answer)
		}
	}
	if n := len(server.Stderr.Text()) + len(d.Stderr.Text()); n > 20_000 {
		t.Errorf("the logs have %d bytes", n)
	}
}

// Whoever says a password in a cluster without one ends with what to do, and the other side says so too.
func TestPasswordOnOneSide(t *testing.T) {
	t.Parallel()
	s, secrets := harness.NewShell(t, harness.FreeAddr(t)), harness.NewSecrets(t)
	leader := s.Start("viewleader", "--listen", s.Leader, "--data", "leader")
	leader.Stderr.Wait(t, "view leader is up", leader.Done)
	server := s.Start("server", "--listen", harness.FreeAddr(t), "--data", "s1", "--password-file", secrets.Password)
	<-server.Done
	if _, code := isOver(server); code != 7 || !strings.Contains(server.Stderr.Text(), "the other side has no password") {
		t.Errorf("exit %d, %s", code, server.Stderr.Text())
	}
	leader.Stderr.Wait(t, "it says a password, and this process has none", leader.Done)
	s.Fails(7, "the other side has no password", "getr", "x", "--password-file", secrets.Password)
}

// A certificate for another address is told by the status and by the log of those who refuse it.
func TestWrongCertificate(t *testing.T) {
	t.Parallel()
	c := &secureCluster{Shell: harness.NewShell(t, harness.FreeAddr(t)), secrets: harness.NewSecrets(t)}
	by := harness.NewAuthority(t)
	c.secrets.Trust(t, by)
	c.secrets.Renew(t, by, 90*24*time.Hour, "localhost", "127.0.0.1")
	c.start(t, "view leader is up", "viewleader", "--listen", c.Leader, "--data", "leader")
	for i := range 2 {
		c.start(t, "joined the cluster", "server", "--listen", harness.FreeAddr(t), "--data", fmt.Sprint("s", i+1))
	}
	wrong := harness.NewSecrets(t)
	wrong.Trust(t, by)
	wrong.Renew(t, by, 90*24*time.Hour, "elsewhere.example")
	third := c.Start(append([]string{"server", "--listen", harness.FreeAddr(t), "--data", "s3"}, wrong.Flags()...)...)
	third.Stderr.Wait(t, "joined the cluster", third.Done)
	c.processes[1].Stderr.Wait(t, "this server can't connect to another one", c.processes[1].Done)
	c.processes[1].Stderr.Wait(t, "cannot validate certificate for 127.0.0.1", c.processes[1].Done)
	third.Stderr.Wait(t, "a login was refused", third.Done)
	harness.Eventually(t, "the status tells", func() bool {
		for _, p := range statusOf(t, c.Shell, c.secrets.Flags()...).Problems {
			if p.Server == "s1" && strings.Contains(p.Problem, "no connection to s3: the other's certificate is not valid") {
				return true
			}
		}
		return false
	})
	if text := c.OK(append([]string{"query_servers"}, c.secrets.Flags()...)...); strings.Contains(text, "0 B/s") || !strings.Contains(text, "s1: no connection to s3") {
		t.Errorf("query_servers: %s", text)
	}
}

// Elections are events.
func TestElectionEvents(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Leaders: 3, Servers: 1, Direct: true})
	var listen []string
	for _, n := range c.Leaders {
		listen = append(listen, n.Addr)
	}
	s := harness.NewShell(t, strings.Join(listen, ","))
	var group struct {
		Members []struct{ Address, Role string }
	}
	if err := json.Unmarshal([]byte(s.OK("viewleaders", "--json")), &group); err != nil {
		t.Fatal(err)
	}
	for _, m := range group.Members {
		for _, n := range c.Leaders {
			if m.Role == "head" && n.Addr == m.Address {
				n.Kill()
			}
		}
	}
	harness.Eventually(t, "events tell the election", func() bool {
		r := s.Run("", "events", "--timeout", "5s")
		return r.Code == 0 && strings.Contains(r.Stdout, "no-head") && strings.Count(r.Stdout, "  head  ") > 1
	})
}
