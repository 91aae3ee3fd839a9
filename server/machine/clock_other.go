//go:build !linux

package machine

import "time"

var processStart = time.Now()

// Monotonic is Go's clock where no other is known. It may stand still while the
// machine is suspended; do not suspend machines of a cluster there.
func Monotonic() time.Duration { return time.Since(processStart) }
