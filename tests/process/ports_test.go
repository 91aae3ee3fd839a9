package process

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"viewring/tests/harness"
)

// A service waits for a port that another program's connection has, and says who
// listens at one that is taken.
func TestPorts(t *testing.T) {
	t.Parallel()
	s, _ := harness.Up(t, "--servers", "1")
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	for command, up := range map[string]string{"viewleader": "view leader is up", "server": "joined the cluster", "gateway": "gateway is up", "zk": "zookeeper front is up", "http": "http front is up"} {
		t.Run(command, func(t *testing.T) {
			addr := harness.FreeAddr(t)
			args := []string{command, "--listen", addr}
			if command != "gateway" && command != "zk" && command != "http" {
				args = append(args, "--data", filepath.Join(s.Dir, command))
			}
			from, err := net.ResolveTCPAddr("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", peer.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			d := s.Start(args...)
			d.Stderr.Wait(t, "waiting for a port that is only borrowed", d.Done)
			_ = c.(*net.TCPConn).SetLinger(0) // or the port is kept for a minute
			_ = c.Close()
			d.Stderr.Wait(t, up, d.Done)
			taken := peer.Addr().String()
			args[2] = taken
			if command != "gateway" && command != "zk" && command != "http" {
				args[4] += "2"
			}
			text := "address already in use"
			if runtime.GOOS == "linux" {
				text = "(process " + strconv.Itoa(os.Getpid()) + ") listens there"
			}
			s.Fails(4, text, args...)
		})
	}
}
