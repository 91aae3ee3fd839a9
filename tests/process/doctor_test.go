package process

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"viewring/tests/harness"
)

// finds waits until doctor says all of these texts.
func finds(t *testing.T, s *harness.Shell, texts ...string) {
	t.Helper()
	var r harness.Result
	harness.Eventually(t, "doctor says "+strings.Join(texts, ", "), func() bool {
		r = s.Run("", "doctor")
		for _, text := range texts {
			if !strings.Contains(strings.Join(strings.Fields(r.Stdout), " "), text) {
				return false
			}
		}
		return r.Code == 1 && strings.Contains(r.Stderr, "finding")
	})
}

// TestDoctor: of a healthy cluster nothing is said; of view leaders and servers that are down, drained, cut off or short of
// descriptors what is wrong, and what to do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 3, Leaders: 3, LeaderFlags: []string{"--partitions", "64"}})
	var leaders []string
	for _, n := range c.Leaders {
		leaders = append(leaders, n.Addr)
	}
	s := harness.NewShell(t, strings.Join(leaders, ","))
	harness.Eventually(t, "nothing is wrong", func() bool {
		r := s.Run("", "doctor")
		slow := strings.Count(r.Stdout, "a write took") // a busy machine has slow disks
		return strings.Contains(r.Stdout, "3 view leaders, 3 servers, 64 partitions: nothing wrong") ||
			slow > 0 && strings.Contains(r.Stderr, "viewring: "+strconv.Itoa(slow)+" finding")
	})
	a, b := c.Servers[0], c.Servers[1]
	c.Net.Refuse(harness.Names(a), harness.Names(b))
	finds(t, s, "connections: "+a.ID().String()+": can't connect to "+b.ID().String())
	c.Net.Heal()
	s.OK("wait", "--safe", "--timeout", "2m")
	s.OK("drain", a.ID().String())
	finds(t, s, "servers: "+a.ID().String()+": drained", "viewring undrain")
	a.Kill()
	c.Leaders[2].Kill()
	finds(t, s, "drained, and down", "copies: cluster: 64 of 64 partitions have fewer than 3 copies", "view leaders: view leader", "down, at")
	var o struct {
		Version, Exit, Servers, ViewLeaders int
		Error                               string
		Findings                            []struct{ Area, About, What, Advice string }
	}
	r := s.Run("", "doctor", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &o); err != nil || o.Version != 1 || o.Exit != 1 || o.Servers != 2 || o.ViewLeaders != 3 || len(o.Findings) < 3 || o.Findings[0].Advice == "" {
		t.Errorf("%s: %+v, %v", r.Stdout, o, err)
	}
	c.Leaders[1].Kill()
	finds(t, s, "there is no head: 1 of the 2")
	c.Leaders[0].Kill()
	finds(t, s, "no view leader answers")
}

// TestDoctorLimits: a server with few descriptors.
func TestDoctorLimits(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	s.Fails(3, "unreachable", "doctor", "--timeout", "5s")
	s.Start("viewleader", "--listen", s.Leader, "--data", "leader", "--partitions", "64")
	d := s.StartWithin(256, "server", "--listen", harness.FreeAddr(t), "--data", "s1")
	d.Stderr.Wait(t, "joined the cluster", d.Done)
	finds(t, s, "limits: s1: the system lets it have 256 file descriptors", "LimitNOFILE")
}

// TestDoctorCertificates: one that expires soon, and one for other names.
func TestDoctorCertificates(t *testing.T) {
	t.Parallel()
	secrets, by := harness.NewSecrets(t), harness.NewAuthority(t)
	secrets.Trust(t, by)
	secrets.Renew(t, by, 10*24*time.Hour, "localhost", "127.0.0.1")
	s := harness.NewShell(t, harness.FreeAddr(t))
	flags := secrets.Flags()
	with := func(args ...string) []string { return append(args, flags...) }
	s.Start(with("viewleader", "--listen", s.Leader, "--data", "leader", "--partitions", "64")...)
	d := s.Start(with("server", "--listen", harness.FreeAddr(t), "--data", "s1")...)
	d.Stderr.Wait(t, "joined the cluster", d.Done)
	said := func(text string) func() bool {
		return func() bool {
			return strings.Contains(strings.Join(strings.Fields(s.Run("", with("doctor")...).Stdout), " "), text)
		}
	}
	harness.Eventually(t, "certificates that expire are found", said("certificates: s1: its certificate expires in 9 days"))
	harness.Eventually(t, "that of the view leader too", said("certificates: view leader 1: its certificate expires in 9 days"))
	other := *secrets
	other.Cert, other.Key = s.Dir+"/cert.pem", s.Dir+"/key.pem"
	other.Renew(t, by, 90*24*time.Hour, "elsewhere.example")
	d = s.Start("server", "--listen", harness.FreeAddr(t), "--data", "s2", "--tls-cert", other.Cert, "--tls-key", other.Key, "--tls-ca", secrets.CA, "--password-file", secrets.Password)
	d.Stderr.Wait(t, "joined the cluster", d.Done)
	harness.Eventually(t, "a wrong name is found", said("it wants that among its names"))
}
