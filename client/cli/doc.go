// Package cli is viewring's command line: one file per command. Commands run in
// this process, with input, output and environment passed in, and end in an exit
// code, so that tests and scripts run them as people do.
package cli
