package process

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"viewring/server/zk/jute"
	"viewring/tests/harness"
)

// zkAsk sends a message of ZooKeeper's protocol and returns the next.
func zkAsk(t *testing.T, c net.Conn, message []byte) []byte {
	t.Helper()
	if _, err := c.Write(jute.AppendBytes(nil, message)); err != nil {
		t.Fatal(err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// A ZooKeeper front, alone or in a server, with TLS and a password or without, has the nodes of
// the tree of paths.
func TestZooKeeper(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { testZooKeeper(t, nil) })
	t.Run("encrypted", func(t *testing.T) { testZooKeeper(t, harness.NewSecrets(t)) })
}

func testZooKeeper(t *testing.T, secrets *harness.Secrets) {
	var flags []string
	if secrets != nil {
		flags = secrets.Flags()
	}
	s, _ := harness.Up(t, append([]string{"--servers", "2"}, flags...)...)
	alone, inside := harness.FreeAddr(t), harness.FreeAddr(t)
	front := s.Start(append([]string{"zk", "--listen", alone}, flags...)...)
	server := s.Start(append([]string{"server", "--listen", harness.FreeAddr(t), "--data", s.Dir + "/with-front", "--zk", inside}, flags...)...)
	front.Stderr.Wait(t, "zookeeper front is up", front.Done)
	server.Stderr.Wait(t, "zookeeper front is up", server.Done)
	for path, addr := range map[string]string{"/alone": alone, "/inside": inside} {
		c := dialPlain(t, addr)
		if secrets != nil {
			c = tls.Client(c, secrets.TLS(t))
		}
		hello, err := jute.DecodeConnected(zkAsk(t, c, jute.AppendConnect(nil, &jute.Connect{Timeout: 10_000, Password: make([]byte, 16)})))
		if err != nil || hello.Session == 0 || hello.Timeout != 10_000 {
			t.Fatalf("%s: %+v, %v", path, hello, err)
		}
		if secrets != nil {
			p := jute.NewReader(zkAsk(t, c, jute.AppendRequest(nil, &jute.Request{Xid: jute.AuthXid, Op: jute.OpAuth, Scheme: "digest", Data: []byte("me:open sesame")}))).Reply()
			if p.Err != jute.OK {
				t.Fatalf("the password: %v", p.Err)
			}
		}
		p := jute.NewReader(zkAsk(t, c, jute.AppendRequest(nil, &jute.Request{Xid: 1, Op: jute.OpCreate, Path: path, Data: []byte("by ZooKeeper"), ACL: jute.Open}))).Reply()
		if p.Err != jute.OK {
			t.Errorf("create %s: %v", path, p.Err)
		}
		if got := s.OK(append([]string{"meta", "get", path}, flags...)...); strings.TrimSpace(got) != "by ZooKeeper" {
			t.Errorf("meta get %s: %q", path, got)
		}
	}
	if err := front.Cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-front.Done
	if code := front.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
