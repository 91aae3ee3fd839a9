package port

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// said hands over what is logged.
type said chan string

func (s said) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := Free()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// borrow makes a connection from addr; end gives the port back at once.
func borrow(t *testing.T, addr string) (c *net.TCPConn, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	from, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c = conn.(*net.TCPConn)
	t.Cleanup(func() { c.Close() })
	return c, func() {
		_ = c.SetLinger(0) // a reset leaves nothing behind
		_ = c.Close()
	}
}

// onLinux tells what only Linux says.
func onLinux(text string) string {
	if runtime.GOOS == "linux" {
		return text
	}
	return ""
}

func me() string { return fmt.Sprintf("(process %d)", os.Getpid()) }

// TestListenBorrowed: a port that an outgoing connection has is waited for.
func TestListenBorrowed(t *testing.T) {
	addr := freeAddr(t)
	_, end := borrow(t, addr)
	log := make(said, 10)
	got := make(chan error, 1)
	go func() {
		l, err := Listen(t.Context(), addr, slog.New(slog.NewTextHandler(log, nil)))
		if err == nil {
			err = l.Close()
		}
		got <- err
	}()
	var line string
	select {
	case line = <-log:
	case err := <-got:
		t.Fatalf("it does not wait: %v", err)
	}
	for _, want := range []string{"only borrowed", addr, onLinux(me()), onLinux("has a connection from there")} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
	if runtime.GOOS == "linux" {
		if err := Check(addr); err != nil {
			t.Errorf("not worth a try: %v", err)
		}
	}
	end()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if len(log) > 0 {
		t.Errorf("it goes on saying %s", <-log)
	}
}

// TestListenTaken: where somebody listens nothing is waited for, and who it is is said.
func TestListenTaken(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("%s: %v", at, err)
			continue
		}
		defer l.Close()
		log := make(said, 10)
		_, err = Listen(t.Context(), l.Addr().String(), slog.New(slog.NewTextHandler(log, nil)))
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), onLinux(me()+" listens there")) {
			t.Errorf("%s: %v", at, err)
		}
		if runtime.GOOS == "linux" && len(log) > 0 {
			t.Errorf("%s: %s", at, <-log)
		}
		if err := Check(l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: check: %v", at, err)
		}
	}
}

// TestListenStops: who waits for a port ends with its context.
func TestListenStops(t *testing.T) {
	addr := freeAddr(t)
	borrow(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	log := make(said, 10)
	go func() {
		<-log
		cancel()
	}()
	if _, err := Listen(ctx, addr, slog.New(slog.NewTextHandler(log, nil))); !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHolders(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:9858": "127.0.0.1:39000", "00000000:0016": "0.0.0.0:22",
		"00000000000000000000000001000000:1F90": "::1:8080", "0000000000000000FFFF00000100007F:0001": "127.0.0.1:1",
	} {
		ip, port, err := parseEndpoint(text)
		if got := fmt.Sprintf("%v:%d", ip, port); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "0100007F", "0100007F:", "0100007F:12345", "x:1", "01:1"} {
		if _, _, err := parseEndpoint(text); err == nil {
			t.Errorf("%q is an endpoint", text)
		}
	}
	if got := (holder{state: stateTimeWait, inode: "0"}).String(); !strings.Contains(got, "just ended") {
		t.Error(got)
	}
	if got := (holder{state: "01", inode: "0"}).String(); !strings.Contains(got, "may not see") {
		t.Error(got)
	}
}

// TestDefaults: nobody else is known to use the ports, nor gives them away.
func TestDefaults(t *testing.T) {
	ours := []int{ViewLeader, Gateway, ZooKeeper, HTTP}
	for port := ServerFirst; port <= ServerLast; port++ {
		ours = append(ours, port)
	}
	services, _ := os.ReadFile("/etc/services") // not everywhere
	for _, port := range ours {
		if port >= 32768 || port >= freeFirst && port < freeFirst+freeBlocks*(blockPorts+1) {
			t.Errorf("%d is not a port to expect somebody at", port)
		}
		if strings.Contains(string(services), fmt.Sprintf("\t%d/tcp", port)) {
			t.Errorf("%d is another service's", port)
		}
	}
	slices.Sort(ours)
	if len(slices.Compact(ours)) != ServerLast-ServerFirst+5 {
		t.Error("two share a port")
	}
	if last := freeFirst + freeBlocks*(blockPorts+1); last > Gateway {
		t.Errorf("free ports go up to %d", last)
	}
}

const childEnv = "VIEWRING_TEST_FREE_PORTS"

// TestFree: what processes at the same time are given is each one's own, and free.
func TestFree(t *testing.T) {
	const each = 100
	defer func(was func() int) { startBlock = was }(startBlock)
	startBlock = func() int { return 7 } // all look for the same ones
	if os.Getenv(childEnv) != "" {
		for range each {
			fmt.Println("free", freeAddr(t))
		}
		fmt.Println("all")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent has seen the others'
		return
	}
	given := make(map[string]int)
	for range each {
		given[freeAddr(t)] = -1
	}
	for child := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFree$", "-test.v")
		cmd.Env = append(os.Environ(), childEnv+"=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			_ = cmd.Wait()
		})
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "all" {
			if addr, ok := strings.CutPrefix(lines.Text(), "free "); ok {
				if other, ok := given[addr]; ok {
					t.Errorf("%s is given to %d and %d", addr, child, other)
				}
				given[addr] = child
			}
		}
	}
	if len(given) != 4*each {
		t.Errorf("%d ports, want %d", len(given), 4*each)
	}
}

// TestFreeAgain: a process gives its ports away again, but none at which somebody listens.
func TestFreeAgain(t *testing.T) {
	taken := freeAddr(t)
	l, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := make(map[string]bool)
	for range 2 * blocksMax * blockPorts {
		addr := freeAddr(t)
		if addr == taken {
			t.Fatalf("%s is not free", addr)
		}
		seen[addr] = true
	}
	if len(seen) > blocksMax*blockPorts || len(free.claims) > blocksMax {
		t.Errorf("%d ports in %d blocks", len(seen), len(free.claims))
	}
}
