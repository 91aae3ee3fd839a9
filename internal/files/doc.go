// Package files knows how many file descriptors the system lets a process have, and keeps
// some of them from clients.
package files
