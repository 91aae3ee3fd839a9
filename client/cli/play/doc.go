// Package play runs clusters of real processes on this machine and plays scripts
// on them. A cluster has a folder and ports of its own and ends with the process
// that plays, however that ends.
package play
