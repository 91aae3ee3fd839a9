//go:build !linux

package children

import "syscall"

// Attributes has nothing to offer here: the pipe alone ends the children.
func Attributes() *syscall.SysProcAttr { return nil }
