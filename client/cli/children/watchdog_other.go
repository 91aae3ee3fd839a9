//go:build !linux

package children

import "time"

// Watchdog has nothing to offer here: a process that is stopped knows of nothing.
type Watchdog struct{}

// NewWatchdog returns one that never kills.
func NewWatchdog() (*Watchdog, error) { return &Watchdog{}, nil }

// Set does nothing.
func (*Watchdog) Set(time.Duration) {}

// Stop does nothing.
func (*Watchdog) Stop() {}
