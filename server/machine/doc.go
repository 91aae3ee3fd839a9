// Package machine is what a server asks of the machine that it runs on: a clock that also runs
// while that is suspended, how much memory there is, and that threads need not wake on time. It
// keeps nothing, and no goroutine runs in it.
package machine
