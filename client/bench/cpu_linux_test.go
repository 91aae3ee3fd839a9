package bench

import (
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
)

// TestListening: of processes that listen at one port of several addresses each is found by its own.
func TestListening(t *testing.T) {
	one, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	_, text, _ := net.SplitHostPort(one.Addr().String())
	two, err := net.Listen("tcp", net.JoinHostPort("127.0.0.3", text))
	if err != nil {
		t.Skip("another has the port there: ", err)
	}
	defer two.Close()
	port, _ := strconv.Atoi(text)
	find := func(host string) []string { return listening("/proc/net/tcp", net.ParseIP(host), port) }
	first, second := find("127.0.0.2"), find("127.0.0.3")
	if len(first) != 1 || len(second) != 1 || slices.Equal(first, second) || len(find("127.0.0.4")) > 0 {
		t.Errorf("%v and %v", first, second)
	}
	if pids := listeners([]string{one.Addr().String()}); !slices.Equal(pids, []int{os.Getpid()}) {
		t.Errorf("%v, and this is %d", pids, os.Getpid())
	}
	if used := cpuOf([]int{os.Getpid(), -1}); len(used) != 1 {
		t.Errorf("%v of one process that runs, and one that does not", used)
	}
}
