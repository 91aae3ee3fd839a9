// Package children runs processes that never outlive the one that started them.
// On its orderly end the parent stops them; if it dies in any other way, SIGKILL
// included, they see the end of a pipe that only it holds open, and on Linux the
// kernel kills even those that are stopped.
//
// For commands that people give to be run it also has what finds and ends all that
// one has started (Family), and what ends a process that is stopped for too long
// (Watchdog).
package children
