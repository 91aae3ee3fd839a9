package network

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"viewring/internal/port"
)

// Outside is who no process of the cluster is.
const Outside = "outside"

// Network carries the connections to every process of a cluster, and disturbs them by who speaks
// to whom. Each process is reached at an address of the Network's; who calls is found out from the
// operating system. All its methods may be called at once.
type Network struct {
	running sync.WaitGroup
	closing chan struct{}

	mu struct {
		sync.Mutex
		pids    map[string]int // of the processes that call
		paths   map[path]condition
		pipes   map[*pipe]bool
		changed chan struct{} // closed and replaced when a path has changed
		closed  bool
	}
}

// path is one direction between two processes.
type path struct{ from, to string }

// condition is how a path is; the zero value is a sound one.
type condition struct {
	mode  mode
	delay time.Duration
}

type mode uint8

const (
	sound   mode = iota
	held         // bytes wait until it is sound again, as if resent then
	dropped      // bytes are lost; connections that lost any break when it is sound again
	refused      // connections break at once
)

// Works reports whether callers can be told apart on this operating system. Elsewhere all are Outside.
func Works() bool { return runtime.GOOS == "linux" }

// New makes a sound network. Close it.
func New() *Network {
	n := &Network{closing: make(chan struct{})}
	n.mu.pids = make(map[string]int)
	n.mu.paths = make(map[path]condition)
	n.mu.pipes = make(map[*pipe]bool)
	n.mu.changed = make(chan struct{})
	return n
}

// Close ends all connections, and waits until nothing of them runs.
func (n *Network) Close() {
	close(n.closing)
	n.mu.Lock()
	n.mu.closed = true
	for p := range n.mu.pipes {
		p.close()
	}
	n.mu.Unlock()
	n.running.Wait()
}

// Listen opens an address at which process name is reached; it listens itself at target.
func (n *Network) Listen(name, target string) (addr string, err error) {
	l, addr, err := listen()
	if err != nil {
		return "", fmt.Errorf("network: %w", err)
	}
	n.running.Go(func() {
		<-n.closing
		_ = l.Close() // nobody waits for it
	})
	n.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.running.Go(func() { n.serve(name, target, c.(*net.TCPConn)) })
		}
	})
	return addr, nil
}

// listenTries are the ports that are tried: who was killed may come back to its port just when it is found free.
const listenTries = 10

func listen() (l net.Listener, addr string, err error) {
	for range listenTries {
		if addr, err = port.Free(); err != nil {
			return nil, "", err
		}
		if l, err = net.Listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return l, addr, err
}

// Is says which process bears a name now.
func (n *Network) Is(name string, pid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.pids[name] = pid
}

// Hold makes what some say to others wait until Heal: connections stay open.
func (n *Network) Hold(from, to []string) { n.set(from, to, condition{mode: held}) }

// Drop loses what some say to others until Heal: connections stay open, and break
// then if they have lost anything.
func (n *Network) Drop(from, to []string) { n.set(from, to, condition{mode: dropped}) }

// Refuse breaks the connections that some have to others until Heal.
func (n *Network) Refuse(from, to []string) { n.set(from, to, condition{mode: refused}) }

// Delay makes everything that some say to others late, until Heal.
func (n *Network) Delay(from, to []string, by time.Duration) {
	n.set(from, to, condition{delay: by})
}

// Heal makes all paths sound.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.mu.paths)
	n.told()
}

// HealPaths makes the paths from some to others sound, and leaves what else is disturbed.
func (n *Network) HealPaths(from, to []string) { n.set(from, to, condition{}) }

// Carries reports whether a path lets anything through now.
func (n *Network) Carries(from, to string) bool {
	c, _ := n.condition(path{from, to})
	return c.mode == sound
}

func (n *Network) set(from, to []string, c condition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range from {
		for _, b := range to {
			if a != b {
				n.mu.paths[path{a, b}] = c
			}
		}
	}
	n.told()
}

// told lets all look again. The caller holds mu.
func (n *Network) told() {
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
	for p := range n.mu.pipes {
		if n.mu.paths[path{p.caller, p.called}].mode == refused || n.mu.paths[path{p.called, p.caller}].mode == refused {
			p.close()
		}
	}
}

