//go:build !linux

package disk

import "os"

// Free implements FS.
func (d dirFS) Free() (uint64, bool) { return 0, false }

// allocate takes no space: only writing does.
func allocate(f *os.File, size int64) (taken bool, err error) { return false, f.Truncate(size) }

func openDirect(string) *os.File { return nil }

func refused(error) bool { return false }

func syncData(f *os.File) error { return f.Sync() }

func warm(*os.File) {}
