// Package process tests viewring as people run it: the built binary, real
// processes, real files and ports. VIEWRING_SLOW=1 adds what takes minutes.
package process