func (n *Network) condition(p path) (condition, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.paths[p], n.mu.changed
}

// pipe is one connection through the network.
type pipe struct {
	caller, called string
	near, far      *net.TCPConn
	once           sync.Once
	over           chan struct{}
}

// close breaks both sides.
func (p *pipe) close() {
	p.once.Do(func() {
		close(p.over)
		for _, c := range []*net.TCPConn{p.near, p.far} {
			if c != nil {
				_ = c.SetLinger(0) // a reset, so that nobody believes in an orderly end
				_ = c.Close()
			}
		}
	})
}

func (n *Network) serve(called, target string, near *net.TCPConn) {
	p := &pipe{caller: n.whoCalls(near), called: called, near: near, over: make(chan struct{})}
	defer p.close()
	there, back := path{p.caller, called}, path{called, p.caller}
	for { // until the call gets through
		c, changed := n.condition(there)
		if c.mode == refused {
			return
		}
		if c.mode == sound {
			break
		}
		select {
		case <-changed:
		case <-n.closing:
			return
		}
	}
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	p.far = far.(*net.TCPConn)
	n.mu.Lock()
	n.mu.pipes[p] = true
	late := n.mu.closed || n.mu.paths[there].mode == refused
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.mu.pipes, p)
		n.mu.Unlock()
	}()
	if late {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { n.carry(p, there, near, p.far) })
	both.Go(func() { n.carry(p, back, p.far, near) })
	both.Wait()
}

// piece is some bytes on their way; none: the end.
type piece struct {
	bytes []byte
	at    time.Time // when they were sent
}

// carry takes bytes from one side to the other as the path allows.
func (n *Network) carry(p *pipe, on path, src, dst *net.TCPConn) {
	defer p.close()
	pieces := make(chan piece, 64)
	n.running.Go(func() {
		defer close(pieces)
		for {
			buf := make([]byte, 64<<10)
			k, err := src.Read(buf)
			if k > 0 {
				select {
				case pieces <- piece{buf[:k], time.Now()}:
				case <-p.over:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for {
		var b piece
		var more bool
		select {
		case b, more = <-pieces:
		case <-p.over:
			return
		}
		if !n.pass(p, on, b.at) || !more {
			return
		}
		if _, err := dst.Write(b.bytes); err != nil {
			return
		}
	}
}

// pass waits until what was sent at a time may arrive. It is false when the
// connection has ended, or ends now because it has lost something.
func (n *Network) pass(p *pipe, on path, sent time.Time) bool {
	for {
		c, changed := n.condition(on)
		if c.mode == sound {
			return p.wait(time.Until(sent.Add(c.delay)))
		}
		select {
		case <-changed:
		case <-p.over:
			return false
		}
		if c.mode == dropped {
			if now, _ := n.condition(on); now.mode != dropped {
				return false
			}
		}
	}
}

// wait lets d pass; false when the connection ends before.
func (p *pipe) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.over:
		return false
	}
}

// whoCalls finds the process at the other end of a connection on this machine.
func (n *Network) whoCalls(c *net.TCPConn) string {
	inode, err := socketInode(c.RemoteAddr().(*net.TCPAddr).Port, c.LocalAddr().(*net.TCPAddr).Port)
	if err != nil {
		return Outside // gone already
	}
	n.mu.Lock()
	pids := maps.Clone(n.mu.pids)
	n.mu.Unlock()
	want := "socket:[" + inode + "]"
	for name, pid := range pids {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			continue
		}
		for _, f := range files {
			if to, err := os.Readlink(f); err == nil && to == want {
				return name
			}
		}
	}
	return Outside
}

// socketInode looks for a connection between two ports in the table of the
// calling side.
func socketInode(local, remote int) (string, error) {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return "", err
	}
	defer f.Close() // read only
	table, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	from, to := fmt.Sprintf("0100007F:%04X", local), fmt.Sprintf("0100007F:%04X", remote)
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) > 9 && fields[1] == from && fields[2] == to {
			if _, err := strconv.ParseUint(fields[9], 10, 64); err == nil && fields[9] != "0" {
				return fields[9], nil
			}
		}
	}
	return "", errors.New("no such connection")
}
