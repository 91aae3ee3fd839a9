//go:build !linux

package children

import "syscall"

// Attributes has nothing to offer here: the pipe alone ends the children.
func Attributes() *syscall.SysProcAttr { return nil }

// DieWithParent has nothing to offer here.
func DieWithParent(*syscall.SysProcAttr) {}
