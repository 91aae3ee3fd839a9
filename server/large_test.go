//go:build !race

package server

import "viewring/internal/wire"

// largeBytes is what tests mean by a large value.
const largeBytes = wire.ValueBytesMax
