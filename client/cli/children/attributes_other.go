//go:build !linux

package children

import "syscall"

// attributes has nothing to offer here: the pipe alone ends the children.
func attributes() *syscall.SysProcAttr { return nil }
