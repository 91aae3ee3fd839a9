// Package children runs processes that never outlive the one that started them.
// On its orderly end the parent stops them; if it dies in any other way, SIGKILL
// included, they see the end of a pipe that only it holds open, and on Linux the
// kernel kills even those that are stopped.
package children
