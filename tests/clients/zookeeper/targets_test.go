package zookeeper

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// patience bounds every wait for something that should come soon.
const patience = time.Minute

// target is what clients talk to.
type target struct {
	title string
	addr  string
}

// targets are viewring, and ZooKeeper where it is installed.
func targets(t *testing.T) []target {
	t.Helper()
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	all := []target{{"viewring", startFront(t, harness.NewShell(t, cluster.Leader.Addr)).addr}}
	if addr := startZooKeeper(t); addr != "" {
		all = append(all, target{"ZooKeeper", addr})
	}
	return all
}

// front is a process that speaks ZooKeeper's protocol for a cluster.
type front struct {
	addr string
	*harness.Daemon
}

func startFront(t *testing.T, s *harness.Shell) front {
	t.Helper()
	f := front{addr: harness.FreeAddr(t)}
	f.Daemon = s.Start("zk", "--listen", f.addr)
	harness.Eventually(t, "the front listens", func() bool {
		select {
		case <-f.Done:
			t.Fatalf("the front has ended: %s", f.Stderr.Text())
		default:
		}
		return dials(f.addr)
	})
	return f
}

func (f front) kill() {
	_ = f.Cmd.Process.Kill() // it may have ended
	<-f.Done
}

func dials(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// zooKeeperJar is ZooKeeper as Debian's package zookeeper has it; it names the others that
// it needs.
const zooKeeperJar = "/usr/share/java/zookeeper.jar"

// hasZooKeeper says what is missing to run ZooKeeper's programs.
func hasZooKeeper() error {
	if _, err := exec.LookPath("java"); err != nil {
		return err
	}
	if _, err := os.Stat(zooKeeperJar); err != nil {
		return fmt.Errorf("%w (Debian's package zookeeper has it)", err)
	}
	return nil
}

// zooKeeper is one server of it.
type zooKeeper struct {
	t      *testing.T
	config string
	cmd    *exec.Cmd
	out    *harness.Lines
	ended  <-chan struct{}
}

// newZooKeeper is one that listens at addr; more is of its configuration.
func newZooKeeper(t *testing.T, addr, more, myid string) *zooKeeper {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	z := &zooKeeper{t: t, config: filepath.Join(dir, "zoo.cfg")}
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\nadmin.enableServer=false\n4lw.commands.whitelist=*\nextendedTypesEnabled=true\nmaxClientCnxns=0\n%s",
		dir, port, host, more)
	if err := errors.Join(os.WriteFile(z.config, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "myid"), []byte(myid), 0o644)); err != nil {
		t.Fatal(err)
	}
	return z
}

func (z *zooKeeper) start() {
	z.t.Helper()
	z.cmd = exec.Command("java", "-cp", zooKeeperJar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", z.config)
	z.out = harness.NewLines()
	z.cmd.Stdout, z.cmd.Stderr = z.out, z.out
	z.ended = begin(z.t, z.cmd)
}

func (z *zooKeeper) kill() {
	_ = z.cmd.Process.Kill() // it may have ended
	<-z.ended
}

// serves says whether a server answers clients: of an ensemble, one that is a part of it.
func serves(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second)) // what fails answers nothing
	_, _ = io.WriteString(c, "srvr")
	answer, _ := io.ReadAll(c)
	return strings.Contains(string(answer), "Mode: ")
}

// waitFor waits until it serves clients at an address.
func (z *zooKeeper) waitFor(addr string) {
	z.t.Helper()
	harness.Eventually(z.t, "ZooKeeper listens", func() bool {
		select {
		case <-z.ended:
			z.t.Fatalf("ZooKeeper has ended: %s", z.out.Text())
		default:
		}
		return serves(addr)
	})
}

// startZooKeeper starts one server of ZooKeeper, and returns where it listens.
func startZooKeeper(t *testing.T) string {
	t.Helper()
	if err := hasZooKeeper(); err != nil {
		t.Logf("ZooKeeper itself is not run: %v", err)
		return ""
	}
	addr := harness.FreeAddr(t)
	z := newZooKeeper(t, addr, "", "1")
	z.start()
	z.waitFor(addr)
	return addr
}

// startEnsemble starts three servers of ZooKeeper that make one.
func startEnsemble(t *testing.T) (addrs []string, servers []*zooKeeper) {
	t.Helper()
	addrs = harness.FreeAddrs(t, 3)
	more := "initLimit=10\nsyncLimit=5\n"
	for i := range addrs {
		_, election, err := net.SplitHostPort(harness.FreeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		more += fmt.Sprintf("server.%d=%s:%s\n", i+1, harness.FreeAddr(t), election)
	}
	for i, addr := range addrs {
		servers = append(servers, newZooKeeper(t, addr, more, fmt.Sprint(i+1)))
		servers[i].start()
	}
	for i, s := range servers {
		s.waitFor(addrs[i])
	}
	return addrs, servers
}

// begin starts a program that the test's end kills; the channel is closed when it has ended.
func begin(t *testing.T, cmd *exec.Cmd) <-chan struct{} {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	})
	return ended
}

// talk is a program that is told a line at a time.
type talk struct {
	in    interface{ Write([]byte) (int, error) }
	out   *harness.Lines
	ended <-chan struct{}
	read  int // so much of out was looked at
}

func startTalk(t *testing.T, cmd *exec.Cmd) *talk {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	k := &talk{in: in, out: harness.NewLines()}
	cmd.Stdout, cmd.Stderr = k.out, k.out
	k.ended = begin(t, cmd)
	return k
}

func (k *talk) say(lines ...string) {
	for _, line := range lines {
		_, _ = fmt.Fprintln(k.in, line) // hears waits for an answer
	}
}

// hears waits for texts in the output, in this order, and returns what came before the end
// of the last; other says that the answer is another one, as is known.
func (k *talk) hears(other string, texts ...string) (string, error) {
	from := k.read
	known := func(said string) error {
		if other != "" && strings.Contains(said, other) {
			return errDiffers
		}
		if slices.ContainsFunc(refusals, func(r string) bool { return strings.Contains(said, r) }) {
			return errRefused
		}
		return nil
	}
	for _, text := range texts {
		if err := k.await(text, func(all string) error { return known(all[from:]) }); err != nil {
			return "", fmt.Errorf("%w: %.600q", err, k.out.Text()[from:])
		}
	}
	return k.out.Text()[from:k.read], nil
}

// await waits for a text; ends says by the whole output that it won't come.
func (k *talk) await(text string, ends func(all string) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for gone := false; ; {
		all := k.out.Text()
		if i := strings.Index(all[k.read:], text); i >= 0 {
			k.read += i + len(text)
			return nil
		}
		if err := ends(all); err != nil {
			return err
		}
		if gone {
			return fmt.Errorf("ended without %q", text)
		}
		select {
		case <-tick.C:
		case <-k.ended:
			gone = true
		case <-over:
			return fmt.Errorf("never said %q", text)
		}
	}
}

var (
	// errRefused is of what a server does not serve, and says so: UNIMPLEMENTED, -6.
	errRefused = errors.New("refused")
	// errDiffers is of what it does otherwise than ZooKeeper, as is known.
	errDiffers = errors.New("differs")
)

// refusals are how programs say that they were refused.
var refusals = []string{"Unimplemented", "rc = -6\n", "Error -6 ", "Failed to delete some node(s) in the subtree"}
