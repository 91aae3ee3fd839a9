//go:build !linux

package seglog

func mapPages(n int) ([]byte, error) { return make([]byte, n), nil }

func unmapPages([]byte) error { return nil }

func forgetPages([]byte) bool { return false }
