package children

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// PipeFD is the file descriptor at which a child finds the pipe whose end tells
// it that its parent is gone.
const PipeFD = 3

// stopGrace is how long a child gets between SIGINT and SIGKILL.
const stopGrace = 10 * time.Second

// Spec says what to start.
type Spec struct {
	Name           string // for messages
	Path           string
	Args           []string
	Env            []string // nil: the parent's
	Dir            string
	Stdout, Stderr io.Writer
}

// Group starts children and ends them all.
type Group struct {
	reading, writing *os.File // writing is never written to: it ends with this process
	starts           chan func()
	ended            sync.WaitGroup

	mu struct {
		sync.Mutex
		closed   bool
		children []*Child
	}
}

// NewGroup returns an empty Group. Close it.
func NewGroup() (*Group, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe to children: %w", err)
	}
	g := &Group{reading: r, writing: w, starts: make(chan func())}
	g.ended.Go(func() {
		// The kernel sends a child's death signal when the thread that started
		// it ends, so one thread starts them all and outlives them.
		runtime.LockOSThread()
		for start := range g.starts {
			start()
		}
	})
	return g, nil
}

// Child is a process of a Group.
type Child struct {
	Name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; set before done is closed
}

// Start starts a child.
func (g *Group) Start(s Spec) (*Child, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.closed {
		return nil, fmt.Errorf("start %s: the group is closed", s.Name)
	}
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Env, cmd.Dir = s.Env, s.Dir
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	cmd.ExtraFiles = []*os.File{g.reading}
	cmd.SysProcAttr = Attributes()
	started := make(chan error)
	g.starts <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	c := &Child{Name: s.Name, cmd: cmd, done: make(chan struct{})}
	g.mu.children = append(g.mu.children, c)
	g.ended.Go(func() {
		c.err = cmd.Wait()
		close(c.done)
	})
	return c, nil
}

// Close stops all children and waits for their end.
func (g *Group) Close() error {
	g.mu.Lock()
	if g.mu.closed {
		g.mu.Unlock()
		return nil
	}
	g.mu.closed = true
	children := g.mu.children
	g.mu.Unlock()
	var stopping sync.WaitGroup
	for _, c := range children {
		stopping.Go(func() { c.Stop(context.Background()) })
	}
	stopping.Wait()
	close(g.starts)
	g.ended.Wait()
	return errors.Join(g.reading.Close(), g.writing.Close())
}

// Pid returns the child's process id.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Running reports whether the child has not ended yet.
func (c *Child) Running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// Err says how the child ended: nil for exit code 0. Only after Done.
func (c *Child) Err() error { return c.err }

// Signal sends a signal; to a child that has ended it is an error.
func (c *Child) Signal(sig os.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", c.Name, err)
	}
	return nil
}

// Kill ends the child by SIGKILL and waits for its end.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill() // it may have ended by itself
	<-c.done
}

// Stop asks the child to end at once (SIGINT: a SIGTERM would drain a server),
// waits, and kills it when it does not in time or when ctx ends.
func (c *Child) Stop(ctx context.Context) {
	_ = c.cmd.Process.Signal(syscall.SIGCONT) // a stopped process would not hear the next one
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-c.done:
		return
	case <-grace.C:
	case <-ctx.Done():
	}
	c.Kill()
}

// WithParent returns a context that ends when the process that started this one
// as a child is gone.
func WithParent(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	pipe := os.NewFile(PipeFD, "parent")
	// The read returns when the parent ends, or never: it has no owner but the process.
	go func() {
		_, _ = pipe.Read(make([]byte, 1))
		cancel(errors.New("the parent process has ended"))
	}()
	return ctx
}
