package children

import "syscall"

// Attributes let the kernel kill the child when the parent dies, for a child
// that is stopped cannot see the end of the pipe. A group of its own keeps
// Ctrl-C in the terminal for the parent, which then stops the children in order.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// DieWithParent lets the kernel kill the child when the thread that starts it ends.
func DieWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
