//go:build !linux

package bench

import "time"

// Where there is no /proc, no processor time is seen.

func cpuOfSelf() time.Duration { return 0 }

func cpuOf([]int) map[int]time.Duration { return nil }

func listeners([]string) []int { return nil }
