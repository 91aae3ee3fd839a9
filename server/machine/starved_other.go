//go:build !linux

package machine

import "time"

// Starved reports false: it is not known here.
func Starved() (waited time.Duration, ok bool) { return 0, false }
