//go:build !linux

package server

import "time"

var processStart = time.Now()

// monotonic is Go's clock where no other is known. It may stand still while the
// machine is suspended; do not suspend machines of a cluster there.
func monotonic() time.Duration { return time.Since(processStart) }
