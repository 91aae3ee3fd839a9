//go:build race

package server

// largeBytes is less under the race detector, for which the store checks every
// byte that it gives back.
const largeBytes = 1 << 20
